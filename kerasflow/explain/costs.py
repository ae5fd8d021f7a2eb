"""`kf.explain.cost`: the error of one observation, the cost of the set, and the error's derivative by the output."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kerasflow.errors import BuildError
from kerasflow.explain.objective import (
    check_differentiable,
    errors_of,
    evaluated,
    losses_in_float64,
    losses_of,
    named_outputs,
)
from kerasflow.explain.samples import check_compiled, samples
from kerasflow.training.keras_internals import Observed

MOST_DIFFERENCES = 1000
"""Numbers of one observation's output by which the derivative is also taken numerically."""

_REDUCTIONS = {
    "sum_over_batch_size": "mean of the errors",
    "mean": "mean of the errors",
    "mean_with_sample_weight": "weighted mean of the errors, Σ wᵢ·eᵢ / Σ wᵢ",
    "sum": "sum of the errors",
    "none": "no reduction; a gradient is then that of the errors' sum",
}


@dataclass(frozen=True)
class OutputCost:
    """What one output costs.

    Attributes:
        name: of the output.
        loss: its loss, `mean_squared_error`.
        reduction: how errors become the cost, in words.
        weight: what the loss is multiplied by among those of several outputs.
        outputs: O, `(n, ...)`.
        errors: of one observation each, `(n,)` float64, without sample weights; None where the loss has none.
        cost: of the set, with sample weights, before `weight`; no penalties.
        analytic: dE/dO by automatic differentiation, `(n, ...)` float64, where E is the error of each observation, or
            the cost where there are no errors.
        numeric: the same by central differences; NaN where it was not computed, beyond 1000 numbers an observation.
    """

    name: str
    loss: str
    reduction: str
    weight: float
    outputs: np.ndarray
    errors: np.ndarray | None
    cost: float
    analytic: np.ndarray
    numeric: np.ndarray

    @property
    def difference(self) -> float:
        """The largest difference between the two derivatives."""
        return float(np.nanmax(np.abs(self.analytic - self.numeric)))


@dataclass(frozen=True)
class Cost:
    """The cost of a set, and what it is made of. Error and cost are different words: one observation's, and a set's.

    Attributes:
        parts: each output's.
        penalties: what regularizers add for weights, by variable path, and layers by `add_loss`; apart from the errors.
        cost: of the set, every output's times its weight, without penalties.
        total: with penalties: what training lowers.
    """

    parts: tuple[OutputCost, ...]
    penalties: Mapping[str, float]
    cost: float
    total: float

    @property
    def only(self) -> OutputCost:
        """The part of a model with one output.

        Raises:
            BuildError: there are several.
        """
        if len(self.parts) > 1:
            raise BuildError(f"the model has several outputs; take one of .parts: {[part.name for part in self.parts]}")
        return self.parts[0]

    @property
    def errors(self) -> np.ndarray | None:
        """The error of each observation, of a model with one output."""
        return self.only.errors

    @property
    def reduction(self) -> str:
        """How errors become the cost, of a model with one output."""
        return self.only.reduction


def cost(model: Any, x: Any, y: Any, *, sample_weight: Any = None, training: bool = False) -> Cost:
    """The error of each observation and the cost of the set, with dE/dO analytic beside numeric.

    Args:
        model: compiled and built; it is not changed.
        x, y: inputs and targets, arrays `(n_samples, ...)`, nested as the model has them.
        sample_weight: `(n_samples,)`, or what Keras takes.
        training: whether Dropout and BatchNormalization act as in training.

    Raises:
        BuildError, DataError, TrainingError: the model has no cost, samples and targets do not fit, or the loss is not
            differentiable.

    Source:
        The deck's "Cost / Loss / Error Function": MSE = 1/n Σ (Yᵢ − Ŷᵢ)². Goodfellow et al. 2016, Deep Learning,
        section 6.2.
    """
    check_compiled(model)
    x, y, sample_weight = samples(model, x, y, sample_weight)
    found = evaluated(model, x, y, sample_weight, training)
    names = named_outputs(model, found.outputs)
    with losses_in_float64(model):
        parts = _in_float64(model, y, found.outputs, sample_weight, names)
    penalties = {name: float(value) for name, value in found.penalties.items()}
    total = sum(part.cost * part.weight for part in parts)
    return Cost(parts, penalties, total, total + sum(penalties.values()))


def _in_float64(model: Any, y: Any, outputs: Any, weight: Any, names: list[tuple[str, Any]]) -> tuple[OutputCost, ...]:
    import keras
    import tensorflow as tf

    wide = keras.tree.map_structure(lambda leaf: tf.cast(leaf, tf.float64), outputs)  # without Keras' fused logits
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(keras.tree.flatten(wide))
        parts = losses_of(model, y, wide, weight)
        aims = [part.value if errors_of(part) is None else errors_of(part) for part in parts]
    leaves = keras.tree.flatten(wide)
    found = []
    for place, (part, aim) in enumerate(zip(parts, aims, strict=True)):
        leaf = next((i for i, tensor in enumerate(leaves) if tensor is part.y_pred), place)
        derivative = tape.gradient(aim, leaves[leaf])
        check_differentiable(part, derivative)

        def again(changed: np.ndarray, leaf: int = leaf, place: int = place) -> np.ndarray:
            instead = [tf.constant(changed) if i == leaf else one for i, one in enumerate(leaves)]
            part = losses_of(model, y, keras.tree.pack_sequence_as(wide, instead), weight)[place]
            errors = errors_of(part)
            return np.asarray(tf.reduce_sum(part.value) if errors is None else errors)

        numeric = _central(again, np.asarray(leaves[leaf]), errors_of(part) is not None)
        found.append(_part(names[leaf], part, np.asarray(derivative), numeric))
    return tuple(found)


def _part(named: tuple[str, Any], part: Observed, analytic: np.ndarray, numeric: np.ndarray) -> OutputCost:
    name, outputs = named
    errors = errors_of(part)
    return OutputCost(
        name,
        str(part.loss.name),
        _REDUCTIONS.get(str(part.loss.reduction).lower(), str(part.loss.reduction)),
        1.0 if part.weight is None else float(part.weight),
        np.asarray(outputs),
        None if errors is None else np.asarray(errors),
        float(np.asarray(part.value).sum()),
        analytic,
        numeric,
    )


def _central(function: Callable[[np.ndarray], np.ndarray], o: np.ndarray, by_sample: bool) -> np.ndarray:
    """(E(O + h) − E(O − h)) / 2h for each number of O; all samples at once where each has an error of its own."""
    numeric = np.full(o.shape, np.nan)
    flat = numeric.reshape(len(o), -1)
    every = range(min(flat.shape[1], MOST_DIFFERENCES))
    rows: list[Any] = [slice(None)] if by_sample else list(range(min(len(o), MOST_DIFFERENCES // max(1, len(every)))))
    for column in every:
        for row in rows:
            step = np.zeros((len(o), flat.shape[1]))
            step[row, column] = 1e-7 * np.maximum(np.abs(o.reshape(step.shape)[row, column]), 1e-2)
            difference = function(o + step.reshape(o.shape)) - function(o - step.reshape(o.shape))
            flat[row, column] = difference / (2 * step[row, column])
    return numeric
