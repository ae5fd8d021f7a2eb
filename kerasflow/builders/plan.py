"""A spec's layers as one flat list of steps: blocks opened, repeats written out, every name made whole. No Keras."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from kerasflow.spec.blocks import fill
from kerasflow.spec.document import DocumentPath
from kerasflow.spec.layers import LayerSpec
from kerasflow.spec.model import ModelSpec
from kerasflow.spec.wiring import INPUT, REUSE, each_reference


@dataclass(frozen=True)
class Step:
    """One layer to make.

    Attributes:
        name: the Keras layer's, unique in the model; a block's layers carry the block's name and a dot in front.
        kind: its name in the catalogue, or one of the spec's own: `head`, `model`, `reuse`, `op`.
        arguments: what stands behind its kind, a block's parameters filled in; what is reused by the name of its step.
        inputs: names of the steps or model inputs that it takes; `name/1` is the second output of one with several.
        path: where in the spec it stands.
        named: what its call takes by name: such names, arrays and plain values; the inputs stand for the rest.
    """

    name: str
    kind: str
    arguments: dict[str, Any]
    inputs: tuple[str, ...]
    path: DocumentPath
    named: dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """Steps in the order in which they can be made, and the names of the model's inputs and outputs."""

    inputs: tuple[str, ...]
    steps: tuple[Step, ...]
    outputs: tuple[str, ...]


def plan(spec: ModelSpec) -> Plan:
    """Lays out a model; deterministic, so that a layer has the same name wherever the spec is built."""
    inputs = spec.inputs or (INPUT,)
    layout = _Layout(spec, set(inputs))
    scope = {name: name for name in inputs}
    last = layout.lay(spec.layers, ("layers",), scope, inputs[0], prefix="", parameters={})
    return Plan(inputs, tuple(layout.steps), tuple(_in(scope, text) for text in spec.outputs) or (last,))


def _in(scope: Mapping[str, str], text: str) -> str:
    """A reference by the name of its step."""
    name, stroke, number = text.partition("/")
    return scope[name] + stroke + number


class _Layout:
    def __init__(self, spec: ModelSpec, taken: set[str]) -> None:
        self.spec, self.steps, self.taken = spec, list[Step](), taken
        self.reserved = set(_given_names(spec.layers))

    def lay(
        self,
        layers: tuple[LayerSpec, ...],
        path: DocumentPath,
        scope: dict[str, str],
        before: str,
        prefix: str,
        parameters: Mapping[str, Any],
    ) -> str:
        """Appends the steps of some layers and gives the last one's name; `scope` maps names to steps."""
        for index, layer in enumerate(layers):
            taken = each_reference(partial(_in, scope), layer.inputs)
            named = taken if isinstance(taken, dict) else {}
            inputs = tuple(taken) if isinstance(taken, list) else (before,)
            for _ in range(int(fill(layer.repeat, parameters))):
                before = self._one(layer, (*path, index), inputs, named, scope, prefix, parameters)
                inputs = (before,)
            if layer.name:
                scope[layer.name] = before
        return before

    def _one(
        self,
        layer: LayerSpec,
        path: DocumentPath,
        inputs: tuple[str, ...],
        named: dict[str, Any],
        scope: dict[str, str],
        prefix: str,
        parameters: Mapping[str, Any],
    ) -> str:
        name = self._unique(prefix, layer)
        arguments = {key: fill(value, parameters) for key, value in layer.arguments.items()}
        if layer.kind == REUSE and not arguments["layer"].startswith("/"):
            arguments = {"layer": scope[arguments["layer"]]}
        block = self.spec.blocks.get(layer.kind)
        if block is None:
            self.steps.append(Step(name, layer.kind, arguments, inputs, (*path, layer.kind), named))
            return name
        inner = {**block.parameters, **arguments}
        return self.lay(
            block.layers, ("blocks", layer.kind, "layers"), {INPUT: inputs[0]}, inputs[0], f"{name}.", inner
        )

    def _unique(self, prefix: str, layer: LayerSpec) -> str:
        """The layer's own name, or its kind, with a number behind it where that is taken."""
        base = prefix + (layer.name or layer.kind)
        reserved = set() if layer.name else self.reserved
        name, count = base, 1
        while name in self.taken or name in reserved:
            count += 1
            name = f"{base}_{count}"
        self.taken.add(name)
        return name


def _given_names(layers: tuple[LayerSpec, ...]) -> Iterator[str]:
    return (layer.name for layer in layers if layer.name)
