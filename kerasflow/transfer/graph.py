"""The graph that Keras keeps of a functional model, read and computed without a trace: no layer is called symbolically,
so none of them has another node, input or output afterwards.

Leans on names that Keras does not promise; tests/transfer/test_graph.py holds each of them to the installed Keras.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Nodes = tuple[Any, ...]
"""Keras' records of one call each: of the nested models on the way, the outermost first, then of the layer itself."""


@dataclass(frozen=True)
class Call:
    """One call of a layer, or of an operation such as `+`, within a model.

    Attributes:
        path: names from the outermost model inwards, `backbone/block3/out`; `conv#2` is the second of several calls.
        nodes: see `Nodes`.
    """

    path: str
    nodes: Nodes

    @property
    def layer(self) -> Any:
        return self.nodes[-1].operation

    @property
    def outputs(self) -> list[Any]:
        """What it gives, as symbolic tensors."""
        return list(self.nodes[-1].outputs)


def graph_of(model: Any) -> Any:
    """The functional graph of a model, or None for one whose `call` is code of its own, or that is not built."""
    import keras
    from keras.src.models.functional import Functional

    if isinstance(model, keras.Sequential):
        return model._functional if type(model).call is keras.Sequential.call else None
    return model if isinstance(model, Functional) and type(model).call is Functional.call else None


def calls_of(model: Any, inside: Nodes = (), prefix: str = "") -> Iterator[Call]:
    """Every call in a model with a graph, in an order in which they can be computed; those within a nested model come
    before its own.
    """
    nodes = _in_order(graph_of(model))
    every = defaultdict(list)
    for node in nodes:
        every[id(node.operation)].append(node)
    for node in nodes:
        several = sorted(every[id(node.operation)], key=node.operation._inbound_nodes.index)
        number = f"#{several.index(node) + 1}" if len(several) > 1 else ""
        path = f"{prefix}{node.operation.name}{number}"
        if graph_of(node.operation) is not None:
            yield from calls_of(node.operation, (*inside, node), f"{path}/")
        yield Call(path, (*inside, node))


def values(model: Any, inputs: Any, wanted: Mapping[str, Nodes]) -> dict[str, Any]:
    """The first output of each wanted call, in inference, by one forward pass through what they need.

    Args:
        model: one with a graph.
        inputs: tensors, nested as the model takes them.
        wanted: calls within the model, by any names; the values come in their order.
    """
    found = _run(model, inputs, wanted, whole=False)[0]
    return {name: found[name] for name in wanted}


def _run(model: Any, inputs: Any, wanted: Mapping[str, Nodes], whole: bool) -> tuple[dict[str, Any], Any]:
    """The wanted values, and the model's own outputs if the `whole` of it is to be computed."""
    import keras

    graph = graph_of(model)
    inside: dict[Any, dict[str, Nodes]] = defaultdict(dict)
    ends = list(graph.outputs) if whole else []
    for name, (node, *rest) in wanted.items():
        if rest:
            inside[node][name] = tuple(rest)
        ends += node.input_tensors if rest else node.outputs
    known = dict(zip(map(id, graph.inputs), graph._standardize_inputs(inputs), strict=True))
    found: dict[str, Any] = {}
    for node in _needed(graph, ends):
        args, kwargs = node.arguments.fill_in(known)
        if node in inside:
            more, result = _run(node.operation, _first(args, kwargs), inside.pop(node), whole=True)
            found |= more
        else:
            result = _in_inference(node.operation, args, kwargs)
        known |= zip(map(id, node.outputs), keras.tree.flatten(result), strict=True)
    for node, within in inside.items():  # nested models whose own outputs nobody needs
        found |= _run(node.operation, _first(*node.arguments.fill_in(known)), within, whole=False)[0]
    found |= {name: known[id(nodes[0].outputs[0])] for name, nodes in wanted.items() if len(nodes) == 1}
    outputs = [known[id(tensor)] for tensor in graph.outputs] if whole else []
    return found, keras.tree.pack_sequence_as(graph._outputs_struct, outputs) if whole else None


def _in_order(graph: Any) -> list[Any]:
    """The graph's calls, each after those that it needs; a model's inputs are none."""
    depths = sorted(graph._nodes_by_depth, reverse=True)
    return [node for depth in depths for node in graph._nodes_by_depth[depth] if not node.is_input]


def _needed(graph: Any, ends: Sequence[Any]) -> list[Any]:
    """The calls that these symbolic tensors come from, in order."""
    needed, wanted = [], {id(tensor) for tensor in ends}
    for node in reversed(_in_order(graph)):
        if any(id(tensor) in wanted for tensor in node.outputs):
            needed.append(node)
            wanted.update(id(tensor) for tensor in node.input_tensors)
    return needed[::-1]


def _first(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    return next(iter([*args, *kwargs.values()]))


def _in_inference(operation: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    from keras.src.models.functional import operation_fn

    return operation_fn(operation, training=False)(*args, **kwargs)
