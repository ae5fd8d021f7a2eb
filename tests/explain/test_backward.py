"""Backward propagation as numbers: TensorFlow's own gradients, the chain rule at every layer, one weight's paths."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerasflow as kf
from kerasflow.errors import BuildError, DataError, TrainingError
from tests.explain.conftest import DECK_SAMPLE, vary

LAYERS = keras.layers
DECK_X, DECK_Y = DECK_SAMPLE + np.array([[0, 0, 0], [0, 0, -1]]), np.array([[0.0], [1.0]])


def by_tape(model, x, y, training=False) -> dict[str, np.ndarray]:
    """What keras.Model.fit would compute, penalties included."""
    with tf.GradientTape() as tape:
        cost = model.compute_loss(x, y, model(x, training=training))
    found = tape.gradient(cost, [v.value for v in model.trainable_variables], unconnected_gradients="zero")
    return {v.path: tf.convert_to_tensor(g).numpy() for v, g in zip(model.trainable_variables, found, strict=True)}


def test_the_batchs_gradients_are_tensorflows(images_model, images) -> None:
    y = np.array([0, 2, 1, 1, 0])
    found = kf.explain.backward(images_model, images, y)
    expected = by_tape(images_model, tf.constant(images), tf.constant(y))
    assert found.gradients.keys() == expected.keys()
    for path, gradient in expected.items():
        np.testing.assert_allclose(found.gradients[path], gradient, rtol=1e-5, atol=1e-6, err_msg=path)
    assert found.cost == pytest.approx(images_model.evaluate(images, y, verbose=0), rel=1e-5)


def test_the_chain_rule_holds_at_every_layer(images_model, images) -> None:
    y = np.array([0, 2, 1, 1, 0])
    found = kf.explain.backward(images_model, images, y, sample=3)
    assert [layer.name for layer in found.layers][::-1] == [
        layer.name for layer in kf.explain.forward(images_model, images[3]).layers
    ]
    for layer in found.layers:
        if layer.elementwise:
            expected = layer.dE_dH * layer.dH_dZ
        else:
            expected = np.einsum("...i,...ij->...j", layer.dE_dH, layer.dH_dZ)
        np.testing.assert_allclose(layer.dE_dZ, expected, rtol=1e-5, atol=1e-6, err_msg=layer.name)
    head, pool = found.layers[:2]
    assert not head.elementwise
    kernel = images_model.get_layer("head").kernel.numpy()
    np.testing.assert_allclose(head.weights["head/bias"], head.dE_dZ, rtol=1e-5)
    np.testing.assert_allclose(head.dE_dinputs[0], kernel @ head.dE_dZ, rtol=1e-5)
    np.testing.assert_allclose(pool.dE_dH, head.dE_dinputs[0], rtol=1e-6)
    p = kf.explain.forward(images_model, images[3]).output[0]
    np.testing.assert_allclose(head.dE_dZ, p - np.eye(3)[1], rtol=1e-5)  # softmax and cross-entropy
    np.testing.assert_allclose(found.dE_dO[0], -np.eye(3)[1] / p, rtol=1e-4, atol=1.1)  # Keras divides by Σ p, too
    alone = by_tape(images_model, tf.constant(images[3:4]), tf.constant(y[3:4]))
    for layer in found.layers:
        for path, gradient in layer.weights.items():
            np.testing.assert_allclose(gradient, alone[path], rtol=1e-5, atol=1e-6, err_msg=path)


def test_the_decks_chain_with_its_numbers(deck) -> None:
    found = kf.explain.backward(deck, DECK_X, DECK_Y)
    trace = kf.explain.forward(deck, DECK_SAMPLE)
    o, h = trace.output[0][0], trace["hidden"].H
    dE_dO, dO_dZ = 2 * (o - 0), o * (1 - o)
    np.testing.assert_allclose(found.error, o**2, rtol=1e-12)
    np.testing.assert_allclose(found["output"].dE_dZ, [dE_dO * dO_dZ], rtol=1e-10)
    np.testing.assert_allclose(found["hidden"].dH_dZ, h * (1 - h), rtol=1e-10)
    first = found.path("hidden/kernel[1,0]")
    assert [factor.name for factor in first.paths[0].factors] == [
        "dE/dO[0]",
        "dO[0]/doutput.Z[0]",
        "doutput.Z[0]/dhidden.H[0]",
        "dhidden.H[0]/dhidden.Z[0]",
        "dhidden.Z[0]/dw",
    ]
    expected = [dE_dO, dO_dZ, 0.5, h[0] * (1 - h[0]), DECK_SAMPLE[1]]
    np.testing.assert_allclose([factor.value for factor in first.paths[0].factors], expected, rtol=1e-10)
    assert (first.value, len(first.paths)) == (7.0, 1)
    np.testing.assert_allclose([first.gradient, first.total, first.paths[0].product], np.prod(expected), rtol=1e-10)
    assert str(first).startswith("dE/dw = dE/dO[0] · dO[0]/doutput.Z[0] · ")


def test_many_paths_add_up_to_the_weights_gradient(images_model, images) -> None:
    keras.utils.set_random_seed(2)
    inputs = keras.Input((3,))
    a = LAYERS.Dense(3, "tanh", name="a")(inputs)
    skip = LAYERS.Add(name="skip")([a, LAYERS.Dense(3, "tanh", name="b")(a)])
    model = vary(keras.Model(inputs, LAYERS.Dense(2, "softmax", name="c")(skip)))
    model.compile("sgd", "categorical_crossentropy")
    found = kf.explain.backward(model, np.ones((1, 3), "float32"), np.array([[0.0, 1.0]]))
    path = found.path("a/kernel[2,1]")
    assert len(path.paths) == 2 * 2 * (1 + 3)  # outputs, their Z, and the skip or one of three units
    np.testing.assert_allclose(sum(one.product for one in path.paths), path.gradient, rtol=1e-4)
    assert f"the sum over {len(path.paths)} paths" in str(path)
    y = np.array([0, 2, 1, 1, 0])
    shared = kf.explain.backward(images_model, images, y).path("shared/kernel[0,0,1,2]")
    assert {unit.split(".")[0] for unit in shared.units} == {"shared#1", "shared#2"}
    np.testing.assert_allclose(shared.total, shared.gradient, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("kind", [LAYERS.LSTM, LAYERS.GRU, LAYERS.SimpleRNN])
def test_recurrent_layers_are_followed_back(kind) -> None:
    model = keras.Sequential(
        [keras.Input((3,)), LAYERS.Embedding(4, 2, name="words"), kind(3, name="rnn"), LAYERS.Dense(1)]
    )
    model.compile("sgd", "mse")
    x, y = np.array([[1, 2, 3], [0, 3, 3]]), np.ones((2, 1), "float32")
    found = kf.explain.backward(model, x, y)
    for path, gradient in by_tape(model, tf.constant(x), tf.constant(y)).items():
        np.testing.assert_allclose(found.gradients[path], gradient, rtol=1e-5, atol=1e-6)
    assert found["words"].dE_dinputs == (None,)  # words are no numbers
    path = found.path("rnn/bias[0]" if kind is not LAYERS.GRU else "rnn/bias[0,0]")
    np.testing.assert_allclose(path.total, path.gradient, rtol=1e-4, atol=1e-7)


def test_gradients_as_in_training_hold_batch_statistics_penalties_and_weights() -> None:
    keras.utils.set_random_seed(4)
    model = keras.Sequential(
        [keras.Input((3,)), LAYERS.Dense(4, kernel_regularizer="l2"), LAYERS.BatchNormalization(), LAYERS.Dense(1)]
    )
    model.compile("sgd", "mse")
    x, y = np.random.default_rng(0).normal(size=(6, 3)).astype("float32"), np.ones((6, 1), "float32")
    before = [variable.numpy() for variable in model.variables]
    weight = np.arange(6.0)
    found = kf.explain.backward(model, x, y, training=True, sample_weight=weight)
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)
    with tf.GradientTape() as tape:
        cost = model.compute_loss(x, tf.constant(y), model(x, training=True), tf.constant(weight))
    expected = tape.gradient(cost, [v.value for v in model.trainable_variables])
    for variable, gradient in zip(model.trainable_variables, expected, strict=True):
        np.testing.assert_allclose(found.gradients[variable.path], gradient, rtol=1e-5, atol=1e-6)


def test_an_output_without_a_loss_costs_nothing() -> None:
    inputs = keras.Input((3,))
    outputs = [LAYERS.Dense(2, name="free")(inputs), LAYERS.Dense(1, name="judged")(inputs)]
    model = keras.Model(inputs, outputs)
    model.compile("sgd", [None, "mse"])
    y = [np.zeros((4, 2)), np.ones((4, 1))]
    x = np.ones((4, 3), "float32")
    found = kf.explain.backward(model, x, y)
    assert not found["free"].weights["free/kernel"].any()
    assert found["judged"].weights["judged/kernel"].any()
    (part,) = kf.explain.cost(model, x, y).parts
    assert (part.name, part.outputs.shape) == ("judged", (4, 1))
    assert part.difference < 1e-5


def test_wrong_input_gets_a_sentence(deck) -> None:
    found = kf.explain.backward(deck, DECK_X, DECK_Y)
    with pytest.raises(BuildError, match=r"no weight 'hiden/kernel\[0,0\]' that learns, did you mean 'hidden/kernel'"):
        found.path("hiden/kernel[0,0]")
    with pytest.raises(BuildError, match=r"the variable has shape \(3, 2\), so an index is of 2 numbers from 0"):
        found.path("hidden/kernel[3,0]")
    with pytest.raises(BuildError, match="could be several weights"):
        found.path("kernel[0,0]")
    with pytest.raises(DataError, match="no sample 2: x has 2, counted from 0 to 1"):
        kf.explain.backward(deck, DECK_X, DECK_Y, sample=2)
    with pytest.raises(DataError, match="no y was given"):
        kf.explain.backward(deck, DECK_X, None)
    model = keras.Sequential([keras.Input((3,)), LAYERS.Dense(1)])
    model.compile("sgd", lambda y, o: tf.reduce_mean(tf.abs(y - tf.cast(o > 0, o.dtype)), -1))
    with pytest.raises(TrainingError, match="is not differentiable"):
        kf.explain.backward(model, DECK_X, DECK_Y)
