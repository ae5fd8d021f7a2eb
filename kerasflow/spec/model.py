"""Which network: layers in a row or a graph, with blocks that repeat."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError, model_serializer, model_validator

from kerasflow.errors import did_you_mean
from kerasflow.spec.base import Part
from kerasflow.spec.document import Document, DocumentPath
from kerasflow.spec.faults import Found, refuse, short, spec_error
from kerasflow.spec.layers import INPUT, LayerSpec, parse_layers


class BlockSpec(Part):
    """A named group of layers. Inside it, `input` is what the block was given; its last layer is what it gives.

    Attributes:
        parameters: name and default of each; a parameter without a default (null) must be given where the block is
            used.
        layers: the layers; `$name` stands for a parameter's value.
    """

    parameters: dict[str, Any] = {}
    layers: tuple[LayerSpec, ...]


class ModelSpec(Part):
    """A network, without the sizes that its data decides.

    Attributes:
        layers: each takes the output of the one before it, unless it names its `inputs`.
        blocks: groups of layers by name, used like layers.
        inputs: names of the inputs where there are several; one, called `input`, if empty.
        outputs: names of the layers whose outputs the model gives; the last layer's if empty.
    """

    layers: tuple[LayerSpec, ...]
    blocks: dict[str, BlockSpec] = {}
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _parse(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        found: Found = []
        for key in given:
            if key not in cls.model_fields:
                found.append(((str(key),), f"is not known here{did_you_mean(str(key), cls.model_fields)}"))
        if given.get("layers") is None:
            found.append((("layers",), "is required"))
        blocks = _parse_blocks(given.get("blocks") or {}, found)
        names = {key: _names(given.get(key), (key,), found) for key in ("inputs", "outputs")}
        known = {name: block.parameters for name, block in blocks.items()}
        layers = (
            parse_layers(given["layers"], ("layers",), known, set(), found) if given.get("layers") is not None else []
        )
        given_names = _check_wiring(layers, set(names["inputs"]) or {INPUT}, ("layers",), found)
        for index, name in enumerate(names["outputs"]):
            if name not in given_names:
                found.append((("outputs", index), f"no layer is named {name!r}{did_you_mean(name, given_names)}"))
        refuse(found)
        return {"layers": layers, "blocks": blocks, **names}

    @model_serializer(mode="wrap")
    def _write(self, handler: Any) -> dict[str, Any]:
        return {key: value for key, value in handler(self).items() if value or key == "layers"}


def _parse_blocks(given: Any, found: Found) -> dict[str, BlockSpec]:
    if not isinstance(given, dict):
        found.append((("blocks",), f"must be a mapping of names to blocks, got {short(given)}"))
        return {}
    parameters: dict[str, dict[str, Any]] = {}
    for name, block in given.items():
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
        path: DocumentPath = ("blocks", name, "layers")
        layers = parse_layers(raw["layers"], path, parameters, set(own), found)
        _check_wiring(layers, {INPUT}, path, found)
        blocks[name] = BlockSpec.model_construct(parameters=own, layers=tuple(layers))
    for name in blocks:
        cycle = _cycle(name, blocks, ())
        if cycle:
            found.append((("blocks", name), f"contains itself: {' -> '.join(cycle)}"))
    return blocks


def _cycle(name: str, blocks: dict[str, BlockSpec], above: tuple[str, ...]) -> tuple[str, ...]:
    if name in above:
        return (*above[above.index(name) :], name) if above[0] == name else ()
    inner = [layer.kind for layer in blocks[name].layers if layer.kind in blocks]
    return next((found for kind in inner if (found := _cycle(kind, blocks, (*above, name)))), ())


def _names(given: Any, path: DocumentPath, found: Found) -> tuple[str, ...]:
    if given is None:
        return ()
    if (
        isinstance(given, list | tuple)
        and all(isinstance(name, str) for name in given)
        and len(set(given)) == len(given)
    ):
        return tuple(given)
    found.append((path, f"must be a list of different names, got {short(given)}"))
    return ()


def _check_wiring(layers: list[LayerSpec], inputs: set[str], path: DocumentPath, found: Found) -> set[str]:
    """Names are given once and used after they are given. Returns the names of the layers."""
    given: set[str] = set()
    for index, layer in enumerate(layers):
        for position, name in enumerate(layer.inputs or ()):
            if name not in given | inputs:
                hint = did_you_mean(name, given | inputs) or f"; there are {', '.join(sorted(given | inputs))}"
                found.append(((*path, index, "inputs", position), f"no layer before this one is named {name!r}{hint}"))
        if index == 0 and layer.inputs is None and len(inputs) > 1:
            found.append(
                ((*path, index), f"must say which of the model's inputs it takes: {', '.join(sorted(inputs))}")
            )
        if layer.name is not None:
            if layer.name in given | inputs:
                found.append(((*path, index, "name"), f"{layer.name!r} is taken by another layer or input"))
            given.add(layer.name)
    return given


def as_model_spec(given: ModelSpec | dict[str, Any]) -> ModelSpec:
    """A network from Python, checked.

    Raises:
        SpecError: with every fault that it has.
    """
    if isinstance(given, ModelSpec):
        return given
    try:
        return ModelSpec.model_validate(given)
    except ValidationError as error:
        raise spec_error(error, ModelSpec, Document(given), {}) from None
