"""How what a step takes becomes the arguments of a call: a rule to build by, and to read backwards."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from kerasflow.builders.objects import imported
from kerasflow.errors import did_you_mean
from kerasflow.spec import catalogue
from kerasflow.spec.literals import is_array, slices

Arguments = dict[str, Any]


def call(layer: Any, inputs: list[Any], named: Mapping[str, Any]) -> Any:
    """Calls a layer with the arguments that are named, and with the inputs as its `call` wants them."""
    arguments = of_layer(layer.call, inputs, named)
    first = [arguments.pop(name) for name in required(layer.call) if name in arguments]
    return layer(*first, **arguments)


def operate(
    operation: str, arguments: Mapping[str, Any], name: str, inputs: list[Any], named: Mapping[str, Any]
) -> Any:
    """Calls a function of keras.ops and gives its place in the graph a name."""
    import keras

    entry = catalogue.find("ops", operation)
    assert entry is not None, operation
    function = imported(entry)
    told = {**literals(arguments), **named}
    spare = bool(named) and set(required(function)) <= set(told)  # the layer before, which nothing asks for
    bound = inspect.signature(function).bind_partial()
    bound.arguments.update(of_operation(function, [] if spare else inputs, told))
    result = function(*bound.args, **bound.kwargs)
    first = keras.tree.flatten(result)[0]
    history = getattr(first, "_keras_history", None)
    if history is not None and not any(first is given for given in inputs):
        history.operation.name = name  # the function takes no name, and Keras' own numbering could meet a layer's
    return result


def of_layer(function: Callable[..., Any], inputs: list[Any], named: Mapping[str, Any]) -> Arguments:
    """The arguments of a layer's `call`: one tensor, a list, or query and value apart; attention of one to itself.

    Raises:
        TypeError: an argument is none of the call's, or inputs are too many.
    """
    parameters = inspect.signature(function).parameters
    unknown = [name for name in named if name not in parameters]
    if unknown and not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        hint = did_you_mean(unknown[0], parameters) or f"; it takes {', '.join(parameters)}"
        raise TypeError(f"{unknown[0]} is no argument of its call{hint}")
    unnamed = [name for name in required(function) if name not in named]
    if not unnamed:
        return dict(named)
    if len(unnamed) == 1:
        return {unnamed[0]: inputs[0] if len(inputs) == 1 else inputs, **named}
    told = inputs * len(unnamed) if len(inputs) == 1 else inputs
    free = [name for name in parameters if name not in named]
    if len(told) > len(free):
        raise TypeError(f"it takes {', '.join(free)}, got {len(told)} inputs")
    return {**dict(zip(free, told, strict=False)), **named}


def of_operation(function: Callable[..., Any], inputs: list[Any], named: Mapping[str, Any]) -> Arguments:
    """The inputs stand, in order, for the required arguments that are not named; several for one are its list.

    Raises:
        TypeError: there are fewer inputs than the function needs, or none that it takes.
    """
    parameters = inspect.signature(function).parameters
    unnamed = [name for name in required(function) if name not in named]
    rest = next((p.name for p in parameters.values() if p.kind is p.VAR_POSITIONAL), None)
    if rest is not None and rest not in named:
        return {**named, rest: tuple(inputs)}
    if len(unnamed) == 1 and len(inputs) > 1:
        return {**named, unnamed[0]: inputs}
    if len(unnamed) == len(inputs):
        return {**named, **dict(zip(unnamed, inputs, strict=True))}
    wants = ", ".join(unnamed) or "none"
    raise TypeError(f"it takes {len(unnamed)} inputs beside the arguments named ({wants}), got {len(inputs)}")


def required(function: Callable[..., Any]) -> list[str]:
    """Names of the arguments that a call must give."""
    parameters = inspect.signature(function).parameters.values()
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [p.name for p in parameters if p.default is p.empty and p.kind in positional]


def literals(arguments: Mapping[str, Any]) -> Arguments:
    """Arguments of an operation with their arrays and slices made of what the spec says."""
    return {name: literal(name, value) for name, value in arguments.items()}


def literal(name: str, value: Any) -> Any:
    """`{float32: [0.5, 2]}` becomes an array, `"[:, 1:]"` as `key` a slice; everything else stays as it is."""
    if is_array(value):
        import keras

        ((dtype, numbers),) = value.items()
        return keras.ops.convert_to_tensor(numbers, dtype)
    if name == "key" and isinstance(value, str):
        return slices(value)
    return value
