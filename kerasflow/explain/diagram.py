"""A network as columns of neurons and weights between them: what a picture needs that is walked forward and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kerasflow.explain.chain import Backward
from kerasflow.explain.forms import spread
from kerasflow.explain.telling import index, written
from kerasflow.explain.trace import LayerTrace, Trace

MOST_NEURONS = 12
"""Of a column that are drawn, spread evenly over the layer."""

MOST_COLUMNS = 24
"""That are drawn: the first and the last ones."""

MOST_WRITTEN = 72
"""Neurons whose sum is written out."""

LARGE = 1_000_000
"""Numbers in a kernel from which on few of its neurons are written out."""


@dataclass(frozen=True)
class Column:
    """One call of a layer, or the sample itself.

    Attributes:
        name, kind, activation: as in the forward trace; the sample is `input`.
        units: how many neurons there are.
        neurons: those that are shown, by their index, `[3,2]`.
        Z, H, dE_dZ, dE_dH: theirs.
        sums: their arithmetic in words; fewer, or none, where it is not written out.
        source: the column whose H goes in, counted from 0; None where that is not shown or several do.
        weights: to each neuron shown from each of the source's, `(neurons of source, neurons)`; empty where the layer
            is no Dense.
    """

    name: str
    kind: str
    activation: str
    units: int
    neurons: tuple[str, ...]
    Z: tuple[float, ...]
    H: tuple[float, ...]
    dE_dZ: tuple[float, ...]
    dE_dH: tuple[float, ...]
    sums: tuple[str, ...]
    source: int | None
    weights: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Diagram:
    """Columns from the sample to the output.

    Attributes:
        columns: the sample, then the calls of layers in their order.
        left_out: how many calls in the middle are not shown.
        error: E of the sample.
    """

    columns: tuple[Column, ...]
    left_out: int
    error: float


def diagram(trace: Trace, back: Backward) -> Diagram:
    """The network as it is drawn.

    Args:
        trace, back: of the same model and the same sample.
    """
    layers = list(trace.layers)
    half = MOST_COLUMNS // 2
    kept = layers if len(layers) <= MOST_COLUMNS else layers[:half] + layers[-half:]
    columns, values, places = (
        [_input(trace, back)],
        [layers[0].inputs[0]],
        [spread(layers[0].inputs[0].size, MOST_NEURONS)],
    )
    budget = max(1, MOST_WRITTEN // max(1, len(kept)))
    for layer in kept:
        source = next((i for i in reversed(range(len(values))) if _same(values[i], layer)), None)
        shown = spread(layer.H.size, MOST_NEURONS)
        columns.append(_column(layer, back, shown, source, places, budget))
        values.append(layer.H)
        places.append(shown)
    return Diagram(tuple(columns), len(layers) - len(kept), back.error)


def _same(values: np.ndarray, layer: LayerTrace) -> bool:
    return len(layer.inputs) == 1 and np.array_equal(values, layer.inputs[0])


def _input(trace: Trace, back: Backward) -> Column:
    x = trace.layers[0].inputs[0]
    shown = spread(x.size, MOST_NEURONS)
    slopes = back[trace.layers[0].name].dE_dinputs
    h = _taken(x, shown)
    slope = _taken(slopes[0], shown) if slopes and slopes[0] is not None else (0.0,) * len(shown)
    return Column("input", "sample", "linear", x.size, _names(x, shown), h, h, slope, slope, (), None, ())


def _column(
    layer: LayerTrace, back: Backward, shown: list[int], source: int | None, places: list[list[int]], budget: int
) -> Column:
    kernel = getattr(layer._call.layer, "kernel", None) if layer.kind == "Dense" else None
    weights: tuple[tuple[float, ...], ...] = ()
    if kernel is not None and source is not None and layer.H.ndim == 1:
        rows = kernel.numpy()[np.ix_(places[source], shown)]
        weights = tuple(tuple(map(float, row)) for row in rows)
    few = 1 if kernel is not None and int(np.prod(kernel.shape)) > LARGE else budget
    slope = back[layer.name]
    return Column(
        layer.name,
        layer.kind,
        layer.activation,
        layer.H.size,
        _names(layer.H, shown),
        _taken(layer.Z, shown),
        _taken(layer.H, shown),
        _taken(slope.dE_dZ, shown),
        _taken(slope.dE_dH, shown),
        tuple(written(layer, shown[:few])) if layer.Z.shape == layer.H.shape else (),
        source,
        weights,
    )


def _taken(array: np.ndarray, places: Sequence[int]) -> tuple[float, ...]:
    flat = np.ravel(array)
    return tuple(float(flat[i]) if i < len(flat) else 0.0 for i in places)


def _names(array: np.ndarray, places: Sequence[int]) -> tuple[str, ...]:
    return tuple(index(i, array.shape) for i in places)
