"""`kf.explain.learning_rates`: what α does to the cost curve, named from the curve itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from kerasflow.errors import TrainingError
from kerasflow.explain.landscape import check_count, check_rate
from kerasflow.explain.samples import check_compiled, samples
from kerasflow.explain.twin import twin_of
from kerasflow.training.trainer import fit

Behaviour = Literal["diverges", "fluctuates", "stands still", "crawls", "learns"]

RUNAWAY = 100.0  # times the lowest curve's fall: a curve that rises so far has diverged, wherever it ends
RISES = 0.2  # of what a curve falls, that it rises again, from which on it fluctuates
SLOW = 0.25  # of the lowest curve's fall, below which a curve crawls
STILL = 0.01  # of all its movement, below which a curve's second half stands still


@dataclass(frozen=True)
class RateBehaviour:
    """One learning rate's curve.

    Attributes:
        learning_rate: α.
        costs: before each update by the whole set, `(epochs,)` or fewer where it ended; the last may be infinite.
        behaviour: what it does.
        evidence: the numbers behind that, in a sentence.
    """

    learning_rate: float
    costs: np.ndarray
    behaviour: Behaviour
    evidence: str


@dataclass(frozen=True)
class LearningRates:
    """The curves, in the order of the rates given."""

    curves: tuple[RateBehaviour, ...]

    def __getitem__(self, rate: float) -> RateBehaviour:
        """The curve of one of the rates."""
        return next(curve for curve in self.curves if curve.learning_rate == rate)


def learning_rates(
    model: Any,
    x: Any,
    y: Any,
    rates: Sequence[float] = (10, 1, 0.1, 0.01, 0.001),
    *,
    epochs: int = 30,
    seed: int = 0,
) -> LearningRates:
    """Trains a copy of the model for each learning rate, by `kf.fit` and plain gradient descent on the whole set.

    Args:
        model: compiled and built; it is not changed. Layers of your own need a `get_config`.
        x, y: arrays `(n_samples, ...)`, nested as the model has them.
        rates: values of α.
        epochs: updates for each, at least 4.
        seed: of what draws numbers in training, such as Dropout.

    Returns:
        The curves. A curve `diverges` if it is no longer finite, ends above its beginning, or rises on its way by a
        hundred times what the lowest curve falls; `fluctuates` if it rises again by a fifth of all it falls; `stands
        still` if it hardly moves in its second half, far above the lowest curve, as with units that are saturated or
        dead; `crawls` if it falls by less than a quarter of what the lowest curve falls; else it `learns`.

    Raises:
        BuildError, DataError, TrainingError: the model has no cost or cannot be copied, or something does not fit.

    Source:
        The deck's "Alpha". Goodfellow et al. 2016, Deep Learning, section 8.3.1.
    """
    import keras

    check_compiled(model)
    tensors = samples(model, x, y)
    n = int(keras.tree.flatten(tensors[0])[0].shape[0])
    check_count("epochs", epochs, 4)
    if not len(rates):
        raise TrainingError("which learning rates? Give one or several")
    inputs, targets = (keras.tree.map_structure(np.asarray, part) for part in tensors[:2])
    curves = []
    for rate in map(check_rate, rates):
        twin = twin_of(model, tensors[0], keras.optimizers.SGD(rate))
        history = fit(twin, inputs, targets, n, epochs, 0, shuffle=False, seed=seed)
        costs = [float(row["loss"]) for row in history.rows]
        curves.append((rate, np.array([*costs, np.inf] if len(costs) < epochs else costs)))
    lowest = min((float(costs[np.isfinite(costs)].min()) for _, costs in curves if np.isfinite(costs).any()), default=0)
    return LearningRates(tuple(RateBehaviour(rate, costs, *behaviour(costs, lowest)) for rate, costs in curves))


def behaviour(costs: np.ndarray, lowest: float) -> tuple[Behaviour, str]:
    """What a curve does, and the numbers behind it; see `learning_rates`.

    Args:
        costs: `(n,)`, the first before any update.
        lowest: the lowest cost of all curves.
    """
    first, last = float(costs[0]), float(costs[-1])
    if not np.isfinite(costs).all():
        return "diverges", f"the cost is no longer finite after {int(np.isfinite(costs).sum())} updates"
    highest = float(costs.max())
    if last > first or highest - first > RUNAWAY * (first - lowest):
        return "diverges", f"the cost rises from {first:.4g} to {highest:.4g}, and is {last:.4g} in the end"
    changes = np.diff(costs)
    falls, rises = float(-changes[changes < 0].sum()), float(changes[changes > 0].sum())
    if rises > RISES * falls:
        return "fluctuates", f"the cost falls by {falls:.4g} in all and rises again by {rises:.4g}"
    movement, late = falls + rises, float(np.abs(changes[len(changes) // 2 :]).sum())
    progress = (first - last) / (first - lowest) if first > lowest else 1.0
    told = f"the cost falls from {first:.4g} to {last:.4g}, {progress:.0%} of what the lowest curve falls"
    if late < STILL * movement and last - lowest > SLOW * (first - lowest):
        return "stands still", f"{told}, and by {late:.2g} in its second half"
    if progress < SLOW or falls <= STILL * abs(first):
        return "crawls", told
    return "learns", told
