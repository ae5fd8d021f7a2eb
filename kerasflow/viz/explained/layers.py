"""Forward and backward propagation, layer by layer."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kerasflow.viz.explained.legible import (
    NAMES,
    clipped,
    magnitudes,
    name_columns,
    name_rows,
    place,
    rms,
    short,
    spread,
)
from kerasflow.viz.style import COLOURS, GREY, INK, new_figure, note, styled

_LAYERS = 4  # that have a panel of their own
_NEURONS = 8  # in it
_SUM = 150  # characters of a neuron's arithmetic
_WAYS = 8


@styled
def forward(trace: Any) -> Figure:
    """Z and H of some neurons of some layers, the sum of one neuron each in words, and the size of all layers' H.

    Args:
        trace: a `kerasflow.explain.Trace`.
    """
    shown = [trace.layers[i] for i in spread(len(trace.layers), _LAYERS)]
    figure = new_figure(max(8.6, 0.6 + 3.6 * len(shown)), 6.6)
    figure.suptitle("Forward propagation of one sample", x=0.012, ha="left")
    grid = figure.add_gridspec(2, len(shown), height_ratios=[1.25, 1])
    panels = [figure.add_subplot(grid[0, column]) for column in range(len(shown))]
    for axes, layer in zip(panels, shown, strict=True):
        _neurons(axes, layer)
    panels[0].legend(loc="best")
    _sizes(figure.add_subplot(grid[1, :]), trace.layers)
    sums = [said for layer in shown if (said := _sum(layer))]
    left = len(trace.layers) - len(shown)
    note(figure, "\n".join([*sums, *([f"{left} layers between these have no panel of their own"] if left else [])]))
    return figure


def _neurons(axes: Axes, layer: Any) -> None:
    """Z as a pale bar and H as a strong one, their numbers at the right."""
    Z, H = np.ravel(layer.Z), np.ravel(layer.H)
    places = spread(H.size, _NEURONS)
    same = Z.size != H.size
    rows = np.arange(len(places))
    if not same:
        axes.barh(rows - 0.2, Z[places], 0.36, color=COLOURS[5], label="Z")
    axes.barh(rows + (0 if same else 0.2), H[places], 0.36, color=COLOURS[0], label="H")
    name_rows(axes, [place(i, np.shape(layer.H)) for i in places])
    for row, i in zip(rows, places, strict=True):
        said = f"H {H[i]:.4g}" if same else f"Z {Z[i]:.4g}\nH {H[i]:.4g}"
        axes.annotate(said, (1.02, row), xycoords=("axes fraction", "data"), va="center", fontsize=8)
    axes.axvline(0, color=GREY, lw=0.8)
    axes.locator_params(axis="x", nbins=4)
    box = "" if layer.traced else ", black box"
    count = "" if H.size <= _NEURONS else f", {len(places)} of {H.size:,}"
    axes.set_title(f"{short(layer.name, 24)}\n", fontsize=11)
    axes.set_xlabel(f"{short(layer.kind, 20)}, {short(layer.activation, 16)}{box}{count}", fontsize=9)


def _sizes(axes: Axes, layers: Any) -> None:
    for name, paint, mark in (("Z", COLOURS[5], "s--"), ("H", COLOURS[0], "o-")):
        axes.plot([rms(np.asarray(getattr(one, name))) for one in layers], mark, color=paint, ms=5, label=name)
    sizes = np.array([rms(np.asarray(one.Z)) for one in layers] + [rms(np.asarray(one.H)) for one in layers])
    lost = magnitudes(axes, "y", sizes)
    name_columns(axes, [one.name for one in layers])
    axes.set_title("Size of Z and H through all layers")
    axes.set_ylabel("root mean square" + lost)
    axes.legend(loc="best")


def _sum(layer: Any) -> str:
    """The arithmetic of its first neuron, if that is known and short."""
    if not layer.traced or layer.steps or not np.ndim(layer.Z):
        return ""
    said = f"{short(layer.name, 24)}{place(0, layer.Z.shape)}:  {layer.neuron((0,) * layer.Z.ndim)}"
    return said if len(said) <= _SUM else ""


@styled
def backward(back: Any, weight: str = "") -> Figure:
    """The chain rule's sizes from the output back, and the gradient of each variable.

    Args:
        back: a `kerasflow.explain.Backward`.
        weight: `dense_1/kernel[3,2]`: its ways from the error are drawn, too.
    """
    figure = new_figure(12.6 if not weight else 16.0, 5.6)
    figure.suptitle(f"Backward propagation: E = {back.error:.4g}, cost = {back.cost:.4g}", x=0.012, ha="left")
    panels = figure.subplots(1, 3 if weight else 2, squeeze=False).flatten()
    _chain(panels[0], back.layers)
    _gradients(panels[1], back.gradients)
    if weight:
        note(figure, _ways(panels[2], back.path(weight)))
    return figure


def _chain(axes: Axes, layers: Any) -> None:
    parts = (("dE_dH", "dE/dH", "s:"), ("dH_dZ", "dH/dZ", "^--"), ("dE_dZ", "dE/dZ", "o-"))
    sizes = {name: [rms(getattr(one, attribute)) for one in layers] for attribute, name, _ in parts}
    for (_, name, mark), paint in zip(parts, (COLOURS[0], COLOURS[2], COLOURS[1]), strict=True):
        axes.plot(sizes[name], mark, color=paint, ms=6, label=name)
    lost = magnitudes(axes, "y", np.array(list(sizes.values())))
    name_columns(axes, [one.name for one in layers])
    axes.set_title("The sample's chain, from the output back")
    axes.set_ylabel("root mean square" + lost)
    axes.legend(loc="best")


def _gradients(axes: Axes, gradients: Any) -> None:
    """The largest and the usual |dE/dw| of each variable."""
    paths = list(gradients)
    shown = [paths[i] for i in spread(len(paths), NAMES)]
    largest = np.array([np.abs(gradients[path]).max(initial=0.0) for path in shown])
    usual = np.array([rms(gradients[path]) for path in shown])
    rows = range(len(shown))
    axes.hlines(rows, usual, largest, color=GREY, lw=1.2)
    axes.plot(largest, rows, "D", color=COLOURS[1], ms=6, label="largest")
    axes.plot(usual, rows, "o", color=COLOURS[0], ms=6, label="root mean square")
    name_rows(axes, shown)
    lost = magnitudes(axes, "x", np.concatenate([largest, usual]))
    some = f" ({len(shown)} of {len(paths)})" if len(shown) < len(paths) else ""
    axes.set_title(f"The batch's gradients by variable{some}")
    axes.set_xlabel("|dcost/dw|" + lost)
    axes.legend(loc="best")


def _ways(axes: Axes, path: Any) -> str:
    """What each way, or each place where the weight acts, adds to dE/dw; the strongest is told in words."""
    strongest = sorted(path.paths, key=lambda way: -abs(way.product))
    if strongest:
        parts = [(f"way {i}", way.product) for i, way in enumerate(strongest[:_WAYS], start=1)]
        said = clipped(f"way 1 of {len(strongest)}:  {strongest[0]}", 190)
    else:
        products = path.dE_dZ * path.dZ_dw
        order = np.argsort(-np.abs(products))[:_WAYS]
        parts = [(path.units[i], float(products[i])) for i in order]
        said = "each bar is dE/dZ · dZ/dw"
    axes.barh(range(len(parts)), [value for _, value in parts], 0.6, color=COLOURS[0])
    name_rows(axes, [name for name, _ in parts])
    axes.axvline(0, color=INK, lw=0.8)
    axes.set_title(f"dE/d {short(path.weight, 24)} = {path.gradient:.4g}")
    axes.set_xlabel("what each adds")
    axes.locator_params(axis="x", nbins=4)
    return said
