"""A built model as rows: what `kerasflow check` prints and the architecture's picture draws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from kerasflow.spec.catalogue import snake_case


class LayerRow(NamedTuple):
    """One layer: its name, its kind as a spec writes it, its output's shape for one sample, its weights."""

    name: str
    kind: str
    output_shape: tuple[int | None, ...]
    parameters: int


@dataclass(frozen=True)
class Memory:
    """An estimate of what a training holds at once, in bytes; temporary buffers of single operations come on top.

    Attributes:
        weights: the model's variables.
        gradients: of the trainable ones.
        optimizer: what the optimizer remembers.
        activations: every layer's output for one micro-batch, kept for the backward pass.
    """

    weights: int
    gradients: int
    optimizer: int
    activations: int

    @property
    def total(self) -> int:
        return self.weights + self.gradients + self.optimizer + self.activations


def layer_rows(model: Any) -> list[LayerRow]:
    """The layers in their order, without the inputs."""
    rows = []
    for layer in model.layers:
        if type(layer).__name__ == "InputLayer":
            continue
        output = layer.output[0] if isinstance(layer.output, list | tuple) else layer.output
        rows.append(
            LayerRow(layer.name, snake_case(type(layer).__name__), tuple(output.shape[1:]), layer.count_params())
        )
    return rows


def memory(model: Any, optimizer: Any, samples: int) -> Memory:
    """The estimate for passes of `samples` samples at once; builds the optimizer, if there is one."""
    if optimizer is not None:
        optimizer.build(model.trainable_variables)
    weights = sum(_bytes(v) for v in model.weights)
    activations = sum(_cells(row.output_shape) for row in layer_rows(model)) * samples * 4
    trainable = sum(_bytes(v) for v in model.trainable_variables)
    return Memory(weights, trainable, sum(_bytes(v) for v in getattr(optimizer, "variables", ())), activations)


def _bytes(variable: Any) -> int:
    return _cells(tuple(variable.shape)) * int(variable.value.dtype.size)


def _cells(shape: tuple[int | None, ...]) -> int:
    cells = 1
    for size in shape:
        cells *= size or 1
    return cells
