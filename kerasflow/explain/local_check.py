"""Which layer, or which loss, has a wrong derivative: each is held to differences of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kerasflow.explain.derivatives import again
from kerasflow.explain.objective import losses_of
from kerasflow.explain.recorder import Call, Recorder
from kerasflow.explain.samples import outputs_of

STEP = 1e-6
TRIES = 3
"""Places at which a part is looked at; one that is right agrees at most of them, and one that is wrong at none."""

MOST_OUTPUTS = 64
"""Numbers of a layer's output that are looked at together: the fewer, the rarer is a kink within a step."""

Function = Callable[[list[Any]], Any]


def wrong_parts(model: Any, x: Any, y: Any, weight: Any, training: bool, tolerance: float) -> tuple[str, ...]:
    """Paths of the layers, and names of the losses, whose automatic derivative is not that of what they compute.

    Args:
        model: compiled and built, in float64.
        x, y, weight: tensors `(n_samples, ...)`.
        training: whether layers act as in training.
        tolerance: relative, of a derivative along a random direction.
    """
    import keras

    recorder = Recorder()
    with keras.StatelessScope(), recorder.recording(model) as calls:
        outputs = outputs_of(model, x, training)
    found = [call.path for call in calls if not _agrees(*_of_layer(call), tolerance)]
    ends = keras.tree.flatten(outputs)
    for place, part in enumerate(losses_of(model, y, outputs, weight)):

        def value(tensors: list[Any], place: int = place) -> Any:
            nest = keras.tree.pack_sequence_as(outputs, tensors)
            return losses_of(model, y, nest, weight)[place].value

        if not _agrees(value, ends, tolerance):
            found.append(f"loss {part.loss.name}")
    return tuple(dict.fromkeys(found))


def _of_layer(call: Call) -> tuple[Function, list[Any]]:
    """What a layer gives as a function of its inputs and its weights, and these."""
    floats = [i for i, tensor in enumerate(call.inputs) if tensor.dtype.is_floating]
    variables = list(getattr(call.layer, "trainable_variables", ()))

    def function(tensors: list[Any]) -> Any:
        inputs = list(call.inputs)
        for place, tensor in zip(floats, tensors, strict=False):
            inputs[place] = tensor
        return again(call, inputs, list(zip(variables, tensors[len(floats) :], strict=True))).H

    return function, [call.inputs[i] for i in floats] + [variable.value.read_value() for variable in variables]


def _agrees(function: Function, point: list[Any], tolerance: float) -> bool:
    """Whether the derivative along random directions is the difference's, at one of some places near the point."""
    return not point or any(_agrees_once(function, point, tolerance, seed) for seed in range(TRIES))


def _agrees_once(function: Function, point: list[Any], tolerance: float, seed: int) -> bool:
    """Near the point, not at it: at a kink, such as a ReLU at 0, there is no derivative to compare with."""
    import tensorflow as tf

    random = np.random.default_rng(seed)
    scales = [np.maximum(np.abs(np.asarray(tensor)), 1e-2) for tensor in point]
    near = [t + 1e-3 * s * random.uniform(-1, 1, s.shape) for t, s in zip(point, scales, strict=True)]
    along = [s * random.uniform(-1, 1, s.shape) for s in scales]
    with tf.GradientTape() as tape:
        tape.watch(near)
        output = function(near)
        size = int(np.prod(output.shape))
        chosen = np.zeros(size)
        chosen[random.choice(size, min(size, MOST_OUTPUTS), replace=False)] = 1.0
        cover = tf.reshape(tf.constant(chosen * random.uniform(0.5, 1.5, size), output.dtype), output.shape)
        value = tf.reduce_sum(cover * output)
    slopes = tape.gradient(value, near, unconnected_gradients="zero")
    terms = [np.sum(np.asarray(tf.convert_to_tensor(g)) * a) for g, a in zip(slopes, along, strict=True)]
    sizes = [
        np.sqrt(np.sum((np.asarray(tf.convert_to_tensor(g)) * a) ** 2)) for g, a in zip(slopes, along, strict=True)
    ]

    def at(t: float) -> float:
        moved = [tensor + t * a for tensor, a in zip(near, along, strict=True)]
        return float(tf.reduce_sum(cover * function(moved)))

    numeric = (at(STEP) - at(-STEP)) / (2 * STEP)
    noise = 1e-14 * max(1.0, abs(float(value))) / STEP
    return bool(abs(sum(terms) - numeric) <= tolerance * max(*sizes, abs(numeric)) + noise)
