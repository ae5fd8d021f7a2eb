"""The error belongs to an observation, the cost to the set; what each is, and the derivative both ways."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerasflow as kf
from kerasflow.errors import BuildError, DataError, TrainingError
from tests.explain.conftest import DECK_SAMPLE

LAYERS, LOSSES = keras.layers, keras.losses


def plain(units: int, activation: str = "linear", **dense) -> keras.Model:
    keras.utils.set_random_seed(5)
    return keras.Sequential([keras.Input((3,)), LAYERS.Dense(units, activation, name="out", **dense)])


X = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")


def test_the_decks_mean_squared_error(deck) -> None:
    x = DECK_SAMPLE + np.array([[0, 0, 0], [0, 0, 1], [1, 0, 0]])
    y = np.array([[0.0], [1.0], [0.5]])
    found = kf.explain.cost(deck, x, y)
    o = deck(x).numpy()
    np.testing.assert_allclose(found.errors, ((o - y) ** 2)[:, 0], rtol=1e-12)
    assert found.cost == found.total == pytest.approx(np.mean((o - y) ** 2), rel=1e-12)
    assert (found.only.loss, found.reduction) == ("mean_squared_error", "mean of the errors")
    np.testing.assert_allclose(found.only.analytic, 2 * (o - y), rtol=1e-12)
    assert found.only.difference < 1e-7


CASES = {
    "mean_absolute_error": ("linear", np.ones((4, 2))),
    "huber": ("linear", np.ones((4, 2))),
    "log_cosh": ("linear", np.ones((4, 2))),
    "hinge": ("tanh", np.array([[1, -1]] * 4)),
    "poisson": ("softplus", np.ones((4, 2))),
    "kl_divergence": ("softmax", np.array([[0.3, 0.7]] * 4)),
    "cosine_similarity": ("linear", np.ones((4, 2))),
    "binary_crossentropy": ("sigmoid", np.array([[0, 1]] * 4)),
    "categorical_crossentropy": ("softmax", np.array([[0, 1]] * 4)),
    "sparse_categorical_crossentropy": ("softmax", np.array([0, 1, 1, 0])),
    "binary_focal_crossentropy": ("sigmoid", np.array([[0, 1]] * 4)),
    "tversky": ("sigmoid", np.array([[0, 1]] * 4)),  # one number for all samples
}


@pytest.mark.parametrize("loss", CASES)
def test_keras_losses_both_ways(loss) -> None:
    activation, y = CASES[loss]
    model = plain(2, activation)
    model.compile("sgd", loss)
    found = kf.explain.cost(model, X, y)
    assert found.cost == pytest.approx(model.evaluate(X, y, verbose=0), rel=1e-5)
    assert found.only.difference < 1e-5
    assert np.abs(found.only.numeric).max() > 1e-3
    if loss == "tversky":
        assert found.errors is None
    else:
        assert found.errors is not None
        assert found.errors.mean() == pytest.approx(found.cost, rel=1e-6)


def test_reductions_are_named_and_are_what_training_lowers() -> None:
    model, y = plain(1), np.zeros((4, 1))
    weight = np.array([1.0, 2.0, 0.0, 0.5])
    for reduction, of, told in [
        ("sum", np.sum, "sum of the errors"),
        ("sum_over_batch_size", np.mean, "mean of the errors"),
        ("mean_with_sample_weight", lambda e: e.sum() / weight.sum(), "weighted mean of the errors"),
    ]:
        model.compile("sgd", LOSSES.MeanSquaredError(reduction=reduction))
        found = kf.explain.cost(model, X, y, sample_weight=weight)
        assert found.reduction.startswith(told)
        assert found.cost == pytest.approx(of(found.errors * weight), rel=1e-6)


def test_penalties_stand_apart() -> None:
    model = plain(1, kernel_regularizer=keras.regularizers.L2(0.1), activity_regularizer=keras.regularizers.L1(0.01))
    model.compile("sgd", "mse")
    found = kf.explain.cost(model, X, np.zeros((4, 1)))
    kernel = model.get_weights()[0]
    path = model.trainable_variables[0].path
    assert found.penalties[path] == pytest.approx(0.1 * (kernel**2).sum(), rel=1e-6)
    assert found.penalties["add_loss"] > 0
    assert found.total == pytest.approx(found.cost + sum(found.penalties.values()))
    assert found.total == pytest.approx(model.evaluate(X, np.zeros((4, 1)), verbose=0), rel=1e-5)


def test_several_outputs_each_have_their_part() -> None:
    inputs = keras.Input((3,))
    outputs = {"b": LAYERS.Dense(1, name="b")(inputs), "a": LAYERS.Dense(2, "softmax", name="a")(inputs)}
    model = keras.Model(inputs, outputs)
    model.compile("sgd", {"a": "sparse_categorical_crossentropy", "b": "mae"}, loss_weights={"a": 1.0, "b": 0.25})
    y = {"a": np.array([0, 1, 0, 1]), "b": np.ones((4, 1))}
    found = kf.explain.cost(model, X, y)
    parts = {part.name: part for part in found.parts}
    assert (parts["a"].outputs.shape, parts["b"].outputs.shape, parts["b"].weight) == ((4, 2), (4, 1), 0.25)
    assert found.cost == pytest.approx(parts["a"].cost + 0.25 * parts["b"].cost)
    assert max(part.difference for part in found.parts) < 1e-5
    with pytest.raises(BuildError, match="several outputs"):
        _ = found.errors


def test_wrong_input_gets_a_sentence() -> None:
    model = plain(2)
    with pytest.raises(TrainingError, match="is not compiled"):
        kf.explain.cost(model, X, np.zeros((4, 2)))
    model.compile("sgd", "mse")
    with pytest.raises(DataError, match=r"a target has shape \(3,\), the model's output \(2,\)"):
        kf.explain.cost(model, X, np.zeros((4, 3)))
    with pytest.raises(DataError, match="x has 4, y has 3"):
        kf.explain.cost(model, X, np.zeros((3, 2)))
    with pytest.raises(DataError, match=r"cannot take samples of shape \(2,\)"):
        kf.explain.cost(model, X[:, :2], np.zeros((4, 2)))
    model.compile("sgd", lambda y, o: tf.reduce_mean(tf.abs(y - tf.round(o)), -1))
    with pytest.raises(TrainingError, match="is not differentiable"):
        kf.explain.cost(model, X, np.zeros((4, 2)))
