"""Which layers learn, named by patterns at any depth."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import kerasflow as kf
from kerasflow.transfer.freezing import count, freeze, layers_of

LAYERS = keras.layers


def backbone():
    inputs = keras.Input((4,))
    x = LAYERS.Dense(6, name="block_1")(inputs)
    x = LAYERS.BatchNormalization(name="block_1_bn")(x)
    x = LAYERS.Dense(5, name="block_2")(x)
    return keras.Model(inputs, x, name="backbone")


@pytest.fixture
def model():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((4,))
    return keras.Model(inputs, LAYERS.Dense(3, name="head")(backbone()(inputs)))


def test_layers_have_dotted_paths(model):
    paths = [path for path, layer in layers_of(model) if layer.weights]
    assert paths == ["backbone.block_1", "backbone.block_1_bn", "backbone.block_2", "head"]


@pytest.mark.parametrize(
    ("unfreeze", "since", "learning"),
    [
        ((), None, ["head"]),
        (("block_2",), None, ["backbone.block_2", "head"]),
        (("backbone.block_1*",), None, ["backbone.block_1", "backbone.block_1_bn", "head"]),
        ((), "block_1_bn", ["backbone.block_1_bn", "backbone.block_2", "head"]),
        (("*",), None, ["backbone.block_1", "backbone.block_1_bn", "backbone.block_2", "head"]),
    ],
)
def test_the_named_layers_of_the_backbone_learn_beside_the_head(model, unfreeze, since, learning):
    freeze(model, ["*"])  # whatever was there before
    assert freeze(model, unfreeze, since) == learning
    owners = {path for path, layer in layers_of(model) if layer.trainable_weights}
    assert owners == set(learning)


def test_names_may_hold_dots():
    layers = [keras.layers.Dense(3, name=name) for name in ("stem", "blocks.0.conv", "blocks.1.conv", "top")]
    inside = keras.Sequential([keras.Input((4,)), *layers], name="backbone")
    model = keras.Sequential([keras.Input((4,)), inside, keras.layers.Dense(2, name="head")])
    since = ["backbone.blocks.1.conv", "backbone.top", "head"]
    assert freeze(model, unfreeze_from="blocks.1.conv") == freeze(model, unfreeze_from=since[0]) == since
    assert freeze(model, ["blocks.*"]) == ["backbone.blocks.0.conv", "backbone.blocks.1.conv", "head"]


def test_one_pattern_alone_is_not_taken_for_its_letters(model):
    with pytest.raises(kf.TrainingError, match=r"unfreeze must be a list of patterns, got the text 'block_\*'"):
        freeze(model, "block_*")


def test_counts_are_of_weights_and_moving_statistics_are_frozen_always(model):
    freeze(model)
    assert count(model) == (5 * 3 + 3, (4 * 6 + 6) + 4 * 6 + (6 * 5 + 5))
    freeze(model, ["*"])
    assert count(model) == (30 + 12 + 35 + 18, 12)


def test_a_frozen_batch_normalization_leaves_its_statistics_alone_and_uses_them(model):
    freeze(model)
    x = np.random.default_rng(0).normal(3, 2, (16, 4)).astype("float32")
    np.testing.assert_array_equal(model(x, training=True), model(x, training=False))


def test_a_model_without_models_inside_is_a_backbone_as_a_whole():
    model = backbone()
    assert freeze(model) == []
    assert freeze(model, unfreeze_from="block_2") == ["block_2"]


@pytest.mark.parametrize("arguments", [{"unfreeze": ["blok_1"]}, {"unfreeze_from": "blok_1"}])
def test_an_unknown_layer_is_told_with_the_near_name(model, arguments):
    with pytest.raises(kf.TrainingError, match=r"no layer is named 'blok_1', did you mean .*block_1"):
        freeze(model, **arguments)
