"""Curves over epochs: the cost and the metrics of one run, and the costs of several in one picture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from kerasflow.columns import BOOKKEEPING
from kerasflow.viz.style import COLOURS, GREY, INK, colour, new_figure, note, styled

Row = Mapping[str, Any]

_WIDE_SPAN = 50.0  # from here on a linear axis presses the small values onto its bottom
_DIVERGED = 20.0  # a cost this many times the usual first one is running away
_MANY_DECADES = 1e4
_HEADROOM = 1.15
_COLUMNS = 3
_NAME_LENGTH = 40
_NAMES_AT_MOST = 20  # in a legend; the runs before and behind are ordered by colour


@styled
def cost_curves(
    rows: Sequence[Row],
    *,
    title: str = "Cost by epoch",
    cost: str = "",
    best_epoch: int | None = None,
    stop_reason: str = "",
) -> Figure:
    """The cost of one run by epoch, and a panel for each of its metrics.

    Args:
        rows: one dict an epoch, in keras' names: `epoch`, `loss`, `val_loss`, `accuracy`, `val_accuracy`, ...
        title: of the whole picture.
        cost: what the cost is, for its axis, e.g. `sparse_categorical_crossentropy`.
        best_epoch: the epoch to mark; if not given, the one with the lowest cost of validation, or of training.
        stop_reason: why the training stopped, written below the cost.
    """
    names = ["loss", *_metrics(rows)]
    columns = min(len(names), _COLUMNS)
    lines = math.ceil(len(names) / columns)
    figure = new_figure(2.0 + 4.6 * columns, 0.8 + 3.7 * lines)
    figure.suptitle(title, x=0.012, ha="left")
    best = _best_epoch(rows) if best_epoch is None else best_epoch
    panels = figure.subplots(lines, columns, squeeze=False).flatten()
    for axes in panels[len(names) :]:
        axes.remove()
    for axes, name in zip(panels, names, strict=False):
        curves = [
            _curve(rows, name, "training", COLOURS[0], "--"),
            _curve(rows, f"val_{name}", "validation", COLOURS[1], "-"),
        ]
        shown = [curve for curve in curves if curve.epochs]
        _plot(axes, shown)
        _frame(axes, shown, _label("cost", cost) if name == "loss" else _spaced(name))
        axes.set_title("Cost" if name == "loss" else _spaced(name).capitalize())
        if stop_reason and rows:
            axes.axvline(int(rows[-1]["epoch"]), color=GREY, lw=1.2, ls=":", label="stopped")
        for place, epoch in enumerate(_stage_ends(rows)):
            axes.axvline(epoch + 0.5, color=GREY, lw=1.0, label="_" if place else "next stage")
        _mark_best(axes, shown[-1:], best)
        if len(shown) > 1 or best is not None:
            axes.legend(loc="best")
    if stop_reason:
        note(figure, f"stopped by {stop_reason}")
    return figure


@styled
def comparison(
    curves: Mapping[str, Sequence[Row]], *, column: str = "loss", title: str = "Cost by epoch", cost: str = ""
) -> Figure:
    """One number of several runs by epoch: training dashed, validation solid, a colour a run.

    A run that diverges does not press the others flat: the axis ends above the calm ones, a mark shows where the run
    leaves the picture, and a note where it ends.

    Args:
        curves: the rows of each run by its label, in the order of the legend.
        column: the number, `loss` or a metric; `val_` is put in front of it for validation.
        title: of the picture.
        cost: what the cost is, for its axis, e.g. `mean_squared_error`.
    """
    drawn: list[_Curve] = []
    for index, (label, rows) in enumerate(curves.items()):
        paint = colour(index, len(curves))
        drawn.append(_curve(rows, column, label, paint, "--"))
        drawn.append(_curve(rows, f"val_{column}", label, paint, "-"))
    drawn = [curve for curve in drawn if curve.epochs]
    figure = new_figure(9.6, 5.2)
    axes = figure.subplots()
    axes.set_title(title, fontsize=14)
    _plot(axes, drawn)
    _frame(axes, drawn, _label("cost", cost) if column == "loss" else _spaced(column), _ceiling(drawn))
    _note_runaways(figure, axes, drawn)
    named = {curve.label: curve for curve in drawn}
    handles = [Line2D([], [], color=curve.paint, label=_legible(label)) for label, curve in named.items()]
    if len(named) > _NAMES_AT_MOST:
        first, last = handles[0], handles[-1]
        last.set_label(f"… {last.get_label()}, {len(named)} runs in all")
        handles = [first, last]
    if len({curve.dashes for curve in drawn}) > 1:
        handles.append(Line2D([], [], color=GREY, ls="-", label="validation"))
        handles.append(Line2D([], [], color=GREY, ls="--", label="training"))
    axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.01, 1.0), handlelength=2.6, labelspacing=0.7)
    return figure


@dataclass(frozen=True)
class _Curve:
    label: str
    paint: Any
    dashes: str
    epochs: list[int]
    values: list[float]

    @property
    def finite(self) -> list[float]:
        return [value for value in self.values if math.isfinite(value)]

    def leaves(self, top: float) -> int | None:
        """The index from which on the curve is above the axis or not finite; None for one that stays or comes back."""
        staying = [index for index, value in enumerate(self.values) if math.isfinite(value) and value <= top]
        first = staying[-1] + 1 if staying else 0
        return first if first < len(self.values) else None


def _curve(rows: Sequence[Row], column: str, label: str, paint: Any, dashes: str) -> _Curve:
    points = [(int(row["epoch"]), float(row[column])) for row in rows if row.get(column) is not None]
    return _Curve(label, paint, dashes, [epoch for epoch, _ in points], [value for _, value in points])


def _stage_ends(rows: Sequence[Row]) -> list[int]:
    """The epochs after which another stage begins."""
    return [int(a["epoch"]) for a, b in pairwise(rows) if a.get("stage") != b.get("stage")]


def _metrics(rows: Sequence[Row]) -> list[str]:
    names = dict.fromkeys(key.removeprefix("val_") for row in rows for key in row)
    return [name for name in names if name not in (*BOOKKEEPING, "loss") and _is_number(rows, name)]


def _is_number(rows: Sequence[Row], name: str) -> bool:
    values = [row[key] for row in rows for key in (name, f"val_{name}") if row.get(key) is not None]
    return bool(values) and not any(isinstance(value, str | bool) for value in values)


def _best_epoch(rows: Sequence[Row]) -> int | None:
    column = "val_loss" if any("val_loss" in row for row in rows) else "loss"
    costs = [(float(row[column]), int(row["epoch"])) for row in rows if math.isfinite(row.get(column, math.nan))]
    return min(costs)[1] if costs else None


def _plot(axes: Axes, curves: Sequence[_Curve]) -> None:
    for curve in curves:
        # One epoch alone is a point, which a line would not show.
        marker = "o" if len(curve.epochs) == 1 else ""
        axes.plot(curve.epochs, curve.values, color=curve.paint, ls=curve.dashes, label=curve.label, marker=marker)


def _frame(axes: Axes, curves: Sequence[_Curve], label: str, ceiling: float = math.inf) -> None:
    """Label the axes, end the vertical one at the ceiling, and make it logarithmic where the values span far."""
    axes.set_xlabel("epochs completed")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    last = max((curve.epochs[-1] for curve in curves), default=1)
    axes.set_xlim(1 - 0.04 * max(last - 1, 1), last + 0.04 * max(last - 1, 1))
    visible = [value for curve in curves for value in curve.finite if value <= ceiling]
    if visible:
        low, high = min(visible), min(max(visible), ceiling)
        if low > 0 and high / low > _WIDE_SPAN:
            axes.set_yscale("log")
            # Few decades have few powers of ten: label steps between them.
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < _MANY_DECADES else (1,)))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.yaxis.set_minor_formatter(NullFormatter())
            label += "\nlog scale"
        elif math.isfinite(ceiling):
            axes.set_ylim(bottom=low - 0.05 * (ceiling - low))
    if math.isfinite(ceiling):
        axes.set_ylim(top=ceiling)
    axes.set_ylabel(label)


def _ceiling(curves: Sequence[_Curve]) -> float:
    """Where the vertical axis ends so that runaways do not press the others flat; infinite where none ran away."""
    firsts = sorted(curve.finite[0] for curve in curves if curve.finite)
    if not firsts:
        return math.inf
    limit = _DIVERGED * abs(firsts[(len(firsts) - 1) // 2])
    calm = [value for curve in curves for value in curve.finite if abs(value) <= limit]
    ran_away = any(value > limit for curve in curves for value in curve.finite)
    return _HEADROOM * max(calm) if ran_away and calm and max(calm) > 0 else math.inf


def _note_runaways(figure: Figure, axes: Axes, curves: Sequence[_Curve]) -> None:
    top = axes.get_ylim()[1]
    notes: dict[str, str] = {}
    for curve in curves:
        gone = curve.leaves(top)
        if gone is None:
            continue
        epoch = curve.epochs[gone]
        axes.plot([epoch], [top], "^", ms=8, color=curve.paint, clip_on=False, zorder=6)
        notes.setdefault(
            curve.label, f"▲ {curve.label} leaves the picture at epoch {epoch} and ends at {curve.values[-1]:.3g}"
        )
    if notes:
        note(figure, "\n".join(notes.values()))


def _mark_best(axes: Axes, curves: Sequence[_Curve], best: int | None) -> None:
    for curve in curves:
        if best in curve.epochs:
            value = curve.values[curve.epochs.index(best)]
            axes.plot(
                [best],
                [value],
                "o",
                ms=8,
                mfc="white",
                mec=INK,
                mew=1.8,
                zorder=5,
                label=f"best epoch ({best}): {value:.4g}",
            )


def _label(word: str, kind: str) -> str:
    return f"{word} ({_spaced(kind)})" if kind else word


def _legible(name: str) -> str:
    """A run's name that leaves room for the curves, and in which a dollar is a dollar and begins no formula."""
    return (name if len(name) <= _NAME_LENGTH else f"{name[: _NAME_LENGTH - 1]}…").replace("$", r"\$")


def _spaced(name: str) -> str:
    return name.replace("_", " ")
