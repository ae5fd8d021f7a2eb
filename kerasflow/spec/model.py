"""Which network: layers in a row or a graph, with blocks that repeat."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    ValidationError,
    ValidationInfo,
    model_serializer,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from kerasflow.errors import Fault, SpecError, did_you_mean
from kerasflow.spec.base import Listed, Part
from kerasflow.spec.blocks import BlockSpec, check_filled, parse_blocks
from kerasflow.spec.document import Document, DocumentPath, open_document, split_path
from kerasflow.spec.faults import Found, refuse, short, spec_error
from kerasflow.spec.layers import LayerSpec, parse_graph, parse_layers
from kerasflow.spec.overriding import override
from kerasflow.spec.paths import FilePath
from kerasflow.spec.wiring import HEAD, check_shared

Size = Annotated[int, Field(ge=1)]


class BackboneSpec(Part):
    """A network as the beginning of another: one of the zoo, which takes images as they lie on a disk, 0 to 255; or any
    that is saved, which takes what it was trained on.

    Attributes:
        name: as `kerasflow zoo` lists it.
        model: a path to `.keras`, instead of a name; its own weights are kept.
        weights: `imagenet`, `none` for random ones, or a path to `.weights.h5`, `.keras`, `.pth` or `.safetensors`.
        layer: the last one that is kept, `backbone/block3/out` of one within; or several, of which each is pooled and
            all make one vector. All but the classifier if None, of a saved model all but its last layer.
        size: images are resized to this height and width, bilinearly; as they are if None.
        pooling: of its last feature map over height and width: `avg`, `max` or `none`.
        aux_heads: whether GoogLeNet's auxiliary classifiers learn beside the head, in training alone, with the weights
            that its card says; for `weights: none`.
    """

    first: ClassVar[str] = "name"
    name: Annotated[str, Field(min_length=1)] | None = None
    model: FilePath | None = None
    weights: Literal["imagenet", "none"] | FilePath = "imagenet"
    layer: str | list[str] | None = None
    size: Size | None = None
    pooling: Literal["avg", "max", "none"] = "avg"
    aux_heads: bool = False

    @model_validator(mode="before")
    @classmethod
    def _named(cls, given: Any) -> Any:
        return {"name": given} if isinstance(given, str) else given

    @model_validator(mode="after")
    def _one_network(self) -> BackboneSpec:
        if (self.name is None) == (self.model is None):
            raise ValueError("needs either name, of a network of the zoo, or model, a path to .keras")
        if self.model is not None and ("weights" in self.model_fields_set or self.size is not None):
            raise ValueError("a saved model has its own weights and input size; leave weights and size out")
        if self.aux_heads and (self.name is None or self.weights != "none" or self.layer is not None):
            raise ValueError(
                "aux_heads learn with a whole network of the zoo from its first epoch: give its name and "
                "weights: none, and leave layer out"
            )
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = handler.resolve_ref_schema(handler(core_schema))
        mapping = dict(schema)
        schema.clear()
        schema["anyOf"] = [{"type": "string"}, mapping]  # a bare name
        return schema

    @model_serializer(mode="wrap")
    def _write(self, handler: Any) -> dict[str, Any]:
        left_out = ("weights", "size") if self.model is not None else ()
        written = {key: value for key, value in handler(self).items() if key not in left_out and value is not None}
        return {key: value for key, value in written.items() if key != "aux_heads" or value}


class ModelSpec(Part):
    """A network, without the sizes that its data decides.

    Attributes:
        backbone: a network of the zoo that comes first; none if None.
        augmentation: layers before the backbone that change images at random, in training alone.
        layers: each takes the output of the one before it, unless it names its `inputs`.
        blocks: groups of layers by name, used like layers.
        inputs: names of the inputs where there are several; one, called `input`, if empty.
        outputs: names of the layers or inputs that the model gives, `lstm/1` for the second output of a layer with
            several; the last layer's if empty.
        allow_symmetry: whether an experiment may begin with hidden layers whose weights are all equal.
    """

    model_config = ConfigDict(json_schema_extra={"anyOf": [{"required": ["layers"]}, {"required": ["backbone"]}]})

    backbone: BackboneSpec | None = None
    augmentation: Annotated[tuple[LayerSpec, ...], Listed] = ()
    layers: Annotated[tuple[LayerSpec, ...], Listed] = ()
    blocks: dict[str, BlockSpec] = {}
    inputs: Annotated[tuple[str, ...], Listed] = ()
    outputs: Annotated[tuple[str, ...], Listed] = ()
    allow_symmetry: bool = False

    @model_validator(mode="before")
    @classmethod
    def _parse(cls, given: Any, info: ValidationInfo) -> Any:
        if not isinstance(given, dict):
            return given
        found: Found = []
        for key in given:
            if key not in cls.model_fields:
                found.append(((str(key),), f"is not known here{did_you_mean(str(key), cls.model_fields)}"))
        backbone = given.get("backbone")
        if given.get("layers") is None and backbone is not None:
            given = {**given, "layers": [HEAD]}
        augmentation: list[LayerSpec] = []
        if given.get("augmentation"):
            augmentation = parse_layers(given["augmentation"], ("augmentation",), {}, set(), found)
            if backbone is None:
                found.append((("augmentation",), "belongs before a backbone; write it as the first of the layers"))
        blocks = parse_blocks(given.get("blocks") or {}, found)
        known = {name: block.parameters for name, block in blocks.items()}
        graph = parse_graph(given, (), known, set(), found)
        if not found:
            check_filled(graph["layers"], blocks, found)
            if not (info.context or {}).get("within"):
                check_shared([layer.model_dump() for layer in graph["layers"]], found)
        refuse(found)
        own = {"backbone": backbone, "augmentation": tuple(augmentation), "blocks": blocks}
        return {**own, **graph, "allow_symmetry": given.get("allow_symmetry", False)}

    @model_serializer(mode="wrap")
    def _write(self, handler: Any) -> dict[str, Any]:
        return {key: value for key, value in handler(self).items() if value or key == "layers"}

    def without_head(self) -> ModelSpec:
        """The same up to its head, whose inputs are what the network gives then."""
        return self.model_copy(update={"layers": tuple(layer for layer in self.layers if layer.kind != HEAD)})


def as_model_spec(given: ModelSpec | dict[str, Any]) -> ModelSpec:
    """A network from Python, checked.

    Raises:
        SpecError: with every fault that it has.
    """
    return load_model_spec(given)


def model_within(given: dict[str, Any]) -> ModelSpec:
    """A model in the model, whose reused layers may be those of another."""
    return _validated(Document(given), {}, within=True)


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


def _validated(document: Document, changes: Mapping[DocumentPath, Any], *, within: bool = False) -> ModelSpec:
    if not isinstance(document.value, dict):
        raise SpecError([Fault("", f"must be a mapping with layers, got {short(document.value)}", document.file)])
    try:
        return ModelSpec.model_validate(document.value, context={"folder": document.folder, "within": within})
    except ValidationError as error:
        raise spec_error(error, ModelSpec, document, changes) from None
