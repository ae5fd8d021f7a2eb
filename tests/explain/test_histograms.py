"""Histograms count every weight, at step 0 and after each epoch, whoever trains."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import kerasflow as kf
from kerasflow.errors import BuildError, TrainingError
from kerasflow.viz import explained

X = np.linspace(-1, 1, 48, dtype="float32").reshape(16, 3)
Y = X.sum(axis=1, keepdims=True)


@pytest.fixture
def model() -> keras.Model:
    keras.utils.set_random_seed(0)
    layers = [keras.Input((3,)), keras.layers.Dense(20, "tanh", name="hidden"), keras.layers.Dense(1, name="out")]
    model = keras.Sequential(layers, name="model")
    model.compile(keras.optimizers.SGD(0.1), "mse")
    return model


def own_fit(model: keras.Model, **settings) -> None:
    kf.fit(model, X, Y, batch_size=16, verbose=0, **settings)


def keras_fit(model: keras.Model, **settings) -> None:
    model.fit(X, Y, batch_size=16, verbose=0, **settings)


def test_every_weight_is_in_the_bin_of_its_size(model) -> None:
    kernel, bias, *_ = kf.explain.histograms(model, bins=8)
    assert (kernel.path, bias.path, kernel.epoch) == ("model/hidden/kernel", "model/hidden/bias", 0)
    values = model.layers[0].kernel.numpy().ravel()
    low, high = kernel.edges[:-1], kernel.edges[1:]
    inside = [(values >= a) & ((values < b) | (b == high[-1])) for a, b in zip(low, high, strict=True)]
    np.testing.assert_array_equal(kernel.counts, [places.sum() for places in inside])
    assert (kernel.edges[0], kernel.edges[-1]) == (values.min(), values.max())
    assert (bias.edges.tolist(), bias.counts.tolist()) == ([0, 0], [20])
    assert len(kf.explain.histograms(model)[0].counts) == 8  # the root of its 60 numbers


@pytest.mark.parametrize("fit", [own_fit, keras_fit])
def test_a_training_leaves_those_of_step_0_and_of_each_epoch(model, fit) -> None:
    before = kf.explain.histograms(model)
    weights = kf.explain.WeightHistograms()
    fit(model, epochs=3, callbacks=[weights])
    found = weights.histograms
    assert [one.epoch for one in found] == [epoch for epoch in range(4) for _ in range(4)]
    for at, expected in ((0, before), (12, kf.explain.histograms(model))):
        for one, other in zip(found[at : at + 4], expected, strict=True):
            np.testing.assert_array_equal(one.edges, other.edges)
            np.testing.assert_array_equal(one.counts, other.counts)
    assert not np.array_equal(found[0].edges, found[12].edges)


def test_a_copy_is_trained_by_the_models_own_optimizer_and_the_model_stays(model) -> None:
    before = model.get_weights()
    found = kf.explain.histograms(model, X, Y, epochs=3)
    for own, kept in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(own, kept)
    assert [one.epoch for one in found] == [epoch for epoch in range(4) for _ in range(4)]
    kf.fit(model, X, Y, batch_size=16, epochs=3, verbose=0)  # which is the whole set at once
    for one, other in zip(found[12:], kf.explain.histograms(model), strict=True):
        np.testing.assert_allclose(one.edges, other.edges, atol=1e-6)
        assert one.counts.sum() == other.counts.sum()


def test_they_go_on_where_a_training_goes_on(model, tmp_path) -> None:
    start = model.get_weights()
    whole, half, rest = (kf.explain.WeightHistograms() for _ in range(3))
    own_fit(model, epochs=4, callbacks=[whole])
    model.set_weights(start)
    own_fit(model, epochs=2, callbacks=[half], checkpoints=tmp_path)
    model.set_weights(start)
    own_fit(model, epochs=4, callbacks=[rest], checkpoints=tmp_path)
    assert [one.epoch for one in rest.histograms] == [one.epoch for one in whole.histograms]
    for one, other in zip(rest.histograms, whole.histograms, strict=True):
        np.testing.assert_array_equal(one.counts, other.counts)


@pytest.mark.parametrize("value", [0.0, 1e30])
def test_equal_numbers_and_those_that_are_none_are_counted(model, value) -> None:
    model.layers[0].bias.assign(np.full(20, value))
    model.layers[1].kernel.assign(np.r_[np.full(5, np.nan), np.full(5, np.inf), np.ones(10)].reshape(20, 1))
    model.layers[1].bias.assign([np.nan])
    _, bias, kernel, none = kf.explain.histograms(model)
    assert (bias.edges.tolist(), bias.counts.tolist()) == ([np.float32(value)] * 2, [20])
    assert (kernel.edges.tolist(), kernel.counts.tolist(), kernel.not_finite) == ([1, 1], [10], 10)
    assert (none.counts.tolist(), none.not_finite) == ([0], 1)
    assert "11 numbers are NaN or infinite" in str(explained.histograms((bias, kernel, none)).get_supxlabel())


def test_what_has_no_histograms_is_said() -> None:
    with pytest.raises(BuildError, match=r"has no weights yet; begin it with a keras\.Input"):
        kf.explain.histograms(keras.Sequential([keras.layers.Dense(1)]))
    with pytest.raises(TrainingError, match="bins must be an integer >= 1, got 0"):
        kf.explain.WeightHistograms(bins=0)
