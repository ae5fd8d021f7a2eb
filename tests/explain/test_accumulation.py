"""Micro-batches' gradients add up to the whole window's, and no weight moves on the way."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import kerasflow as kf
from kerasflow.errors import TrainingError

LAYERS = keras.layers
RANDOM = np.random.default_rng(0)
X, Y = RANDOM.normal(size=(10, 3)).astype("float32"), RANDOM.integers(0, 3, 10)


def model_of(*layers: keras.layers.Layer, reduction: str = "sum_over_batch_size") -> keras.Model:
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input((3,)), *layers, LAYERS.Dense(3, "softmax")])
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(reduction=reduction), metrics=["accuracy"])
    return model


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum", "mean_with_sample_weight"])
def test_micro_batches_add_up_to_the_window(reduction) -> None:
    model = model_of(LAYERS.Dense(4, "tanh"), reduction=reduction)
    weight = np.arange(1.0, 11.0) if "weight" in reduction else None
    before = [variable.numpy() for variable in [*model.variables, *model.optimizer.variables]]
    found = kf.explain.accumulation(model, X, Y, 4, sample_weight=weight)
    assert found.sizes == (4, 4, 2)
    assert found.unchanged
    assert found.relative < 1e-6
    expected = kf.explain.backward(model, X, Y, sample_weight=weight).gradients
    for path, gradient in expected.items():
        np.testing.assert_allclose(sum(one[path] for one in found.micro_batches), gradient, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(found.whole[path], gradient, rtol=1e-5, atol=1e-6)
    after = [variable.numpy() for variable in [*model.variables, *model.optimizer.variables]]
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def test_batch_statistics_are_what_a_micro_batch_cannot_know() -> None:
    found = kf.explain.accumulation(model_of(LAYERS.Dense(4), LAYERS.BatchNormalization()), X, Y, 5)
    assert found.batch_norm == "micro"
    assert found.relative > 1e-3
    assert found.unchanged


def test_a_micro_batch_is_no_larger_than_its_window() -> None:
    with pytest.raises(TrainingError, match="at most the 10 samples of the window, got 11"):
        kf.explain.accumulation(model_of(), X, Y, 11)
