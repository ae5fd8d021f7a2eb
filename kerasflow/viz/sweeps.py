"""A sweep's trials: how the best came about, which values did well, which mattered, and who ended early."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from kerasflow.viz.style import COLOURS, GREY, INK, PALE, new_figure, note, styled

_COLUMNS = 3
_WIDE_SPAN = 20.0
_TICKS_AT_MOST = 8
_OUTLIER = 3.0
"""Times the middle value's distance from the best, beyond which a value no longer moves an axis or a colour."""


@dataclass(frozen=True)
class Tried:
    """One trial.

    Attributes:
        number: from 1.
        state: `finished`, `pruned` or `failed`.
        chosen: its values by the names that the axes bear; of a choice its place among the choices.
        value: of the objective; None unless finished.
        reported: the objective by epochs, of a sweep with a pruner.
    """

    number: int
    state: str
    chosen: Mapping[str, Any]
    value: float | None = None
    reported: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Scale:
    """How an axis spreads a hyperparameter.

    Attributes:
        name: of the axis.
        log: whether by logarithms.
        choices: what is written at each place, of what is no range of numbers.
    """

    name: str
    log: bool = False
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Swept:
    """What the pictures of a sweep are drawn from.

    Attributes:
        title: of each picture.
        objective: its name; of two the first.
        direction: whether `min` or `max` is better.
        best: the number of the best trial.
        trials: in the order in which they ended.
        scales: of the hyperparameters.
    """

    title: str
    objective: str
    direction: str
    best: int
    trials: tuple[Tried, ...]
    scales: tuple[Scale, ...] = ()

    @property
    def finished(self) -> list[tuple[float, Tried]]:
        """Each finished trial behind its value."""
        return [(one.value, one) for one in self.trials if one.value is not None]

    @property
    def span(self) -> tuple[float, float]:
        """The values from the best one on, without those that would press the others together."""
        values = [value for value, _ in self.finished]
        low, high, middle = min(values), max(values), float(np.median(values))
        if self.direction == "min":
            return low, min(high, low + _OUTLIER * (middle - low)) if middle > low else high
        return max(low, high - _OUTLIER * (high - middle)) if high > middle else low, high


@styled
def history(swept: Swept) -> Figure:
    """The objective of each finished trial in their order, the best so far as a line, those pruned at the edge."""
    figure = new_figure(8.4, 4.6)
    axes = figure.subplots()
    axes.set_title(swept.title, fontsize=14, pad=14)
    lower_is_better = swept.direction == "min"
    finished = [(place, one.value) for place, one in enumerate(swept.trials, 1) if one.value is not None]
    places, values = zip(*finished, strict=True)
    axes.plot(places, values, "o", ms=6, color=COLOURS[0], label="finished")
    better = np.minimum if lower_is_better else np.maximum
    steps, best = [*places, len(swept.trials)], better.accumulate([*values, values[-1]])
    axes.step(steps, best, where="post", color=COLOURS[1], label=f"best so far: {best[-1]:.4g}")
    _objective_axis(axes, swept)
    edge = axes.get_ylim()[1 if lower_is_better else 0]
    for state, mark in (("pruned", "x"), ("failed", "v")):
        ended = [place for place, one in enumerate(swept.trials, 1) if one.state == state]
        if ended:
            label = f"{state}: {len(ended)}"
            axes.plot(ended, [edge] * len(ended), mark, ms=6, color=GREY, clip_on=False, label=label)
    axes.set_xlabel("trials that have ended")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0))
    return figure


@styled
def pruned_curves(swept: Swept) -> Figure:
    """What the pruner saw: the objective by epochs, the trials that it ended in grey up to their last epoch."""
    figure = new_figure(8.4, 4.8)
    axes = figure.subplots()
    axes.set_title(swept.title, fontsize=14)
    for one in sorted(swept.trials, key=lambda one: (one.state == "finished", one.number == swept.best)):
        epochs, values = list(one.reported), list(one.reported.values())
        if not epochs:
            continue
        if one.number == swept.best:
            axes.plot(epochs, values, color=COLOURS[1], lw=2.6, label=f"best: trial {one.number}")
        elif one.state == "finished":
            axes.plot(epochs, values, color=COLOURS[0], lw=1.2, alpha=0.8, label="_finished")
        else:
            axes.plot(epochs, values, color=GREY, lw=0.9, alpha=0.6, label="_pruned")
            axes.plot(epochs[-1:], values[-1:], "x", ms=6, color=GREY, label="_pruned")
    states = [one.state for one in swept.trials if one.reported]
    axes.plot([], [], color=COLOURS[0], lw=1.2, label=f"finished: {states.count('finished')}")
    axes.plot([], [], color=GREY, lw=0.9, marker="x", label=f"pruned: {states.count('pruned')}")
    shown = [value for one in swept.trials for value in one.reported.values() if math.isfinite(value)]
    wide = bool(shown) and min(shown) > 0 and max(shown) / min(shown) > _WIDE_SPAN
    axes.set_yscale("log" if wide else "linear")
    axes.set_ylabel(f"{swept.objective}, log scale" if wide else swept.objective)
    axes.set_xlabel("epochs completed")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0))
    return figure


@styled
def importance(shares: Mapping[str, float], objective: str, remark: str = "", *, title: str = "Importance") -> Figure:
    """How much of the objective's spread each hyperparameter explains, the largest first.

    Args:
        shares: by the hyperparameter's name; they sum to 1.
        remark: written below.
    """
    figure = new_figure(8.4, 1.6 + 0.45 * len(shares))
    axes = figure.subplots()
    axes.set_title(title, fontsize=14)
    ordered = sorted(shares.items(), key=lambda pair: pair[1])
    bars = axes.barh([_legible(name) for name, _ in ordered], [share for _, share in ordered], color=COLOURS[0])
    axes.bar_label(bars, fmt="%.2f", padding=4, color=INK)
    axes.grid(False, axis="y")
    axes.tick_params(axis="y", length=0)
    axes.set_xlim(0, 1.08 * max(shares.values(), default=1.0) or 1.0)
    axes.set_xlabel(f"share of the spread of {objective} that it explains")
    if remark:
        note(figure, remark)
    return figure


@styled
def slices(swept: Swept) -> Figure:
    """The objective by each hyperparameter alone, a dot a finished trial, later ones darker; the best as a ring."""
    scales, finished = swept.scales, swept.finished
    columns = min(len(scales), _COLUMNS)
    lines = math.ceil(len(scales) / columns)
    figure = new_figure(1.4 + 3.6 * columns, 0.9 + 3.2 * lines)
    figure.suptitle(swept.title, x=0.012, ha="left")
    panels = figure.subplots(lines, columns, squeeze=False, sharey=True).flatten()
    for axes, scale in zip(panels, scales, strict=False):
        having = [(value, one) for value, one in finished if scale.name in one.chosen]
        across, up = [one.chosen[scale.name] for _, one in having], [value for value, _ in having]
        order = [one.number for _, one in having]
        axes.scatter(across, up, c=order, cmap="Blues", vmin=-len(swept.trials) / 2, s=34)
        for value, one in having:
            if one.number == swept.best:
                axes.plot([one.chosen[scale.name]], [value], "o", ms=11, mfc="none", mec=COLOURS[1], mew=2)
        axes.set_xlabel(_legible(scale.name) + (", log scale" if scale.log else ""))
        if scale.log:
            axes.set_xscale("log")
        elif not scale.choices and all(isinstance(value, int) for value in across):
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        if scale.choices:
            axes.set_xticks(range(len(scale.choices)), [_legible(text) for text in scale.choices])
            axes.set_xlim(-0.5, len(scale.choices) - 0.5)
    for axes in panels[len(scales) :]:
        axes.remove()
    for axes in panels[: len(scales) : columns]:
        _objective_axis(axes, swept)
    note(figure, "a dot is a finished trial, later ones are darker; the ring is the best")
    return figure


@styled
def parallel_coordinates(swept: Swept) -> Figure:
    """Each finished trial as a line through its values, coloured by the objective; the best in orange."""
    scales, (low, high) = swept.scales, swept.span
    figure = new_figure(2.4 + 1.7 * (len(scales) + 1), 5.0)
    axes = figure.subplots()
    axes.set_title(swept.title, fontsize=14, pad=14)
    norm = Normalize(low, high, clip=True)
    colours = "viridis" if swept.direction == "min" else "viridis_r"
    paints = ScalarMappable(norm, colours)
    worst_first = sorted(swept.finished, key=lambda pair: pair[0], reverse=swept.direction == "min")
    for value, one in worst_first:
        across = [place for place, scale in enumerate(scales) if scale.name in one.chosen]
        up = [_share(scales[place], one.chosen[scales[place].name], swept.trials) for place in across]
        paint, width, above = (
            (COLOURS[1], 3.0, 3) if one.number == swept.best else (paints.to_rgba(np.array(value)), 1.2, 2)
        )
        axes.plot([*across, len(scales)], [*up, float(norm(value))], color=paint, lw=width, zorder=above)
    legible: Any = {"fontsize": 9, "zorder": 4, "bbox": {"fc": "white", "ec": "none", "pad": 1, "alpha": 0.8}}
    for place, scale in enumerate(scales):
        axes.axvline(place, color=GREY, lw=1)
        for text, share in _ticks(scale, swept.trials):
            axes.annotate(text, (place, share), xytext=(5, 0), textcoords="offset points", va="center", **legible)
    axes.axvline(len(scales), color=GREY, lw=1)
    axes.set_xticks(range(len(scales) + 1), [_legible(scale.name) for scale in scales] + [swept.objective])
    axes.set_yticks([])
    axes.set_ylim(-0.05, 1.05)
    axes.grid(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    figure.colorbar(
        paints, ax=axes, label=swept.objective, pad=0.01, extend="max" if swept.direction == "min" else "min"
    )
    note(
        figure, f"the best in orange; worse than {_number(high if swept.direction == 'min' else low)} is drawn as that"
    )
    return figure


@styled
def front(
    tried: Sequence[tuple[float, float]], best: Sequence[tuple[float, float]], names: tuple[str, str], *, title: str
) -> Figure:
    """Two objectives: every finished trial, and those that no other is better than in both.

    Args:
        tried: the objectives of each.
        best: of those on the front.
        names: of the objectives.
    """
    figure = new_figure(7.2, 5.0)
    axes = figure.subplots()
    axes.set_title(title, fontsize=14)
    axes.plot(*zip(*tried, strict=True), "o", ms=6, color=PALE, mec=GREY, label="finished")
    axes.plot(*zip(*sorted(best), strict=True), "o-", ms=7, color=COLOURS[1], label="no other is better in both")
    axes.set_xlabel(names[0])
    axes.set_ylabel(names[1])
    axes.legend(loc="best")
    return figure


def _objective_axis(axes: Axes, swept: Swept) -> None:
    low, high = swept.span
    room = 0.06 * (high - low) or 0.06 * (abs(high) or 1.0)
    beyond = sum(not low <= value <= high for value, _ in swept.finished)
    lie = "trial lies" if beyond == 1 else "trials lie"
    axes.set_ylim(low - room, high + room)
    axes.set_ylabel(f"{swept.objective}\n{beyond} {lie} beyond" if beyond else swept.objective)


def _share(scale: Scale, value: Any, tried: Sequence[Tried]) -> float:
    """Where a value lies between the lowest and the highest that was tried, 0 to 1."""
    if scale.choices:
        return float(value) / max(1, len(scale.choices) - 1)
    spread = math.log if scale.log else float
    tried_values = [spread(one.chosen[scale.name]) for one in tried if scale.name in one.chosen]
    low, high = min(tried_values), max(tried_values)
    return (spread(value) - low) / (high - low) if high > low else 0.5


def _ticks(scale: Scale, tried: Sequence[Tried]) -> list[tuple[str, float]]:
    if scale.choices:
        shown = list(enumerate(scale.choices))[:_TICKS_AT_MOST]
        return [(_legible(text), _share(scale, place, tried)) for place, text in shown]
    values = [one.chosen[scale.name] for one in tried if scale.name in one.chosen]
    return [(_number(value), _share(scale, value, tried)) for value in dict.fromkeys((min(values), max(values)))]


def _number(value: float) -> str:
    return f"{value:.3g}"


def _legible(name: str) -> str:
    """A name that leaves room, and in which a dollar is a dollar and begins no formula."""
    return (name if len(name) <= 28 else f"{name[:27]}…").replace("$", r"\$")
