"""Keras' own configs as a spec writes them: short names, defaults left out, nothing but plain values."""

from __future__ import annotations

from typing import Any

import numpy as np

from kerasflow.errors import BuildError
from kerasflow.spec import catalogue
from kerasflow.spec.arguments import kind_of
from kerasflow.spec.catalogue import Argument, Entry, Kind
from kerasflow.spec.faults import short
from kerasflow.spec.literals import as_text

# One number stands for the same number along every axis.
_SIZES = ("kernel_size", "strides", "pool_size", "dilation_rate")
# What Keras works out from another argument where that is given, and says beside it.
_WORKED_OUT = {"vocabulary_size": "vocabulary"}


def written(entry: Entry, config: dict[str, Any], where: str) -> dict[str, Any]:
    """The arguments that a spec must say to get what a config says.

    Args:
        entry: what the config is of.
        config: from `get_config`, or as Keras serializes it.
        where: the path of the layer, for errors.

    Raises:
        BuildError: a value is code, or an object that is not Keras' own.
    """
    arguments = {}
    for key, value in config.items():
        argument = entry.arguments.get(key)
        plain = _plain(key, value, where)
        if argument is None:
            worked_out = config.get(_WORKED_OUT.get(key, "")) is not None
            if plain not in (None, False) and not worked_out:
                raise BuildError(f"{where}: {key} is {short(value)}, which {entry.name} takes from no spec")
        elif not _is_default(entry, argument, plain):
            arguments[key] = plain
    if "pool_size" in config and config["pool_size"] == config.get("strides"):
        arguments.pop("strides", None)
    return arguments


def _is_default(entry: Entry, argument: Argument, plain: Any) -> bool:
    import keras

    if argument.required:
        return False
    if argument.default is None and entry.module != "keras.ops":  # what a layer puts in its place
        filled = {"dtype": keras.config.dtype_policy().name, "data_format": keras.config.image_data_format()}
        return plain is None or plain == filled.get(argument.name, "linear" if argument.name == "activation" else None)
    return bool(plain == _plain(argument.name, argument.default, ""))


def _plain(key: str, value: Any, where: str) -> Any:
    kind = kind_of(key)
    if kind is not None and value is not None:
        if kind == "layers" and isinstance(value, list | tuple):
            return [_named(kind, item, where) for item in value]
        return _named(kind, value, where) if isinstance(value, str | dict) else value
    if key in _SIZES and isinstance(value, list | tuple) and len(set(value)) == 1:
        return value[0]
    return _value(key, value, where)


def _named(kind: Kind, value: str | dict[str, Any], where: str) -> Any:
    """`{"class_name": "L2", "config": {"l2": 0.1}, ...}` -> `{"l2": {"l2": 0.1}}`."""
    if isinstance(value, str):
        entry = catalogue.find(kind, value)
        return entry.name if entry else value
    name = str(value.get("class_name"))
    entry = catalogue.find(kind, name)
    own = str(value.get("module")).startswith("keras.") and not value.get("registered_name")
    if entry is None or not own or kind == "activations":  # those that are functions of Keras' come as their names
        shown = name if isinstance(value.get("config"), dict) else value.get("config")
        raise BuildError(f"{where}: {shown or 'a lambda'} is none of Keras' own {kind}, and a spec names only those")
    arguments = written(entry, value["config"], where)
    return {entry.name: arguments} if arguments or kind == "layers" else entry.name


def _value(key: str, value: Any, where: str) -> Any:
    """A value as YAML could hold it."""
    if isinstance(value, list | tuple):
        return [_value(key, item, where) for item in value]
    if isinstance(value, dict):
        content: Any = value.get("config")
        match value.get("class_name"):
            case "__numpy__" | "__tensor__":
                return content["value"]
            case "DTypePolicy":
                return content["name"]
            case "SeedGenerator":
                return content["seed"]
            case None:
                return {name: _value(key, item, where) for name, item in value.items()}
    if hasattr(value, "tolist"):  # an array, or a number of NumPy's
        return value.tolist()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise BuildError(f"{where}: {key} is {short(value)}, which a spec cannot hold")


def constant(key: str, value: Any, where: str) -> Any:
    """An argument of a call that is no tensor of the graph: a number, a word, an array, or a slice as `key`.

    Raises:
        BuildError: it is nothing of that.
    """
    if value is None or type(value) in (bool, int, float, str):
        return value
    if key == "key":
        text = as_text(value if isinstance(value, tuple) else (value,))
        if text is not None:
            return text
    elif hasattr(value, "dtype") and hasattr(value, "shape"):  # of NumPy's or the backend's
        return {str(np.asarray(value).dtype): np.asarray(value).tolist()}
    said = "beside tensors a call takes numbers, words, arrays and slices in a spec"
    raise BuildError(f"{where}: {key} is {short(value)}, and {said}")
