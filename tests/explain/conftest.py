"""The deck's network, and small networks of other kinds, shared by the tests of this room. None of them is changed."""

from __future__ import annotations

import keras
import numpy as np
import pytest

LAYERS = keras.layers

# The deck gives weights and biases of its first layer but no inputs: these bring its Z near 0, where σ is not flat.
DECK_SAMPLE = np.array([2000.0, 4500.0, 1251.0])


def make_deck(dtype: str = "float64") -> keras.Model:
    """Z11 = X1·3 + X2·7 + X3·2 − 40000, Z12 = X1·3 + X2·2 + X3·4 − 20000, H = σ(Z), then O."""
    model = keras.Sequential(
        [
            keras.Input((3,), dtype=dtype),
            LAYERS.Dense(2, "sigmoid", name="hidden", dtype=dtype),
            LAYERS.Dense(1, "sigmoid", name="output", dtype=dtype),
        ],
        name="deck",
    )
    hidden = [np.array([[3, 3], [7, 2], [2, 4]]), np.array([-40000, -20000])]
    model.set_weights([*hidden, np.array([[0.5], [-1.5]]), np.array([0.25])])
    model.compile("sgd", keras.losses.MeanSquaredError(dtype=dtype))
    return model


@pytest.fixture(scope="session")
def deck() -> keras.Model:
    return make_deck()


def vary(model: keras.Model, seed: int = 0) -> keras.Model:
    """Biases and moving statistics that are not what they are made as, so that they matter."""
    random = np.random.default_rng(seed)
    for variable in model.variables:
        if variable.dtype.startswith("float"):
            variable.assign(variable.numpy() + 0.2 * random.random(variable.shape))
    return model


def make_images() -> keras.Model:
    """Every traced kind of layer that takes images, nested and called twice, in float32."""
    keras.utils.set_random_seed(3)
    block = keras.Sequential(
        [LAYERS.Conv2D(4, 3, strides=2, padding="same", name="conv"), LAYERS.BatchNormalization(name="norm")],
        name="block",
    )
    images = keras.Input((9, 9, 2))
    x = LAYERS.ReLU(name="relu")(block(images))
    x = LAYERS.DepthwiseConv2D(2, depth_multiplier=2, activation="tanh", name="depthwise")(x)
    x = LAYERS.MaxPooling2D(2, strides=1, name="max")(x)
    x = LAYERS.AveragePooling2D(2, padding="same", name="average")(x)
    shared = LAYERS.Conv2D(8, 1, activation="elu", name="shared")
    x = shared(shared(x)) * 0.5
    x = LAYERS.GlobalAveragePooling2D(name="pool")(x)
    return vary(keras.Model(images, LAYERS.Dense(3, "softmax", name="head")(x), name="images"))


@pytest.fixture(scope="session")
def images_model() -> keras.Model:
    model = make_images()
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


@pytest.fixture(scope="session")
def images() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(5, 9, 9, 2)).astype("float32")
