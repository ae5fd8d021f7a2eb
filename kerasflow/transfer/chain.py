"""A model that is a chain of layers, cut where the part that cannot change ends."""

from __future__ import annotations

from typing import Any

import keras

from kerasflow.training.keras_internals import is_seed, made_by


def fixed_part(model: Any) -> Any:
    """The beginning of a model that gives the same for a sample always: nothing in it learns or draws random numbers.

    Args:
        model: any `keras.Model`.

    Returns:
        A model with the same layers; None if there is no such part, or the model is no chain from one input to one
        output.
    """
    layers = _chain(model) or []
    n = _length(layers)
    return _joined(model.inputs[0], layers[:n]) if n else None


def rest_behind(model: Any, fixed: Any) -> Any:
    """What comes behind the fixed part of a model, on its outputs, with the same layers."""
    layers = _chain(model) or []
    return _joined(fixed.outputs[0], layers[_length(layers) :])


def adds_losses(model: Any, sample: Any) -> bool:
    """Whether a call of the model adds to the cost, as activity regularizers do."""
    with keras.StatelessScope(collect_losses=True) as scope:
        model(sample, training=False)
    return bool(scope.losses)


def with_frozen_at_rest(model: Any) -> Any:
    """The same layers, but models within the model of which nothing learns run in inference always.

    Without it, their dropout would go on in training.
    """
    layers = _chain(model)
    return model if layers is None else _joined(model.inputs[0], layers)


def _length(layers: list[Any]) -> int:
    """How many layers come before the first that learns or draws; without weights nothing is worth computing once."""
    n = next((place for place, layer in enumerate(layers) if _stirs(layer)), len(layers))
    return n if any(layer.weights for layer in layers[:n]) else 0


def _stirs(layer: Any) -> bool:
    if layer.trainable_weights or (layer.trainable and isinstance(layer, keras.layers.BatchNormalization)):
        return True  # a normalization learns its statistics, even if nothing else
    draws = any(is_seed(variable) for variable in layer.variables)
    return draws and not _is_frozen_model(layer)


def _is_frozen_model(layer: Any) -> bool:
    return hasattr(layer, "get_layer") and bool(layer.weights) and not layer.trainable_weights


class AtRest(keras.layers.Layer):
    """A model in inference always: a functional model around it would hand it its own `training`."""

    def __init__(self, model: Any) -> None:
        super().__init__(name=model.name, trainable=False, dtype=model.dtype_policy)
        self.model = model

    def call(self, x: Any) -> Any:
        return self.model(x, training=False)


def _joined(start: Any, layers: list[Any]) -> Any:
    inputs = keras.Input(batch_shape=start.shape, dtype=start.dtype, name=start.name)
    tensor = inputs
    for layer in layers:
        tensor = AtRest(layer)(tensor) if _is_frozen_model(layer) else layer(tensor)
    return keras.Model(inputs, tensor)


def _chain(model: Any) -> list[Any] | None:
    """The layers in their order, if each takes what the one before it gives and nothing else."""
    inputs, outputs = getattr(model, "inputs", None) or [], getattr(model, "outputs", None) or []
    if len(inputs) != 1 or len(outputs) != 1:
        return None
    layers: list[Any] = []
    tensor = outputs[0]
    while tensor is not inputs[0]:
        made = made_by(tensor)
        in_a_row = len(made.inputs) == len(made.outputs) == 1 and made.layer not in layers
        if not isinstance(made.layer, keras.layers.Layer) or not in_a_row or set(made.arguments) - {"training"}:
            return None
        layers.append(made.layer)
        tensor = made.inputs[0]
    if len(layers) != len([layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]):
        return None
    return layers[::-1]
