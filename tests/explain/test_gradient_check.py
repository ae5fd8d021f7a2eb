"""The gradient check passes what is right, kinks included, and names what is wrong."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerasflow as kf
from kerasflow.errors import BuildError
from kerasflow.explain.twin import twin_of
from tests.explain.conftest import vary

LAYERS = keras.layers
X, Y = np.random.default_rng(0).normal(size=(6, 3)).astype("float32"), np.ones((6, 1), "float32")


@tf.custom_gradient
def wrong_square(z):
    """Its derivative is 2z, not 3z."""
    return tf.square(z), lambda upstream: 3 * z * upstream


class Wrong(LAYERS.Layer):
    """With an argument of its own and no weights, so that only other layers' weights show its fault."""

    def __init__(self, scale, **kwargs):
        super().__init__(**kwargs)
        self.scale = scale

    def call(self, x):
        return wrong_square(x) * self.scale

    def get_config(self):
        return super().get_config() | {"scale": self.scale}


def wrong_loss(y, o):
    return tf.reduce_mean(wrong_square(y - o), axis=-1)


def model_of(*layers: keras.layers.Layer, loss: object = "mse", shape: tuple[int, ...] = (3,)) -> keras.Model:
    keras.utils.set_random_seed(7)
    model = vary(keras.Sequential([keras.Input(shape), *layers]))
    model.compile("sgd", loss)
    return model


def test_every_traced_layer_passes_in_inference(images_model, images) -> None:
    before = [variable.numpy() for variable in images_model.variables]
    found = kf.explain.check_gradients(images_model, images, np.array([0, 2, 1, 1, 0]), weights=40)
    assert found.ok, found.summary
    assert found.culprits == ()
    assert {row.variable for row in found.rows} == {v.path for v in images_model.trainable_variables}
    assert found.worst.difference < 1e-7
    for variable, value in zip(images_model.variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)
    assert images_model.loss == "sparse_categorical_crossentropy"


def test_training_with_dropout_batch_statistics_and_recurrence_passes() -> None:
    model = model_of(
        LAYERS.GRU(3, return_sequences=True),
        LAYERS.BatchNormalization(),
        LAYERS.Dropout(0.3, seed=1),
        LAYERS.Flatten(),
        LAYERS.Dense(1, kernel_regularizer="l2", activity_regularizer="l1"),
        shape=(4, 3),
    )
    x = np.random.default_rng(1).normal(size=(6, 4, 3)).astype("float32")
    found = kf.explain.check_gradients(model, x, Y, weights=30, training=True)
    assert found.ok, found.summary


def test_a_layer_with_a_wrong_gradient_is_named() -> None:
    model = model_of(LAYERS.Dense(4, name="first"), Wrong(0.5, name="mine"), LAYERS.Dense(1, name="last"))
    found = kf.explain.check_gradients(model, X, Y)
    assert not found.ok
    assert found.culprits == ("mine",)
    assert found.worst.variable.split("/")[-2] == "first"
    assert found.worst.relative == pytest.approx(1 / 3, rel=1e-4)  # 3z for 2z
    assert all(row.ok == ("last" in row.variable) for row in found.rows)
    assert "the gradient of mine is wrong: at " in found.summary


class WrongWeight(LAYERS.Layer):
    """Right by its input, and of the wrong sign by its own weight."""

    def build(self, shape):
        self.scale = self.add_weight(shape=(shape[-1],), initializer="ones", name="scale")

    def call(self, x):
        @tf.custom_gradient
        def scaled(x, scale):
            return x * scale, lambda upstream: (upstream * scale, -tf.reduce_sum(upstream * x, 0))

        return scaled(x, tf.convert_to_tensor(self.scale))


def test_a_layer_that_is_wrong_by_its_own_weight_is_named() -> None:
    model = model_of(LAYERS.Dense(4, name="first"), WrongWeight(name="mine"), LAYERS.Dense(1, name="last"))
    found = kf.explain.check_gradients(model, X, Y)
    assert found.culprits == ("mine",)
    assert {row.variable.split("/")[-2] for row in found.rows if not row.ok} == {"mine"}
    assert found.worst.analytic == pytest.approx(-found.worst.numeric, rel=1e-5)


def test_a_loss_with_a_wrong_gradient_is_named() -> None:
    found = kf.explain.check_gradients(model_of(LAYERS.Dense(1), loss=wrong_loss), X, Y)
    assert found.culprits == ("loss wrong_loss",)
    assert not any(row.ok for row in found.rows)


def test_kinks_are_no_false_alarm() -> None:
    zeros = np.zeros((2, 4, 4, 1), "float32")  # all of a pool's numbers tie, and every Z is 0
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((4, 4, 1)),
            LAYERS.Conv2D(2, 3, padding="same", activation="relu", name="first"),
            LAYERS.MaxPooling2D(2),
            LAYERS.Flatten(),
            LAYERS.Dense(1),
        ]
    )
    model.compile("sgd", "mse")
    found = kf.explain.check_gradients(model, zeros, Y[:2])
    assert found.ok, found.summary
    assert any(row.kink for row in found.rows if "first/bias" in row.variable)
    assert "at a kink" in found.summary


def test_a_wrong_gradient_is_no_kink() -> None:
    """Beside a ReLU at 0, the fault still shows."""
    model = model_of(LAYERS.Dense(4, "relu", name="first"), Wrong(1.0, name="mine"), LAYERS.Dense(1))
    found = kf.explain.check_gradients(model, np.concatenate([X, 0 * X]), np.ones((12, 1)))
    assert found.culprits == ("mine",)


def test_kinks_nearer_than_a_step_are_no_false_alarm() -> None:
    """Many of them, of both signs, a little off: the signal of a deep network that has faded is like that."""
    model = model_of(LAYERS.Dense(16, "relu", name="first"), LAYERS.Dense(1, name="last"))
    first, last = model.layers
    first.set_weights([1e-12 * first.get_weights()[0], np.zeros(16)])
    last.set_weights([np.random.default_rng(1).normal(size=(16, 1)), np.zeros(1)])
    found = kf.explain.check_gradients(model, X, Y)
    assert found.ok, found.summary
    assert {row.variable for row in found.rows if row.kink} == {first.kernel.path, first.bias.path}


def test_functions_without_a_name_are_taken_along() -> None:
    model = model_of(LAYERS.Lambda(lambda x: tf.square(x)), LAYERS.Dense(2, lambda z: tf.nn.softplus(z)))
    found = kf.explain.check_gradients(model, X, np.ones((6, 2)))
    assert found.ok, found.summary
    assert len(found.rows) == 8


def test_what_cannot_be_made_again_gets_a_sentence() -> None:
    class Forgetful(LAYERS.Layer):
        def __init__(self, table, **kwargs):
            super().__init__(**kwargs)
            self.table = tf.constant(table)

        def call(self, x):
            return x * self.table

        def get_config(self):
            return super().get_config()

    model = model_of(Forgetful(np.ones(3, "float32")), LAYERS.Dense(1))
    with pytest.raises(BuildError, match=r"cannot be copied in float64: .*get_config"):
        kf.explain.check_gradients(model, X, Y)


def test_a_twin_is_the_model_without_being_it(images_model, images) -> None:
    twin = twin_of(images_model, images)
    np.testing.assert_array_equal(twin(images), images_model(images))
    own = {id(variable) for variable in images_model.variables}
    assert not any(id(variable) in own for variable in twin.variables)
