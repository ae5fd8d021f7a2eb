"""How a step's inputs become the arguments of a call: a rule to build by, and to read backwards."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from kerasflow.builders.objects import imported
from kerasflow.spec import catalogue


def call(layer: Any, inputs: list[Any]) -> Any:
    """Calls a layer as its `call` wants it: one tensor, a list, or query and value apart."""
    needed = required(layer.call)
    if len(needed) > 1:  # attention over (query, value); self-attention for one input
        return layer(*(inputs * len(needed) if len(inputs) == 1 else inputs))
    return layer(inputs[0] if len(inputs) == 1 else inputs)


def operate(operation: str, arguments: Mapping[str, Any], name: str, inputs: list[Any]) -> Any:
    """Calls a function of keras.ops and gives its place in the graph a name."""
    entry = catalogue.find("ops", operation)
    assert entry is not None, operation
    function = imported(entry)
    bound = bind(function, arguments, inputs)
    result = function(*bound.args, **bound.kwargs)
    history = getattr(result, "_keras_history", None)
    if history is not None and not any(result is given for given in inputs):
        history.operation.name = name  # the function takes no name, and Keras' own numbering could meet a layer's
    return result


def bind(function: Callable[..., Any], arguments: Mapping[str, Any], inputs: list[Any]) -> inspect.BoundArguments:
    """The inputs stand, in order, for the required arguments that are not named; several for one are its list.

    Raises:
        TypeError: there are fewer inputs than the function needs, or none that it takes.
    """
    signature = inspect.signature(function)
    bound = signature.bind_partial(**arguments)
    unnamed = [name for name in required(function) if name not in arguments]
    rest = next((p.name for p in signature.parameters.values() if p.kind is p.VAR_POSITIONAL), None)
    if rest is not None:
        bound.arguments[rest] = tuple(inputs)
    elif len(unnamed) == 1 and len(inputs) > 1:
        bound.arguments[unnamed[0]] = inputs
    elif len(unnamed) == len(inputs):
        bound.arguments.update(zip(unnamed, inputs, strict=True))
    else:
        wants = ", ".join(unnamed) or "none"
        raise TypeError(f"it takes {len(unnamed)} inputs beside the arguments named ({wants}), got {len(inputs)}")
    return bound


def required(function: Callable[..., Any]) -> list[str]:
    """Names of the arguments that a call must give."""
    parameters = inspect.signature(function).parameters.values()
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [p.name for p in parameters if p.default is p.empty and p.kind in positional]
