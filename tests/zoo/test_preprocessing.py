"""Images become what a network was trained on; others are told."""

from __future__ import annotations

import numpy as np
import pytest

import kerasflow as kf

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 5, 4, 3), dtype=np.uint8)
IMAGES[0, 0, 0] = 0, 128, 255


def test_keras_networks_get_what_keras_gives_them() -> None:
    import keras

    for name, family in [
        ("resnet50", keras.applications.resnet),
        ("mobilenet_v2", keras.applications.mobilenet_v2),
        ("densenet121", keras.applications.densenet),
        ("mobilenet_v3_small", keras.applications.mobilenet_v3),
    ]:
        found = kf.zoo.preprocess(name, IMAGES)
        np.testing.assert_array_equal(found, family.preprocess_input(IMAGES.astype("float32")))
        assert found.dtype == np.float32
        assert found.flags.c_contiguous


def test_our_networks_get_what_their_papers_say() -> None:
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    np.testing.assert_allclose(kf.zoo.preprocess("alexnet", IMAGES), (IMAGES / 255 - mean) / deviation, atol=1e-6)
    lite = kf.zoo.preprocess("efficientnet_lite0", IMAGES)
    np.testing.assert_allclose(lite, (IMAGES.astype(float) - 127) / 128, atol=1e-6)
    ink = np.array([0, 255], np.uint8).reshape(1, 1, 2, 1)
    np.testing.assert_allclose(kf.zoo.preprocess("lenet5", ink).ravel(), [-0.1, 1.175], atol=1e-6)


@pytest.mark.parametrize("name", ["mobilenet_v2", "resnet50", "alexnet"])
def test_what_is_given_stays_as_it_is(name: str) -> None:
    images = IMAGES.astype("float32")
    kf.zoo.preprocess(name, images)
    np.testing.assert_array_equal(images, IMAGES)


def test_floats_and_wide_integers_in_range_are_images_too() -> None:
    expected = kf.zoo.preprocess("resnet50", IMAGES)
    for kind in ("float32", "float64", "int64"):
        np.testing.assert_array_equal(kf.zoo.preprocess("resnet50", IMAGES.astype(kind)), expected)
    kf.zoo.preprocess("resnet50", np.zeros((1, 4, 4, 3)))
    kf.zoo.preprocess("resnet50", np.ones((1, 4, 4, 3), np.uint8))
    assert kf.zoo.preprocess("resnet50", np.zeros((0, 4, 4, 3), np.uint8)).shape == (0, 4, 4, 3)


WRONG = {
    "scaled to 0..1": (IMAGES / 255, "looks like 0..1; multiply them by 255"),
    "scaled to -1..1": (IMAGES / 127.5 - 1, "got -1..1; give them before any scaling"),
    "beyond 255": (IMAGES.astype(int) * 2, "values 0..255, got"),
    "a hole": (np.where(IMAGES > 250, np.nan, IMAGES), "got nan..nan"),
    "one image": (IMAGES[0], "got shape (5, 4, 3); one image needs a batch axis"),
    "channels first": (np.moveaxis(IMAGES, -1, 1), "got shape (2, 3, 5, 4); channels come last"),
    "gray": (IMAGES[..., :1], "repeat the gray channel"),
    "four channels": (np.zeros((1, 4, 4, 4), np.uint8), "got shape (1, 4, 4, 4)"),
    "text": (np.full((1, 4, 4, 3), "a"), "values of type <U1"),
    "truth": (np.ones((1, 4, 4, 3), bool), "values of type bool"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_no_image_of_the_network_is_told(kind: str) -> None:
    images, words = WRONG[kind]
    with pytest.raises(kf.DataError) as refusal:
        kf.zoo.preprocess("efficientnet_b0", images)
    assert words in str(refusal.value)
    assert str(refusal.value).startswith("efficientnet_b0 takes images of shape (n, height, width, 3)")


def test_lenet5_wants_one_channel() -> None:
    with pytest.raises(kf.DataError, match=r"\(n, height, width, 1\)"):
        kf.zoo.preprocess("lenet5", IMAGES)


@pytest.mark.parametrize("name", ["resnet50", "densenet121", "googlenet"])
def test_a_program_preprocesses_as_numpy_does(name: str) -> None:
    import tensorflow as tf

    program = tf.function(lambda pixels: kf.zoo.normalize(name, pixels))
    np.testing.assert_allclose(program(IMAGES.astype("float32")), kf.zoo.preprocess(name, IMAGES), rtol=1e-6, atol=1e-6)
