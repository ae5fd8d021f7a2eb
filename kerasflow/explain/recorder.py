"""One pass through a model, seen from the inside: every layer's call with what went in, Z and H.

The layers themselves compute, so what is seen is what the model does, also for layers of the user's own. Their `call`
and their `activation` are watched for the time of the pass; the variables are not written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

Name = tuple[str, int]
"""A layer's name, and which of its calls in the same place this is, from 1."""


@dataclass
class Call:
    """One call of a layer, as tensors with the batch in front.

    Attributes:
        path: names from the outermost model inwards, `backbone/block3/out`; `conv#2` is the second of several calls.
        layer: the layer, or the operation such as `+`.
        args, kwargs: what it was called with.
        inputs: the tensors among `args`.
        Z: what entered the activation; the output itself where there is none.
        H: the output, after the activation; the first where there are several.
        activation: the function from Z to H; None where there is none.
        mask: of the first input, or None.
    """

    path: str
    layer: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    inputs: list[Any]
    Z: Any
    H: Any
    activation: Callable[[Any], Any] | None
    mask: Any


@dataclass
class Recorder:
    """What has been called so far, in order.

    Args:
        watch: told of each tensor that an activation takes or a layer gives, such as `tf.GradientTape.watch`.
    """

    watch: Callable[[Any], None] = lambda tensor: None
    calls: list[Call] = field(default_factory=list)
    _inside: list[Name] = field(default_factory=list)
    _places: list[tuple[Name, ...]] = field(default_factory=list)
    _times: Counter[tuple[Any, ...]] = field(default_factory=Counter)

    @contextmanager
    def recording(self, model: Any) -> Iterator[list[Call]]:
        """Inside, calls of the model's layers are kept; which of them have a number in their path shows at its end."""
        with replaced(list(self._watchers(model))):
            yield self.calls
        for call, place in zip(self.calls, self._places, strict=True):
            call.path = "/".join(self._shown(place[:depth]) for depth in range(1, len(place) + 1))

    def _shown(self, place: tuple[Name, ...]) -> str:
        (*outer, (name, number)) = place
        return f"{name}#{number}" if self._times[(*outer, name)] > 1 else name

    def _watchers(self, model: Any) -> Iterator[tuple[Any, str, Any]]:
        for part in parts_of(model):
            if is_model(part):
                yield part, "call", self._entered(part)
            else:
                yield part, "call", self._called(part)

    def _entered(self, model: Any) -> Callable[..., Any]:
        own = model.call

        def call(*args: Any, **kwargs: Any) -> Any:
            self._inside.append(self._named(model))
            try:
                return own(*args, **kwargs)
            finally:
                self._inside.pop()

        return call

    def _called(self, layer: Any) -> Callable[..., Any]:
        own = layer.call

        def call(*args: Any, **kwargs: Any) -> Any:
            for tensor in _floats(args):
                self.watch(tensor)
            place = (*self._inside, self._named(layer))
            with activations_of(layer, self.watch) as activated:
                output = own(*args, **kwargs)
            self.calls.append(finished(layer, args, kwargs, output, activated))
            self._places.append(place)
            for tensor in _floats(output):
                self.watch(tensor)
            return output

        return call

    def _named(self, part: Any) -> Name:
        key = (*self._inside, part.name)
        self._times[key] += 1
        return part.name, self._times[key]


def parts_of(model: Any) -> Iterator[Any]:
    """The models within a model, and their layers and operations; what lies inside of a layer is the layer's own."""
    met: set[int] = set()

    def walk(outer: Any) -> Iterator[Any]:
        for part in getattr(outer, "operations", None) or outer.layers:
            if id(part) in met or type(part).__name__ == "InputLayer":
                continue
            met.add(id(part))
            yield part
            if is_model(part):
                yield from walk(part)

    return walk(model)


def is_model(part: Any) -> bool:
    """Whether a part of a model is looked into, rather than at."""
    import keras

    return isinstance(part, keras.Model)


def finished(layer: Any, args: Any, kwargs: Any, output: Any, activated: list[tuple[Any, Any, Any]]) -> Call:
    """What a call has come to: Z is told from H where exactly one activation gave the output."""
    inputs = _tensors(args)
    first = _tensors(output)[0] if _tensors(output) else output
    Z, activation = first, None
    if len(activated) == 1 and activated[0][2] is first:
        activation, Z, _ = activated[0]
    elif is_activation(layer) and len(inputs) == 1:
        Z, activation = inputs[0], layer
    mask = getattr(inputs[0], "_keras_mask", None) if inputs else None
    return Call("", layer, args, kwargs, inputs, Z, first, activation, kwargs.get("mask", mask))


def is_activation(layer: Any) -> bool:
    """Whether a layer is an activation alone: `Activation`, `ReLU`, `Softmax` and their like."""
    return type(layer).__module__.startswith("keras.src.layers.activations.")


def activation_name(activation: Any) -> str:
    """What an activation is called: a function's name, or a layer's class."""
    import keras

    if activation is None:
        return "linear"
    if isinstance(activation, keras.layers.Activation):
        return activation_name(activation.activation)
    return str(getattr(activation, "__name__", type(activation).__name__.lower()))


@contextmanager
def activations_of(
    layer: Any, watch: Callable[[Any], None] = lambda tensor: None
) -> Iterator[list[tuple[Any, Any, Any]]]:
    """Inside, the calls of a layer's activation are kept: the function, Z, and what came out."""
    seen: list[tuple[Any, Any, Any]] = []
    own = vars(layer).get("activation")
    if not callable(own):
        yield seen
        return

    def activation(z: Any) -> Any:
        watch(z)
        seen.append((own, z, own(z)))
        return seen[-1][2]

    with replaced([(layer, "activation", activation)]):
        yield seen


@contextmanager
def replaced(values: list[tuple[Any, str, Any]]) -> Iterator[None]:
    """Inside, objects have other attributes, set beside what Keras tracks."""
    missing = object()
    before = [(owner, name, vars(owner).get(name, missing)) for owner, name, _ in values]
    try:
        for owner, name, value in values:
            vars(owner)[name] = value
        yield
    finally:
        for owner, name, value in reversed(before):
            if value is missing:
                vars(owner).pop(name, None)
            else:
                vars(owner)[name] = value


def _tensors(nest: Any) -> list[Any]:
    import keras
    import tensorflow as tf

    return [leaf for leaf in keras.tree.flatten(nest) if isinstance(leaf, tf.Tensor)]


def _floats(nest: Any) -> list[Any]:
    return [tensor for tensor in _tensors(nest) if tensor.dtype.is_floating]
