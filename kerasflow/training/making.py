"""Which models are made the same way, so that a program compiled on one runs on the variables of another.

A trace freezes whatever is no variable: structure, activations, rates of dropout, statistics that a layer has adapted
to. All of that is the making; weights, slots, learning rates and seeds are variables, and names mean nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kerasflow.training.keras_internals import all_variables, flatten_layers

# What no trace holds: names, and what variables begin with. A rate that is a number is a variable, a schedule is not.
_LEFT_OUT = re.compile(r"_?name|.*path|seed|.*initializer|_auto_config|_self_.*|_loss_ids|_?nodes.*")


# Where a config calls layers by their names.
_WIRING = ("keras_history", "input_layers", "output_layers")

_PLAIN_VALUES = ("__tuple__", "__numpy__", "__keras_tensor__", "__ellipsis__", "__slice__")


class _ForeignPart(Exception):
    """A part that is not Keras' own: what its trace holds cannot be known."""


def making(model: Any) -> str | None:
    """Equal for compiled, built models whose programs differ in their variables alone.

    Returns:
        None for a model with a part that is not Keras' own: a subclass, a function, a lambda.
    """
    import keras

    layers = [model, *flatten_layers(model)]
    optimizers = [model.optimizer, getattr(model.optimizer, "inner_optimizer", None)]
    parts = [*layers, *(optimizer for optimizer in optimizers if optimizer is not None)]
    if not all(_is_keras_own(type(part).__module__) for part in parts):
        return None
    try:
        told = [
            _plain(keras.saving.serialize_keras_object(model)["config"]),
            _plain(keras.saving.serialize_keras_object(model.optimizer)),
            _plain({key: value for key, value in model.get_compile_config().items() if key != "optimizer"}),
            [_attributes(part) for part in parts],
            [[list(v.shape), v.dtype, v.trainable] for v in all_variables(model)],
            [keras.config.floatx(), keras.config.epsilon()],
        ]
        text = json.dumps(told, default=_text)
        words = json.dumps(_without_wiring(told[0]), default=_text)  # a layer may be called relu, and be none
    except (_ForeignPart, NotImplementedError, TypeError, ValueError):
        return None
    return _without_names(text, [layer.name for layer in layers]) + words


def _text(value: Any) -> str:
    """Words, as a layer that reads text holds them; whoever looks them up in a table of its own shares no program."""
    if isinstance(value, bytes):
        return repr(value)
    raise TypeError(type(value).__name__)


def _is_keras_own(module: str) -> bool:
    return module.partition(".")[0] == "keras"


def _plain(config: Any) -> Any:
    """A config without what no trace holds."""
    if isinstance(config, Mapping):
        named = "config" in config and config.get("class_name")
        if named and named not in _PLAIN_VALUES and not _is_keras_own(config.get("module") or ""):
            raise _ForeignPart
        kept = {key: value for key, value in config.items() if not _LEFT_OUT.fullmatch(str(key))}
        if isinstance(kept.get("learning_rate"), int | float):
            del kept["learning_rate"]
        return {str(key): _plain(value) for key, value in kept.items()}
    return [_plain(value) for value in config] if isinstance(config, list | tuple) else config


def _without_wiring(plain: Any) -> Any:
    """A plain config without the places in which layers' names stand: what words are left are no names."""
    if isinstance(plain, Mapping):
        return {key: _without_wiring(value) for key, value in plain.items() if key not in _WIRING}
    return [_without_wiring(value) for value in plain] if isinstance(plain, list) else plain


def _attributes(part: Any) -> dict[str, Any]:
    """Numbers, texts and arrays that a layer or an optimizer holds beside its variables, in its config or not.

    A function that is not Keras' own has no place in a config but its name, which another may bear.
    """
    import tensorflow as tf

    found: dict[str, Any] = {}
    for name, value in vars(part).items():
        if _LEFT_OUT.fullmatch(name):
            continue
        if isinstance(value, bool | int | float | str | None):
            found[name] = value
        elif isinstance(value, re.Pattern):
            found[name] = value.pattern
        elif isinstance(value, set):
            found[name] = sorted(map(str, value))
        elif isinstance(value, tf.Tensor | np.ndarray):
            found[name] = np.asarray(value).tolist()
        elif callable(value):
            if not _is_keras_own(getattr(value, "__module__", None) or ""):
                raise _ForeignPart
        elif isinstance(value, Sequence) and all(isinstance(item, bool | int | float | str) for item in value):
            found[name] = list(value)
    return found


def _without_names(text: str, names: Sequence[str]) -> str:
    """Layers' names, which wire a graph together, replaced by their places."""
    places = {json.dumps(name): f'"#{place}"' for place, name in enumerate(names)}
    return re.sub(r'"(?:[^"\\]|\\.)*"', lambda found: places.get(found[0], found[0]), text)
