"""`kf.explain.random_search`: one weight by luck, beside the same weight by gradient descent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from kerasflow.explain.landscape import Landscape, check_count, check_rate
from kerasflow.explain.weights import find_weight


@dataclass(frozen=True)
class RandomSearch:
    """The cost against trials, both ways; the other weights are as the model has them.

    Attributes:
        weight: its name.
        tried, costs: what was drawn for it, and the cost there, `(trials,)` each; the first is the model's own.
        lowest: the lowest cost so far, `(trials,)`.
        descent, descent_costs: the weight and the cost before each step of gradient descent, `(trials,)` each.
    """

    weight: str
    tried: np.ndarray
    costs: np.ndarray
    lowest: np.ndarray
    descent: np.ndarray
    descent_costs: np.ndarray


def random_search(
    model: Any,
    x: Any,
    y: Any,
    weight: str,
    trials: int = 50,
    seed: int = 0,
    *,
    width: float = 1.0,
    learning_rate: float = 0.1,
    sample_weight: Any = None,
) -> RandomSearch:
    """Draws one weight again and again and keeps the best; beside it, as many steps of gradient descent in that weight.

    Args:
        model, x, y, sample_weight: as for `descent`; the model keeps its weights.
        weight: `dense_1/kernel[3,2]`.
        trials: how often the cost is computed, either way, at least 2.
        seed: of the draws, which are uniform within
        width: to either side of the model's own value.
        learning_rate: α of gradient descent.

    Raises:
        BuildError, DataError, TrainingError: as `descent`, or there is no such weight.

    Source:
        The deck's "Updating Weights Randomly".
    """
    rate, n = check_rate(learning_rate), check_count("trials", trials, 2)
    landscape, one = Landscape(model, x, y, sample_weight), find_weight(model, weight)
    values = one.variable.numpy().copy()

    def at(value: float) -> dict[str, np.ndarray]:
        values[one.index] = value
        return {one.path: values}

    draws = np.random.default_rng(seed).uniform(one.value - width, one.value + width, n - 1)
    tried = np.concatenate([[one.value], draws])
    costs = np.array([landscape(at(value)) for value in tried])
    positions, falling = [one.value], []
    for _ in range(n):
        cost, gradient = landscape.gradient(at(positions[-1]))
        falling.append(cost)
        positions.append(positions[-1] - rate * float(gradient[one.path][one.index]))
    lowest = np.minimum.accumulate(costs)
    return RandomSearch(one.name, tried, costs, lowest, np.array(positions[:-1]), np.array(falling))
