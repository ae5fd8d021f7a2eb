"""Which recipes make models that differ in the values of variables alone, so that one model can serve them all."""

from __future__ import annotations

import inspect
import json
from collections.abc import Hashable
from typing import Any

import numpy as np

from kerasflow.estimators.recipe import Recipe

_SIZES = ("n_classes_", "n_outputs_", "n_outputs_expected_", "target_type_")


def likeness(recipe: Recipe) -> Hashable | None:
    """Equal for recipes whose models are alike; None if that cannot be known."""
    import keras

    spec = recipe.spec()
    if spec is None or not recipe.is_described:
        return None
    (optimizer, arguments), rate = recipe.optimizer, recipe.learning_rate
    if recipe.rate is not None:
        arguments, rate = {name: value for name, value in arguments.items() if name != "learning_rate"}, "number"
    parts = [
        optimizer,
        arguments,
        rate,
        *recipe.loss,
        *recipe.metrics,
        recipe.compiling,
        *(recipe.meta.get(name) for name in _SIZES),
        recipe.meta["X_shape_"][1:],
        recipe.precision,
    ]
    try:
        told = json.dumps(_described(parts))
    except TypeError:
        return None
    return spec.model_dump_json(), told, keras.config.floatx(), keras.config.image_data_format()


def _described(value: Any) -> Any:
    """Values, classes and objects of Keras' as JSON has them.

    Raises:
        TypeError: something else.
    """
    import keras

    if isinstance(value, list | tuple):
        return [_described(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _described(item) for key, item in value.items()}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return value.item()
    owner = value if inspect.isclass(value) else type(value)
    if not owner.__module__.startswith("keras."):
        raise TypeError(owner.__name__)
    if owner is value:
        return f"{owner.__module__}.{owner.__qualname__}"
    config = keras.saving.serialize_keras_object(value)
    _refuse_functions(config)
    return config


def _refuse_functions(config: Any) -> None:
    """A function of somebody's own is told by its name alone, which another may bear."""
    if isinstance(config, list | tuple):
        for item in config:
            _refuse_functions(item)
    elif isinstance(config, dict):
        if config.get("class_name") == "function" and not str(config.get("module") or "").startswith("keras"):
            raise TypeError(str(config.get("config")))
        for item in config.values():
            _refuse_functions(item)
