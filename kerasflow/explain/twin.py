"""A copy of the user's compiled model, in its own precision or in float64, made by its config."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FunctionType
from typing import Any

import numpy as np

from kerasflow.builders.precision import computing_in
from kerasflow.errors import BuildError
from kerasflow.explain.objective import losses_of
from kerasflow.explain.samples import outputs_of
from kerasflow.training.keras_internals import compile_arguments, compiled_losses, flatten_layers, set_dtype, settle
from kerasflow.training.refusal import reason


def in_float64(model: Any, x: Any, y: Any) -> tuple[Any, Any]:
    """A compiled copy that computes in float64, with the same weights, and the inputs `x` for it.

    Args:
        model: compiled and built.
        x, y: tensors `(n_samples, ...)`.

    Raises:
        BuildError: the model cannot be made again, or does not compute in float64 throughout.
    """
    import keras
    import tensorflow as tf

    wide = keras.tree.map_structure(lambda leaf: tf.cast(leaf, tf.float64) if leaf.dtype.is_floating else leaf, x)
    twin = twin_of(model, wide, float64=True)
    outputs = outputs_of(twin, wide)
    own = keras.tree.flatten(outputs_of(model, x))
    for made, given in zip(keras.tree.flatten(outputs), own, strict=True):
        if made.dtype != tf.float64:
            raise BuildError(
                f"the model {model.name!r} cannot be checked in float64: it gives {made.dtype.name} there, so a layer "
                "of it names a precision in its code"
            )
        if not np.allclose(made, tf.cast(given, tf.float64), rtol=1e-2, atol=1e-3 * float(np.abs(made).max())):
            raise BuildError(
                f"the model {model.name!r} cannot be checked in float64: made again by its config, with the same "
                "weights, it gives other outputs, so a layer of it holds what neither its config nor a weight has"
            )
    losses_of(twin, y, outputs)
    for loss in compiled_losses(twin):
        set_dtype(loss, "float64")
    return twin, wide


def twin_of(model: Any, x: Any, optimizer: Any = "sgd", float64: bool = False) -> Any:
    """A compiled copy with the same weights and state.

    Args:
        x: samples, for a model that is built when it is called.
        optimizer: the copy's own.

    Raises:
        BuildError: the config of the model, or of a layer in it, does not make it again.
    """
    import keras

    try:
        with _own_parts(model) as own, computing_in("float64" if float64 else None):
            made = {
                "module": type(model).__module__,
                "class_name": type(model).__name__,
                "registered_name": keras.saving.get_registered_name(type(model)),
                "config": model.get_config(),
                "build_config": model.get_build_config(),
            }
            made = _widened(made) if float64 else made
            twin = keras.saving.deserialize_keras_object(made, custom_objects=own, safe_mode=False)
            twin(x)
        _take_values(twin, model)
    except Exception as error:  # a layer's own code may raise anything
        raise BuildError(
            f"the model {model.name!r} cannot be copied{' in float64' if float64 else ''}: {reason(error)}; layers of "
            "your own need a get_config with all that their constructors take"
        ) from error
    given = compile_arguments(model)
    loss = keras.tree.map_structure(copy.copy, given["loss"])
    twin.compile(optimizer, loss, given["loss_weights"], jit_compile=False)
    return twin


def _take_values(twin: Any, model: Any) -> None:
    if [v.shape for v in twin.variables] != [v.shape for v in model.variables]:
        raise ValueError("made again by its config, it has other variables")
    for own, other in zip(model.variables, twin.variables, strict=True):
        other.assign(own.numpy().astype(other.dtype))
    settle(twin)


def _widened(config: Any, key: str = "") -> Any:
    """A config in which every floating precision is float64."""
    if isinstance(config, Mapping):
        if str(config.get("class_name", "")).startswith(("DTypePolicy", "FloatDTypePolicy")):
            return "float64"
        return {name: _widened(value, str(name)) for name, value in config.items()}
    if isinstance(config, list | tuple):
        return type(config)(_widened(value) for value in config)
    return "float64" if "dtype" in key and isinstance(config, str) and "float" in config else config


@contextmanager
def _own_parts(model: Any) -> Iterator[dict[str, Any]]:
    """Classes and functions within a model that are not Keras' own, by the names that configs have for them inside:
    functions go by a number, for a lambda has no name of its own, and Keras would make its code again without what it
    refers to.
    """
    parts = [part for layer in [model, *flatten_layers(model)] for part in [layer, *vars(layer).values()]]
    functions = {id(part): part for part in parts if isinstance(part, FunctionType) and not _is_known(part)}
    names = [function.__name__ for function in functions.values()]
    classes = {type(part).__name__: type(part) for part in parts if not _is_known(type(part))}
    for number, function in enumerate(functions.values()):
        function.__name__ = f"function_{number}"
    try:
        yield classes | {function.__name__: function for function in functions.values()}
    finally:
        for function, name in zip(functions.values(), names, strict=True):
            function.__name__ = name


def _is_known(part: Any) -> bool:
    module = str(getattr(part, "__module__", None) or "builtins")
    return module.partition(".")[0] in ("keras", "builtins", "tensorflow", "numpy")
