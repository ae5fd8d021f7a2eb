"""`kf.build`: a `ModelSpec` and the sizes that the data decides become a `keras.Model`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from kerasflow.builders.calls import call, literal, operate
from kerasflow.builders.objects import make, seeded
from kerasflow.builders.plan import Plan, Step, plan
from kerasflow.builders.precision import Precision, computing_in, of_weights
from kerasflow.builders.recorded import tensors_in
from kerasflow.errors import BuildError, did_you_mean, sentence
from kerasflow.spec.document import DocumentPath, dotted
from kerasflow.spec.model import ModelSpec, as_model_spec, model_within
from kerasflow.spec.wiring import HEAD, MODEL, OP, REUSE, split_reference

if TYPE_CHECKING:
    import keras

Shape = tuple[int | None, ...]
HeadTask = Literal["classification", "binary", "multiclass", "multilabel", "regression"]

Sizes = dict[str, tuple[Shape, ...]]
"""Of each model in the model that is called with several sizes: its inputs' shapes, open where these differ."""


def build(
    spec: ModelSpec | dict[str, Any],
    input_shape: Shape | Mapping[str, Shape],
    n_outputs: int | Mapping[str, int] | None = None,
    task: HeadTask | Mapping[str, HeadTask] = "classification",
    *,
    seed: int | None = None,
    precision: Precision | None = None,
    where: Callable[[DocumentPath], str] | None = None,
) -> keras.Model:
    """Builds a network with nothing of kerasflow inside: a functional `keras.Model` that saves and loads anywhere.

    Args:
        spec: the layers.
        input_shape: the shape of one sample, without the batch; by input's name for a model with several.
        n_outputs: numbers that each `head` gives: classes, labels or targets (1 for two classes); by the head's name
            if several.
        task: what each `head` is for: `classification` (softmax, or a sigmoid for one output), `multilabel` (a sigmoid
            each) or `regression` (linear); by the head's name if they differ.
        seed: of the initial weights and of every mask; random if None. No global generator is touched.
        precision: what layers compute in (Micikevicius et al. 2018, "Mixed Precision Training"); Keras' global dtype
            policy if None. Weights stay float32, and so do the heads: half precision would spoil softmax and cost.
        where: names the place of a path below the model, for errors; the dotted path if None.

    Raises:
        SpecError: the spec, given as a dict, has faults.
        BuildError: layers do not fit together; the message names the layer and both shapes.
    """
    layout = plan(as_model_spec(spec))
    sizes: Sizes = {}
    while True:
        with seeded(seed), computing_in(precision):
            builder = _Builder(layout, input_shape, n_outputs, task, where or _plain, sizes)
            try:
                model = builder.model()
            except _AnotherSize:
                continue
        builder.check_size(model.outputs)
        return model


def apply(
    spec: ModelSpec,
    tensor: Any,
    n_outputs: int | Mapping[str, int] | None = None,
    task: HeadTask | Mapping[str, HeadTask] = "classification",
    *,
    where: Callable[[DocumentPath], str] | None = None,
) -> list[Any]:
    """A spec's layers on a tensor of a functional model; gives the tensors of its outputs.

    Args:
        spec: of one input, which the tensor is.
        tensor: symbolic.
        n_outputs, task, where: as for `build`.

    Raises:
        BuildError: as `build` does.
    """
    layout = plan(spec)
    sizes: Sizes = {}
    while True:
        builder = _Builder(layout, tuple(tensor.shape[1:]), n_outputs, task, where or _plain, sizes)
        try:
            outputs = builder.outputs([tensor])
        except _AnotherSize:
            continue
        builder.check_size(outputs)
        return outputs


def _plain(path: DocumentPath) -> str:
    return dotted(path)


class _AnotherSize(Exception):
    """A model in the model is reused on inputs of another size; `sizes` now knows, and all is to be built anew."""


class _Builder:
    def __init__(
        self,
        layout: Plan,
        input_shape: Any,
        n_outputs: Any,
        task: Any,
        where: Callable[[DocumentPath], str],
        sizes: Sizes,
        place: str = "/",
        layers: dict[str, Any] | None = None,
    ) -> None:
        self.layout, self.n_outputs, self.task, self.where = layout, n_outputs, task, where
        self.sizes, self.place = sizes, place
        self.shapes = self._input_shapes(input_shape)
        self.layers = {} if layers is None else layers
        self.tensors: dict[str, list[Any]] = {}

    def model(self, name: str | None = None) -> keras.Model:
        import keras

        inputs = [_input(name, self.shapes[name]) for name in self.layout.inputs]
        outputs = self.outputs(inputs)
        return keras.Model(
            inputs if len(inputs) > 1 else inputs[0], outputs if len(outputs) > 1 else outputs[0], name=name
        )

    def outputs(self, inputs: list[Any]) -> list[Any]:
        self.tensors = {name: [tensor] for name, tensor in zip(self.layout.inputs, inputs, strict=True)}
        for step in self.layout.steps:
            self.tensors[step.name] = self._apply(step)
        return [tensor for text in self.layout.outputs for tensor in self._given(text, self.where(("outputs",)))]

    def _given(self, text: str, place: str) -> list[Any]:
        """What a reference stands for: all that a step or an input gives, or one of its outputs."""
        name, number = split_reference(text)
        tensors = self.tensors[name]
        if number is None:
            return tensors
        if number >= len(tensors):
            last = len(tensors) - 1
            there = f"outputs '{name}/0' to '{name}/{last}'" if last else "one output"
            raise BuildError(f"{place}: layer {name!r} gives {there}, got {text!r}")
        return [tensors[number]]

    def _apply(self, step: Step) -> list[Any]:
        """The tensors that a step gives, in order."""
        import keras

        place = self.where(step.path)
        taken = [tensor for text in step.inputs for tensor in self._given(text, place)]
        named = {name: self._value(value, place) for name, value in step.named.items()}
        symbolic = tensors_in(*named.values())
        shown = " and ".join(str(tuple(t.shape[1:])) for t in symbolic or taken)
        called = self._called(step, symbolic if step.kind == MODEL and symbolic else taken)
        try:
            return list(keras.tree.flatten(called(taken, named)))
        except Exception as error:
            message = f"{place}: layer {step.name!r} cannot take an input of shape {shown}: {sentence(error)}"
            raise BuildError(message) from error

    def _value(self, value: Any, place: str) -> Any:
        """An argument of a call: tensors for the references in it, and arrays."""
        if isinstance(value, str):
            tensors = self._given(value, place)
            return tensors if len(tensors) > 1 else tensors[0]
        if isinstance(value, list):
            return [self._value(item, place) for item in value]
        return literal("", value)

    def _called(self, step: Step, taken: list[Any]) -> Callable[[list[Any], dict[str, Any]], Any]:
        """What turns a step's inputs into its output; a layer is kept, for the steps that reuse it."""
        if step.kind == OP:
            ((operation, arguments),) = step.arguments.items()
            return partial(operate, operation, arguments, step.name)
        if step.kind == REUSE:
            home = self._home(step)
            self._see_size(home, taken)
            return partial(call, self.layers[home])
        layer = self._nested(step, taken) if step.kind == MODEL else self._layer(step, taken)
        self.layers[self.place + step.name] = layer
        return partial(call, layer)

    def _home(self, step: Step) -> str:
        """The path from the outermost model of the layer that a step reuses."""
        name = step.arguments["layer"]
        home = name if name.startswith("/") else f"{self.place}{name}"
        if home not in self.layers:
            hint = did_you_mean(home, self.layers)
            raise BuildError(f"{self.where(step.path)}: no layer or model before this one has the path {home!r}{hint}")
        return home

    def _with_models(self, step: Step, taken: list[Any]) -> dict[str, Any]:
        """A layer's arguments; a model among them takes one step in time of what the layer takes."""
        import keras

        arguments = dict(step.arguments)
        for key, value in arguments.items():
            if isinstance(value, dict) and MODEL in value:
                inside = dict(value[MODEL])
                moment = keras.KerasTensor((None, *taken[0].shape[2:]))
                name = inside.pop("name", key)
                one = Step(name, MODEL, inside, (), (*step.path, key, MODEL), {})
                arguments[key] = self._nested(one, [moment])
        return arguments

    def _nested(self, step: Step, taken: list[Any]) -> keras.Model:
        import keras

        layout = plan(model_within(step.arguments))
        if len(layout.inputs) != len(taken):
            raise BuildError(
                f"{self.where(step.path)}: model {step.name!r} takes {len(layout.inputs)} inputs "
                f"({', '.join(layout.inputs)}), got {len(taken)}"
            )
        place = f"{self.place}{step.name}"
        shapes = self.sizes.get(place) or [tuple(tensor.shape[1:]) for tensor in taken]
        inside = _Builder(
            layout,
            dict(zip(layout.inputs, shapes, strict=True)),
            self.n_outputs,
            self.task,
            lambda path: self.where((*step.path, *path)),
            self.sizes,
            f"{place}/",
            self.layers,
        )
        with keras.name_scope(step.name):  # so that no two variables have one path
            return inside.model(step.name)

    def _see_size(self, home: str, taken: list[Any]) -> None:
        """A model in the model is built for one size, which must hold for every use."""
        import keras

        layer = self.layers[home]
        if not isinstance(layer, keras.Model):
            return
        built, now = ([tuple(tensor.shape[1:]) for tensor in tensors] for tensors in (layer.inputs, taken))
        if [len(shape) for shape in built] != [len(shape) for shape in now]:
            return  # which Keras refuses
        pairs = zip(built, now, strict=True)
        common = [tuple(a if a == b else None for a, b in zip(*pair, strict=True)) for pair in pairs]
        if common != built:
            self.sizes[home] = tuple(common)
            raise _AnotherSize

    def _layer(self, step: Step, taken: list[Any]) -> Any:
        try:
            if step.kind == HEAD:
                own = {"dtype": of_weights(), **step.arguments, **self._head(step, taken), "name": step.name}
                return make("layers", "dense", own)
            return make("layers", step.kind, {**self._with_models(step, taken), "name": step.name})
        except BuildError as error:
            raise BuildError(f"{self.where(step.path)}: {error}") from error.__cause__

    def _head(self, step: Step, taken: list[Any]) -> dict[str, Any]:
        n_outputs = self.n_outputs.get(step.name) if isinstance(self.n_outputs, Mapping) else self.n_outputs
        task = self.task.get(step.name, "classification") if isinstance(self.task, Mapping) else self.task
        if n_outputs is None:
            raise BuildError(f"how many outputs {step.name!r} has follows from the data; pass n_outputs")
        shape = tuple(taken[0].shape[1:])
        if len(shape) != 1:
            raise BuildError(
                f"the head takes one vector a sample, got shape {shape}; put a flatten, a global pooling "
                "or a recurrent layer before it"
            )
        classes = task in ("classification", "multiclass") and n_outputs > 1
        activation = "linear" if task == "regression" else "softmax" if classes else "sigmoid"
        return {"units": n_outputs, "activation": activation}

    def _input_shapes(self, given: Any) -> dict[str, Shape]:
        names = self.layout.inputs
        if isinstance(given, Mapping):
            if set(given) != set(names):
                raise BuildError(
                    f"{self.where(('inputs',))}: the model's inputs are {', '.join(names)}, "
                    f"got shapes for {', '.join(given)}"
                )
            return {name: tuple(given[name]) for name in names}
        if len(names) > 1:
            raise BuildError(
                f"{self.where(('inputs',))}: the model has several inputs ({', '.join(names)}), got one shape: {given}"
            )
        return {names[0]: (given,) if isinstance(given, int) else tuple(given)}

    def check_size(self, outputs: list[Any]) -> None:
        """A last layer that is no head must still give as many numbers as the task has."""
        kinds = {step.name: step for step in self.layout.steps}
        if len(outputs) > 1 or not isinstance(self.n_outputs, int):
            return
        name = self.layout.outputs[0]
        shape = tuple(outputs[0].shape[1:])
        if shape and shape[-1] is not None and shape[-1] != self.n_outputs and name in kinds:
            raise BuildError(
                f"{self.where(kinds[name].path)}: the model's output has shape {shape}, but the task has "
                f"{self.n_outputs} outputs; let the last layer be 'head', or give it {self.n_outputs} units"
            )


def _input(name: str, shape: Shape) -> Any:
    import keras

    try:
        return keras.Input(shape=shape, name=name)
    except (TypeError, ValueError):
        message = f"the input_shape of {name!r} must hold sizes >= 0, or None where they vary, got {shape}"
        raise BuildError(message) from None
