"""The error of each observation beside the cost of the set, and derivatives computed in two ways."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kerasflow.viz.explained.legible import clipped, magnitudes, name_rows, place, short, spread
from kerasflow.viz.style import COLOURS, GREY, INK, new_figure, note, styled

_OUTPUTS = 3
_VALUES = 12
_WORST = 10


@styled
def cost(numbers: Any) -> Figure:
    """Each observation's error and the cost of the set; dE/dO of the first observation, analytic beside numeric.

    Args:
        numbers: a `kerasflow.explain.Cost`.
    """
    parts = numbers.parts[:_OUTPUTS]
    figure = new_figure(11.0, 0.9 + 3.9 * len(parts))
    penalties = f", with penalties {numbers.total:.4g}" if numbers.penalties else ""
    figure.suptitle(f"Cost of the set: {numbers.cost:.4g}{penalties}", x=0.012, ha="left")
    for (left, right), part in zip(figure.subplots(len(parts), 2, squeeze=False), parts, strict=True):
        _errors(left, part)
        _derivatives(right, part)
    more = len(numbers.parts) - len(parts)
    note(figure, f"{more} more outputs are not drawn" if more else "")
    return figure


def _errors(axes: Axes, part: Any) -> None:
    axes.set_title(f"{short(part.name)}: {part.loss.replace('_', ' ')}")
    if part.errors is None:
        axes.text(0.5, 0.5, "this loss has no error of a single observation", ha="center", transform=axes.transAxes)
        axes.set_axis_off()
        return
    axes.bar(range(len(part.errors)), part.errors, color=COLOURS[5], label="error E of each observation")
    axes.axhline(part.cost, color=COLOURS[1], label=f"cost {part.cost:.4g}: {part.reduction}")
    axes.set_ylim(top=1.3 * max(float(np.max(part.errors)), part.cost, 1e-12))
    axes.locator_params(axis="x", integer=True)
    axes.set_xlabel("observation")
    axes.set_ylabel("error")
    axes.legend(loc="upper left", fontsize=9)


def _derivatives(axes: Axes, part: Any) -> None:
    analytic, numeric = np.ravel(part.analytic[0]), np.ravel(part.numeric[0])
    places = spread(analytic.size, _VALUES)
    rows = range(len(places))
    axes.axvline(0, color=GREY, lw=0.8)
    axes.plot(analytic[places], rows, "o", ms=11, mfc="none", mew=2, color=COLOURS[0], label="analytic")
    axes.plot(numeric[places], rows, "x", ms=7, mew=2, color=COLOURS[1], label="numeric")
    name_rows(axes, [f"O{place(i, np.shape(part.analytic[0]))}" for i in places])
    some = f" ({len(places)} of {analytic.size:,})" if len(places) < analytic.size else ""
    axes.set_title(f"dE/dO of the first observation{some}")
    axes.set_xlabel(f"derivative; at most {part.difference:.1g} apart in the set")
    axes.legend(loc="best")


@styled
def check_gradients(check: Any) -> Figure:
    """Each weight's analytic derivative against its numeric one, and the largest differences by name.

    Args:
        check: a `kerasflow.explain.GradientCheck`.
    """
    figure = new_figure(11.6, 5.0)
    figure.suptitle("Gradient check: analytic against numeric", x=0.012, ha="left")
    left, right = figure.subplots(1, 2)
    kinds = (("agree", COLOURS[0], "o"), ("kink", COLOURS[4], "^"), ("differ", COLOURS[1], "X"))
    for name, paint, mark in kinds:
        rows = [row for row in check.rows if _kind(row) == name]
        if rows:
            label = f"{len(rows)} {name}"
            left.plot([r.analytic for r in rows], [r.numeric for r in rows], mark, ms=7, color=paint, label=label)
    left.axline((0.0, 0.0), slope=1.0, color=GREY, lw=1.0, zorder=0)
    left.set_xlabel("analytic dE/dw")
    left.set_ylabel("numeric: (E(w + h) − E(w − h)) / 2h")
    left.set_title("On the line where they agree")
    left.legend(loc="best")
    worst = sorted(check.rows, key=lambda row: (row.ok, -row.difference))[:_WORST]
    paints = {name: paint for name, paint, _ in kinds}
    differences = np.array([row.difference for row in worst])
    right.scatter(differences, range(len(worst)), 60, [paints[_kind(row)] for row in worst])
    name_rows(right, [row.weight for row in worst])
    lost = magnitudes(right, "x", differences)
    right.set_title(f"The {len(worst)} largest differences", color=INK)
    right.set_xlabel("|analytic − numeric|" + lost)
    note(figure, clipped(check.summary, 150))
    return figure


def _kind(row: Any) -> str:
    return "differ" if not row.ok else "kink" if row.kink else "agree"
