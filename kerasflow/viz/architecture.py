"""A network as numbered boxes: what each layer is, what it gives, and how many parameters it holds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from kerasflow.viz.style import COLOURS, GREY, new_figure, styled

_LAYERS_A_COLUMN = 16
_LAYERS_AT_MOST = 64
_WIDTH, _HEIGHT = 4.6, 0.52  # of a box, in inches
_GAP = 0.1

# By the part of the kind's name that says what the layer does.
_FAMILIES = (
    (("conv",), COLOURS[0]),
    (("pool",), COLOURS[5]),
    (("dense", "head", "einsum"), COLOURS[1]),
    (("norm",), COLOURS[2]),
    (("dropout", "noise"), COLOURS[3]),
    (("lstm", "gru", "rnn", "attention", "embedding"), COLOURS[4]),
)


class Layer(Protocol):
    """A layer as the picture needs it.

    Attributes:
        name: its own name.
        kind: what it is, e.g. `conv2d`.
        output_shape: for one sample; None for a size that varies.
        parameters: how many numbers it holds.
    """

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def output_shape(self) -> tuple[int | None, ...]: ...
    @property
    def parameters(self) -> int: ...


@styled
def architecture(layers: Sequence[Layer], *, title: str = "Model") -> Figure:
    """A network's layers in the order of its forward pass, numbered, in as many columns as they need.

    Boxes bear no arrows: the order of layers does not say which of them feeds which.

    Args:
        layers: of more than 64, the middle ones are left out and counted.
        title: of the picture; the number of parameters is added to it.
    """
    shown: list[tuple[int, Layer] | str] = list(enumerate(layers, start=1))
    if len(layers) > _LAYERS_AT_MOST:
        first, last = _LAYERS_AT_MOST // 2, 1 - _LAYERS_AT_MOST // 2
        left_out = layers[first:last]
        shown[first:last] = [f"… {len(left_out)} more layers, {_count(left_out):,} parameters"]
    columns = max(1, math.ceil(len(shown) / _LAYERS_A_COLUMN))
    lines = max(1, math.ceil(len(shown) / columns))
    figure = new_figure(columns * (_WIDTH + 0.3) + 0.3, lines * (_HEIGHT + _GAP) + 0.9)
    axes = figure.subplots()
    axes.set_axis_off()
    axes.set_xlim(-0.02, columns * (_WIDTH + 0.3) - 0.28)
    axes.set_ylim(-lines * (_HEIGHT + _GAP) + _GAP - 0.02, 0.02)
    axes.set_title(f"{title}: {_count(layers):,} parameters in {len(layers)} layers", fontsize=13, pad=10)
    for index, entry in enumerate(shown):
        left, top = (index // lines) * (_WIDTH + 0.3), -(index % lines) * (_HEIGHT + _GAP)
        if isinstance(entry, str):
            axes.text(left + _WIDTH / 2, top - _HEIGHT / 2, entry, ha="center", va="center", color=GREY)
        else:
            _draw_layer(axes, left, top, *entry)
    return figure


def _draw_layer(axes: Axes, left: float, top: float, number: int, layer: Layer) -> None:
    paint = _paint(layer.kind)
    corners = "round,pad=0,rounding_size=0.07"
    axes.add_patch(
        FancyBboxPatch((left, top - _HEIGHT), _WIDTH, _HEIGHT, boxstyle=corners, fc=f"{paint}26", ec=paint, lw=1.3)
    )
    # One name below the other repeats itself where a layer has no name of its own.
    named = layer.name if not layer.name.startswith(layer.kind) else ""
    inside, right = left + 0.5, left + _WIDTH - 0.14
    upper, lower, middle = top - 0.18, top - 0.37, top - _HEIGHT / 2
    axes.text(left + 0.25, middle, str(number), va="center", ha="center", color=GREY, fontsize=9)
    axes.text(inside, upper if named else middle, layer.kind, va="center", weight="bold", fontsize=11)
    axes.text(inside, lower, _short(named), va="center", color=GREY, fontsize=9)
    parameters = f"{layer.parameters:,} parameters" if layer.parameters else ""
    axes.text(right, upper if parameters else middle, _shape(layer.output_shape), va="center", ha="right", fontsize=10)
    axes.text(right, lower, parameters, va="center", ha="right", color=GREY, fontsize=9)


def _paint(kind: str) -> str:
    return next((paint for words, paint in _FAMILIES if any(word in kind.lower() for word in words)), GREY)


def _count(layers: Sequence[Layer]) -> int:
    return sum(layer.parameters for layer in layers)


def _shape(shape: tuple[int | None, ...]) -> str:
    return " × ".join("?" if size is None else str(size) for size in shape) or "scalar"


def _short(name: str) -> str:
    return name if len(name) <= 34 else f"…{name[-33:]}"
