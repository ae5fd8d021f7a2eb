"""`kf.describe`: a `keras.Model` becomes the `ModelSpec` that `kf.build` makes an equal network from."""

from __future__ import annotations

import inspect
from functools import cache
from itertools import count
from typing import TYPE_CHECKING, Any

from kerasflow.builders.calls import of_layer, of_operation, required
from kerasflow.builders.configs import constant, written
from kerasflow.builders.objects import imported
from kerasflow.builders.recorded import Call, Graph, Tensor, graph_of, is_graph, tensors_in
from kerasflow.errors import BuildError, SpecError
from kerasflow.spec import catalogue
from kerasflow.spec.catalogue import Entry
from kerasflow.spec.document import dotted
from kerasflow.spec.faults import short
from kerasflow.spec.layers import refusal
from kerasflow.spec.model import ModelSpec, as_model_spec
from kerasflow.spec.wiring import INPUT, MODEL, OP, REUSE, references, split_reference

if TYPE_CHECKING:
    import keras

Path = tuple[str, ...]
"""Names from the outermost model inwards."""


def describe(model: keras.Model) -> ModelSpec:
    """Writes down any Functional or Sequential model, models in it and shared layers included.

    `kf.build(kf.describe(model), model.input_shape[1:])` has the model's layers by the same names and its weights in
    the same order, so that `set_weights(model.get_weights())` gives the same outputs, bit for bit. Arguments that
    are Keras' own defaults are left out. A `Normalization` that learned its statistics by `adapt` takes them over by
    `set_weights` once its `finalize_state()` is called, in every Keras model.

    Args:
        model: built or not; its weights are not read.

    Returns:
        The layers, without the sizes of the inputs and without weights.

    Raises:
        BuildError: the model holds what a spec cannot say, such as code; the message names it by its path, the names
            of models and layers from the outside in, with dots between.
    """
    import keras

    if not isinstance(model, keras.Model):
        raise BuildError(f"describe takes a keras.Model, got {short(model)}")
    if not is_graph(model):
        raise BuildError(f"{model.name}: {_subclassed(model)}")
    try:
        return as_model_spec(_described(model, (), trainable=model.trainable))
    except SpecError as error:
        raise BuildError(f"{model.name} holds what a spec cannot say: {error.faults[0]}") from error


def _described(model: Any, path: Path, *, trainable: bool) -> dict[str, Any]:
    """A model whose layers are in no other, in the form of a document; `path` leads to it."""
    describer = _Describer(trainable=trainable)
    document = describer.model(model, path)
    _tidy(document, path, describer.shared)
    return document


class _Describer:
    def __init__(self, *, trainable: bool) -> None:
        self.trainable = trainable  # of the outermost model: where it is frozen, nothing in it trains
        self.homes: dict[int, Path] = {}  # of each layer met, the names on the way to it
        self.shared: set[Path] = set()  # the way to each layer that another model uses, too
        self.held: dict[int, str] = {}  # of each layer within another, such as TimeDistributed, the path of that one

    def model(self, model: Any, path: Path) -> dict[str, Any]:
        """One model in the form of a document; `path` holds the names of the models on the way to it."""
        graph = graph_of(model)
        _check_inputs(model, graph, path)
        gives = [(name, 1) for name in graph.inputs]  # names of what gives tensors, and how many
        taken = {*graph.inputs, *(call.operation.name for call in graph.calls)}
        before = graph.inputs[0] if len(graph.inputs) == 1 else None
        steps = []
        for call in graph.calls:
            where = dotted((*path, call.operation.name))
            name, behind = self._step(call, taken, path, where)
            inputs = _Taken(call, behind, gives, where).inputs(before)
            steps.append({**behind, "name": name, **({} if inputs == [before] else {"inputs": inputs})})
            gives.append((name, call.n_outputs))
            before = name
        document: dict[str, Any] = {"layers": steps}
        if graph.inputs != (INPUT,):
            document["inputs"] = list(graph.inputs)
        outputs = _outputs(graph, gives)
        return document | ({"outputs": outputs} if outputs else {})

    def _step(self, call: Call, taken: set[str], path: Path, where: str) -> tuple[str, dict[str, Any]]:
        """A name for the step, and its kind with its arguments."""
        import keras

        operation = call.operation
        if not isinstance(operation, keras.Layer):
            return operation.name, {OP: _operation(call, where)}
        if id(operation) in self.homes:
            home = self.homes[id(operation)]
            name = next(name for n in count(2) if (name := f"{operation.name}_{n}") not in taken)
            taken.add(name)
            if home[:-1] == path:
                return name, {REUSE: {"layer": home[-1]}}
            self.shared |= {home[:n] for n in range(len(home) + 1)}
            return name, {REUSE: {"layer": "/" + "/".join(home)}}
        if id(operation) in self.held:
            raise BuildError(
                f"{where}: is the layer inside {self.held[id(operation)]}, too, and a spec cannot name that one"
            )
        self.homes[id(operation)] = (*path, operation.name)
        if isinstance(operation, keras.Model):
            if not is_graph(operation):
                raise BuildError(f"{where}: {_subclassed(operation)}")
            return operation.name, {MODEL: self.model(operation, (*path, operation.name))}
        self._hold(operation, where)
        return operation.name, _layer(operation, (*path, operation.name), self.trainable)

    def _hold(self, layer: Any, where: str) -> None:
        """A layer within another has no path in a spec, so nothing else may use it."""
        for inner in layer._flatten_layers(include_self=False):
            if id(inner) in self.homes or id(inner) in self.held:
                other = self.held.get(id(inner)) or dotted(self.homes[id(inner)])
                raise BuildError(
                    f"{where}: the layer inside it, {inner.name}, is {other}, too, and a spec cannot name it"
                )
            self.held[id(inner)] = where


def _check_inputs(model: Any, graph: Graph, path: Path) -> None:
    for name, tensor in zip(graph.inputs, getattr(model, "inputs", ()), strict=False):
        if tensor.dtype == "string":
            raise BuildError(f"{dotted((*path, name))}: takes text, and a model here takes numbers")
        if tensor.sparse:
            raise BuildError(f"{dotted((*path, name))}: takes sparse tensors, and a model here takes dense ones")


def _subclassed(model: Any) -> str:
    return f"{type(model).__name__} has a `call` of its own, which is code, and a spec holds none"


def _layer(layer: Any, path: Path, trainable: bool) -> dict[str, Any]:
    """A layer of Keras' own by its name in the catalogue, with the arguments that differ from its defaults."""
    import keras

    where = dotted(path)
    keras_name = type(layer).__name__
    entry = _by_class().get(type(layer))
    if entry is None:
        raise BuildError(f"{where}: {keras_name} is no layer of Keras' own, and a spec names only those")
    reason = refusal(entry.name)
    if reason:
        raise BuildError(f"{where}: {keras_name} {reason}")
    config = layer.get_config()
    del config["name"]
    if "trainable" in config:
        config["trainable"] = layer.trainable and trainable
    inner = getattr(layer, "layer", None)
    if not isinstance(inner, keras.Model):
        return {entry.name: written(entry, config, where)}
    if not is_graph(inner):
        raise BuildError(f"{where}.{inner.name}: {_subclassed(inner)}")
    del config["layer"]
    model = {"name": inner.name, **_described(inner, (*path, inner.name), trainable=trainable)}
    return {entry.name: {"layer": {MODEL: model}, **written(entry, config, where)}}


@cache
def _by_class() -> dict[type, Entry]:
    return {imported(entry): entry for entry in catalogue.entries("layers").values()}


def _operation(call: Call, where: str) -> dict[str, Any]:
    """A function of keras.ops, with the arguments that are no tensors."""
    operation = call.operation
    keras_name = type(operation).__name__
    entry = catalogue.find("ops", keras_name)
    if entry is None or not type(operation).__module__.startswith("keras.src.ops."):
        raise BuildError(f"{where}: {keras_name} is no function of keras.ops, and a spec names only those")
    config = {key: value for key, value in operation.get_config().items() if key != "name"}
    plain = {key: value for key, value in call.arguments.items() if not tensors_in(value)}
    said = {key: constant(key, value, where) for key, value in plain.items()}
    return {entry.name: written(entry, config | said, where)}


class _Taken:
    """What a call takes, in the shortest form of which `kf.build` makes the same call.

    Attributes:
        told: by argument, as a spec says it, without the arguments that stand with an operation's name.
    """

    def __init__(self, call: Call, behind: dict[str, Any], gives: list[tuple[str, int]], where: str) -> None:
        self.gives, self.where, self.named = gives, where, dict[str, Any]()
        parameters = inspect.signature(call.operation.call).parameters
        given = {  # Keras itself hands some defaults over, such as `training`
            name: value
            for name, value in call.arguments.items()
            if value is not None and not (name in parameters and value is parameters[name].default)
        }
        if OP in behind:
            ((operation, self.named),) = behind[OP].items()
            entry = catalogue.find("ops", operation)
            assert entry is not None, operation
            self.function, self.rule = imported(entry), of_operation
            given = {name: value for name, value in given.items() if tensors_in(value)}
        else:
            self.function, self.rule = call.operation.call, of_layer
            given = {name: _in_order(call.operation, value) for name, value in given.items()}
        self.told = {name: self._said(name, value) for name, value in given.items()}

    def inputs(self, before: str | None) -> list[str] | dict[str, Any]:
        """A list, or a mapping where a list would say something else; without what is the output `before` alone."""
        names = [text for _, text in references(self.told)]
        needed = required(self.function)
        rest = {name: value for name, value in self.told.items() if name not in needed}
        if self._means(names, {}):
            return names
        if before is not None and rest and self._means([before], rest):
            return rest
        return self.told

    def _means(self, inputs: list[str], named: dict[str, Any]) -> bool:
        try:
            arguments = self.rule(self.function, list(inputs), {**self.named, **named})
        except TypeError:
            return False
        listed = {name: list(value) if isinstance(value, tuple) else value for name, value in arguments.items()}
        return listed == {**self.named, **self.told}

    def _said(self, name: str, value: Any) -> Any:
        if isinstance(value, Tensor):
            return _reference(self.gives, value)
        if isinstance(value, list | tuple):
            return [self._said(name, item) for item in value]
        return constant(name, value, self.where)


def _in_order(model: Any, value: Any) -> Any:
    """What a model is given by the names of its inputs, as a list in their order."""
    if not isinstance(value, dict):
        return value
    if isinstance(model._inputs_struct, dict):
        return tensors_in({name: value[name] for name in model._inputs_struct})
    return [value[tensor._keras_history.operation.name] for tensor in model.inputs]


def _reference(gives: list[tuple[str, int]], tensor: Tensor) -> str:
    name, n_outputs = gives[tensor.index]
    return name if n_outputs == 1 else f"{name}/{tensor.output}"


def _outputs(graph: Graph, gives: list[tuple[str, int]]) -> list[str]:
    """References to what the model gives; none where that is all that its last step gives."""
    last = len(gives) - 1
    if graph.outputs == tuple(Tensor(last, number) for number in range(gives[last][1])):
        return []
    return [_reference(gives, tensor) for tensor in graph.outputs]


def _tidy(document: dict[str, Any], path: Path, shared: set[Path]) -> None:
    """Takes away the names that are the kind's and that nothing refers to, in models within it, too."""
    steps = document["layers"]
    texts = references([document.get("outputs"), *(step.get("inputs") for step in steps)])
    referred = {split_reference(text)[0] for _, text in texts}
    referred |= {step[REUSE]["layer"] for step in steps if REUSE in step}
    for step in steps:
        here = (*path, step["name"])
        if MODEL in step:
            _tidy(step[MODEL], here, shared)
        if step["name"] not in referred and here not in shared and (REUSE in step or step["name"] == next(iter(step))):
            del step["name"]
