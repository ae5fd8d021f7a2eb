"""What learning rates do to the curve, and luck beside gradient descent."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from kerasflow.viz.explained.legible import short, widen
from kerasflow.viz.style import COLOURS, GREY, colour, new_figure, styled

_ABOVE = 2.0  # times the first cost: where a runaway leaves the picture


@styled
def learning_rates(found: Any) -> Figure:
    """The cost by update for each rate, and what it does: diverges, fluctuates, learns, crawls.

    Args:
        found: a `kerasflow.explain.LearningRates`.
    """
    figure = new_figure(9.6, 5.0)
    axes = figure.subplots()
    axes.set_title("What the learning rate does", fontsize=14)
    marks = ("o", "s", "^", "D", "v", "P", "X", "*")
    first = max(float(curve.costs[0]) for curve in found.curves)
    every = np.concatenate([curve.costs for curve in found.curves])
    calm = every[np.isfinite(every) & (every <= first + (_ABOVE - 1) * abs(first))]
    low, high = float(calm.min(initial=first)), float(calm.max(initial=first))
    span = (high - low) or abs(first) or 1.0
    ceiling = high + 0.12 * span
    for index, curve in enumerate(found.curves):
        paint, mark = colour(index, len(found.curves)), marks[index % len(marks)]
        label = f"α = {curve.learning_rate:g}: {curve.behaviour}"
        costs = np.where(np.isfinite(curve.costs), curve.costs, 1e6 * abs(ceiling) + 1)
        axes.plot(costs, marker=mark, markevery=max(1, len(costs) // 10), ms=6, color=paint, label=label, clip_on=True)
        over = np.flatnonzero(costs > ceiling)
        if len(over):
            axes.annotate(
                "↑", (over[0], 0.95), xycoords=("data", "axes fraction"), color=paint, fontsize=13, ha="center"
            )
    axes.set_ylim(low - 0.06 * span, ceiling)
    longest = max(len(curve.costs) for curve in found.curves)
    axes.set_xlim(-0.5, max(longest - 0.5, 1))
    axes.locator_params(axis="x", integer=True)
    axes.set_xlabel("updates made")
    axes.set_ylabel("cost of the set")
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), title="↑ leaves the picture")
    return figure


@styled
def random_search(found: Any) -> Figure:
    """The cost against trials, by luck and by gradient descent; and where in the weight each has been.

    Args:
        found: a `kerasflow.explain.RandomSearch`.
    """
    figure = new_figure(11.6, 4.8)
    figure.suptitle(f"Updating a weight randomly: {short(found.weight, 50)}", x=0.012, ha="left")
    left, right = figure.subplots(1, 2)
    left.plot(found.costs, ".", color=GREY, ms=6, label="each random trial")
    left.plot(found.lowest, color=COLOURS[1], drawstyle="steps-post", label="lowest by luck so far")
    left.plot(found.descent_costs, "--", color=COLOURS[0], label="gradient descent")
    left.set_xlabel("trial")
    left.set_title("Cost against trials")
    right.plot(found.tried, found.costs, ".", color=GREY, ms=6, label="each random trial")
    right.plot(found.descent, found.descent_costs, "o-", color=COLOURS[0], ms=5, label="gradient descent")
    right.plot(found.tried[0], found.costs[0], "s", ms=9, color=COLOURS[1], label=f"start: {found.costs[0]:.4g}")
    right.set_xlabel("value of the weight")
    right.set_title("Where each has been")
    every = np.concatenate([found.costs, found.descent_costs])
    for axes in (left, right):
        axes.set_ylabel("cost" + (", log scale" if widen(axes.set_yscale, every) else ""))
        axes.legend(loc="best")
    return figure
