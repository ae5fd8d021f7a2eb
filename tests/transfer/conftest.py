"""A small network of every kind of nesting, shared by the tests of this room."""

from __future__ import annotations

import keras
import numpy as np
import pytest

LAYERS = keras.layers


def make_nested() -> keras.Model:
    """A functional model in which lie a functional backbone with a skip, in that a sequential block, and a layer that
    is called twice.
    """
    keras.utils.set_random_seed(1)
    inside = keras.Input((8, 8, 4))
    first = LAYERS.Conv2D(4, 3, padding="same", name="first")(inside)
    block = keras.Sequential(
        [
            LAYERS.Conv2D(4, 3, padding="same", name="in"),
            LAYERS.BatchNormalization(name="norm"),
            LAYERS.ReLU(name="out"),
        ],
        name="block3",
    )
    backbone = keras.Model(inside, LAYERS.Add(name="skip")([first, block(first)]), name="backbone")

    images = keras.Input((8, 8, 3))
    x = LAYERS.Conv2D(4, 3, padding="same", activation="relu", name="conv1")(images)
    x = backbone(x)
    shared = LAYERS.Conv2D(4, 1, activation="relu", name="shared")
    x = shared(shared(x)) * 0.5
    x = LAYERS.Dropout(0.5, name="drop")(LAYERS.GlobalAveragePooling2D(name="pool")(x))
    model = keras.Model(images, LAYERS.Dense(3, "softmax", name="head")(x), name="nested")
    for variable in model.variables:  # moving statistics, too, are to matter
        if "moving" in variable.path:
            variable.assign(np.random.default_rng(0).random(variable.shape) + 0.5)
    return model


@pytest.fixture(scope="session")
def nested() -> keras.Model:
    """It is not to be changed."""
    return make_nested()


@pytest.fixture(scope="session")
def images() -> np.ndarray:
    """More than one batch, and a rest: `(37, 8, 8, 3)` float32."""
    return np.random.default_rng(0).random((37, 8, 8, 3), dtype=np.float32)
