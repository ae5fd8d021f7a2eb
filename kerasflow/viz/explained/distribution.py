"""How weights are distributed, and how that changes."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kerasflow.viz.explained.legible import short, spread
from kerasflow.viz.style import COLOURS, colour, new_figure, note, styled

_VARIABLES = 9
_EPOCHS = 12
_COLUMNS = 3
_TALL = 1.6  # of the step from epoch to epoch; ridges overlap a little, so that their shapes can be seen


@styled
def histograms(found: Any) -> Figure:
    """A panel for each variable: its distribution, the first epoch at the back and the last in front.

    Args:
        found: of `kerasflow.explain.Histogram`, a sequence; several epochs of a variable make several ridges, and
            numbers that are all the same a line.
    """
    every = list(dict.fromkeys(one.path for one in found))
    paths = [every[i] for i in spread(len(every), _VARIABLES)]
    columns = min(_COLUMNS, max(len(paths), 1))
    rows = -(-len(paths) // columns) or 1
    figure = new_figure(4.4 * columns, 1.0 + 3.0 * rows)
    figure.suptitle("Weights by their size", x=0.012, ha="left")
    panels = np.ravel(figure.subplots(rows, columns, squeeze=False))
    for axes, path in zip(panels, paths, strict=False):
        _ridges(axes, [one for one in found if one.path == path])
        axes.set_title(short(path))
    for axes in panels[len(paths) :]:
        axes.set_visible(False)
    lost = sum(one.not_finite for one in found)
    said = ["each ridge is as high as its fullest bin is full"]
    said += [f"{len(paths)} of {len(every)} variables are drawn"] if len(paths) < len(every) else []
    said += [f"{lost:,} numbers are NaN or infinite, and not drawn"] if lost else []
    note(figure, "\n".join(said))
    return figure


def _ridges(axes: Axes, found: list[Any]) -> None:
    """From the top down, so that an epoch stands before the ones that it follows."""
    drawn = [found[i] for i in spread(len(found), _EPOCHS)]
    for row, one in enumerate(drawn):
        base = len(drawn) - 1 - row
        paint = colour(row, max(len(drawn), len(COLOURS) + 1))  # steps, not hues: epochs have an order
        height = _TALL * one.counts / max(int(one.counts.max()), 1)
        if len(one.counts) == 1:  # all are the same
            axes.vlines(one.edges.mean(), base, base + height, color=paint, lw=4, zorder=2 + row)
            continue
        axes.stairs(base + height, one.edges, baseline=base, fill=True, color=paint, alpha=0.85, zorder=2 + row)
        axes.stairs(base + height, one.edges, baseline=base, color="white", lw=0.6, zorder=2 + row)
    axes.set_yticks(range(len(drawn)), [str(one.epoch) for one in reversed(drawn)])
    axes.set_ylabel("epochs completed")
    axes.grid(axis="y", visible=False)
    axes.ticklabel_format(axis="x", scilimits=(-2, 4))
    axes.locator_params(axis="x", nbins=5)
