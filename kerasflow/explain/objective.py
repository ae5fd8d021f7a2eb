"""The cost as Keras computes it, taken apart: each output's loss, and the penalties that come on top."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from kerasflow.errors import DataError, KerasflowError, TrainingError
from kerasflow.explain.samples import outputs_of
from kerasflow.training.compared import check_compared
from kerasflow.training.keras_internals import Observed, compiled_losses, observe_losses, set_dtype
from kerasflow.training.labels import check_labels
from kerasflow.training.refusal import reason, shapes


class Evaluated(NamedTuple):
    """One evaluation of the cost, as tensors.

    Attributes:
        outputs: O, nested as the model gives them.
        parts: each loss with its errors, see `keras_internals.Observed`.
        penalties: by variable path, or `add_loss` for what layers add.
    """

    outputs: Any
    parts: list[Observed]
    penalties: dict[str, Any]

    @property
    def cost(self) -> Any:
        """What training lowers: every loss times its weight, and the penalties; a scalar tensor."""
        import tensorflow as tf

        terms = [cost_of(self.parts), *self.penalties.values()]
        return tf.add_n([tf.cast(term, terms[0].dtype) for term in terms])


def evaluated(
    model: Any, x: Any, y: Any, weight: Any = None, training: bool = False, values: Iterable[tuple[Any, Any]] = ()
) -> Evaluated:
    """One forward pass and the cost of its outputs; no variable is written.

    Args:
        model: compiled and built.
        x, y, weight: tensors `(n_samples, ...)`.
        training: whether Dropout and BatchNormalization act as in training.
        values: pairs of a variable and a tensor that stands in for what it holds.

    Raises:
        DataError, TrainingError: samples or targets do not fit, or there is no loss.
    """
    import keras

    with keras.StatelessScope(values, collect_losses=True) as scope:
        outputs = outputs_of(model, x, training)
        parts = losses_of(model, y, outputs, weight)
        penalties = {v.path: v.regularizer(v) for v in model.trainable_variables if v.regularizer is not None}
    return Evaluated(outputs, parts, penalties | ({"add_loss": sum(scope.losses)} if scope.losses else {}))


def losses_of(model: Any, y: Any, outputs: Any, weight: Any = None) -> list[Observed]:
    """Each loss of the compiled model for these outputs.

    Raises:
        DataError, TrainingError: the targets do not fit the loss or the outputs, or there is no loss.
    """
    if not hasattr(y, "items") and not isinstance(y, list | tuple):
        check_labels(model.loss, np.asarray(y), outputs)
    try:
        parts = observe_losses(model, y, outputs, weight)
    except KerasflowError:
        raise
    except Exception as error:  # a loss's own code may raise anything
        raise DataError(
            f"the loss does not fit: a target has shape {shapes(y)}, the model's output {shapes(outputs)}: "
            f"{reason(error)}"
        ) from error
    if not parts:
        raise TrainingError("the model has no loss whose cost could be told; compile it with one")
    for part in parts:
        check_compared(part)
    return parts


def cost_of(parts: list[Observed]) -> Any:
    """The losses' sum with their weights, without penalties."""
    import tensorflow as tf

    return tf.add_n([tf.reduce_sum(part.value) * (1.0 if part.weight is None else part.weight) for part in parts])


def errors_of(part: Observed) -> Any:
    """The error of each observation `(n,)`, without sample weights; None where the loss has no number for each.

    Of several numbers an observation, such as one for each step of a sequence, it is their mean, or their sum where the
    loss is one.
    """
    import tensorflow as tf

    each = part.unreduced
    if not each.shape.rank or each.shape[0] != part.y_pred.shape[0]:
        return None
    axes = list(range(1, each.shape.rank))
    return (tf.reduce_sum if is_sum(part) else tf.reduce_mean)(each, axes)


def is_sum(part: Observed) -> bool:
    """Whether the cost of the set is the errors' sum, as in the deck, and not their mean."""
    return part.loss.reduction in ("sum", "none", None)


@contextmanager
def losses_in_float64(model: Any) -> Iterator[None]:
    """Inside, the losses of a compiled model, built by a call of them, compute in float64."""
    losses = compiled_losses(model)
    before = [loss.dtype for loss in losses]
    for loss in losses:
        set_dtype(loss, "float64")
    try:
        yield
    finally:
        for loss, dtype in zip(losses, before, strict=True):
            set_dtype(loss, dtype)


def named_outputs(model: Any, outputs: Any) -> list[tuple[str, Any]]:
    """Every output with its name: its key, the name of the layer that gives it, or its place."""
    import keras

    known = list(getattr(model, "output_names", None) or ())
    found = keras.tree.flatten_with_path(outputs)
    return [
        (str(path[-1]) if path and isinstance(path[-1], str) else known[i] if i < len(known) else f"output_{i}", leaf)
        for i, (path, leaf) in enumerate(found)
    ]


def check_differentiable(part: Observed, derivative: Any) -> None:
    """Raises a TrainingError for a loss through which no gradient comes."""
    if derivative is None:
        raise TrainingError(
            f"the loss {part.loss.name!r} is not differentiable: no gradient of it reaches the outputs, as when it "
            "rounds them or takes the index of the largest; give a loss that changes continuously with the outputs"
        )
