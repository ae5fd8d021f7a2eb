"""Keras' own files of weights, and what they hold: a shape for each weight, by the layer's place in its model."""

from __future__ import annotations

import io
import tempfile
import zipfile
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import keras

_ARCHIVED = "model.weights.h5"  # within a .keras file
_WEIGHTS = "vars"  # the group of a layer's own weights


class _Held(NamedTuple):
    """A layer's weights: its name, and their shapes in order."""

    name: str
    shapes: tuple[tuple[int, ...], ...]

    def __str__(self) -> str:
        alike = ((shape, len(list(group))) for shape, group in groupby(self.shapes))
        return " + ".join(f"{n} × {shape}" if n > 1 else str(shape) for shape, n in alike)


def differences(model: keras.Model, path: Path) -> list[str]:
    """Layers of a model whose weights a file of Keras' holds in other shapes, or not at all; one clause each.

    Args:
        model: built.
        path: a `.weights.h5` or `.keras` file; of the older `.h5`, whose layers have no places, there are none.
    """
    if path.suffix == ".h5" and not path.name.endswith(".weights.h5"):
        return []
    with tempfile.TemporaryDirectory() as folder:  # the model's own weights, laid out by the same rule
        own = Path(folder) / "own.weights.h5"
        model.save_weights(own)
        here = _held(own)
    there, order = _held(path), [layer.name for layer in model.layers]  # h5py's order is the alphabet's
    found = [(layer, there.get(place)) for place, layer in here.items()]
    found.sort(key=lambda pair: order.index(pair[0].name) if pair[0].name in order else len(order))
    differing = [
        f"{layer.name} is {other} there and {layer} here"
        for layer, other in found
        if other is not None and other.shapes != layer.shapes
    ]
    return differing + [f"{layer.name} {layer} is missing" for layer, other in found if other is None]


def _held(path: Path) -> dict[str, _Held]:
    """By the place of each layer that has weights."""
    import h5py

    held: dict[str, _Held] = {}

    def visit(place: str, group: object) -> None:
        if place.rpartition("/")[2] == _WEIGHTS and isinstance(group, h5py.Group) and len(group):
            shapes = tuple(tuple(group[key].shape) for key in sorted(group, key=int))
            held[place] = _Held(str(group.attrs.get("name", place.rpartition("/")[0])), shapes)

    content = path if path.suffix == ".h5" else io.BytesIO(zipfile.ZipFile(path).read(_ARCHIVED))
    with h5py.File(content, "r") as file:
        file.visititems(visit)
    return held
