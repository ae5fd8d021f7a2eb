"""One layer of a model as a spec writes it, and the checks that need no Keras.

- conv2d: {filters: 32, kernel_size: 3}
- max_pooling2d
- dropout: 0.3
- add:                          # the colon: other keys follow
  name: sum
  inputs: [left, right]
- dense: 3                      # one of several outputs, counted from 0
  inputs: [lstm/1]
- lstm: 8                       # more that its call takes, by name: layers, numbers, true or false
  inputs: {initial_state: [hidden, cell], mask: known}
- residual: {filters: 64}       # a block of the same model
  repeat: 3
- reuse: left                  # the same layer with the same weights on another input
  inputs: [right]
- reuse: /encoder/dense         # a layer of another model, by its path from the outermost one
- op: {multiply: {x2: 0.5}}     # a function of keras.ops; inputs are the arguments that it does not name
- op: {multiply: {x2: {float32: [0.5, 2]}}}     # an array of a dtype
- op: {get_item: {key: "[:, 1:]"}}              # a slice
- model: {layers: [...]}        # a model in the model, with names of its own
  name: encoder
- head
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import GetJsonSchemaHandler, model_serializer, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from kerasflow.errors import did_you_mean
from kerasflow.spec import catalogue
from kerasflow.spec.arguments import check_call, kind_of, whole
from kerasflow.spec.base import Listed, Part
from kerasflow.spec.document import DocumentPath, clip
from kerasflow.spec.faults import Found, short
from kerasflow.spec.literals import DTYPES, check_arrays, is_array
from kerasflow.spec.named import call_schema
from kerasflow.spec.wiring import HEAD, INPUT, MODEL, OP, OWN, REUSE, check_wiring, parse_names

# The head is a dense layer whose units and activation follow from the task.
_TAKEN_BY_TASK = ("units", "activation")
BESIDE = ("name", "inputs", "repeat")
_CODE = "holds code, which a spec cannot; build such a model in Python"
_CELL = "is a cell; write the layer that runs it, as in rnn: {cell: {gru_cell: 32}}"
_TEXT = "takes text, and a model here takes numbers; a table's text columns become numbers when it is read"
_REFUSED = {
    **dict.fromkeys(("lambda", "flax_layer", "jax_layer", "tfsm_layer", "torch_module_wrapper"), _CODE),
    **dict.fromkeys(("gru_cell", "lstm_cell", "simple_rnn_cell", "stacked_rnn_cells"), _CELL),
    **dict.fromkeys(("string_lookup", "text_vectorization"), _TEXT),
    "hashed_crossing": "takes integers or text, and a model here takes floating-point numbers",
    "equalization": "cannot stand in a functional Keras model, which finds its output to be its input",
    "max_num_bounding_boxes": "takes bounding boxes, and a model here takes arrays of numbers",
    "input_layer": "is made from the data's shape; leave it out, or name several under model.inputs",
}


class LayerSpec(Part):
    """A layer, a block, or one of the kinds of its own: `head`, `model`, `reuse`, `op`.

    Attributes:
        kind: the layer's name in the catalogue, a block's name, or a kind of its own.
        arguments: its constructor's, the block's parameters, or what the kind of its own takes.
        name: how `inputs` and `outputs` elsewhere refer to it, and the Keras layer's name; made from the kind if None.
        inputs: names of what it takes, in a list or by the arguments of its call; the layer before it if None, and for
            arguments that must be given and are not named.
        repeat: how often a block or layer stands in a row; a number, or a block's parameter such as `$depth`.
    """

    kind: str
    arguments: dict[str, Any] = {}
    name: str | None = None
    inputs: Annotated[tuple[str, ...], Listed] | dict[str, Any] | None = None
    repeat: int | str = 1

    @model_validator(mode="before")
    @classmethod
    def _parse(cls, given: Any) -> Any:
        return given if not isinstance(given, str) else {"kind": given}

    @model_serializer
    def _write(self) -> dict[str, Any]:
        inputs = dict(self.inputs) if isinstance(self.inputs, dict) else list(self.inputs or ())
        beside = {"name": self.name, "inputs": inputs or None, "repeat": self.repeat}
        return {self.kind: dict(self.arguments)} | {
            k: v for k, v in beside.items() if v is not None and (k, v) != ("repeat", 1)
        }

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        layers = {"type": "array", "minItems": 1}
        names = {"type": "array", "items": {"type": "string"}}
        model = {"properties": {"layers": layers, "inputs": names, "outputs": names}, "required": ["layers"]}
        operations = {"enum": sorted(catalogue.entries("ops"))}
        beside = {
            "name": {"type": "string"},
            "inputs": {"anyOf": [names, {"type": "object", "minProperties": 1}]},
            "repeat": {"type": ["integer", "string"]},
            MODEL: {"type": "object", **model, "additionalProperties": False},
            REUSE: {"type": ["string", "object"]},
            OP: {"anyOf": [operations, {"type": "object", "propertyNames": operations, "maxProperties": 1}]},
        }
        return call_schema("layers", (HEAD,), beside)


def parse_layers(
    given: Any, path: DocumentPath, parameters: dict[str, dict[str, Any]], own: set[str] | None, found: Found
) -> list[LayerSpec]:
    """A list of layers from a document; what is wrong goes to `found`, all of it.

    Args:
        given: the list as written, or LayerSpecs.
        path: where it stands.
        parameters: of each block of the model, by the block's name.
        own: names of the parameters that `$name` may refer to here; None where that is checked further out.
    """
    if not isinstance(given, list | tuple) or not given:
        hint = "; begin each layer with '-'" if isinstance(given, dict) else ""
        found.append((path, f"must be a list with at least one layer, got {short(given)}{hint}"))
        return []
    layers: list[LayerSpec] = []
    for index, item in enumerate(given):
        here = (*path, index)
        layer = _parse_layer(item, here, parameters, found)
        if layer is not None:
            if own is not None:
                _check_parameters(layer, here, own, found)
            layers.append(layer)
    return layers


def _parse_layer(
    given: Any, here: DocumentPath, parameters: dict[str, dict[str, Any]], found: Found
) -> LayerSpec | None:
    if isinstance(given, LayerSpec):
        given = given.model_dump()
    if isinstance(given, str):
        given = {given: None}
    if not isinstance(given, dict):
        found.append((here, f"must be a layer's name, or a name with its arguments, got {short(given)}"))
        return None
    if "kind" in given and set(given) <= {"kind", "arguments", *BESIDE}:
        given = {given["kind"]: given.get("arguments")} | {
            key: given[key] for key in BESIDE if given.get(key) is not None
        }
    kinds = [str(key) for key in given if key not in BESIDE]
    if len(kinds) != 1:
        count = f"{len(kinds)} names ({clip(', '.join(kinds), 80)}); begin each layer with '-'" if kinds else "none"
        found.append((here, f"must hold one layer's name, got {count}"))
        return None
    kind, arguments = check_kind(kinds[0], given[kinds[0]], here, parameters, found)
    if "name" in arguments and kind not in parameters:  # Keras' own place for it
        given = {"name": arguments.pop("name"), **given}
    beside = _check_beside(given, here, found)
    return LayerSpec.model_construct(kind=kind, arguments=arguments, **beside)


def check_kind(
    kind: str, behind: Any, here: DocumentPath, parameters: dict[str, dict[str, Any]], found: Found
) -> tuple[str, dict[str, Any]]:
    """Checks what stands behind a layer's name, adds what is wrong to `found`, and gives both in canonical form."""
    if kind in parameters:
        return kind, _check_block_call(kind, behind, here, parameters[kind], found)
    if kind in OWN:
        return kind, _OF_OWN[kind](behind, here, found)
    entry = catalogue.find("layers", kind)
    reason = refusal(entry.name if entry else catalogue.snake_case(kind))
    if reason:
        found.append(((*here, kind), reason))
        return kind, {}
    if entry is None:
        hint = did_you_mean(kind, [*parameters, *OWN, *catalogue.names("layers")])
        found.append(((*here, kind), f"is no layer of the installed Keras and no block of this model{hint}"))
        return kind, {}
    canonical, checked = check_call("layers", kind, behind, here, found)
    arguments = dict(checked)
    for key, value in arguments.items():
        if kind_of(key) == "layers" and isinstance(value, dict) and MODEL in value:
            arguments[key] = _check_model_within(canonical, value[MODEL], (*here, kind, key), found)
    return canonical, arguments


def _check_model_within(kind: str, behind: Any, here: DocumentPath, found: Found) -> dict[str, Any]:
    """A model that a layer passes each step of its input through."""
    if kind != "time_distributed":
        found.append(((*here, MODEL), f"{kind} takes a layer, not a model; only time_distributed does"))
        return {}
    name = {}
    if isinstance(behind, dict) and "name" in behind:
        behind = dict(behind)
        name = {"name": behind.pop("name")}
        _check_beside(name, (*here, MODEL), found)
    return {MODEL: name | _check_model(behind, here, found)}


def refusal(name: str) -> str | None:
    """Why no spec can hold a layer of Keras', by its name in the catalogue; None if it can."""
    return _REFUSED.get(name)


def _check_head(behind: Any, here: DocumentPath, found: Found) -> dict[str, Any]:
    if behind is not None and not isinstance(behind, dict):
        found.append(
            ((*here, HEAD), f"takes its units and activation from the task; expected nothing here, got {short(behind)}")
        )
        return {}
    arguments = behind or {}
    for name in arguments:
        if name in _TAKEN_BY_TASK:
            found.append(
                ((*here, HEAD, name), "follows from the task; write a dense layer instead of head to choose it")
            )
    known = {name: value for name, value in arguments.items() if name not in _TAKEN_BY_TASK}
    dense_call: dict[str, Any] = {**known, "units": 1}
    _, checked = check_call("layers", "dense", dense_call, here, below := Found())
    found.extend((tuple(HEAD if part == "dense" else part for part in path), message) for path, message in below)
    checked.pop("units", None)
    return checked


def _check_block_call(
    kind: str, behind: Any, here: DocumentPath, known: dict[str, Any], found: Found
) -> dict[str, Any]:
    if behind is not None and not isinstance(behind, dict):
        if not known:
            found.append(((*here, kind), f"takes no parameters, got {short(behind)}"))
            return {}
        behind = {next(iter(known)): behind}
    given: dict[str, Any] = dict(behind or {})
    for name in given:
        if name not in known:
            hint = did_you_mean(name, known) or f"; it takes {', '.join(known) or 'none'}"
            found.append(((*here, kind, name), f"is no parameter of block {kind}{hint}"))
    for name, default in known.items():
        if default is None and given.get(name) is None:
            found.append(((*here, kind), f"needs {name}"))
    return given


def _check_beside(given: dict[str, Any], here: DocumentPath, found: Found) -> dict[str, Any]:
    beside = {key: given[key] for key in BESIDE if given.get(key) is not None}
    name, inputs, repeat = (beside.get(key) for key in BESIDE)
    if name is not None and (not isinstance(name, str) or not name or "/" in name or name == INPUT):
        found.append(((*here, "name"), f"must be a word without '/', other than '{INPUT}', got {short(name)}"))
        del beside["name"]
    if isinstance(inputs, str):
        inputs = [inputs]
    if inputs is not None:
        if isinstance(inputs, list | tuple) and inputs and all(isinstance(item, str) for item in inputs):
            beside["inputs"] = tuple(inputs)
        elif isinstance(inputs, dict) and inputs and all(isinstance(key, str) for key in inputs):
            check_arrays(inputs, (*here, "inputs"), found)
        else:
            expected = "must be a list of layers' names, or a mapping of the call's arguments to them"
            found.append(((*here, "inputs"), f"{expected}, got {short(inputs)}"))
            del beside["inputs"]
    parameter = isinstance(repeat, str) and repeat.startswith("$")
    if repeat is not None and not parameter and not whole(repeat):
        found.append(((*here, "repeat"), f"must be an integer >= 1, got {short(repeat)}"))
        del beside["repeat"]
    return beside


def _check_parameters(layer: LayerSpec, here: DocumentPath, own: set[str], found: Found) -> None:
    """Every `$name` must be a parameter of the block that it stands in."""

    def walk(value: Any, at: DocumentPath) -> None:
        if isinstance(value, str) and value.startswith("$") and value[1:] not in own:
            where = f"; the block has {', '.join(sorted(own))}" if own else "; only a block has parameters"
            found.append((at, f"names {short(value)}, which is no parameter{did_you_mean(value[1:], own) or where}"))
        elif isinstance(value, dict):
            for key, item in value.items():
                walk(item, (*at, key))
        elif isinstance(value, list | tuple):
            for index, item in enumerate(value):
                walk(item, (*at, index))

    walk(layer.arguments, (*here, layer.kind))
    walk(layer.repeat, (*here, "repeat"))


def _check_op(behind: Any, here: DocumentPath, found: Found) -> dict[str, Any]:
    """An operation with the arguments that no input stands for, e.g. `{multiply: {x2: 0.5}}`."""
    if isinstance(behind, str):
        behind = {behind: None}
    if not isinstance(behind, dict) or len(behind) != 1:
        found.append(((*here, OP), f"must be one operation of keras.ops by name, got {short(behind)}"))
        return {}
    ((name, arguments),) = behind.items()
    if arguments is not None and not isinstance(arguments, dict):
        found.append(((*here, OP, name), f"takes its arguments by name, got {short(arguments)}"))
        return {}
    canonical, checked = check_call("ops", str(name), arguments, (*here, OP), found)
    for key, value in checked.items():
        if isinstance(value, dict) and not is_array(value):
            hint = did_you_mean(str(next(iter(value), "")), DTYPES)
            said = f"must be a number, a word or an array such as {{float32: [0.5, 2]}}, got {short(value)}{hint}"
            found.append(((*here, OP, name, key), said))
    check_arrays(checked, (*here, OP, name), found)
    return {canonical: checked}


def _check_reuse(behind: Any, here: DocumentPath, found: Found) -> dict[str, Any]:
    if isinstance(behind, str):
        behind = {"layer": behind}
    if not isinstance(behind, dict) or set(behind) != {"layer"} or not isinstance(behind["layer"], str):
        found.append(((*here, REUSE), f"must be the name of a layer before this one, got {short(behind)}"))
        return {}
    return behind


def _check_model(behind: Any, here: DocumentPath, found: Found) -> dict[str, Any]:
    """A model in the model, in the form in which it is written: it holds layers, not blocks."""
    if not isinstance(behind, dict):
        found.append(((*here, MODEL), f"must hold layers, and inputs and outputs if several, got {short(behind)}"))
        return {}
    for key in behind:
        if key not in _OF_A_GRAPH:
            hint = did_you_mean(str(key), _OF_A_GRAPH) or f"; it takes {', '.join(_OF_A_GRAPH)}"
            found.append(((*here, MODEL, str(key)), f"is not known here{hint}"))
    graph = parse_graph(behind, (*here, MODEL), {}, None, found)
    written = {"layers": [layer.model_dump() for layer in graph.pop("layers")]}
    return written | {key: list(names) for key, names in graph.items() if names}


def parse_graph(
    given: dict[str, Any],
    path: DocumentPath,
    parameters: dict[str, dict[str, Any]],
    own: set[str] | None,
    found: Found,
) -> dict[str, Any]:
    """Layers and the names of inputs and outputs: what a model and a model in it share; arguments as `parse_layers`."""
    names = {
        "inputs": parse_names(given.get("inputs"), (*path, "inputs"), found, different=True),
        "outputs": parse_names(given.get("outputs"), (*path, "outputs"), found, different=False),
    }
    layers: list[LayerSpec] = []
    if given.get("layers") is None:
        found.append(((*path, "layers"), "is required"))
    else:
        layers = parse_layers(given["layers"], (*path, "layers"), parameters, own, found)
    check_wiring(layers, names["inputs"] or (INPUT,), names["outputs"], path, found)
    return {"layers": tuple(layers), **names}


_OF_A_GRAPH = ("layers", "inputs", "outputs")
_OF_OWN = {HEAD: _check_head, MODEL: _check_model, REUSE: _check_reuse, OP: _check_op}
