"""A network is cut off behind its layers, wherever they lie; of several it gives one vector."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import kerasflow as kf
from kerasflow.spec.model import as_model_spec
from kerasflow.transfer.stages import Stage, StagedTrainer


@pytest.fixture(scope="module")
def saved(nested, tmp_path_factory) -> str:
    path = str(tmp_path_factory.mktemp("saved") / "nested.keras")
    nested.save(path)
    return path


def built(saved, head=False, **backbone):
    spec = as_model_spec({"backbone": {"model": saved, **backbone}, "layers": ["head"]})
    return kf.build(spec if head else spec.without_head(), (8, 8, 3), 3 if head else None, seed=0)


def side_by_side(nested, images, layers, pooling):
    taps = kf.taps(nested, layers, pooling)(images)
    return np.concatenate([taps[layer].reshape(len(images), -1) for layer in layers], axis=1)


@pytest.mark.parametrize("pooling", ["avg", "max", "none"])
@pytest.mark.parametrize("layers", [["conv1", "backbone/block3/out", "shared#2"], ["backbone.first", "backbone.skip"]])
def test_several_layers_are_one_vector(saved, nested, images, layers, pooling) -> None:
    model = built(saved, layer=layers, pooling=pooling)
    np.testing.assert_allclose(model(images), side_by_side(nested, images, layers, pooling), atol=1e-5)


def test_a_layer_within_a_model_is_an_end(saved, nested, images, tmp_path) -> None:
    model = built(saved, layer="backbone/block3/norm")
    np.testing.assert_allclose(model(images), side_by_side(nested, images, ["backbone/block3/norm"], "avg"), atol=1e-5)
    assert [layer.name for layer in model.get_layer("backbone").layers[1:]] == ["conv1", "backbone"]
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "model.keras")(images), model(images))


def test_several_layers_are_fine_tuned_like_one(saved, images) -> None:
    model = built(saved, head=True, layer=["conv1", "backbone/block3/out"])
    norm = model.get_layer("backbone").get_layer("backbone_tapped").get_layer("block3").get_layer("norm")
    before = norm.moving_mean.numpy()
    stages = [Stage(1), Stage(1, unfreeze=["*"])]
    trainer = kf.Trainer(loss="sparse_categorical_crossentropy", batch_size=16)
    history = StagedTrainer(trainer, stages).fit(model, images, np.arange(37) % 3)
    trainable = [row["trainable"] for row in history.rows]
    assert (trainable[0], trainable[1] > trainable[0]) == (8 * 3 + 3, True)
    assert np.abs(norm.moving_mean.numpy() - before).max() > 0  # in training, and not bound to inference


def test_a_layer_that_is_not_there_is_told_with_the_near_one(saved) -> None:
    with pytest.raises(kf.BuildError, match=r"backbone\.layer: .* has no layer 'backbone/block3/oot', did you mean"):
        built(saved, layer=["conv1", "backbone/block3/oot"])
