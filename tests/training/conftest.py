"""Small models and data that the training tests share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

N_SAMPLES, N_FEATURES, N_CLASSES = 40, 4, 3
Data = tuple[np.ndarray, np.ndarray]


@pytest.fixture(scope="session")
def data() -> Data:
    """Observations `(40, 4)` float32 and classes `(40,)` that depend on them."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N_SAMPLES, N_FEATURES)).astype("float32")
    return x, np.digitize(x[:, 0] + 0.3 * rng.normal(size=N_SAMPLES), [-0.5, 0.5])


@pytest.fixture
def classifier() -> Callable[..., Any]:
    """Makes a compiled softmax classifier; each one begins with the same weights."""

    def make(**compiling: Any) -> Any:
        keras.utils.set_random_seed(0)
        layers = [keras.Input((N_FEATURES,)), keras.layers.Dense(N_CLASSES, "softmax")]
        model = keras.Sequential(layers)
        settings = {"optimizer": keras.optimizers.SGD(0.1), "loss": "sparse_categorical_crossentropy"}
        model.compile(**(settings | {"metrics": ["accuracy"]} | compiling))
        return model

    return make
