"""`kf.explain.backward`: backward propagation, from dE/dO to every weight."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kerasflow.explain.derivatives import of_activation
from kerasflow.explain.objective import check_differentiable, cost_of, evaluated, losses_of
from kerasflow.explain.paths import Pass, WeightPath, weight_path
from kerasflow.explain.recorder import Call, Recorder
from kerasflow.explain.samples import check_compiled, layer_named, outputs_of, row, samples
from kerasflow.explain.weights import find_weight, named_weights


@dataclass(frozen=True)
class LayerGradient:
    """The chain rule at one call of a layer, for one sample. No array has an axis for the batch.

    Attributes:
        name, kind: as in the forward trace.
        dE_dH: by what the layer gives.
        dH_dZ: the activation's derivative, as Z is; or of one over the last axis, such as softmax, a matrix `(..., k,
            k)` with dHᵢ/dZⱼ at `[..., i, j]`.
        elementwise: which of the two; then dE/dZ = dE/dH · dH/dZ, else dE/dZⱼ = Σᵢ dE/dHᵢ · dHᵢ/dZⱼ.
        dE_dZ: by what its activation takes.
        dE_dinputs: by each input, the dE/dH of the layers before, as far as they go in here; None
            where the error depends on none of its numbers, as of an Embedding's indices.
        weights: dE/dW and dE/db by variable path; of a layer that is called several times, the sum over its calls.
    """

    name: str
    kind: str
    dE_dH: np.ndarray
    dH_dZ: np.ndarray
    elementwise: bool
    dE_dZ: np.ndarray
    dE_dinputs: tuple[np.ndarray | None, ...]
    weights: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Backward:
    """Backward propagation.

    Attributes:
        gradients: of the batch's cost, penalties included, by Keras' `variable.path`: what training steps by.
        cost: of the batch, with penalties.
        sample: which observation the chain is of.
        error: E, of that observation alone, without penalties.
        dE_dO: by each output of the model.
        layers: the chain rule layer by layer, from the output back.
    """

    gradients: Mapping[str, np.ndarray]
    cost: float
    sample: int
    error: float
    dE_dO: tuple[np.ndarray, ...]
    layers: tuple[LayerGradient, ...]
    _pass: Pass = field(repr=False, compare=False)

    def __getitem__(self, name: str) -> LayerGradient:
        """The layer of this path, with `/` or `.` between names.

        Raises:
            BuildError: there is none; the message has near names.
        """
        return layer_named(self.layers, name)

    def path(self, weight: str) -> WeightPath:
        """One weight's chain rule with its numbers: dE/dO · dO/dZ · ... · dZ/dw, summed over the ways from w to E.

        Args:
            weight: `dense_1/kernel[3,2]`.

        Raises:
            BuildError: there is no such weight.
        """
        return weight_path(self._pass, find_weight(self._pass.model, weight))


def backward(
    model: Any, x: Any, y: Any, *, sample: int = 0, sample_weight: Any = None, training: bool = False
) -> Backward:
    """Follows the cost back to every weight: gradients of the batch, and the chain rule of one sample in numbers.

    Args:
        model: compiled and built; it is not changed.
        x, y: inputs and targets, arrays `(n_samples, ...)`, nested as the model has them.
        sample: the observation whose chain is told, counted from 0. It passes alone, as in inference.
        sample_weight: `(n_samples,)`, or what Keras takes; of the batch's gradients.
        training: whether Dropout and BatchNormalization act as in training, in the batch's gradients.

    Raises:
        BuildError, DataError, TrainingError: the model has no cost, samples and targets do not fit, there is no such
            sample, or the loss is not differentiable.

    Example:
        >>> back = kf.explain.backward(model, x, y)
        >>> back.gradients["dense/kernel"], back["hidden"].dE_dZ
        >>> print(back.path("dense_1/kernel[3,2]"))

    Source:
        The deck's "Back Propagation" in five steps; Rumelhart, Hinton & Williams 1986, Learning representations by
        back-propagating errors; Goodfellow et al. 2016, Deep Learning, section 6.5. Keras computes softmax and
        cross-entropy as one, which stays exact where a probability is 0 or 1; the chain does so, too.
    """
    import tensorflow as tf

    check_compiled(model)
    x, y, sample_weight = samples(model, x, y, sample_weight)
    one_x, one_y = row(x, sample), row(y, sample)
    known = named_weights(model)
    with tf.GradientTape() as tape:
        found = evaluated(model, x, y, sample_weight, training)
        total = found.cost
    gradients = _dense(tape, total, known)
    alone = _alone(model, one_x, one_y, known)
    n = int(tf.nest.flatten(x)[0].shape[0])
    layers = tuple(_layer(call, alone, known) for call in reversed(alone.calls))
    dE_dO = tuple(alone.gradient_of(tensor) for tensor in alone.outputs)
    return Backward(gradients, float(total), int(sample) % n, alone.error, dE_dO, layers, alone)


def _dense(tape: Any, aim: Any, known: Mapping[str, Any]) -> dict[str, np.ndarray]:
    import tensorflow as tf

    found = tape.gradient(aim, [v.value for v in known.values()], unconnected_gradients="zero") if known else []
    return {path: np.asarray(tf.convert_to_tensor(one)) for path, one in zip(known, found, strict=True)}


def _alone(model: Any, x: Any, y: Any, known: Mapping[str, Any]) -> Pass:
    """One sample forward and back, with the derivative of its error by every tensor on the way."""
    import keras
    import tensorflow as tf

    with tf.GradientTape(persistent=True) as tape:
        recorder = Recorder(watch=tape.watch)
        with keras.StatelessScope(), recorder.recording(model) as calls:
            outputs = outputs_of(model, x)
            parts = losses_of(model, y, outputs)
            error = cost_of(parts)
            ends = keras.tree.flatten(outputs)
            # The same loss by the outputs themselves: Keras goes by the logits of a softmax where it knows them.
            cut = cost_of(losses_of(model, y, keras.tree.map_structure(tf.identity, outputs)))
    met = {id(tensor): tensor for call in calls for tensor in (*call.inputs, call.Z, call.H)}
    met |= {id(tensor): tensor for tensor in ends}
    derivatives = _by_tensor(tape, error, met.values())
    derivatives |= _by_tensor(tape, cut, (tensor for tensor in ends if hasattr(tensor, "_keras_logits")))
    for part in parts:
        if id(part.y_pred) in met:
            check_differentiable(part, derivatives.get(id(part.y_pred)))
    weights = _dense(tape, error, known)
    return Pass(model, calls, ends, float(error), derivatives, weights)


def _by_tensor(tape: Any, aim: Any, tensors: Iterable[Any]) -> dict[int, np.ndarray]:
    floats = [tensor for tensor in tensors if tensor.dtype.is_floating]
    found = tape.gradient(aim, floats)
    return {id(t): np.asarray(g)[0] for t, g in zip(floats, found, strict=True) if g is not None}


def _layer(call: Call, alone: Pass, known: Mapping[str, Any]) -> LayerGradient:
    own = {id(variable) for variable in getattr(call.layer, "trainable_variables", ())}
    slope, elementwise = of_activation(call.activation, call.Z)
    return LayerGradient(
        call.path,
        type(call.layer).__name__,
        alone.gradient_of(call.H),
        slope,
        elementwise,
        alone.gradient_of(call.Z),
        tuple(alone.derivatives.get(id(tensor)) for tensor in call.inputs),
        {path: alone.weights[path] for path, variable in known.items() if id(variable) in own},
    )
