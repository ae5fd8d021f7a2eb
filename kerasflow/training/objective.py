"""The cost of a micro-batch, taken apart so that a window's cost can be put together again exactly.

Keras reduces each loss over the batch that it sees: L = S / D, a sum over a divisor. For a window split into
micro-batches m, the whole batch's loss is sum_m(S_m) / sum_m(D_m), which is not the mean of S_m / D_m. So each loss is
kept as S_m and D_m.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kerasflow.errors import TrainingError
from kerasflow.training.compared import check_compared
from kerasflow.training.keras_internals import Observed, mask_of, observe_losses


@dataclass(frozen=True)
class Share:
    """A part of the cost of one micro-batch.

    Attributes:
        numerator: S_m, a scalar tensor; differentiable.
        divisor: D_m, a scalar tensor; None of the share that is whole once the window's samples are summed.
    """

    numerator: Any
    divisor: Any


def shares(
    model: Any,
    y: Any,
    y_pred: Any,
    sample_weight: Any,
    penalties: list[Any],
    n_samples: Any,
    n_window: Any,
    sum_scale: Any = 1.0,
) -> list[Share]:
    """The cost of a micro-batch as parts to be summed over the window; the window's cost is the sum of their quotients.

    Parts whose divisor over the window is known beforehand are folded into the first share, which has none; each loss
    whose divisor only the forward pass knows (masks, weighted means) has a share of its own.

    Args:
        penalties: what layers added in this forward pass (`add_loss`, activity regularizers): means over the
            micro-batch.
        n_samples: samples of this micro-batch.
        n_window: samples of the window.
        sum_scale: what losses that are sums, not means, are multiplied by.

    Raises:
        TrainingError: the window is split, and a loss gives one number for all samples that it sees, or compares them
            with each other, so that no micro-batch holds a part of it; or targets and outputs differ in shape.
    """
    import tensorflow as tf

    split = n_samples is not n_window
    fraction = tf.cast(n_samples, "float64") / tf.cast(n_window, "float64") if split else 1.0
    known = [_times(_wide(penalty), fraction) for penalty in penalties]
    unknown = []
    for part in observe_losses(model, y, y_pred, sample_weight):
        check_compared(part)
        value = _times(_summed(_wide(part.value)), 1.0 if part.weight is None else part.weight)
        if split:
            _check_splits(part)
        divisor = _divisor(part)
        if divisor is not None:
            unknown.append(Share(_times(value, divisor), divisor))
        else:
            known.append(_times(value, sum_scale if _is_sum(part) else fraction))
    return folded([Share(value, None) for value in known] + unknown)


def folded(parts: list[Share]) -> list[Share]:
    """The same with all that need no divisor as one, for which one backward pass does."""
    import tensorflow as tf

    known = [part.numerator for part in parts if part.divisor is None]
    total = [tf.add_n([tf.cast(value, known[0].dtype) for value in known])] if known else []
    return [Share(value, None) for value in total] + [part for part in parts if part.divisor is not None]


def _times(value: Any, factor: Any) -> Any:
    """The product. A small model's update waits for each operation, also for one that changes nothing."""
    import tensorflow as tf

    if isinstance(factor, float):
        return value if factor == 1.0 else value * factor
    return value * tf.cast(factor, value.dtype)


def _summed(value: Any) -> Any:
    import tensorflow as tf

    return value if value.shape.rank == 0 else tf.reduce_sum(value)


def _wide(value: Any) -> Any:
    """The value in at least 32 bits, so that sums over a window do not round as half precision does."""
    import tensorflow as tf

    return value if value.dtype in (tf.float32, tf.float64) else tf.cast(value, tf.float32)


def _is_sum(part: Observed) -> bool:
    """Whether the loss of the whole is the sum over its micro-batches."""
    return part.loss.reduction in ("sum", "none", None)


def _divisor(part: Observed) -> Any:
    """What Keras divided by, as far as it is not the number of samples times a constant; None if it is."""
    import tensorflow as tf

    if _is_sum(part):
        return None
    mask, reduction = _mask(part), part.loss.reduction
    if reduction == "mean_with_sample_weight" and part.sample_weight is not None:
        weights = tf.cast(part.sample_weight, "float64")
        if mask is None:
            return tf.reduce_sum(weights)
        if mask.shape.rank == weights.shape.rank + 1 and mask.shape[-1] == 1:
            mask = mask[..., 0]
        return tf.reduce_sum(weights * tf.cast(mask, "float64"))
    if mask is None:
        return None
    return tf.reduce_sum(tf.cast(mask, "float64"))


def _mask(part: Observed) -> Any:
    """What counts: the mask that came with the output, and the one that the loss made (`ignore_class`)."""
    import tensorflow as tf

    masks = [mask for mask in (mask_of(part.y_pred), mask_of(part.unreduced)) if mask is not None]
    return tf.logical_and(*(tf.cast(m, tf.bool) for m in masks)) if len(masks) == 2 else next(iter(masks), None)


def _check_splits(part: Observed) -> None:
    import keras

    if isinstance(part.loss, keras.losses.Circle) or part.unreduced.shape.rank == 0:
        raise TrainingError(
            f"the loss {part.loss.name!r} is no sum over samples, so it cannot be put together from micro-batches; "
            "leave out micro_batch_size, or give a loss that has a value for each sample"
        )


def weight_penalties(variables: list[Any]) -> list[Any]:
    """The regularizers' terms, which belong to the weights and are counted once a window."""
    return [variable.regularizer(variable) for variable in variables if variable.regularizer is not None]
