"""What features depend on, as digests: the network's structure without its names, its weights, its preprocessing."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from kerasflow.data.fingerprint import fingerprint
from kerasflow.training.keras_internals import flatten_layers, is_seed

# Keras counts its names on within a process: of two models of the same making they differ. What is frozen computes the
# same.
_NAMES = frozenset({"name", "keras_history", "input_layers", "output_layers"})
_LEFT_OUT = frozenset({"trainable", "seed", "build_config", "compile_config"})


def structure(model: Any) -> str:
    """SHA-256 (hex) of what a model computes, but for the values of its variables.

    Names count by the order in which they come. Of layers and functions of others the source counts, too.
    """
    import keras

    places: dict[str, int] = {}
    config = _anonymous(keras.saving.serialize_keras_object(model)["config"], places)
    own = {type(layer) for layer in flatten_layers(model) if type(layer).__module__.partition(".")[0] != "keras"}
    functions = {
        value
        for layer in flatten_layers(model)
        for value in vars(layer).values()
        if inspect.isfunction(value) and value.__module__.partition(".")[0] != "keras"
    }
    sources = sorted(_source(one) for one in [*own, *functions])
    return hashlib.sha256(json.dumps([config, sources], default=repr).encode()).hexdigest()


def weights(model: Any) -> str:
    """SHA-256 (hex) of the values that a model computes with."""
    from tensorflow import raw_ops

    # `variable.numpy()` takes four times as long, and a cache that is asked again waits for this.
    variables = [variable.value for variable in model.variables if not is_seed(variable)]
    tensors = (raw_ops.ReadVariableOp(resource=variable.handle, dtype=variable.dtype) for variable in variables)
    return fingerprint((str(place), tensor.numpy()) for place, tensor in enumerate(tensors))


def effect(function: Callable[[Any], Any] | None, shape: tuple[int | None, ...]) -> str:
    """SHA-256 (hex) of what a function makes of two images, and of its source.

    In one image is every whole value of a pixel; in the other are values between, as resizing gives them. The source
    tells apart what does the same to both, and the images what has one source and other values in its closure.

    Args:
        shape: of an image, (height, width, channels), where sizes are known.
    """
    if function is None:
        return ""
    height, width, channels = (size or 160 for size in shape)
    values = np.random.default_rng(0).uniform(0, 255, (2, height, width, channels)).astype("float32")
    whole = values[0].reshape(-1)  # a view
    whole.round(out=whole)
    whole[:256] = np.arange(256)[: whole.size]
    return fingerprint([(_source(function), np.asarray(function(values)))])


def _anonymous(part: Any, places: dict[str, int]) -> Any:
    if isinstance(part, Mapping):
        return {
            str(key): _numbered(value, places) if key in _NAMES else _anonymous(value, places)
            for key, value in part.items()
            if key not in _LEFT_OUT
        }
    return [_anonymous(item, places) for item in part] if isinstance(part, list | tuple) else part


def _numbered(part: Any, places: dict[str, int]) -> Any:
    if isinstance(part, str):
        return places.setdefault(part, len(places))
    return [_numbered(item, places) for item in part] if isinstance(part, list | tuple) else part


def _source(given: Any) -> str:
    """Of a function, or of the class of what is called like one."""
    while isinstance(given, partial):  # what it fills in is seen in what it does
        given = given.func
    kind = given if inspect.isroutine(given) or inspect.isclass(given) else type(given)
    try:
        return inspect.getsource(kind)
    except (OSError, TypeError):  # defined at a prompt, or compiled
        return f"{kind.__module__}.{kind.__qualname__}"
