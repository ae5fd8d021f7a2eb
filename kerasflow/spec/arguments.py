"""Checks what a spec hands to a constructor of Keras', before there is one."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from kerasflow.errors import did_you_mean
from kerasflow.spec import catalogue
from kerasflow.spec.catalogue import Argument, Entry, Kind
from kerasflow.spec.document import DocumentPath
from kerasflow.spec.faults import Found, short
from kerasflow.spec.literals import slices

_WORD_OF_KIND = {
    "layers": "layer", "optimizers": "optimizer", "losses": "loss", "metrics": "metric", "initializers": "initializer",
    "regularizers": "regularizer", "constraints": "constraint", "activations": "activation", "schedules": "schedule",
    "ops": "operation",
}  # fmt: skip


def kind_of(argument: str) -> Kind | None:
    """What an argument of this name holds when it is given by name: `kernel_regularizer` -> `regularizers`."""
    by_end: dict[str, Kind] = {
        "_initializer": "initializers",
        "_regularizer": "regularizers",
        "_constraint": "constraints",
        "activation": "activations",
    }
    if argument in ("layer", "backward_layer", "cell", "cells", "layers"):
        return "layers"
    if argument == "learning_rate":
        return "schedules"
    return next((kind for end, kind in by_end.items() if argument.endswith(end)), None)


def check_call(kind: Kind, name: str, behind: Any, path: DocumentPath, found: Found) -> tuple[str, dict[str, Any]]:
    """Checks a name and its arguments, adds what is wrong to `found`, and gives both in canonical form.

    Args:
        kind: which catalogue the name is from.
        behind: the arguments, the bare value of the first, or None.
        path: of the thing that holds the name.
        found: faults are appended here.
    """
    entry = catalogue.find(kind, name)
    if entry is None:
        word = _WORD_OF_KIND[kind]
        hint = catalogue.near(kind, name) or f" in the installed Keras; `kerasflow schema` lists the {kind}"
        found.append(((*path, name), f"is no {word}{hint}"))
        return name, {}
    here = (*path, name)
    arguments = as_arguments(entry, behind, here, found)
    for required in entry.required:
        if required not in arguments:
            found.append((here, f"needs {required}"))
    return entry.name, {
        key: _check_argument(entry, key, value, (*here, key), found) for key, value in arguments.items()
    }


def as_arguments(entry: Entry, behind: Any, here: DocumentPath, found: Found) -> dict[str, Any]:
    """The arguments by name, whichever of the three forms was written."""
    if behind is None:
        return {}
    if isinstance(behind, dict):
        return behind
    if entry.first is None or (not entry.required and entry.first in ("activity_regularizer", "trainable")):
        found.append((here, f"takes no bare value, got {short(behind)}"))
        return {}
    return {entry.first: behind}


def _check_argument(entry: Entry, name: str, value: Any, here: DocumentPath, found: Found) -> Any:
    argument = entry.arguments.get(name)
    if argument is None:
        hint = did_you_mean(name, entry.arguments) or f"; it takes {', '.join(entry.arguments)}"
        found.append((here, f"is no argument of {entry.name}{hint}"))
        return value
    if isinstance(value, str) and value.startswith("$"):  # a block's parameter, checked where it is filled in
        return value
    kind = kind_of(name)
    if kind and value is not None:
        return _check_nested(kind, value, here, found)
    wrong = _wrong(argument, value)
    if wrong:
        found.append((here, f"{wrong}, got {short(value)}"))
    return value


def _check_nested(kind: Kind, value: Any, here: DocumentPath, found: Found) -> Any:
    """An argument that is itself something by name: `kernel_regularizer: {l2: 0.01}`, `layer: {lstm: 32}`."""
    if kind == "schedules" and not isinstance(value, dict):
        if not _number(value) or value <= 0:
            found.append(
                (here, f"must be a number > 0, or a schedule such as {{cosine_decay: {{...}}}}, got {short(value)}")
            )
            return value
        return float(value)  # Keras takes no integer
    if kind == "layers" and isinstance(value, list):
        return [_check_nested(kind, item, (*here, index), found) for index, item in enumerate(value)]
    if (isinstance(value, dict) and len(value) != 1) or not isinstance(value, str | dict):
        found.append((here, f"must be one {_WORD_OF_KIND[kind]} by name, with its arguments, got {short(value)}"))
        return value
    name, behind = (value, None) if isinstance(value, str) else next(iter(value.items()))
    if kind == "layers" and name == "model":  # a model in a layer: `layers` checks it
        return value
    entry = catalogue.find(kind, str(name))
    if entry is None and isinstance(value, str):
        found.append((here, f"{short(value)} is no {_WORD_OF_KIND[kind]}{catalogue.near(kind, value)}"))
        return value
    if kind == "activations":
        if behind or entry is None:
            known = "takes no arguments; use a layer of its own to give it some" if entry else "is no activation"
            found.append(((*here, str(name)), known))
        return entry.name if entry else name
    canonical, arguments = check_call(kind, str(name), behind, here, found)
    return {canonical: arguments} if arguments or kind == "layers" else canonical


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _finite(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_finite, value))
    if isinstance(value, dict):
        return all(map(_finite, value.values()))
    return not isinstance(value, float) or math.isfinite(value)


def _integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def whole(value: Any) -> bool:
    """Whether it is a count: an integer from 1."""
    return _integer(value) and value >= 1


def _wholes(value: Any) -> bool:
    return whole(value) or (isinstance(value, list | tuple) and len(value) > 0 and all(map(whole, value)))


# What Keras' own argument names mean wherever they stand. What is not here is left to the constructor itself.
_RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    **dict.fromkeys(
        [
            "units",
            "filters",
            "depth_multiplier",
            "input_dim",
            "num_heads",
            "key_dim",
            "head_dim",
            "num_query_heads",
            "num_key_value_heads",
        ],
        (whole, "must be an integer >= 1"),
    ),
    "axis": (
        lambda v: _integer(v) or (isinstance(v, list | tuple) and all(map(_integer, v))),
        "must be an integer, or a list of them",
    ),
    "target_shape": (
        lambda v: isinstance(v, list | tuple) and all(map(_integer, v)),
        "must be a list of integers; -1 for what is left over",
    ),
    **dict.fromkeys(["l1", "l2", "stddev"], (lambda v: _number(v) and v >= 0, "must be a number >= 0")),
    "key": (lambda v: isinstance(v, str) and slices(v) is not None, "must be a slice as text, such as '[:, 1:]'"),
    "output_dim": (whole, "must be an integer >= 1"),
    **dict.fromkeys(
        ["kernel_size", "strides", "pool_size", "dilation_rate"],
        (_wholes, "must be an integer >= 1, or a list of them"),
    ),
    "rate": (lambda v: _number(v) and 0 <= v < 1, "must be a number from 0 to below 1"),
    **dict.fromkeys(
        ["momentum", "beta_1", "beta_2", "rho", "ema_momentum"],
        (lambda v: _number(v) and 0 <= v <= 1, "must be a number from 0 to 1"),
    ),
    **dict.fromkeys(
        ["clipnorm", "clipvalue", "global_clipnorm"], (lambda v: _number(v) and v > 0, "must be a number > 0")
    ),
    "initial_learning_rate": (lambda v: _number(v) and v >= 0, "must be a number >= 0"),
    "epsilon": (lambda v: _number(v) and v >= 0, "must be a number >= 0"),
    "weight_decay": (lambda v: _number(v) and v >= 0, "must be a number >= 0"),
}


def _wrong(argument: Argument, value: Any) -> str | None:
    """What the value must be, if it is not that."""
    if value is None:
        return None if not argument.required and argument.default is None else "must not be empty"
    rule = _RULES.get(argument.name)
    if rule:
        holds, expected = rule
        return None if holds(value) else expected
    if not _finite(value):
        return "must be finite"
    if isinstance(argument.default, bool) and not isinstance(value, bool):
        return "must be true or false"
    if isinstance(argument.default, float) and not (_number(value) or isinstance(value, list | tuple)):
        return "must be a number"
    return None
