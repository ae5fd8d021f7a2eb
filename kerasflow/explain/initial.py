"""`kf.explain.initialisation`: whether a model begins where it can learn, with the numbers behind each finding."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kerasflow.explain.derivatives import of_activation
from kerasflow.explain.objective import cost_of, losses_of
from kerasflow.explain.recorder import Call, Recorder, activation_name
from kerasflow.explain.samples import check_compiled, outputs_of, samples
from kerasflow.explain.weights import named_weights

FAR = 5.0
"""Times below the smallest, or above the largest, of the usual scales, from which on one is called small or large."""

MANY = 0.5
"""Of a layer's units, from which on dead or saturated ones are a finding."""

FLAT = 0.01
"""Of an activation's steepest slope, below which it is saturated."""

FADED = 1e-4
"""Of the gradient at the last layer with weights, what is left at the first where it has vanished."""

_RECTIFIERS = {"relu", "relu6", "leaky_relu", "leakyrelu", "elu", "gelu", "silu", "swish", "prelu", "mish"}
_CUT = {"relu", "relu6"}
_STEEPEST = {"sigmoid": 0.25, "tanh": 1.0}


@dataclass(frozen=True)
class KernelScale:
    """A variable of at least two axes, such as a kernel; biases may be zero.

    Attributes:
        mean, std: of its numbers.
        equal: whether all are the same.
        fan_in, fan_out: inputs of a unit, and units that an input goes to.
        usual: the standard deviations of LeCun, Glorot and He initialisation for it, by name.
    """

    mean: float
    std: float
    equal: bool
    fan_in: int
    fan_out: int
    usual: Mapping[str, float]


@dataclass(frozen=True)
class LayerStatistics:
    """One call of a layer over all samples.

    Attributes:
        name, kind, activation: as in the forward trace.
        Z_mean, Z_std, H_mean, H_std: over samples and units.
        gradient_rms: of dE/dZ, E the cost; root of the mean square.
        dead: share of the units whose ReLU gives 0 for every sample; 0 for other activations.
        saturated: share of the values where sigmoid or tanh has less than a hundredth of its steepest slope; else 0.
        kernels: by variable path.
    """

    name: str
    kind: str
    activation: str
    Z_mean: float
    Z_std: float
    H_mean: float
    H_std: float
    gradient_rms: float
    dead: float
    saturated: float
    kernels: Mapping[str, KernelScale]


@dataclass(frozen=True)
class Finding:
    """Something that hinders learning.

    Attributes:
        where: a layer or a variable, by its path.
        what: `equal weights`, `scale too small`, `scale too large`, `dead units`, `saturation`, `vanishing gradient` or
            `exploding gradient`.
        evidence: the numbers behind it.
        advice: what to try.
    """

    where: str
    what: str
    evidence: str
    advice: str


@dataclass(frozen=True)
class Initialisation:
    """Every layer's statistics in order, and what they show; no finding without evidence."""

    layers: tuple[LayerStatistics, ...]
    findings: tuple[Finding, ...]


def initialisation(model: Any, x: Any, y: Any) -> Initialisation:
    """Looks at weights, activations and gradients of a model as it is, before training or during it.

    The samples pass as in training, so that BatchNormalization has their statistics; its moving ones stay.

    Args:
        model: compiled and built; it is not changed.
        x, y: arrays `(n_samples, ...)`, nested as the model has them; some hundred samples do.

    Raises:
        BuildError, DataError, TrainingError: the model has no cost, or samples and targets do not fit.

    Source:
        The deck's "Initializing Weights and Biases": biases can be zero, weights cannot; close to zero without being
        too small. LeCun et al. 1998, Efficient BackProp, section 4.6; Glorot & Bengio 2010; He et al. 2015.
    """
    import keras
    import tensorflow as tf

    check_compiled(model)
    x, y, _ = samples(model, x, y)
    with tf.GradientTape() as tape:
        recorder = Recorder(watch=tape.watch)
        with keras.StatelessScope(), recorder.recording(model) as calls:
            cost = cost_of(losses_of(model, y, outputs_of(model, x, training=True)))
    known = {id(variable): path for path, variable in named_weights(model).items()}
    floats = [call for call in calls if call.Z.dtype.is_floating]
    slopes = tape.gradient(cost, [call.Z for call in floats], unconnected_gradients="zero")
    layers = tuple(_statistics(call, np.asarray(g), known) for call, g in zip(floats, slopes, strict=True))
    return Initialisation(layers, tuple(_findings(layers)))


def _statistics(call: Call, gradient: np.ndarray, known: Mapping[int, str]) -> LayerStatistics:
    z, h = (np.asarray(tensor).astype(np.float64) for tensor in (call.Z, call.H))
    activation = activation_name(call.activation)
    variables = getattr(call.layer, "trainable_variables", ())
    kernels = {known[id(v)]: kernel_scale(v.numpy()) for v in variables if len(v.shape) > 1 and id(v) in known}
    silent = (h == 0).reshape(-1, h.shape[-1]).all(axis=0) if h.ndim > 1 else np.zeros(1)
    return LayerStatistics(
        call.path,
        type(call.layer).__name__,
        activation,
        float(z.mean()),
        float(z.std()),
        float(h.mean()),
        float(h.std()),
        float(np.sqrt(np.mean(np.square(gradient, dtype=np.float64)))),
        float(silent.mean()) if activation in _CUT else 0.0,
        _saturated(call, activation),
        {} if "Embedding" in type(call.layer).__name__ else kernels,
    )


def _saturated(call: Call, activation: str) -> float:
    if activation not in _STEEPEST:
        return 0.0
    z = call.Z
    slope, _ = of_activation(call.activation, np.reshape(z, (1, -1)))
    return float(np.mean(slope < FLAT * _STEEPEST[activation]))


def kernel_scale(kernel: np.ndarray) -> KernelScale:
    """The scale of a kernel `(..., inputs, outputs)`, beside what is usual for its fans."""
    field = int(np.prod(kernel.shape[:-2]))
    fan_in, fan_out = field * kernel.shape[-2], field * kernel.shape[-1]
    usual = {
        "lecun": math.sqrt(1 / fan_in),
        "glorot": math.sqrt(2 / (fan_in + fan_out)),
        "he": math.sqrt(2 / fan_in),
    }
    equal = bool(kernel.size > 1 and (kernel == kernel.flat[0]).all())
    return KernelScale(float(kernel.mean()), float(kernel.std()), equal, fan_in, fan_out, usual)


def suited(activation: str) -> str:
    """The initialiser that suits an activation."""
    if activation == "selu":
        return "lecun_normal"
    return "he_normal" if activation in _RECTIFIERS else "glorot_uniform"


def _findings(layers: tuple[LayerStatistics, ...]) -> Iterator[Finding]:
    seen: set[str] = set()
    for layer in layers:
        for path, kernel in layer.kernels.items():
            if path not in seen:
                seen.add(path)
                yield from _of_kernel(path, kernel, layer.activation)
        if layer.dead > MANY:
            told = f"{layer.dead:.0%} of its units give 0 for every sample; its Z has mean {layer.Z_mean:.3g}"
            yield Finding(layer.name, "dead units", told, "a lower learning rate, he_normal, or leaky_relu")
        if layer.saturated > MANY:
            told = f"{layer.saturated:.0%} of its values are where {layer.activation} is flat; Z has "
            told += f"mean {layer.Z_mean:.3g} and standard deviation {layer.Z_std:.3g}"
            yield Finding(layer.name, "saturation", told, "scale the inputs, or give smaller weights")
    yield from _of_gradients([layer for layer in layers if layer.kernels])


def _of_kernel(path: str, kernel: KernelScale, activation: str) -> Iterator[Finding]:
    usual, name = kernel.usual, suited(activation)
    shown = f"its standard deviation is {kernel.std:.3g}, and {min(usual.values()):.3g} to {max(usual.values()):.3g} is"
    shown += f" usual for {kernel.fan_in} inputs and {kernel.fan_out} outputs"
    if kernel.equal:
        told = f"all its weights are {kernel.mean:g}, so its units get the same gradient and stay alike"
        yield Finding(path, "equal weights", told, f"{name}; biases alone may be zero")
    elif kernel.std * FAR < min(usual.values()):
        yield Finding(path, "scale too small", shown, name)
    elif kernel.std > FAR * max(usual.values()):
        yield Finding(path, "scale too large", shown, name)


def _of_gradients(layers: list[LayerStatistics]) -> Iterator[Finding]:
    """From the last layer with weights back to the first."""
    if len(layers) < 2 or not layers[-1].gradient_rms:
        return
    first, last = layers[0], layers[-1]
    ratio = first.gradient_rms / last.gradient_rms
    told = f"dE/dZ is {first.gradient_rms:.3g} here and {last.gradient_rms:.3g} at {last.name} (root mean square)"
    if ratio < FADED:
        advice = "another initialiser or activation, BatchNormalization, skips, or fewer layers"
        yield Finding(first.name, "vanishing gradient", told, advice)
    elif ratio > 1 / FADED or not math.isfinite(ratio):
        yield Finding(first.name, "exploding gradient", told, "smaller weights, BatchNormalization, or clipping")
