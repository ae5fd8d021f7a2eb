"""What is trained: data of a seed, and the network that every framework builds for it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np

CLASSES = 10


@dataclass(frozen=True)
class Task:
    """A network on data of one shape.

    Attributes:
        network: `mlp`, `cnn`, `mobilenet` or `resnet`.
        input_shape: of one sample, channels last.
        parameters: trainable numbers of the network, which every framework's has to have.
    """

    network: str
    input_shape: tuple[int, ...]
    parameters: int

    def data(self, samples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Inputs `(samples, *input_shape)` float32 in 0 to 1, and classes `(samples,)` int32. Time asks for no more."""
        draw = np.random.default_rng(seed)
        x = draw.random((samples, *self.input_shape), dtype="float32")
        return x, draw.integers(0, CLASSES, samples, dtype="int32")


MLP = Task("mlp", (64,), 17_226)
CNN = Task("cnn", (28, 28, 1), 225_034)
MOBILENET = Task("mobilenet", (96, 96, 3), 2_236_682)
MOBILENET_160 = Task("mobilenet", (160, 160, 3), 2_223_872)  # without a classifier
RESNET = Task("resnet", (224, 224, 3), 23_534_592)  # likewise

HIDDEN = (128, 64)  # neurons of the MLP's hidden layers


def keras_model(task: Task, seed: int) -> Any:
    """The network as a `keras.Model` that gives logits, its weights drawn from the seed."""
    import keras
    from keras import layers

    if task.network == "mobilenet":
        keras.utils.set_random_seed(seed)
        return keras.applications.MobileNetV2(
            input_shape=task.input_shape, weights=None, classes=CLASSES, classifier_activation=None
        )
    # By the layers' own seeds: Keras' global one makes TensorFlow forget how it runs every function compiled so far.
    seeds = itertools.count(1000 * seed)

    def dense(units: int, activation: str | None = "relu") -> Any:
        return layers.Dense(units, activation, kernel_initializer=keras.initializers.GlorotUniform(next(seeds)))

    def conv(filters: int) -> Any:
        return layers.Conv2D(
            filters, 3, activation="relu", kernel_initializer=keras.initializers.GlorotUniform(next(seeds))
        )

    if task.network == "mlp":
        hidden = [dense(units) for units in HIDDEN]
    else:
        hidden = [conv(32), layers.MaxPooling2D(), conv(64), layers.MaxPooling2D(), layers.Flatten(), dense(128)]
    return keras.Sequential([keras.Input(task.input_shape), *hidden, dense(CLASSES, None)])
