"""What a Keras model records of itself: its calls, each after those whose outputs it takes."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from kerasflow.builders.calls import required


@dataclass(frozen=True)
class Tensor:
    """Stands for a tensor of the graph: which input or call gives it, inputs first, and which of its outputs it is."""

    index: int
    output: int = 0


@dataclass(frozen=True)
class Call:
    """A layer, model or operation as it was called.

    Attributes:
        operation: the Keras object.
        arguments: of its `call`, by name, in the order of its signature; a `Tensor` for every tensor of the graph.
        n_outputs: how many tensors it gave.
    """

    operation: Any
    arguments: dict[str, Any]
    n_outputs: int = 1


@dataclass(frozen=True)
class Graph:
    """A model as calls in the order in which they can be made."""

    inputs: tuple[str, ...]
    calls: tuple[Call, ...]
    outputs: tuple[Tensor, ...]


def is_graph(model: Any) -> bool:
    """Whether what a model computes is written in its layers, and not in a `call` of its own."""
    return type(model).call.__module__ in ("keras.src.models.functional", "keras.src.models.sequential")


def graph_of(model: Any) -> Graph:
    """The calls of a Functional or Sequential model, as they were recorded when it was made."""
    import keras

    if not hasattr(model, "inputs"):  # a Sequential that no shape has reached yet
        calls = [Call(layer, {required(layer.call)[0]: Tensor(index)}) for index, layer in enumerate(model.layers)]
        return Graph(("input",), tuple(calls), (Tensor(len(calls)),))
    index = {id(tensor): Tensor(position) for position, tensor in enumerate(model.inputs)}
    calls = []
    for node, arguments in _nodes(model):
        standing = partial(_standing, index)
        taken = {name: keras.tree.map_structure(standing, value) for name, value in arguments.items()}
        calls.append(Call(node.operation, taken, len(node.outputs)))
        maker = len(model.inputs) + len(calls) - 1
        index |= {id(tensor): Tensor(maker, number) for number, tensor in enumerate(node.outputs)}
    return Graph(
        tuple(tensor._keras_history.operation.name for tensor in model.inputs),
        tuple(calls),
        tuple(index[id(tensor)] for tensor in model.outputs),
    )


def _nodes(model: Any) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Every call with its arguments; what a call takes comes before it, its first argument first."""
    given = {id(tensor) for tensor in model.inputs}
    arguments: dict[Any, dict[str, Any]] = {}
    done = set()
    ahead = [_maker(tensor) for tensor in reversed(model.outputs) if id(tensor) not in given]
    while ahead:
        node = ahead[-1]
        if node not in arguments:
            arguments[node] = _arguments(node)
        makers = (_maker(tensor) for tensor in tensors_in(*arguments[node].values()) if id(tensor) not in given)
        waiting = next((maker for maker in makers if maker not in done), None)
        if waiting is not None:
            ahead.append(waiting)
            continue
        ahead.pop()
        if node not in done:
            done.add(node)
            yield node, arguments[node]


def _maker(tensor: Any) -> Any:
    history = tensor._keras_history
    return history.operation._inbound_nodes[history.node_index]


def _arguments(node: Any) -> dict[str, Any]:
    """The arguments of a call by name, without the masks that Keras adds to it by itself."""
    signature = inspect.signature(node.operation.call)
    bound = signature.bind(*node.arguments.args, **node.arguments.kwargs).arguments
    spread = next((p.name for p in signature.parameters.values() if p.kind is p.VAR_KEYWORD), "")
    named = dict(bound)
    named |= named.pop(spread, {})
    own = {id(getattr(tensor, "_keras_mask", None)) for tensor in tensors_in(*named.values())}
    return {name: value for name, value in named.items() if not (_is_mask(name) and _among(value, own))}


def _is_mask(name: str) -> bool:
    return name == "mask" or name.endswith("_mask")


def _among(value: Any, masks: set[int]) -> bool:
    """Whether a mask, or each in a list of them, is one of these or none at all."""
    import keras

    return all(leaf is None or id(leaf) in masks for leaf in keras.tree.flatten(value))


def tensors_in(*values: Any) -> list[Any]:
    """The tensors of the graph in some arguments, in order."""
    import keras

    return [
        leaf for value in values for leaf in keras.tree.flatten(value) if _symbolic(leaf) or isinstance(leaf, Tensor)
    ]


def _standing(index: dict[int, Tensor], value: Any) -> Any:
    return index[id(value)] if _symbolic(value) else value


def _symbolic(value: Any) -> bool:
    import keras

    return isinstance(value, keras.KerasTensor)
