"""`kf.explain.check_gradients`: automatic differentiation against central differences, in float64."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kerasflow.errors import BuildError
from kerasflow.explain.landscape import Landscape
from kerasflow.explain.local_check import wrong_parts
from kerasflow.explain.samples import check_compiled, samples
from kerasflow.explain.twin import in_float64
from kerasflow.explain.weights import Weight, named_weights

STEPS = (1e-5, 1e-6, 1e-7)
"""Of a difference, for a weight of about 1, in this order: a kink or a strong curvature asks for a smaller one."""

BETWEEN = 16
"""Points at which the derivative is taken between w − h and w + h, where a kink is suspected."""

EPSILON = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class GradientRow:
    """One weight's derivative both ways.

    Attributes:
        weight: `dense_1/kernel[3,2]`, of which `variable` and `index` are the parts.
        analytic: by automatic differentiation.
        numeric: (E(w + h) − E(w − h)) / 2h.
        left, right: the one-sided differences, which differ where E has a kink.
        kink: E has a kink at w or nearer to it than h, such as a ReLU at 0 or a tie in max pooling, and the analytic
            derivative's mean between w − h and w + h is the difference.
        ok: whether they agree.
    """

    weight: str
    variable: str
    index: tuple[int, ...]
    analytic: float
    numeric: float
    left: float
    right: float
    kink: bool
    ok: bool

    @property
    def difference(self) -> float:
        return abs(self.analytic - self.numeric)

    @property
    def relative(self) -> float:
        """The difference over the larger of the two; 0 where both are 0."""
        larger = max(abs(self.analytic), abs(self.numeric))
        return self.difference / larger if larger else 0.0


@dataclass(frozen=True)
class GradientCheck:
    """What a gradient check has found.

    Attributes:
        rows: one a weight that was looked at.
        culprits: layers by their path, and `loss mean_squared_error`, whose own derivative is wrong.
    """

    rows: tuple[GradientRow, ...]
    culprits: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether every derivative agrees."""
        return not self.culprits and all(row.ok for row in self.rows)

    @property
    def worst(self) -> GradientRow:
        """The weight whose derivatives agree least: one that does not agree, before those that do."""
        return max(self.rows, key=lambda row: (not row.ok, not row.kink, row.difference if row.ok else row.relative))

    @property
    def summary(self) -> str:
        """One sentence."""
        if self.ok:
            kinks = sum(row.kink for row in self.rows)
            told = f", {kinks} of them at a kink" if kinks else ""
            return f"the gradient agrees with central differences at {len(self.rows)} weights{told}"
        row, blame = self.worst, " and ".join(self.culprits)
        wrong = f"the gradient of {blame} is wrong" if blame else "the gradient is wrong"
        return f"{wrong}: at {row.weight} it is {row.analytic:.6g}, and by differences {row.numeric:.6g}"


def check_gradients(
    model: Any,
    x: Any,
    y: Any,
    *,
    sample_weight: Any = None,
    weights: int = 100,
    seed: int = 0,
    tolerance: float = 1e-5,
    training: bool = False,
) -> GradientCheck:
    """Holds automatic differentiation to central differences for a sample of all weights, in float64.

    The model is made again by its config in float64, where differences are exact enough to judge by. Each layer, and
    the loss, is then held to differences of its own, so that one with a wrong `tf.custom_gradient` is named.

    Args:
        model: compiled and built; it is not changed. Layers of your own need a `get_config`.
        x, y, sample_weight: arrays `(n_samples, ...)`; some ten samples do.
        weights: how many are looked at, at least one of each variable.
        seed: which.
        tolerance: what the two may differ by, relative to the larger.
        training: whether Dropout and BatchNormalization act as in training.

    Raises:
        BuildError: the model cannot be made again in float64.
        DataError, TrainingError: it has no cost, or samples and targets do not fit.

    Source:
        Goodfellow et al. 2016, Deep Learning, section 11.5, "Compare back-propagated derivatives to numerical
        derivatives".
    """
    check_compiled(model)
    x, y, sample_weight = samples(model, x, y, sample_weight)
    if not model.trainable_variables:
        raise BuildError(f"the model {model.name!r} has no weights that learn, so there is no gradient to check")
    twin, x = in_float64(model, x, y)
    landscape = Landscape(twin, x, y, sample_weight, training, named_weights(model))
    cost, analytic = landscape.gradient({})
    rows = [
        _row(landscape, weight, cost, float(analytic[weight.path][weight.index]), tolerance)
        for weight in drawn(landscape, weights, seed)
    ]
    return GradientCheck(tuple(rows), wrong_parts(twin, x, y, sample_weight, training, tolerance))


def drawn(landscape: Landscape, n: int, seed: int) -> list[Weight]:
    """Weights from all variables: one of each, and the rest from all together."""
    random = np.random.default_rng(seed)
    sizes = {path: int(np.prod(variable.shape)) for path, variable in landscape.variables.items()}
    firsts = {(path, int(random.integers(size))) for path, size in sizes.items()}
    ends = np.cumsum(list(sizes.values()))
    total = int(ends[-1]) if len(ends) else 0
    rest = random.choice(total, min(total, max(0, n - len(firsts))), replace=False)
    paths = list(sizes)
    for flat in rest.tolist():
        place = int(np.searchsorted(ends, flat, side="right"))
        firsts.add((paths[place], flat - int(ends[place] - sizes[paths[place]])))
    return [
        Weight(path, variable := landscape.variables[path], _unraveled(flat, variable.shape))
        for path, flat in sorted(firsts)
    ]


def _unraveled(flat: int, shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(flat, tuple(shape)))


def _row(landscape: Landscape, weight: Weight, cost: float, analytic: float, tolerance: float) -> GradientRow:
    central = left = right = 0.0
    ok, h, noise = False, 0.0, 0.0
    for step in STEPS:
        h = step * max(1.0, abs(weight.value))
        above, below = (landscape({weight.path: moved(weight, by)}) for by in (h, -h))
        right, left, central = (above - cost) / h, (cost - below) / h, (above - below) / (2 * h)
        noise = 8 * EPSILON * max(abs(cost), abs(above)) / h
        allowed = tolerance * max(abs(analytic), abs(central)) + noise
        if ok := abs(analytic - central) <= allowed:
            break
    kink = not ok and _integrates(landscape, weight, h, central, noise)
    return GradientRow(weight.name, weight.path, weight.index, analytic, central, left, right, kink, ok or kink)


def _integrates(landscape: Landscape, weight: Weight, h: float, central: float, noise: float) -> bool:
    """Whether the analytic derivative jumps between w − h and w + h, and its mean over them is the central difference,
    as the fundamental theorem of calculus has it on either side of any number of kinks.
    """
    slopes = []
    for place in range(BETWEEN):
        values = {weight.path: moved(weight, h * ((2 * place + 1) / BETWEEN - 1))}
        slopes.append(float(landscape.gradient(values)[1][weight.path][weight.index]))
    jump, largest = max(slopes) - min(slopes), max(map(abs, slopes))
    return jump > 1e-3 * largest and abs(float(np.mean(slopes)) - central) <= 2 * jump / BETWEEN + 2 * noise


def moved(weight: Weight, by: float) -> np.ndarray:
    """What the weight's variable would hold if the weight were larger by so much."""
    values: np.ndarray = weight.variable.numpy().copy()
    values[weight.index] += by
    return values
