"""Gradient descent as numbers: one step, the cost around it, what α does, luck beside it. Models stay as they are."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import kerasflow as kf
from kerasflow.errors import BuildError, TrainingError
from kerasflow.explain.rates import behaviour
from tests.explain.conftest import DECK_SAMPLE

LAYERS = keras.layers
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(40, 2)).astype("float32")
Y = (X @ [[1.0], [-2.0]] + 0.5).astype("float32")


@pytest.fixture(scope="module")
def line() -> keras.Model:
    """Linear regression, whose cost is a paraboloid."""
    model = keras.Sequential([keras.Input((2,)), LAYERS.Dense(1, name="line")], name="model")
    model.set_weights([np.array([[0.2], [0.1]]), np.array([0.0])])
    model.compile("adam", "mse")
    return model


@pytest.fixture(autouse=True)
def _unchanged(line):
    """To the bit, optimizer and compiled state included."""
    before = [variable.numpy() for variable in line.variables]
    optimizer, loss = line.optimizer, line.loss
    yield
    for variable, value in zip(line.variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)
    assert (line.optimizer, line.loss, line.optimizer.iterations.numpy()) == (optimizer, loss, 0)


def cost_at(w: np.ndarray, b: float) -> float:
    return float(np.mean((X @ w.reshape(2, 1) + b - Y) ** 2))


def test_one_step_is_the_decks_update(deck) -> None:
    y = np.array([[0.0]])
    found = kf.explain.descent(deck, DECK_SAMPLE[None], y, 0.1)
    gradients = kf.explain.backward(deck, DECK_SAMPLE[None], y).gradients
    for path, before in found.before.items():
        np.testing.assert_allclose(found.after[path], before - 0.1 * gradients[path], rtol=1e-12)
    assert found.cost_after < found.cost_before
    path = deck.get_layer("output").kernel.path
    w, g = found.before[path][1, 0], gradients[path][1, 0]
    assert found.update("output/kernel[1,0]") == f"{path}[1,0]: {w:.6g} − 0.1·{g:.6g} = {w - 0.1 * g:.6g}"


def test_a_step_is_that_of_keras_own_sgd(line) -> None:
    found = kf.explain.descent(line, X, Y, 0.05)
    twin = keras.models.clone_model(line)
    twin.set_weights(line.get_weights())
    twin.compile(keras.optimizers.SGD(0.05), "mse")
    twin.fit(X, Y, batch_size=40, epochs=1, verbose=0)
    for (path, after), variable in zip(found.after.items(), twin.variables, strict=True):
        np.testing.assert_allclose(after, variable.numpy(), rtol=1e-5, err_msg=path)
    assert found.cost_after == pytest.approx(twin.evaluate(X, Y, verbose=0), rel=1e-5)
    assert found.expected < found.cost_after - found.cost_before < 0  # the paraboloid curves upwards


def test_the_cost_along_one_weight_is_its_parabola(line) -> None:
    found = kf.explain.along_weight(line, X, Y, "line/kernel[1,0]", width=2.0, points=9)
    np.testing.assert_allclose(found.costs, [cost_at(np.array([0.2, v]), 0.0) for v in found.positions], rtol=1e-5)
    assert found.positions[4] == pytest.approx(found.here)
    assert found.costs[4] == pytest.approx(found.cost_here)
    parabola = np.polynomial.Polynomial.fit(found.positions, found.costs, 2)
    assert found.slope == pytest.approx(parabola.deriv()(found.here), rel=1e-4)


def test_the_cost_along_the_gradient_is_that_after_a_step(line) -> None:
    found = kf.explain.along_gradient(line, X, Y, learning_rate=0.4, points=5)
    for rate, cost in zip(found.positions[1:], found.costs[1:], strict=True):
        assert cost == pytest.approx(kf.explain.descent(line, X, Y, float(rate)).cost_after, rel=1e-6)
    assert found.slope < 0
    assert found.costs[0] == found.cost_here


def test_a_plane_of_two_weights_and_the_path_through_it(line) -> None:
    found = kf.explain.plane(line, X, Y, weights=("kernel[0,0]", "kernel[1,0]"), steps=6, points=5)
    np.testing.assert_allclose(found.path[0], [0.2, 0.1], rtol=1e-6)
    assert (np.diff(found.path_costs) < 0).all()
    assert found.costs.shape == (5, 5)
    bias = 0.0
    w = np.array([0.2, 0.1])
    for _ in range(6):
        slope = (X @ w.reshape(2, 1) + bias - Y)[:, 0]
        w, bias = w - 0.1 * 2 * (X * slope[:, None]).mean(axis=0), bias - 0.1 * 2 * slope.mean()
    np.testing.assert_allclose(found.path[-1], w, rtol=1e-4)
    expected = cost_at(np.array([found.first[3], found.second[1]]), bias)
    assert found.costs[1, 3] == pytest.approx(expected, rel=1e-4)


def test_the_plane_of_the_path_holds_most_of_it(line) -> None:
    found = kf.explain.plane(line, X, Y, steps=8, points=4)
    assert found.share > 0.99
    np.testing.assert_allclose(found.path[-1], [0, 0], atol=1e-9)
    lengths = np.linalg.norm(np.diff(found.path, axis=0), axis=1)
    gradient = kf.explain.descent(line, X, Y, 0.1).gradients
    assert lengths[0] == pytest.approx(0.1 * np.sqrt(sum((g**2).sum() for g in gradient.values())), rel=0.02)


def test_learning_rates_are_named_from_their_curves(line) -> None:
    found = kf.explain.learning_rates(line, X, Y, epochs=20)
    named = {curve.learning_rate: curve.behaviour for curve in found.curves}
    assert named[10] == named[1] == "diverges"
    assert named[0.1] == "learns"
    assert named[0.001] == "crawls"
    first = kf.explain.cost(line, X, Y).cost
    for curve in found.curves:
        assert curve.costs[0] == pytest.approx(first, rel=1e-5)
    step = kf.explain.descent(line, X, Y, 0.1)
    assert found[0.1].costs[1] == pytest.approx(step.cost_after, rel=1e-5)
    assert "% of what the lowest curve falls" in found[0.001].evidence


@pytest.mark.parametrize(
    ("costs", "expected"),
    [
        ([1, 5, np.inf], "diverges"),
        ([1, 2, 4, 8], "diverges"),
        ([4, 1e6, 3, 2, 2, 2], "diverges"),
        ([4, 1, 3, 1, 3, 1], "fluctuates"),
        ([4, 3, 2, 1.5, 1.2, 1], "learns"),
        ([4, 3.99, 3.98, 3.97, 3.96, 3.95], "crawls"),
        ([4, 3, 2.7, 2.7, 2.7, 2.7], "stands still"),
        ([4, 1, 0.5, 0.5, 0.5, 0.5], "learns"),  # it has arrived
    ],
)
def test_a_behaviour_follows_from_the_curve(costs, expected) -> None:
    assert behaviour(np.array(costs, float), lowest=0.5)[0] == expected


def test_luck_beside_descent(line) -> None:
    found = kf.explain.random_search(line, X, Y, "line/kernel[1,0]", trials=25, seed=3, width=3.0)
    again = kf.explain.random_search(line, X, Y, "line/kernel[1,0]", trials=25, seed=3, width=3.0)
    np.testing.assert_array_equal(found.tried, again.tried)
    assert found.tried[0] == found.descent[0] == pytest.approx(0.1)
    np.testing.assert_allclose(found.costs, [cost_at(np.array([0.2, v]), 0.0) for v in found.tried], rtol=1e-5)
    assert (np.diff(found.lowest) <= 0).all()
    assert found.lowest[-1] == found.costs.min()
    assert (np.diff(found.descent_costs)[:5] < 0).all()
    assert found.descent_costs[-1] < found.lowest[-1]
    assert len(found.costs) == len(found.descent_costs) == 25


def test_wrong_input_gets_a_sentence(line) -> None:
    with pytest.raises(TrainingError, match="a learning rate is a finite number above 0, got 0"):
        kf.explain.descent(line, X, Y, 0)
    with pytest.raises(BuildError, match=r"has no weight 'line/kernl\[0,0\]' that learns, did you mean 'line/kernel'"):
        kf.explain.random_search(line, X, Y, "line/kernl[0,0]")
    with pytest.raises(BuildError, match=r"needs two weights, got 'model/line/bias\[0\]' twice"):
        kf.explain.plane(line, X, Y, weights=("bias", "bias[0]"))
    with pytest.raises(TrainingError, match="trials must be an integer >= 2, got 1"):
        kf.explain.random_search(line, X, Y, "bias", trials=1)
    with pytest.raises(TrainingError, match="which learning rates"):
        kf.explain.learning_rates(line, X, Y, rates=())
