"""Common networks as one call; each gives a `ModelSpec` to build, change or write to a file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kerasflow.spec.model import ModelSpec, as_model_spec


def single_layer() -> ModelSpec:
    """One layer of neurons from the input to the output: linear, logistic or softmax regression, as the task asks."""
    return as_model_spec({"layers": ["flatten", "head"]})


def mlp(
    units: int | Sequence[int] = (128,), activation: str = "relu", dropout: float = 0.0, batch_norm: bool = False
) -> ModelSpec:
    """A multilayer perceptron: dense layers in a row.

    Args:
        units: neurons in each hidden layer.
        activation: of the hidden layers.
        dropout: share of each hidden layer's outputs that is set to zero in training, from 0 to below 1.
        batch_norm: whether each hidden layer is normalised over the batch before its activation.

    Raises:
        SpecError: an argument that no such layer takes.
    """
    layers: list[Any] = ["flatten"]
    for width in _as_sequence(units):
        layers += _activated({"dense": {"units": width}}, activation, batch_norm)
        layers += [{"dropout": dropout}] if dropout else []
    return as_model_spec({"layers": [*layers, "head"]})


def cnn(
    filters: Sequence[int] = (32, 64),
    kernel_size: int = 3,
    dense: int | Sequence[int] = (128,),
    activation: str = "relu",
    dropout: float = 0.0,
    batch_norm: bool = False,
) -> ModelSpec:
    """A convolutional network for images: convolution and 2×2 max pooling by turns, then dense layers.

    Args:
        filters: channels of each convolution.
        kernel_size: height and width of each convolution's window, in pixels.
        dense: neurons in each hidden dense layer after the convolutions.
        activation: of every hidden layer.
        dropout: share of the dense layers' inputs that is set to zero in training, from 0 to below 1.
        batch_norm: whether each convolution is normalised over the batch before its activation.

    Raises:
        SpecError: an argument that no such layer takes.
    """
    layers: list[Any] = []
    for channels in _as_sequence(filters):
        convolution = {"conv2d": {"filters": channels, "kernel_size": kernel_size, "padding": "same"}}
        layers += [*_activated(convolution, activation, batch_norm), "max_pooling2d"]
    layers.append("flatten")
    for width in _as_sequence(dense):
        layers += [{"dropout": dropout}] if dropout else []
        layers.append({"dense": {"units": width, "activation": activation}})
    return as_model_spec({"layers": [*layers, "head"]})


def _activated(layer: dict[str, dict[str, Any]], activation: str, batch_norm: bool) -> list[Any]:
    ((name, arguments),) = layer.items()
    if not batch_norm:
        return [{name: {**arguments, "activation": activation}}]
    return [{name: {**arguments, "use_bias": False}}, "batch_normalization", {"activation": activation}]


def _as_sequence(value: int | Sequence[int]) -> Sequence[int]:
    return [value] if isinstance(value, int) else value
