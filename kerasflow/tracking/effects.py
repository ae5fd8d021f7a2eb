"""What each hyperparameter does to a metric, as numbers; runs that differ in their seed alone are repeats."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, variance
from typing import Any

SEEDS = ("seed", "random_state")
"""Params that are no hyperparameters: chance itself, a spec's and scikit-learn's."""


@dataclass(frozen=True)
class Level:
    """The runs that have one value of a hyperparameter.

    Attributes:
        value: None where it is not set.
        runs: how many have a finite value of the metric.
        without: how many have none: diverged, not measured, not there yet.
        settings: how many different ones the runs are, seeds apart.
        mean: of the settings' means, so that a setting with more seeds weighs no more; NaN without a run.
        std: the sample standard deviation over seeds, pooled over the settings; NaN if none was repeated.
    """

    value: Any
    runs: int
    without: int
    settings: int
    mean: float
    std: float


@dataclass(frozen=True)
class Effect:
    """A hyperparameter that differs between runs.

    Attributes:
        name: of the param.
        levels: by value: numbers in their order, then words in theirs, then where it is not set.
    """

    name: str
    levels: tuple[Level, ...]


def effects(params: Sequence[Mapping[str, Any]], values: Sequence[float], differing: Sequence[str]) -> list[Effect]:
    """What came of each value of each hyperparameter, in the order of `differing`, seeds left out.

    Args:
        params: of each run, flat.
        values: the metric of each run; NaN for one that has none.
        differing: the names of the params that are not the same in all runs.
    """
    wanted = [name for name in differing if name not in SEEDS]
    settings = [tuple(one.get(name) for name in wanted) for one in params]
    return [Effect(name, _levels(place, settings, values)) for place, name in enumerate(wanted)]


def _levels(place: int, settings: Sequence[tuple[Any, ...]], values: Sequence[float]) -> tuple[Level, ...]:
    groups: dict[Any, dict[tuple[Any, ...], list[float]]] = {}
    for setting, value in zip(settings, values, strict=True):
        groups.setdefault(setting[place], {}).setdefault(setting, []).append(value)
    return tuple(_level(value, groups[value].values()) for value in sorted(groups, key=in_order))


def _level(value: Any, settings: Any) -> Level:
    finite = [[one for one in repeats if math.isfinite(one)] for repeats in settings]
    measured = [repeats for repeats in finite if repeats]
    runs = sum(map(len, measured))
    return Level(
        value,
        runs=runs,
        without=sum(map(len, settings)) - runs,
        settings=len(measured),
        mean=fmean(map(fmean, measured)) if measured else math.nan,
        std=_pooled(measured),
    )


def _pooled(settings: Sequence[Sequence[float]]) -> float:
    """The spread within the settings, whatever lies between them."""
    repeated = [(len(values) - 1, variance(values)) for values in settings if len(values) > 1]
    free = sum(degrees for degrees, _ in repeated)
    return math.sqrt(sum(degrees * spread for degrees, spread in repeated) / free) if free else math.nan


def in_order(value: Any) -> tuple[int, float, str]:
    """The key that sorts a param's values: numbers, then words, then None."""
    if value is None:
        return 2, 0.0, ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return 0, float(value), ""
    return 1, 0.0, str(value)
