"""Derivatives of one recorded call alone, for one sample: of H by Z, of Z by the inputs, of Z by one weight."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from kerasflow.explain.recorder import Call, activations_of, finished

MOST_CLASSES = 1024
"""The longest last axis over which an activation such as softmax is told whole, as a matrix."""


def of_activation(activation: Callable[[Any], Any] | None, Z: Any) -> tuple[np.ndarray, bool]:
    """dH/dZ, and whether each H depends on its own Z alone.

    Args:
        Z: `(1, ...)`.

    Returns:
        An array as Z is without the batch; or, of an activation over the last axis such as softmax, one `(..., k, k)`
        with dHᵢ/dZⱼ at `[..., i, j]`.
    """
    import tensorflow as tf

    if activation is None:
        return np.ones(tuple(Z.shape[1:]), Z.dtype.as_numpy_dtype), True
    z = tf.convert_to_tensor(Z)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(z)
        h = activation(z)

    def back(seed: Any) -> np.ndarray:
        found = tape.gradient(h, z, output_gradients=tf.cast(seed, z.dtype), unconnected_gradients="zero")
        array: np.ndarray = np.asarray(found)[0]
        return array

    own = back(tf.ones_like(z))
    probe = np.random.default_rng(0).uniform(0.5, 1.5, tuple(z.shape))
    k = int(z.shape[-1])
    if np.allclose(back(probe), own * probe[0], rtol=1e-4, atol=1e-6) or k > MOST_CLASSES:
        return own, True
    return np.stack([back(np.broadcast_to(np.eye(k)[i], z.shape)) for i in range(k)], axis=-2), False


def of_inputs(call: Call) -> list[np.ndarray]:
    """dZ/dx of each floating-point input: `(numbers of Z, numbers of x)`, in inference.

    One backward pass of as many copies of the sample as Z has numbers gives a row each.
    """
    import tensorflow as tf

    n = int(np.prod(call.Z.shape[1:]))
    inputs = [tf.repeat(tensor, n, axis=0) for tensor in call.inputs]
    places = [i for i, tensor in enumerate(inputs) if tensor.dtype.is_floating]
    with tf.GradientTape() as tape:
        tape.watch([inputs[i] for i in places])
        z = again(call, inputs).Z
    seeds = tf.reshape(tf.eye(n, dtype=z.dtype), (n, *call.Z.shape[1:]))
    found = tape.gradient(z, [inputs[i] for i in places], output_gradients=seeds, unconnected_gradients="zero")
    return [np.asarray(tf.convert_to_tensor(one)).reshape(n, -1) for one in found]


def of_weight(call: Call, variable: Any, index: tuple[int, ...]) -> np.ndarray:
    """dZ/dw of every number of Z by one weight, as Z is without the batch (forward mode)."""
    import tensorflow as tf

    tangent = np.zeros(tuple(variable.shape))
    tangent[index] = 1.0
    value = variable.value
    with tf.autodiff.ForwardAccumulator(value, tf.constant(tangent, value.dtype)) as forward:
        z = again(call, call.inputs).Z
    slopes: np.ndarray = np.asarray(forward.jvp(z, unconnected_gradients="zero"))[0]
    return slopes


def again(call: Call, inputs: list[Any], values: Iterable[tuple[Any, Any]] = ()) -> Call:
    """The same call of the layer with other tensors in place of its inputs, and of what variables hold."""
    import keras

    taken = iter(inputs)
    own = {id(tensor) for tensor in call.inputs}
    args = keras.tree.map_structure(lambda leaf: next(taken) if id(leaf) in own else leaf, call.args)
    with keras.StatelessScope(values), activations_of(call.layer) as activated:
        output = call.layer.call(*args, **call.kwargs)
        return finished(call.layer, args, call.kwargs, output, activated)
