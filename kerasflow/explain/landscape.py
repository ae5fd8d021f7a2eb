"""The cost of fixed samples as a function of the weights, compiled once. What the model's variables hold stays."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import cached_property
from numbers import Integral, Real
from typing import Any

import numpy as np

from kerasflow.errors import TrainingError
from kerasflow.explain.objective import evaluated
from kerasflow.explain.samples import check_compiled, samples
from kerasflow.explain.weights import named_weights
from kerasflow.training.refusal import explained

Weights = Mapping[str, np.ndarray]
"""Values by variable path, as `weights.named_weights` has them."""


class Landscape:
    """E(w), penalties included.

    Args:
        model: compiled and built.
        x, y, weight: arrays `(n_samples, ...)`, nested as the model has them.
        training: whether Dropout and BatchNormalization act as in training; Dropout drops the same numbers each time.
        names: of the trainable variables, in their order; their own paths if None.

    Raises:
        BuildError, DataError, TrainingError: the model has no cost, or samples and targets do not fit.
    """

    def __init__(
        self,
        model: Any,
        x: Any,
        y: Any,
        weight: Any = None,
        training: bool = False,
        names: Iterable[str] | None = None,
    ) -> None:
        check_compiled(model)
        self.model, self.training = model, training
        self.samples = samples(model, x, y, weight)
        self.variables = dict(zip(names or named_weights(model), model.trainable_variables, strict=True))
        x, y, weight = self.samples
        evaluated(model, x, y, weight, training)  # what does not fit is told before anything is compiled

    @property
    def here(self) -> dict[str, np.ndarray]:
        """The weights as the model has them."""
        return {path: variable.numpy() for path, variable in self.variables.items()}

    def __call__(self, values: Weights) -> float:
        """The cost at these weights; the model's own where a path is left out."""
        with explained("graph", self.samples[0]):
            return float(self._cost(self._tensors(values)))

    def gradient(self, values: Weights) -> tuple[float, dict[str, np.ndarray]]:
        """The cost and its gradient at these weights; zero where the cost does not depend on one."""
        with explained("graph", self.samples[0]):
            cost, found = self._slope(self._tensors(values))
        return float(cost), dict(zip(self.variables, map(np.asarray, found), strict=True))

    def _tensors(self, values: Weights) -> list[Any]:
        import tensorflow as tf

        return [
            tf.convert_to_tensor(values[path], variable.dtype) if path in values else variable.value.read_value()
            for path, variable in self.variables.items()
        ]

    def _at(self, tensors: list[Any]) -> Any:
        x, y, weight = self.samples
        values = list(zip(self.variables.values(), tensors, strict=True))
        return evaluated(self.model, x, y, weight, self.training, values).cost

    @cached_property
    def _cost(self) -> Any:
        import tensorflow as tf

        return tf.function(self._at, autograph=False)

    @cached_property
    def _slope(self) -> Any:
        import tensorflow as tf

        def slope(tensors: list[Any]) -> tuple[Any, list[Any]]:
            with tf.GradientTape() as tape:
                tape.watch(tensors)
                cost = self._at(tensors)
            return cost, [tf.convert_to_tensor(g) for g in tape.gradient(cost, tensors, unconnected_gradients="zero")]

        return tf.function(slope, autograph=False)


def check_rate(rate: float) -> float:
    """Raises a TrainingError for what is no learning rate."""
    if isinstance(rate, bool) or not isinstance(rate, Real) or not math.isfinite(rate) or rate <= 0:
        raise TrainingError(f"a learning rate is a finite number above 0, got {rate!r}")
    return float(rate)


def check_count(name: str, given: int, least: int) -> int:
    """Raises a TrainingError for what is no count."""
    if isinstance(given, bool) or not isinstance(given, Integral) or given < least:
        raise TrainingError(f"{name} must be an integer >= {least}, got {given!r}")
    return int(given)
