"""One step of gradient descent, and the gradient that is accumulated for it."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from kerasflow.viz.explained.legible import NAMES, magnitudes, name_rows, place, short, spread
from kerasflow.viz.style import COLOURS, INK, new_figure, note, styled

_VARIABLES = 4


@styled
def descent(step: Any) -> Figure:
    """How far the steepest weight of each variable moves, from where to where, and the cost before and after.

    Args:
        step: a `kerasflow.explain.Descent`.
    """
    figure = new_figure(11.6, 5.0)
    figure.suptitle(f"One step of gradient descent, α = {step.learning_rate:g}", x=0.012, ha="left")
    left, right = figure.subplots(1, 2, width_ratios=[1.7, 1])
    paths = [list(step.gradients)[i] for i in spread(len(step.gradients), NAMES)]
    steepest = [int(np.abs(step.gradients[path]).argmax()) for path in paths]
    before, after = (
        np.array([np.ravel(weights[path])[at] for path, at in zip(paths, steepest, strict=True)])
        for weights in (step.before, step.after)
    )
    moved = after - before
    for up, mark, paint, name in ((True, "^", COLOURS[1], "raised"), (False, "v", COLOURS[0], "lowered")):
        rows = np.flatnonzero(moved > 0 if up else moved <= 0)
        if len(rows):
            left.plot(np.abs(moved[rows]), rows, mark, ms=10, color=paint, label=name)
    name_rows(left, [f"{p}{place(at, step.gradients[p].shape)}" for p, at in zip(paths, steepest, strict=True)])
    for row, (old, new) in enumerate(zip(before, after, strict=True)):
        left.annotate(
            f"{old:.5g} → {new:.5g}", (1.02, row), xycoords=("axes fraction", "data"), va="center", fontsize=8
        )
    lost = magnitudes(left, "x", np.abs(moved))
    left.set_title("The steepest weight of each variable")
    left.set_xlabel("how far it moves: |α·dE/dw|" + lost)
    left.legend(loc="best")
    costs = [step.cost_before, step.cost_after]
    bars = right.bar(["before", "after"], costs, 0.6, color=COLOURS[5])
    bars[1].set_color(COLOURS[0])
    right.bar_label(bars, [f"{value:.5g}" for value in costs], padding=3)
    right.axhline(0, color=INK, lw=0.8)
    right.margins(y=0.15)
    right.set_title("Cost of the set")
    note(figure, f"on a slope without curvature the cost would change by {step.expected:.5g}")
    return figure


@styled
def accumulation(found: Any) -> Figure:
    """What each micro-batch adds to the gradient of one weight, their running sum, and the whole batch's gradient.

    Args:
        found: a `kerasflow.explain.Accumulation`.
    """
    paths = [list(found.whole)[i] for i in spread(len(found.whole), _VARIABLES)]
    figure = new_figure(1.0 + 3.7 * max(len(paths), 2), 4.6)
    figure.suptitle("Gradient accumulation", x=0.012, ha="left")
    for axes, path in zip(figure.subplots(1, len(paths), squeeze=False).flatten(), paths, strict=True):
        whole = np.ravel(found.whole[path])
        at = int(np.abs(whole).argmax())
        parts = np.array([np.ravel(one[path])[at] for one in found.micro_batches])
        places = np.arange(1, len(parts) + 1)
        axes.bar(places, parts, 0.7, color=COLOURS[5], label="each micro-batch")
        axes.plot(places, np.cumsum(parts), "o-", color=COLOURS[0], ms=6, label="their sum so far")
        axes.axhline(whole[at], color=COLOURS[1], ls="--", label="the whole batch")
        axes.axhline(0, color=INK, lw=0.8)
        axes.set_title(short(f"{path}{place(at, found.whole[path].shape)}", 34), fontsize=10)
        axes.set_xlabel("micro-batch")
        axes.locator_params(axis="x", integer=True)
    figure.axes[0].set_ylabel("dcost/dw")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside upper right", ncols=3)
    sizes = sorted(set(found.sizes), reverse=True)
    kept = "stay as they are" if found.unchanged else "HAVE CHANGED"
    note(
        figure,
        f"{len(found.sizes)} micro-batches of {' or '.join(map(str, sizes))} samples; sum and whole are at most "
        f"{found.difference:.2g} apart ({found.relative:.2g} of the length);\nwithin the window the weights {kept}",
    )
    return figure
