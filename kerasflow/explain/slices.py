"""The cost around the model's weights: along one weight, along the gradient, and over a plane with the path taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kerasflow.errors import BuildError
from kerasflow.explain.landscape import Landscape, Weights, check_count, check_rate
from kerasflow.explain.weights import Weight, find_weight


@dataclass(frozen=True)
class Slice:
    """The cost along a line through the weights.

    Attributes:
        along: what the line is: `dense/kernel[0,1]`, or `gradient`.
        positions: the weight's value; or, along the gradient, the learning rate of a step down it; `(points,)`.
        costs: at these, `(points,)`.
        here: the position of the model itself.
        cost_here: its cost.
        slope: the cost's derivative by the position, here.
    """

    along: str
    positions: np.ndarray
    costs: np.ndarray
    here: float
    cost_here: float
    slope: float


@dataclass(frozen=True)
class Plane:
    """The cost over two directions, and the path of gradient descent in it.

    Attributes:
        along: the two directions, weights by name, or `first` and `second` principal direction of the path.
        first, second: positions along them, `(points,)` each: the weight's value, or the distance from the path's end.
        costs: `(points of second, points of first)`, as a contour wants them; the other weights are as at the path's
            end.
        path: of gradient descent from the model's weights on, `(steps + 1, 2)`.
        path_costs: the cost on the way, `(steps + 1,)`; what lies off the plane counts here, too.
        share: of the path's length squared that lies in the plane, 0 to 1.
    """

    along: tuple[str, str]
    first: np.ndarray
    second: np.ndarray
    costs: np.ndarray
    path: np.ndarray
    path_costs: np.ndarray
    share: float


def along_weight(
    model: Any, x: Any, y: Any, weight: str, *, width: float = 1.0, points: int = 41, sample_weight: Any = None
) -> Slice:
    """The cost against one weight, the others as they are.

    Args:
        model, x, y, sample_weight: as for `descent`.
        weight: `dense_1/kernel[3,2]`.
        width: how far to either side.
        points: how many; of an odd number, the middle one is the model.

    Raises:
        BuildError, DataError, TrainingError: as `descent`, or there is no such weight.
    """
    landscape = Landscape(model, x, y, sample_weight)
    one = find_weight(model, weight)
    positions = one.value + np.linspace(-width, width, check_count("points", points, 2))
    cost, gradient = landscape.gradient({})
    costs = np.array([landscape(_with(landscape.here, [(one, value)])) for value in positions])
    return Slice(one.name, positions, costs, one.value, cost, float(gradient[one.path][one.index]))


def along_gradient(
    model: Any, x: Any, y: Any, *, learning_rate: float = 1.0, points: int = 41, sample_weight: Any = None
) -> Slice:
    """The cost after one step, against the step's learning rate, from 0 to `learning_rate`.

    Args:
        model, x, y, sample_weight: as for `descent`.
        learning_rate: the largest that is looked at.
        points: how many; the first is the model.

    Raises:
        BuildError, DataError, TrainingError: as `descent`.
    """
    landscape = Landscape(model, x, y, sample_weight)
    here = landscape.here
    cost, gradient = landscape.gradient(here)
    rates = np.linspace(0.0, check_rate(learning_rate), check_count("points", points, 2))
    costs = np.array([landscape(_moved(here, gradient, -rate)) for rate in rates])
    return Slice("gradient", rates, costs, 0.0, cost, -float(sum(np.sum(g**2) for g in gradient.values())))


def plane(
    model: Any,
    x: Any,
    y: Any,
    *,
    weights: tuple[str, str] | None = None,
    learning_rate: float = 0.1,
    steps: int = 20,
    points: int = 25,
    sample_weight: Any = None,
) -> Plane:
    """The cost over a plane, with the path that gradient descent takes through it.

    Args:
        model, x, y, sample_weight: as for `descent`.
        weights: two, whose values are the plane; None for the plane in which the path lies most.
        learning_rate: α of the path.
        steps: of the path, at least 2.
        points: along each direction.

    Raises:
        BuildError, DataError, TrainingError: as `descent`, or there is no such weight.

    Source:
        Li et al. 2018, Visualizing the Loss Landscape of Neural Nets, section 7: principal directions of the path.
    """
    landscape = Landscape(model, x, y, sample_weight)
    chosen = None if weights is None else _two(model, weights)
    walked, costs = walk(landscape, check_rate(learning_rate), check_count("steps", steps, 2))
    flat = np.stack([_flat(values) for values in walked])
    origin, axes = (flat[-1], _principal(flat)) if chosen is None else _by_weights(landscape, flat[-1], chosen)
    path = (flat - origin) @ axes.T
    span = [_span(path[:, i], check_count("points", points, 2)) for i in (0, 1)]
    middle = flat[-1] - path[-1] @ axes  # where both positions are 0
    grid = [[landscape(_shaped(landscape, middle + a * axes[0] + b * axes[1])) for a in span[0]] for b in span[1]]
    moves = flat - flat[-1]
    total = float(np.sum(moves**2))
    share = float(np.sum((moves @ axes.T) ** 2)) / total if total else 1.0
    along = ("first", "second") if chosen is None else (chosen[0].name, chosen[1].name)
    return Plane(along, span[0], span[1], np.array(grid), path, np.array(costs), share)


def walk(landscape: Landscape, rate: float, steps: int) -> tuple[list[Weights], list[float]]:
    """Gradient descent from the model's weights on: the weights and the cost at each of `steps + 1` points."""
    values, costs = [landscape.here], []
    for _ in range(steps):
        cost, gradient = landscape.gradient(values[-1])
        costs.append(cost)
        values.append(_moved(values[-1], gradient, -rate))
    return list(values), [*costs, landscape(values[-1])]


def _with(values: Weights, changes: Sequence[tuple[Weight, float]]) -> dict[str, np.ndarray]:
    """Values with some weights changed."""
    changed = {path: value.copy() for path, value in values.items()}
    for weight, value in changes:
        changed[weight.path][weight.index] = value
    return changed


def _moved(values: Weights, direction: Weights, by: float) -> dict[str, np.ndarray]:
    return {path: value + np.asarray(by, value.dtype) * direction[path] for path, value in values.items()}


def _flat(values: Weights) -> np.ndarray:
    return np.concatenate([value.astype(np.float64).reshape(-1) for value in values.values()])


def _shaped(landscape: Landscape, flat: np.ndarray) -> dict[str, np.ndarray]:
    shapes = {path: tuple(variable.shape) for path, variable in landscape.variables.items()}
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes.values()])
    parts = np.split(flat, ends[:-1])
    return {path: part.reshape(shape) for (path, shape), part in zip(shapes.items(), parts, strict=True)}


def _two(model: Any, names: tuple[str, str]) -> tuple[Weight, Weight]:
    first, second = find_weight(model, names[0]), find_weight(model, names[1])
    if first.name == second.name:
        raise BuildError(f"a plane needs two weights, got {first.name!r} twice")
    return first, second


def _by_weights(landscape: Landscape, end: np.ndarray, weights: tuple[Weight, Weight]) -> tuple[np.ndarray, np.ndarray]:
    """Unit directions of two weights; positions are their values, so the origin has 0 for both."""
    axes = np.stack(
        [_flat(_with({p: np.zeros(v.shape) for p, v in landscape.variables.items()}, [(w, 1.0)])) for w in weights]
    )
    return end * (1 - axes.sum(axis=0)), axes


def _principal(flat: np.ndarray) -> np.ndarray:
    """The two directions in which the path's points lie furthest from its end, `(2, n_weights)`."""
    directions = np.linalg.svd(flat - flat[-1], full_matrices=False)[2][:2]
    if len(directions) < 2:
        raise BuildError("a plane needs two weights, and the model has one; look along it instead")
    return directions


def _span(positions: np.ndarray, points: int) -> np.ndarray:
    """Around the path, with a margin of half its length."""
    low, high = float(positions.min()), float(positions.max())
    margin = 0.5 * (high - low) or 0.5
    return np.linspace(low - margin, high + margin, points)
