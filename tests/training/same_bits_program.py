"""Trains three kinds of networks, as graphs and by XLA, and prints a digest of what each ended with."""

from __future__ import annotations

import hashlib

import keras
import numpy as np

import kerasflow as kf

LAYERS = keras.layers
N = 37  # divided by neither batch nor micro-batch


def dense():
    return keras.Input((6,)), [LAYERS.Dense(8, "relu"), LAYERS.Dropout(0.3), LAYERS.Dense(3, "softmax")]


def convolutional():
    return keras.Input((8, 8, 1)), [
        LAYERS.RandomFlip(),
        LAYERS.RandomBrightness(0.2, value_range=(0, 1)),
        LAYERS.Conv2D(4, 3, padding="same"),
        LAYERS.BatchNormalization(),
        LAYERS.ReLU(),
        LAYERS.MaxPooling2D(),
        LAYERS.Flatten(),
        LAYERS.Dropout(0.3),
        LAYERS.Dense(3, "softmax"),
    ]


def recurrent():
    return keras.Input((5, 4)), [LAYERS.LSTM(6, dropout=0.2), LAYERS.Dense(3, "softmax")]


def trained(make, engine: str) -> str:
    """The digest of weights, random states and costs."""
    keras.utils.set_random_seed(5)
    inputs, layers = make()
    outputs = inputs
    for layer in layers:
        outputs = layer(outputs)
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    rng = np.random.default_rng(0)
    x, y = rng.random((N, *inputs.shape[1:]), "float32"), rng.integers(0, 3, N)
    history = kf.fit(
        model, x, y, 12, epochs=3, verbose=0, seed=3, micro_batch_size=5, engine=engine, validation_data=(x, y)
    )
    told = hashlib.sha256()
    for variable in [*model.variables, *model.optimizer.variables]:
        told.update(variable.numpy().tobytes())
    told.update(repr(history.history).encode())
    return told.hexdigest()


for make, engines in {dense: ("graph", "xla"), convolutional: ("graph", "xla"), recurrent: ("graph",)}.items():
    for engine in engines:
        print(make.__name__, engine, trained(make, engine))  # noqa: T201  it is read by the test
