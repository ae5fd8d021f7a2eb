"""`kf.explain.descent`: one step of gradient descent, w ← w − α·dE/dw, with its numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kerasflow.explain.landscape import Landscape, check_rate
from kerasflow.explain.weights import find_weight


@dataclass(frozen=True)
class Descent:
    """One step. All weights are by Keras' `variable.path`.

    Attributes:
        learning_rate: α.
        before, gradients, after: w, dE/dw and w − α·dE/dw.
        cost_before, cost_after: of the set, penalties included.
    """

    learning_rate: float
    before: Mapping[str, np.ndarray]
    gradients: Mapping[str, np.ndarray]
    after: Mapping[str, np.ndarray]
    cost_before: float
    cost_after: float
    _model: Any = field(repr=False, compare=False)

    @property
    def expected(self) -> float:
        """What the cost would change by if it were flat, −α·‖dE/dw‖²; what it really changes by, its curvature adds."""
        return -self.learning_rate * float(sum(np.sum(np.square(g, dtype=np.float64)) for g in self.gradients.values()))

    def update(self, weight: str) -> str:
        """One weight's step written down, `dense/kernel[0,1]: 7 − 0.1·0.42 = 6.958`.

        Raises:
            BuildError: there is no such weight; the message has near names.
        """
        one = find_weight(self._model, weight)
        w, g, new = (float(part[one.path][one.index]) for part in (self.before, self.gradients, self.after))
        slope = f"({g:.6g})" if g < 0 else f"{g:.6g}"
        return f"{one.name}: {w:.6g} − {self.learning_rate:g}·{slope} = {new:.6g}"


def descent(
    model: Any, x: Any, y: Any, learning_rate: float, *, sample_weight: Any = None, training: bool = False
) -> Descent:
    """Takes one step down the cost of a set, on paper: the model keeps its weights.

    Args:
        model: compiled and built; its optimizer is not asked, for this is plain gradient descent.
        x, y, sample_weight: arrays `(n_samples, ...)`, nested as the model has them.
        learning_rate: α > 0.
        training: whether Dropout and BatchNormalization act as in training.

    Raises:
        BuildError, DataError, TrainingError: the model has no cost, samples and targets do not fit, or α is no rate.

    Source:
        The deck's "Gradient Descent", w = w − α · dE/dw; Goodfellow et al. 2016, Deep Learning, section 4.3.
    """
    rate = check_rate(learning_rate)
    landscape = Landscape(model, x, y, sample_weight, training)
    before = landscape.here
    cost, gradients = landscape.gradient(before)
    after = {path: w - np.asarray(rate, w.dtype) * gradients[path] for path, w in before.items()}
    return Descent(rate, before, gradients, after, cost, landscape(after), model)
