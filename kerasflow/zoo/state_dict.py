"""PyTorch's names and orders of axes, and Keras': one state dict into one model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kerasflow.builders.plan import Step, plan
from kerasflow.errors import BuildError
from kerasflow.zoo.networks import Network

if TYPE_CHECKING:
    import keras

# Keras' attribute -> PyTorch's.
_NORMALIZATION = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
_COUNTER = "num_batches_tracked"
_NAMED = 4  # differences that a message names


class _Place(NamedTuple):
    """Where an array of a state dict goes.

    Attributes:
        key: its name there.
        shape: its shape there.
        axes: of the variable, as axes of the array.
        unfolded: (channels, height, width) that PyTorch flattened to this array's second axis; Keras flattens (height,
            width, channels).
    """

    key: str
    variable: Any
    shape: tuple[int, ...]
    axes: tuple[int, ...]
    unfolded: tuple[int, ...] = ()

    def to_keras(self, array: NDArray[Any]) -> NDArray[Any]:
        if self.unfolded:
            array = array.reshape(len(array), *self.unfolded).transpose(0, 2, 3, 1).reshape(self.shape)
        return array.transpose(self.axes)


def assign(model: keras.Model, network: Network, arrays: Mapping[str, Any], prefix: str) -> None:
    """Gives a model the arrays of a state dict; what belongs to heads that the model does not have is left out.

    Args:
        model: built from the network's spec, or from a part of it.
        arrays: by PyTorch's names; `_` before a part of a name counts for nothing.
        prefix: begins the message where they do not fit.

    Raises:
        BuildError: names or shapes differ; nothing was assigned.
    """
    given = {_bare(key): value for key, value in arrays.items() if not key.endswith(_COUNTER)}
    steps = {step.name: step for step in plan(network.spec).steps}
    places = [place for layer in model.layers if layer.weights for place in _places(layer, model, network, steps)]
    modules = {_module(network, name) for name in steps}
    differing = [
        f"{place.key} is {tuple(np.shape(given[place.key]))} there and {place.shape} here"
        for place in places
        if place.key in given and tuple(np.shape(given[place.key])) != place.shape
    ]
    differing += [f"{place.key} {place.shape} is missing" for place in places if place.key not in given]
    differing += [f"{key} has no place here" for key in given if key.rpartition(".")[0] not in modules]
    if differing:
        raise BuildError(f"{prefix}: {listed(differing)}")
    for place in places:
        place.variable.assign(place.to_keras(np.asarray(given[place.key], dtype=np.float32)))


def listed(differing: Sequence[str]) -> str:
    """The first differences of a file and a model, and how many more there are."""
    more = f"; and {len(differing) - _NAMED} more" if len(differing) > _NAMED else ""
    return f"{'; '.join(differing[:_NAMED])}{more}"


def _bare(key: str) -> str:
    return ".".join(part.lstrip("_") for part in key.split("."))


def _module(network: Network, name: str) -> str:
    return network.modules.get(name, name)


def _places(layer: Any, model: keras.Model, network: Network, steps: Mapping[str, Step]) -> Iterator[_Place]:
    import keras

    module = _module(network, layer.name)
    if isinstance(layer, keras.layers.BatchNormalization):
        for attribute, key in _NORMALIZATION.items():
            yield _plain(f"{module}.{key}", getattr(layer, attribute))
        return
    shape = tuple(layer.kernel.shape)
    if isinstance(layer, keras.layers.Dense):
        unfolded = _unfolded(layer.name, model, steps)
        yield _Place(f"{module}.weight", layer.kernel, shape[::-1], (1, 0), unfolded)
    elif isinstance(layer, keras.layers.DepthwiseConv2D):  # (height, width, channels, 1) from (channels, 1, ...)
        yield _Place(f"{module}.weight", layer.kernel, (shape[2], shape[3], *shape[:2]), (2, 3, 0, 1))
    else:  # (height, width, in, out) from (out, in, height, width)
        yield _Place(f"{module}.weight", layer.kernel, (shape[3], shape[2], *shape[:2]), (2, 3, 1, 0))
    if layer.use_bias:
        yield _plain(f"{module}.bias", layer.bias)


def _plain(key: str, variable: Any) -> _Place:
    return _Place(key, variable, tuple(variable.shape), (0,))


def _unfolded(name: str, model: keras.Model, steps: Mapping[str, Step]) -> tuple[int, ...]:
    """(channels, height, width) of what is flattened before a dense layer; nothing where it takes a vector."""
    while name in steps:
        (name,) = steps[name].inputs
        if name in steps and steps[name].kind == "flatten":
            height, width, channels = model.get_layer(name).input.shape[1:]
            return channels, height, width
        if name not in steps or steps[name].kind != "dropout":
            break
    return ()
