"""The networks that kerasflow describes itself: one YAML file each, with its card, its spec and its paper's numbers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import yaml

from kerasflow.spec.model import ModelSpec, load_model_spec

_FOLDER = Path(__file__).parent / "specs"


@dataclass(frozen=True)
class Network:
    """What a file in `specs/` says beside the card.

    Attributes:
        path: the file.
        subtract: from each channel of an image in 0..255.
        divide: each channel by this, afterwards.
        heads: names of the outputs; auxiliary ones behind the first.
        features: name of the layer or block below the classifier.
        modules: the state dict's name of a layer, where it is not the layer's own.
        url: of published weights, or empty; its name ends in `-` and the first digits of their SHA-256.
    """

    path: Path
    subtract: tuple[float, ...]
    divide: tuple[float, ...]
    heads: tuple[str, ...]
    features: str
    modules: dict[str, str]
    url: str

    @cached_property
    def spec(self) -> ModelSpec:
        """The whole network, auxiliary heads too."""
        return load_model_spec(self.path)


def names() -> list[str]:
    """The networks that have a file here, sorted."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


@cache
def own(name: str) -> Network | None:
    """The network of this name, or None for one of `keras.applications`."""
    if name not in names():
        return None
    document = read(name)
    return Network(
        path=_FOLDER / f"{name}.yaml",
        subtract=tuple(document["subtract"]),
        divide=tuple(document["divide"]),
        heads=tuple(document["heads"]),
        features=document["features"],
        modules=document.get("modules", {}),
        url=document.get("url", ""),
    )


def read(name: str) -> dict[str, Any]:
    """A network's file as plain values."""
    document: dict[str, Any] = yaml.safe_load((_FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    return document


def upto(spec: ModelSpec, outputs: tuple[str, ...]) -> ModelSpec:
    """The layers that these outputs need, and no others."""
    at = {layer.name: index for index, layer in enumerate(spec.layers) if layer.name}
    needed = {at[name] for name in outputs}
    for index in reversed(range(len(spec.layers))):
        if index in needed:
            inputs = spec.layers[index].inputs
            needed |= {index - 1} if inputs is None else {at[name] for name in inputs if name in at}
    layers = tuple(layer for index, layer in enumerate(spec.layers) if index in needed)
    return spec.model_copy(update={"layers": layers, "outputs": outputs})
