"""The cost along a line and over a plane through the weights."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from kerasflow.viz.explained.legible import short, widen
from kerasflow.viz.style import COLOURS, GREY, new_figure, note, styled

_LEVELS = 14


@styled
def along_weight(cut: Any) -> Figure:
    """The cost along one weight, its slope here, and the lowest point.

    Args:
        cut: a `kerasflow.explain.Slice`.
    """
    return _line(cut, f"Cost along {short(cut.along, 44)}", "value of the weight")


@styled
def along_gradient(cut: Any) -> Figure:
    """The cost after one step down the gradient, by the learning rate of the step.

    Args:
        cut: a `kerasflow.explain.Slice`.
    """
    return _line(cut, "Cost along the gradient", "learning rate of one step")


def _line(cut: Any, title: str, x: str) -> Figure:
    figure = new_figure(7.8, 4.8)
    axes = figure.subplots()
    axes.set_title(title, fontsize=14)
    axes.plot(cut.positions, cut.costs, color=COLOURS[0], label="cost")
    finite = cut.costs[np.isfinite(cut.costs)]
    low, high = float(np.min(finite, initial=cut.cost_here)), float(np.max(finite, initial=cut.cost_here))
    wide = widen(axes.set_yscale, cut.costs)
    if not wide:  # a straight line is none on a logarithmic axis
        tangent = cut.cost_here + cut.slope * (cut.positions - cut.here)
        axes.plot(cut.positions, tangent, ":", color=GREY, label=f"slope here: {cut.slope:.4g}")
        margin = 0.1 * ((high - low) or abs(high) or 1.0)
        axes.set_ylim(low - margin, high + margin)
    axes.plot(cut.here, cut.cost_here, "o", ms=9, color=COLOURS[1], label=f"here: {cut.here:.4g}")
    if len(finite):
        at = int(np.nanargmin(np.where(np.isfinite(cut.costs), cut.costs, np.nan)))
        label = f"lowest of these points: {cut.positions[at]:.4g}"
        axes.plot(cut.positions[at], cut.costs[at], "D", ms=9, mfc="none", mew=2, color=COLOURS[2], label=label)
    axes.set_xlabel(x)
    axes.set_ylabel("cost" + (", log scale" if wide else ""))
    axes.legend(loc="best")
    if wide:
        note(figure, f"slope here: {cut.slope:.4g}")
    return figure


@styled
def plane(numbers: Any) -> Figure:
    """The cost over two directions, and the path that gradient descent takes there.

    Args:
        numbers: a `kerasflow.explain.Plane`.
    """
    figure = new_figure(8.0, 6.0)
    axes = figure.subplots()
    axes.set_title("Cost over two directions, and the path taken", fontsize=14)
    costs = np.ma.masked_invalid(numbers.costs)
    low, high = float(costs.min()), float(costs.max())
    wide = low > 0 and high > 50 * low
    levels = np.geomspace(low, high, _LEVELS) if wide else np.linspace(low, high, _LEVELS)
    if high > low:
        drawn = axes.contourf(
            numbers.first, numbers.second, costs, levels, cmap="cividis", norm=LogNorm(low, high) if wide else None
        )
        axes.contour(numbers.first, numbers.second, costs, levels, colors="white", linewidths=0.4)
        bar = figure.colorbar(drawn, ax=axes, label="cost" + (", log scale" if wide else ""))
        bar.set_ticks(list(levels[::3]), labels=[f"{level:.3g}" for level in levels[::3]])
        bar.minorticks_off()
    across, up = numbers.path.T
    axes.plot(across, up, "o-", color="white", mec="black", ms=4, lw=1.6, label="each step")
    axes.plot(across[0], up[0], "s", ms=10, color=COLOURS[1], mec="black", label=f"start: {numbers.path_costs[0]:.4g}")
    axes.plot(across[-1], up[-1], "*", ms=16, color=COLOURS[4], mec="black", label=f"end: {numbers.path_costs[-1]:.4g}")
    axes.set_xlabel(short(numbers.along[0], 44))
    axes.set_ylabel(short(numbers.along[1], 44))
    axes.grid(visible=False)
    axes.legend(loc="upper left", bbox_to_anchor=(0, -0.12), ncols=3)
    note(figure, f"{len(across) - 1} steps; {numbers.share:.0%} of the way lies in this plane")
    return figure
