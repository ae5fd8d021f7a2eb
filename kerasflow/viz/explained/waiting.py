"""When and why a training stopped."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from kerasflow.viz.explained.legible import clipped, widen
from kerasflow.viz.style import COLOURS, GREY, INK, new_figure, note, styled

_RULES = 5
_COSTS = {"loss": ("training", COLOURS[0], "--"), "val_loss": ("validation", COLOURS[1], "-")}


@styled
def stopping(found: Any) -> Figure:
    """The cost curve, and below it each rule's counter with its limit; instant and reason of the stop are marked.

    Args:
        found: a `kerasflow.explain.Stopping`.
    """
    counters = found.counters[:_RULES]
    figure = new_figure(8.8, 3.6 + 1.5 * len(counters))
    figure.suptitle("Stopping", x=0.012, ha="left")
    panels = figure.subplots(1 + len(counters), 1, sharex=True, height_ratios=[2.4, *[1.0] * len(counters)])
    top, *below = np.atleast_1d(panels)
    for name, values in found.costs.items():
        label, paint, dash = _COSTS[name]
        top.plot(found.epochs, values, dash, marker="." if len(values) < 40 else "", color=paint, label=label)
    wide = widen(top.set_yscale, np.concatenate(list(found.costs.values()))) if found.costs else False
    top.set_ylabel("cost" + (", log scale" if wide else ""))
    for axes, counter in zip(below, counters, strict=True):
        axes.plot(found.epochs, counter.values, ".-", color=COLOURS[2], lw=1.4)
        if np.isfinite(counter.limit):
            axes.axhline(counter.limit, color=INK, ls="--", lw=1.2)
            axes.annotate(f"{counter.limit:g}", (1.01, counter.limit), xycoords=("axes fraction", "data"), va="center")
        held = found.epochs[counter.holds]
        axes.plot(held, counter.values[counter.holds], "o", ms=8, mfc="none", mew=2, color=COLOURS[1])
        axes.set_title(clipped(counter.rule, 80), fontsize=10, fontweight="normal")
        axes.margins(y=0.2)
        if not np.isfinite(counter.limit):
            axes.set_yticks([0, 1], ["no", "yes"])
            axes.set_ylim(-0.3, 1.3)
    for axes in (top, *below):
        if found.epoch is not None:
            axes.axvline(found.epoch, color=GREY, lw=1.4, ls=":", label=f"stopped after epoch {found.epoch}")
    top.legend(loc="best")
    panels = (top, *below)
    panels[-1].set_xlabel("epochs completed")
    panels[-1].set_xlim(found.epochs[0] - 0.5, found.epochs[-1] + 0.5)
    panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    more = len(found.counters) - len(counters)
    said = f"stopped by {found.reason}" if found.reason else "no rule says stop"
    note(figure, clipped(said, 130) + (f"\n{more} more rules are not drawn" if more else "") + "\n○ the rule says stop")
    return figure
