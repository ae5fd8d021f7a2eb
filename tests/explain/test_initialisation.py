"""Initialisation: each fault is found with its numbers, and healthy models raise no alarm."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import kerasflow as kf

LAYERS = keras.layers
RANDOM = np.random.default_rng(0)
X, Y = RANDOM.normal(size=(64, 12)).astype("float32"), RANDOM.integers(0, 3, 64)


def model_of(initializer: object, activation: str = "relu", depth: int = 2, bias: float = 0.0) -> keras.Model:
    keras.utils.set_random_seed(1)
    hidden = [
        LAYERS.Dense(
            32,
            activation,
            kernel_initializer=initializer if isinstance(initializer, str) else initializer(),
            bias_initializer=keras.initializers.Constant(bias),
            name=f"hidden{i}",
        )
        for i in range(depth)
    ]
    model = keras.Sequential([keras.Input((12,)), *hidden, LAYERS.Dense(3, "softmax", name="out")], name="model")
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


def whats(model: keras.Model, x: np.ndarray = X) -> set[tuple[str, str]]:
    found = kf.explain.initialisation(model, x, Y)
    for finding in found.findings:
        assert finding.evidence
        assert finding.advice
    return {(finding.where.removeprefix("model/"), finding.what) for finding in found.findings}


@pytest.mark.parametrize(
    ("initializer", "activation"),
    [("glorot_uniform", "relu"), ("he_normal", "sigmoid"), ("lecun_uniform", "tanh"), ("orthogonal", "gelu")],
)
def test_healthy_models_raise_no_alarm(initializer, activation) -> None:
    assert whats(model_of(initializer, activation, depth=4)) == set()


def test_a_healthy_network_of_images_raises_no_alarm(images_model, images) -> None:
    assert kf.explain.initialisation(images_model, images, np.array([0, 2, 1, 1, 0])).findings == ()


def test_equal_weights_are_found_and_zero_biases_are_fine() -> None:
    found = whats(model_of("zeros"))
    assert {("hidden0/kernel", "equal weights"), ("hidden1/kernel", "equal weights")} <= found
    assert not any("bias" in where for where, _ in found)


def test_scales_too_small_and_too_large() -> None:
    small = whats(model_of(lambda: keras.initializers.RandomNormal(stddev=1e-4, seed=2), depth=3))
    assert {("hidden1/kernel", "scale too small"), ("hidden0", "vanishing gradient")} <= small
    large = whats(model_of(lambda: keras.initializers.RandomNormal(stddev=5.0, seed=2), "tanh"))
    assert {("hidden1/kernel", "scale too large"), ("hidden1", "saturation")} <= large


def test_dead_units_and_inputs_that_saturate() -> None:
    assert ("hidden0", "dead units") in whats(model_of("he_normal", bias=-30.0))
    assert ("hidden0", "saturation") in whats(model_of("glorot_uniform", "sigmoid"), 1000 * X)


def test_the_statistics_are_those_of_the_trace() -> None:
    model = model_of("he_normal")
    layer = kf.explain.initialisation(model, X, Y).layers[0]
    z = X @ model.get_weights()[0]
    np.testing.assert_allclose([layer.Z_mean, layer.Z_std], [z.mean(), z.std()], rtol=1e-4, atol=1e-6)
    assert layer.H_mean == pytest.approx(np.maximum(z, 0).mean(), rel=1e-4)
    (kernel,) = layer.kernels.values()
    assert (kernel.fan_in, kernel.fan_out) == (12, 32)
    assert kernel.usual["he"] == pytest.approx(np.sqrt(2 / 12))


@pytest.mark.parametrize("value", [0.0, 0.3])
def test_symmetric_units_stay_equal(value) -> None:
    """While their cost falls: the last layer's biases learn how often each class comes."""
    model = model_of(lambda: keras.initializers.Constant(value))
    model.layers[-1].kernel.assign(np.full((32, 3), value))
    found = kf.explain.symmetry(model, X, Y, steps=6, learning_rate=1e-4)
    assert {"model/hidden0/kernel", "model/hidden1/kernel"} <= set(found.alike)
    assert (np.diff(found.costs) < 0).all()
    apart = kf.explain.symmetry(model_of("he_normal"), X, Y, steps=2)
    assert apart.alike == ()
    assert apart.spreads["model/hidden0/kernel"].shape == (3,)
