"""`kf.describe`: a `keras.Model` becomes the `ModelSpec` that `kf.build` makes an equal network from."""

from __future__ import annotations

import inspect
from functools import cache
from itertools import count
from types import NoneType
from typing import TYPE_CHECKING, Any

from kerasflow.builders.calls import bind, required
from kerasflow.builders.configs import written
from kerasflow.builders.objects import imported
from kerasflow.builders.recorded import Call, Graph, Tensor, graph_of, is_graph, tensors_in
from kerasflow.errors import BuildError, SpecError
from kerasflow.spec import catalogue
from kerasflow.spec.catalogue import Entry
from kerasflow.spec.faults import short
from kerasflow.spec.layers import refusal
from kerasflow.spec.model import ModelSpec, as_model_spec
from kerasflow.spec.wiring import INPUT, MODEL, OP, REUSE

if TYPE_CHECKING:
    import keras


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
    described = _Describer(trainable=model.trainable).model(model, "")
    try:
        return as_model_spec(described)
    except SpecError as error:
        raise BuildError(f"{model.name} holds what a spec cannot say: {error.faults[0]}") from error


class _Describer:
    def __init__(self, *, trainable: bool) -> None:
        self.trainable = trainable  # of the outermost model: where it is frozen, nothing in it trains
        self.homes: dict[int, str] = {}  # of each layer met, the path of the model that it is in

    def model(self, model: Any, path: str) -> dict[str, Any]:
        """One model in the form of a document; `path` ends with a dot where it is not empty."""
        graph = graph_of(model)
        _check_inputs(model, graph, path)
        names = list(graph.inputs)
        taken = {*names, *(call.operation.name for call in graph.calls)}
        steps = []
        for call in graph.calls:
            where = path + call.operation.name
            name, behind = self._step(call, taken, path, where)
            inputs = [names[tensor.index] for tensor in _inputs(call, behind, where)]
            steps.append({**behind, "name": name, "inputs": inputs})
            names.append(name)
        return _tidy(graph.inputs, steps, _outputs(graph, names, path))

    def _step(self, call: Call, taken: set[str], path: str, where: str) -> tuple[str, dict[str, Any]]:
        """A name for the step, and its kind with its arguments."""
        import keras

        operation = call.operation
        if call.n_outputs != 1:
            raise BuildError(f"{where}: gives {call.n_outputs} outputs, and each layer of a spec gives one")
        if not isinstance(operation, keras.Layer):
            return operation.name, {OP: _operation(call, where)}
        if id(operation) in self.homes:
            home = self.homes[id(operation)]
            if home != path:
                other = home.rstrip(".") or "the outermost model"
                raise BuildError(f"{where}: is a layer of {other}, too, and a spec's layer belongs to one model")
            name = next(name for n in count(2) if (name := f"{operation.name}_{n}") not in taken)
            taken.add(name)
            return name, {REUSE: {"layer": operation.name}}
        self.homes[id(operation)] = path
        if isinstance(operation, keras.Model):
            if not is_graph(operation):
                raise BuildError(f"{where}: {_subclassed(operation)}")
            return operation.name, {MODEL: self.model(operation, f"{where}.")}
        return operation.name, _layer(operation, where, self.trainable)


def _check_inputs(model: Any, graph: Graph, path: str) -> None:
    for name, tensor in zip(graph.inputs, getattr(model, "inputs", ()), strict=False):
        if tensor.dtype == "string":
            raise BuildError(f"{path}{name}: takes text, and a model here takes numbers")
        if tensor.sparse:
            raise BuildError(f"{path}{name}: takes sparse tensors, and a model here takes dense ones")


def _subclassed(model: Any) -> str:
    return f"{type(model).__name__} has a `call` of its own, which is code, and a spec holds none"


def _layer(layer: Any, where: str, trainable: bool) -> dict[str, Any]:
    """A layer of Keras' own by its name in the catalogue, with the arguments that differ from its defaults."""
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
    return {entry.name: written(entry, config, where)}


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
    for key, value in plain.items():
        if type(value) not in (bool, int, float, str, NoneType):  # an array would bring a dtype of its own along
            raise BuildError(f"{where}: {key} is {short(value)}, and beside tensors a spec says only numbers and words")
    return {entry.name: written(entry, config | plain, where)}


def _inputs(call: Call, behind: dict[str, Any], where: str) -> list[Tensor]:
    """The tensors that a call takes, in the order in which `kf.build` makes the same call of them."""
    given = {name: tensors for name, value in call.arguments.items() if (tensors := tensors_in(value))}
    if OP in behind:
        _check_operands(given, behind[OP], where)
    else:
        _check_call(call, given, where)
    return [tensor for tensors in given.values() for tensor in tensors]


def _check_operands(given: dict[str, list[Tensor]], operation: dict[str, Any], where: str) -> None:
    ((name, arguments),) = operation.items()
    entry = catalogue.find("ops", name)
    assert entry is not None, name
    try:
        bound = bind(imported(entry), arguments, [tensor for tensors in given.values() for tensor in tensors])
    except TypeError:
        bound = None
    if bound is None or {key: found for key, value in bound.arguments.items() if (found := tensors_in(value))} != given:
        raise BuildError(f"{where}: {name} takes {', '.join(given)} in a way that a spec cannot say")


def _check_call(call: Call, given: dict[str, list[Tensor]], where: str) -> None:
    """Refuses what a spec cannot say of a call; `training: False` is Keras' default where nothing trains."""
    parameters = inspect.signature(call.operation.call).parameters
    needed = required(call.operation.call)
    told = needed if len(needed) == 1 else list(parameters)[: max(len(given), len(needed))]
    for name, value in call.arguments.items():
        default = parameters[name].default if name in parameters else None
        usual = value is None or (name == "training" and value is False) or (value is default)
        if name in given and name not in told:
            raise BuildError(f"{where}: is called with a tensor as {name}, which a spec cannot say")
        if name not in given and not usual:
            raise BuildError(f"{where}: is called with {name}={short(value)}, which a spec cannot say")
    if isinstance(call.arguments[needed[0]], dict) and not isinstance(call.operation.input, dict):
        raise BuildError(f"{where}: is called with tensors by name, which a spec cannot say; call it with a list")


def _outputs(graph: Graph, names: list[str], path: str) -> list[str]:
    """Names of the steps whose outputs the model gives; none where that is the last one's alone."""
    for index in graph.outputs:
        if index < len(graph.inputs):
            raise BuildError(f"{path}{names[index]}: is an input and an output, and a spec's outputs are layers'")
        if graph.outputs.count(index) > 1:
            raise BuildError(f"{path}{names[index]}: is an output twice, and a spec's outputs are different layers'")
    return [] if graph.outputs == (len(names) - 1,) else [names[index] for index in graph.outputs]


def _tidy(inputs: tuple[str, ...], steps: list[dict[str, Any]], outputs: list[str]) -> dict[str, Any]:
    """The document without what it says of itself: inputs that are the step before, names that are the kind's."""
    before = inputs[0] if len(inputs) == 1 else None
    for step in steps:
        if step["inputs"] == [before]:
            del step["inputs"]
        before = step["name"]
    named = {name for step in steps for name in step.get("inputs", ())} | set(outputs)
    named |= {step[REUSE]["layer"] for step in steps if REUSE in step}
    for step in steps:
        if step["name"] not in named and (REUSE in step or step["name"] == next(iter(step))):
            del step["name"]
    document: dict[str, Any] = {"layers": steps}
    if inputs != (INPUT,):
        document["inputs"] = list(inputs)
    return document | ({"outputs": outputs} if outputs else {})
