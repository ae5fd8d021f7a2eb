"""One neuron's arithmetic: every product of an input and a weight, their sum, the bias, Z, and the activation's H.

Which input meets which weight follows from the layer's own code, so padding, strides, dilation and groups need no
second implementation: Z is linear in the inputs, and where the kernel holds its own indices in place of weights, dZ/dx
is the index of the weight that x is multiplied by.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from kerasflow.errors import BuildError, DataError
from kerasflow.explain.cells import is_recurrent
from kerasflow.explain.recorder import Call, activation_name, is_activation, replaced

_EXACT_INDICES = {"float16": 2**11, "bfloat16": 2**8, "float32": 2**24, "float64": 2**53}
_SHOWN = 6


@dataclass(frozen=True)
class Neuron:
    """Z = Σ x·w + b, and H.

    Attributes:
        layer: its path.
        index: into the layer's Z.
        input_names: of the inputs that reach it, `x[0]`, `x[2,3,0]`; `(n_terms,)`. The deck's X1 is `x[0]`.
        weight_names: `kernel[0,1]` for each of them; `1/9` and the like where a layer has no weights.
        inputs, weights: their values, `(n_terms,)` float64.
        bias: b; 0 where there is none.
        Z, H: as the layer gives them.
        activation: its name.
        rule: how the products become one: their `sum`, or the `max` of a pooling.
        constants: what weights and bias come from in BatchNormalization: `mean`, `variance`, `epsilon`, `gamma`,
            `beta`.
    """

    layer: str
    index: tuple[int, ...]
    input_names: tuple[str, ...]
    weight_names: tuple[str, ...]
    inputs: np.ndarray
    weights: np.ndarray
    bias: float
    Z: float
    activation: str
    H: float
    rule: Literal["sum", "max"]
    constants: Mapping[str, float]

    @property
    def products(self) -> np.ndarray:
        """x·w of each term, `(n_terms,)` float64."""
        products: np.ndarray = self.inputs * self.weights
        return products

    @property
    def total(self) -> float:
        """The products' sum, or of a max pooling their largest, without the bias; in float64."""
        return float(self.products.sum() if self.rule == "sum" else self.products.max())

    def __str__(self) -> str:
        pairs = [f"{x:.6g}·{w:.6g}" for x, w in zip(self.inputs[:_SHOWN], self.weights[:_SHOWN], strict=True)]
        more = len(self.inputs) - len(pairs)
        pairs += [f"... ({more} more)"] if more else []
        added = f" {'−' if self.bias < 0 else '+'} {abs(self.bias):.6g}" if self.bias else ""
        told = " + ".join(pairs) if self.rule == "sum" else f"max({', '.join(pairs)})"
        end = "" if self.activation == "linear" else f", H = {self.activation}({self.Z:.6g}) = {self.H:.6g}"
        return f"Z = {told}{added} = {self.Z:.6g}{end}"


def is_traced(call: Call) -> bool:
    """Whether the arithmetic inside of a layer is known; a subclass may compute what it likes."""
    layer = call.layer
    known = type(layer).__module__.startswith("keras.src.layers.") and type(layer).__name__ in _KERNEL | _PLAIN
    return is_recurrent(layer) or (len(call.inputs) == 1 and (known or is_activation(layer)))


_KERNEL = {"Dense", "Conv1D", "Conv2D", "Conv3D", "DepthwiseConv1D", "DepthwiseConv2D"}
_POOLS = {f"{where}{kind}Pooling{n}D" for where in ("", "Global") for kind in ("Average", "Max") for n in (1, 2, 3)}
_PLAIN = _POOLS | {"BatchNormalization", "Flatten", "Reshape", "Dropout", "Permute"}


def neuron_of(name: str, call: Call, index: int | tuple[int, ...]) -> Neuron:
    """See `LayerTrace.neuron`."""
    if is_recurrent(call.layer):
        raise BuildError(f"{name!r} computes step by step; look at its `steps`")
    if not is_traced(call):
        raise BuildError(
            f"{name!r} is a {type(call.layer).__name__}, a black box here; look at its inputs and its H instead"
        )
    place = _place(name, call, index)
    slope, z_again = _slope(call, place)
    x = np.asarray(call.inputs[0])[0].astype(np.float64)
    rule: Literal["sum", "max"] = "max" if "MaxPooling" in type(call.layer).__name__ else "sum"
    z = float(np.asarray(call.Z)[(0, *place)])
    if not np.isclose(z_again, z, rtol=1e-5, atol=1e-6):
        raise BuildError(f"the weights of {name!r} have changed since this trace; call kf.explain.forward again")
    used, names, weights = _met(call, place, slope, rule)
    bias = 0.0 if rule == "max" else _bias(call, place, z - float((x[used] * weights).sum()))
    return Neuron(
        name,
        place,
        tuple(f"x[{','.join(map(str, at))}]" for at in np.argwhere(used).tolist()),
        names,
        x[used],
        weights,
        bias,
        z,
        activation_name(call.activation),
        float(np.asarray(call.H)[(0, *place)]),
        rule,
        _constants(call.layer, place),
    )


def _place(name: str, call: Call, index: int | tuple[int, ...]) -> tuple[int, ...]:
    shape = tuple(call.Z.shape[1:])
    given = index if isinstance(index, tuple) else (index,)
    if len(given) != len(shape) or not all(-n <= i < n for i, n in zip(given, shape, strict=True)):
        raise DataError(f"there is no neuron {index!r} in {name!r}: its Z has shape {shape}, counted from 0")
    return tuple(int(i) % n for i, n in zip(given, shape, strict=True))


def _slope(call: Call, place: tuple[int, ...], layer: Any = None, kernel: Any = None) -> tuple[np.ndarray, float]:
    """dZ/dx of one neuron, `(...)` as the input is, and Z; with another layer, or another kernel, in its place."""
    import keras
    import tensorflow as tf

    layer = call.layer if layer is None else layer
    x = tf.convert_to_tensor(call.inputs[0])
    if is_activation(layer):
        return (_one_at(x.shape[1:], place), float(np.asarray(x)[(0, *place)]))
    instead = [] if kernel is None else [(layer.kernel, kernel)]
    linear = [(layer, "activation", lambda z: z)] if callable(vars(layer).get("activation")) else []
    with tf.GradientTape() as tape, keras.StatelessScope(instead), replaced(linear):
        tape.watch(x)
        z = layer(x, **{"training": False} if _knows_training(layer) else {})[(0, *place)]
    return np.asarray(tape.gradient(z, x, unconnected_gradients="zero"))[0].astype(np.float64), float(z)


def _knows_training(layer: Any) -> bool:
    return type(layer).__name__ in ("BatchNormalization", "Dropout")


def _one_at(shape: Any, place: tuple[int, ...]) -> np.ndarray:
    one = np.zeros(tuple(shape))
    one[place] = 1.0
    return one


def _met(
    call: Call, place: tuple[int, ...], slope: np.ndarray, rule: str
) -> tuple[np.ndarray, tuple[str, ...], np.ndarray]:
    """Which inputs reach the neuron `(...)` bool, and their weights by name and value."""
    layer = call.layer
    if type(layer).__name__ in _KERNEL:
        kernel = np.asarray(layer.kernel.value)
        if kernel.size < _EXACT_INDICES.get(str(layer.compute_dtype), 0):
            counted = (np.arange(kernel.size) + 1.0).reshape(kernel.shape)
            numbers = np.rint(_slope(call, place, kernel=counted)[0]).astype(np.int64)
            used = numbers > 0
            at = np.stack(np.unravel_index(numbers[used] - 1, kernel.shape), axis=-1)
            names = tuple(f"kernel[{','.join(map(str, one))}]" for one in at.tolist())
            return used, names, kernel[tuple(at.T)].astype(np.float64)
    if rule == "max":
        used = _slope(call, place, layer=_averaging(layer))[0] != 0
        return used, ("1",) * int(used.sum()), np.ones(int(used.sum()))
    used = slope != 0
    return used, tuple(f"{value:.6g}" for value in slope[used]), slope[used]


def _averaging(layer: Any) -> Any:
    """A layer whose windows are those of a max pooling, and whose slopes show what lies in them."""
    import keras

    return getattr(keras.layers, type(layer).__name__.replace("Max", "Average")).from_config(layer.get_config())


def _bias(call: Call, place: tuple[int, ...], rest: float) -> float:
    layer = call.layer
    if type(layer).__name__ in _KERNEL:
        channel = place[0] if getattr(layer, "data_format", "") == "channels_first" else place[-1]
        return 0.0 if layer.bias is None else float(np.asarray(layer.bias.value).reshape(-1)[channel])
    return rest if type(layer).__name__ == "BatchNormalization" else 0.0


def _constants(layer: Any, place: tuple[int, ...]) -> dict[str, float]:
    """BatchNormalization: w = γ / √(σ² + ε), b = β − μ·w (Ioffe & Szegedy 2015, algorithm 2)."""
    if type(layer).__name__ != "BatchNormalization":
        return {}
    axis = layer.axis if isinstance(layer.axis, int) else layer.axis[0]
    channel = place[axis - 1 if axis > 0 else axis]
    named = {"mean": layer.moving_mean, "variance": layer.moving_variance, "gamma": layer.gamma, "beta": layer.beta}
    told = {name: float(v.value[channel]) for name, v in named.items() if v is not None}
    return told | {"epsilon": float(layer.epsilon)}
