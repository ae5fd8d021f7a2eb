"""A backbone of the zoo within a model: it takes images as they lie on a disk, and treats them as it was trained on."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import kerasflow as kf
from kerasflow.transfer.joining import check_images, preprocessing

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    "name", ["mobilenet_v2", "densenet121", "resnet50", "efficientnet_b0", "googlenet", "alexnet", "efficientnet_lite0"]
)
def test_the_preprocessing_within_is_the_networks_own(name):
    mine = preprocessing(name, (8, 8, 3), (8, 8))(IMAGES)
    np.testing.assert_allclose(mine, kf.zoo.preprocess(name, IMAGES), rtol=1e-5, atol=1e-4)


def test_gray_images_become_three_equal_channels_of_another_size():
    found = preprocessing("mobilenet_v2", (8, 8, 1), (16, 16))(IMAGES[..., :1])
    assert found.shape == (4, 16, 16, 3)
    np.testing.assert_array_equal(found[..., 0], found[..., 2])


def test_a_network_of_gray_images_keeps_their_one_channel():
    mine = preprocessing("lenet5", (8, 8, 1), (8, 8))(IMAGES[..., :1])
    np.testing.assert_allclose(mine, kf.zoo.preprocess("lenet5", IMAGES[..., :1]), rtol=1e-5, atol=1e-4)


SPEC = {
    "backbone": {"name": "mobilenet_v2", "weights": "none", "size": 32, "layer": "block_3_expand_relu"},
    "augmentation": [{"random_flip": "horizontal"}],
    "layers": [{"dropout": 0.2}, "head"],
}


@pytest.fixture(scope="module")
def model():
    return kf.build(SPEC, (28, 28, 1), 3, seed=1)


def test_the_whole_is_the_backbone_on_treated_images_and_the_head(model):
    images = np.random.default_rng(1).integers(0, 256, (2, 28, 28, 1)).astype("float32")
    treated = keras.layers.Resizing(32, 32)(np.repeat(images, 3, axis=-1)) / 127.5 - 1
    own = keras.applications.MobileNetV2(weights=None, include_top=False, input_shape=(32, 32, 3))
    own = keras.Model(own.input, own.get_layer("block_3_expand_relu").output)
    own.set_weights(model.get_layer("backbone").get_weights())
    features = np.asarray(own(treated)).mean(axis=(1, 2))
    head = model.get_layer("head")
    logits = features @ head.kernel.numpy() + head.bias.numpy()
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model(images, training=False), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["vgg16", "mobilenet_v2"])  # one turns the channels, the other only scales them
def test_the_whole_comes_back_from_its_description(name):
    built = kf.build({"backbone": {"name": name, "weights": "none", "size": 32}}, (28, 28, 1), 3, seed=1)
    rebuilt = kf.build(kf.describe(built), (28, 28, 1))
    rebuilt.set_weights(built.get_weights())
    images = np.random.default_rng(1).integers(0, 256, (2, 28, 28, 1)).astype("float32")
    np.testing.assert_array_equal(rebuilt(images, training=False), built(images, training=False))


def test_augmentation_is_active_in_training_alone(model):
    names = [layer.name for layer in model.layers]
    assert names == ["input", "random_flip", "preprocessing", "backbone", "pool", "dropout", "head"]
    images = np.random.default_rng(1).integers(0, 256, (8, 28, 28, 1)).astype("float32")
    flip = model.get_layer("random_flip")
    np.testing.assert_array_equal(flip(images, training=False), images)
    assert np.abs(np.asarray(flip(images, training=True)) - images).max() > 0


def test_the_same_seed_builds_the_same_weights_and_the_file_loads_without_kerasflow(model, tmp_path):
    again = kf.build(SPEC, (28, 28, 1), 3, seed=1)
    for mine, theirs in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    images = np.zeros((1, 28, 28, 1), "float32")
    np.testing.assert_array_equal(loaded(images, training=False), model(images, training=False))


@pytest.mark.parametrize(("shape", "message"), [((64,), "takes images of shape"), ((8, 8, 4), "takes images of shape")])
def test_what_is_no_image_is_told(shape, message):
    with pytest.raises(kf.BuildError, match=f"backbone: a backbone {message}"):
        kf.build({"backbone": {"name": "mobilenet_v2", "weights": "none"}}, shape, 3)


def test_images_that_are_scaled_already_are_noticed():
    spec = kf.ModelSpec.model_validate({"backbone": {"name": "mobilenet_v2", "weights": "none"}})
    check_images(spec, IMAGES)
    check_images(spec, IMAGES[..., 0])
    with pytest.raises(kf.DataError, match=r"looks like 0\.\.1; multiply them by 255"):
        check_images(spec, IMAGES.astype("float32") / 255)


def test_a_spec_of_a_backbone_wants_images_unscaled():
    wanted = {
        "experiment": "scaled",
        "data": {"source": {"keras": "fashion_mnist"}, "scale": "unit"},
        "model": {"backbone": "mobilenet_v2"},
    }
    with pytest.raises(kf.SpecError, match=r"data\.scale: must be none: mobilenet_v2 has its own way"):
        kf.load_spec(wanted)
