"""Which network: layers in a row or a graph, with blocks that repeat."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import ValidationError, model_serializer, model_validator

from kerasflow.errors import Fault, SpecError, did_you_mean
from kerasflow.spec.base import Listed, Part
from kerasflow.spec.blocks import BlockSpec, check_filled, parse_blocks
from kerasflow.spec.document import Document, DocumentPath, open_document, split_path
from kerasflow.spec.faults import Found, refuse, short, spec_error
from kerasflow.spec.layers import LayerSpec, parse_graph
from kerasflow.spec.overriding import override


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
        blocks = parse_blocks(given.get("blocks") or {}, found)
        known = {name: block.parameters for name, block in blocks.items()}
        graph = parse_graph(given, (), known, set(), found)
        if not found:
            check_filled(graph["layers"], blocks, found)
        refuse(found)
        return {"blocks": blocks, **graph}

    @model_serializer(mode="wrap")
    def _write(self, handler: Any) -> dict[str, Any]:
        return {key: value for key, value in handler(self).items() if value or key == "layers"}


def as_model_spec(given: ModelSpec | dict[str, Any]) -> ModelSpec:
    """A network from Python, checked.

    Raises:
        SpecError: with every fault that it has.
    """
    return load_model_spec(given)


def load_model_spec(
    source: str | Path | Mapping[str, Any] | ModelSpec, overrides: Mapping[str, Any] | None = None
) -> ModelSpec:
    """Reads a network and checks it.

    Args:
        source: a path to YAML or JSON, such text itself, or the same as a dict; of a whole experiment, its model.
        overrides: values by dotted path, e.g. `{"layers.0.dense.units": 64}`.

    Raises:
        SpecError: with every fault that it has.
    """
    if isinstance(source, ModelSpec):
        spec, document = source, Document(source)
    else:
        document = open_document(source)
        if (
            isinstance(document.value, dict)
            and "layers" not in document.value
            and isinstance(document.value.get("model"), dict)
        ):
            lines = {path[1:]: line for path, line in document.lines.items() if path[:1] == ("model",)}
            document = Document(document.value["model"], document.file, document.folder, lines)
        spec = _validated(document, {})
    if not overrides:
        return spec
    value = spec.model_dump(mode="json")
    changes = {split_path(text): new for text, new in overrides.items()}
    override(value, changes)
    return _validated(Document(value, document.file, document.folder, document.lines), changes)


def _validated(document: Document, changes: Mapping[DocumentPath, Any]) -> ModelSpec:
    if not isinstance(document.value, dict):
        raise SpecError([Fault("", f"must be a mapping with layers, got {short(document.value)}", document.file)])
    try:
        return ModelSpec.model_validate(document.value)
    except ValidationError as error:
        raise spec_error(error, ModelSpec, document, changes) from None
