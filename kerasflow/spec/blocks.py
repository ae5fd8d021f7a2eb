"""Named groups of layers, and what they become where they are used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from kerasflow.errors import did_you_mean
from kerasflow.spec.arguments import whole
from kerasflow.spec.base import Listed, Part
from kerasflow.spec.document import DocumentPath, dotted
from kerasflow.spec.faults import Found, short
from kerasflow.spec.layers import BESIDE, LayerSpec, check_kind, parse_layers
from kerasflow.spec.wiring import INPUT, MODEL, OWN, check_wiring

# More than any network that anyone has trained: blocks of blocks and repeats can write out without end.
_MOST_LAYERS = 10_000
_NOT_A_BLOCK = (*OWN, INPUT, *BESIDE)


class BlockSpec(Part):
    """A named group of layers. Inside it, `input` is what the block was given; its last layer is what it gives.

    Attributes:
        parameters: name and default of each; a parameter without a default (null) must be given where the block is
            used.
        layers: the layers; `$name` stands for a parameter's value.
    """

    parameters: dict[str, Any] = {}
    layers: Annotated[tuple[LayerSpec, ...], Listed]


def parse_blocks(given: Any, found: Found) -> dict[str, BlockSpec]:
    """A model's blocks from a document; what is wrong goes to `found`, all of it."""
    if not isinstance(given, dict):
        found.append((("blocks",), f"must be a mapping of names to blocks, got {short(given)}"))
        return {}
    parameters: dict[str, dict[str, Any]] = {}
    for name, block in given.items():
        if name in _NOT_A_BLOCK or "/" in str(name):
            found.append((("blocks", name), f"must be a word without '/', other than {', '.join(_NOT_A_BLOCK)}"))
            continue
        block = block.model_dump() if isinstance(block, BlockSpec) else block
        if not isinstance(block, dict) or "layers" not in block:
            found.append((("blocks", name), f"must hold layers, and parameters if it has any, got {short(block)}"))
            continue
        for key in block:
            if key not in BlockSpec.model_fields:
                found.append(
                    (("blocks", name, key), f"is not known here{did_you_mean(str(key), BlockSpec.model_fields)}")
                )
        own = block.get("parameters") or {}
        if not isinstance(own, dict):
            found.append((("blocks", name, "parameters"), f"must be a mapping of names to defaults, got {short(own)}"))
            own = {}
        parameters[name] = own
    blocks = {}
    for name, own in parameters.items():
        raw = given[name].model_dump() if isinstance(given[name], BlockSpec) else given[name]
        path: DocumentPath = ("blocks", name)
        layers = parse_layers(raw["layers"], (*path, "layers"), parameters, set(own), found)
        check_wiring(layers, (INPUT,), (), path, found)
        blocks[name] = BlockSpec.model_construct(parameters=own, layers=tuple(layers))
    for name in blocks:
        way = _way_back(name, blocks)
        if way:
            found.append((("blocks", name), f"contains itself: {' -> '.join(way)}"))
    return blocks


def _way_back(name: str, blocks: Mapping[str, BlockSpec]) -> tuple[str, ...]:
    """The blocks on the way from one to itself; nothing if there is no such way."""
    ways: list[tuple[str, ...]] = [(name,)]
    seen: set[str] = set()
    while ways:
        way = ways.pop()
        for kind in (layer.kind for layer in blocks[way[-1]].layers):
            if kind == name:
                return (*way, name)
            if kind in blocks and kind not in seen:
                seen.add(kind)
                ways.append((*way, kind))
    return ()


def fill(value: Any, parameters: Mapping[str, Any]) -> Any:
    """The value with every `$name` replaced by the block's parameter, at any depth."""
    if isinstance(value, str) and value.startswith("$"):
        return parameters[value[1:]]
    if isinstance(value, Mapping):
        return {key: fill(item, parameters) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [fill(item, parameters) for item in value]
    return value


def check_filled(layers: Iterable[LayerSpec], blocks: Mapping[str, BlockSpec], found: Found) -> None:
    """Checks every block where it is used, its parameters filled in, as if its layers were written there."""
    total = _Uses(blocks, found).count(layers)
    if total > _MOST_LAYERS:
        found.append(
            (("layers",), f"must be at most {_MOST_LAYERS} layers, repeats and blocks written out, got {total}")
        )


class _Uses:
    def __init__(self, blocks: Mapping[str, BlockSpec], found: Found) -> None:
        self.blocks, self.found = blocks, found
        self._known: dict[tuple[str, str], int] = {}

    def count(self, layers: Iterable[LayerSpec]) -> int:
        """The layers when all is written out; faults go to the layer that uses the block."""
        return sum(
            int(layer.repeat) * self._written_out(layer, layer.arguments, ("layers", index, layer.kind))
            for index, layer in enumerate(layers)
        )

    def _written_out(self, layer: LayerSpec, arguments: Mapping[str, Any], use: DocumentPath) -> int:
        block = self.blocks.get(layer.kind)
        if block is None:
            return _written_out(arguments) if layer.kind == MODEL else 1
        parameters = {**block.parameters, **arguments}
        key = (layer.kind, repr(parameters))
        if key not in self._known:
            self._known[key] = sum(
                self._inside(inner, parameters, ("blocks", layer.kind, "layers", index), use)
                for index, inner in enumerate(block.layers)
            )
        return self._known[key]

    def _inside(self, layer: LayerSpec, parameters: Mapping[str, Any], here: DocumentPath, use: DocumentPath) -> int:
        arguments, repeat = fill(layer.arguments, parameters), fill(layer.repeat, parameters)
        wrong: Found = []
        if not whole(repeat):
            wrong.append(((*here, "repeat"), f"must be an integer >= 1, got {short(repeat)}"))
        if layer.kind not in self.blocks and arguments != layer.arguments:
            check_kind(layer.kind, arguments, here, {}, wrong)
        self.found += [(use, f"{dotted(path)} {message}") for path, message in wrong]
        return (repeat if whole(repeat) else 1) * self._written_out(layer, arguments, use)


def _written_out(model: Mapping[str, Any]) -> int:
    """The layers of a model in the model, in the form in which it is written."""
    return sum(
        int(layer.get("repeat", 1)) * (_written_out(layer[MODEL]) if MODEL in layer else 1)
        for layer in model.get("layers", ())
        if whole(layer.get("repeat", 1))
    )
