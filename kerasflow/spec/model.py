"""Which network: layers in a row or a graph, with blocks that repeat."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ValidationError, model_serializer, model_validator

from kerasflow.errors import did_you_mean
from kerasflow.spec.base import Listed, Part
from kerasflow.spec.blocks import BlockSpec, check_filled, parse_blocks
from kerasflow.spec.document import Document, DocumentPath
from kerasflow.spec.faults import Found, refuse, short, spec_error
from kerasflow.spec.layers import INPUT, LayerSpec, check_wiring, parse_layers


class ModelSpec(Part):
    """A network, without the sizes that its data decides.

    Attributes:
        layers: each takes the output of the one before it, unless it names its `inputs`.
        blocks: groups of layers by name, used like layers.
        inputs: names of the inputs where there are several; one, called `input`, if empty.
        outputs: names of the layers whose outputs the model gives; the last layer's if empty.
    """

    layers: Annotated[tuple[LayerSpec, ...], Listed]
    blocks: dict[str, BlockSpec] = {}
    inputs: Annotated[tuple[str, ...], Listed] = ()
    outputs: Annotated[tuple[str, ...], Listed] = ()

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
        blocks = parse_blocks(given.get("blocks") or {}, found)
        names = {key: _names(given.get(key), (key,), found) for key in ("inputs", "outputs")}
        known = {name: block.parameters for name, block in blocks.items()}
        layers = (
            parse_layers(given["layers"], ("layers",), known, set(), found) if given.get("layers") is not None else []
        )
        given_names = check_wiring(layers, set(names["inputs"]) or {INPUT}, ("layers",), found)
        for index, name in enumerate(names["outputs"]):
            if name not in given_names:
                found.append((("outputs", index), f"no layer is named {short(name)}{did_you_mean(name, given_names)}"))
        if not found:
            check_filled(layers, blocks, found)
        refuse(found)
        return {"layers": tuple(layers), "blocks": blocks, **names}

    @model_serializer(mode="wrap")
    def _write(self, handler: Any) -> dict[str, Any]:
        return {key: value for key, value in handler(self).items() if value or key == "layers"}


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
