"""`kf.explain.forward`: forward propagation of one sample, layer by layer."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from kerasflow.explain.cells import Step, steps_of
from kerasflow.explain.recorder import Call, Recorder, activation_name
from kerasflow.explain.samples import check_model, layer_named, one_sample, outputs_of
from kerasflow.explain.terms import Neuron, is_traced, neuron_of


@dataclass(frozen=True)
class LayerTrace:
    """What one call of a layer does with one sample. No array has an axis for the batch.

    Attributes:
        name: its path, `hidden`, or `backbone/block3/out`; `conv#2` is the second of several calls.
        kind: the layer's class, `Dense`.
        inputs: what went in, an array each.
        Z: what the layer gives before its activation; where it has none, the same as `H`.
        H: what it gives, after the activation.
        activation: its name; `linear` where there is none.
        traced: whether the arithmetic inside is known, so that `neuron` can tell it; else the layer is a black box.
    """

    name: str
    kind: str
    inputs: tuple[np.ndarray, ...]
    Z: np.ndarray
    H: np.ndarray
    activation: str
    traced: bool
    _call: Call = field(repr=False, compare=False)

    def neuron(self, index: int | tuple[int, ...]) -> Neuron:
        """One neuron's sum: every product of an input and a weight, the bias, Z and H.

        Args:
            index: into `Z`, such as 3, or (4, 4, 0) for row, column and channel of a convolution.

        Raises:
            BuildError: the layer is a black box.
            DataError: there is no such neuron.
        """
        return neuron_of(self.name, self._call, index)

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """Of a SimpleRNN, LSTM or GRU, its cell step by step with all gates; empty for other layers."""
        return steps_of(self._call)


@dataclass(frozen=True)
class Trace:
    """Forward propagation of one sample.

    Attributes:
        layers: every call of a layer, in the order in which they were made.
        output: O, as the model gives it, an array for each output.
    """

    layers: tuple[LayerTrace, ...]
    output: tuple[np.ndarray, ...]

    def __getitem__(self, name: str) -> LayerTrace:
        """The layer of this path, with `/` or `.` between names.

        Raises:
            BuildError: there is none; the message has near names.
        """
        return layer_named(self.layers, name)


def forward(model: Any, sample: Any) -> Trace:
    """Follows one sample through a model, as in inference: what goes into each layer, Z before its activation, H after.

    The numbers are those of the model's own layers. What happens within Dense, convolutions, pooling,
    BatchNormalization, activations and the cells of SimpleRNN, LSTM and GRU is told neuron by neuron on demand; any
    other layer is a black box with its name, input and output.

    Args:
        model: a built `keras.Model`, functional, sequential or with a `call` of its own; it is not changed.
        sample: one sample of its input's shape, with or without an axis of one in front; a list or dict for several
            inputs.

    Raises:
        BuildError: the model is not built.
        DataError: the sample has another shape.

    Example:
        >>> trace = kf.explain.forward(model, x[0])
        >>> trace["hidden"].Z, trace["hidden"].H
        >>> print(trace["hidden"].neuron(0))
        Z = 2000·3 + 4500·7 + 1251·2 − 40000 = 2, H = sigmoid(2) = 0.880797

    Source:
        The deck's "Forward Propagation", Z11 = X1*w1 + X2*w2 + X3*w3 + b1 and H11 = σ(Z11); Goodfellow et al. 2016,
        Deep Learning, chapter 6.
    """
    import keras

    check_model(model)
    batch = one_sample(model, sample)
    recorder = Recorder()
    with keras.StatelessScope(), recorder.recording(model) as calls:
        output = outputs_of(model, batch)
    return Trace(tuple(map(_layer, calls)), tuple(leaf.numpy()[0] for leaf in keras.tree.flatten(output)))


def _layer(call: Call) -> LayerTrace:
    return LayerTrace(
        call.path,
        type(call.layer).__name__,
        tuple(_alone(tensor) for tensor in call.inputs),
        _alone(call.Z),
        _alone(call.H),
        activation_name(call.activation),
        is_traced(call),
        call,
    )


def _alone(tensor: Any) -> np.ndarray:
    """A tensor without the axis of the batch, where it has one."""
    array: np.ndarray = tensor.numpy() if hasattr(tensor, "numpy") else np.asarray(tensor)
    return array[0] if array.ndim else array
