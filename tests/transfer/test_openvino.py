"""OpenVINO computes TensorFlow's features, with the weights of the moment."""

from __future__ import annotations

import os
import sys
from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.datasets import load_sample_images

import kerasflow as kf
from kerasflow.errors import BuildError, MissingExtra
from kerasflow.transfer.cache import FeatureCache
from kerasflow.transfer.extraction import Extraction
from kerasflow.transfer.images import as_images

os.environ.setdefault("CI", "true")  # or the package tells its maker that it is used
openvino = pytest.importorskip("openvino", reason="OpenVINO is not installed")

BYTES = np.random.default_rng(0).integers(0, 256, (37, 8, 8, 3), dtype=np.uint8)


def features(model: keras.Model, layers, engine: str, given=BYTES, cache=None, **more) -> np.ndarray:
    extraction = Extraction(model, layers, engine=engine, **{"batch_size": 16, **more})
    return extraction(as_images(given, more.get("image_size") or (8, 8), 3), cache)


def deviation(found: np.ndarray, expected: np.ndarray) -> float:
    """From one another, over how the features spread over images: root mean squares.

    The worst of 32,000 features of MobileNetV2 is off by 1.2e-5 of their range; TensorFlow's own is off by 3e-6 of it
    from what float64 gives.
    """
    assert found.shape == expected.shape
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected - expected.mean(axis=0)))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"pooling": "max"},
        {"pooling": "none"},
        {"preprocess": lambda x: x / 127.5 - 1},
        {"given": BYTES[..., 0]},
        {"given": BYTES.astype("float64")},
        {"given": np.tile(BYTES, (1, 3, 2, 1)), "image_size": (8, 8)},
        {"given": BYTES[:, :5, :6], "image_size": (8, 8)},
    ],
    ids=["average", "maximum", "flattened", "preprocessed", "gray", "doubles", "shrunk", "enlarged"],
)
def test_it_agrees_with_tensorflow(nested, settings) -> None:
    layers = ["conv1", "backbone/block3/out", "shared#2", "head"]
    found = features(nested, layers, "openvino", **settings)
    assert found.dtype == np.float32
    assert deviation(found, features(nested, layers, "tensorflow", **settings)) < 1e-5


def test_images_of_many_sizes_are_taken(nested) -> None:
    pictures = [BYTES[:3], BYTES[3:5, :6], BYTES[5:7, :, :4]]

    def batches():
        yield from pictures

    spec = tf.TensorSpec((None, None, None, 3), tf.uint8)
    dataset = tf.data.Dataset.from_generator(batches, output_signature=spec).unbatch().batch(1)
    found = features(nested, None, "openvino", dataset, image_size=(8, 8), batch_size=1)
    assert deviation(found, features(nested, None, "tensorflow", dataset, image_size=(8, 8), batch_size=1)) < 1e-5


def real_images() -> np.ndarray:
    pictures = load_sample_images().images
    return np.stack([p[y : y + 300, x : x + 300] for p in pictures for y in (0, 120) for x in (0, 100, 200, 300)])


def test_it_agrees_on_a_network_of_imagenet(assets) -> None:
    weights = assets / "weights" / "mobilenet_v2_160_notop.weights.h5"
    network = kf.zoo.load("mobilenet_v2", weights=weights, input_shape=(160, 160, 3), include_top=False)
    settings = {"preprocess": partial(kf.zoo.normalize, "mobilenet_v2"), "image_size": (160, 160), "batch_size": None}
    layers, images = ["block_3_expand_relu", "block_13_expand_relu", "out_relu"], real_images()
    expected = features(network, layers, "tensorflow", images, **settings)
    assert deviation(features(network, layers, "openvino", images, **settings), expected) < 1e-5


def test_brain_floats_are_near_and_not_the_same(nested) -> None:
    if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this processor has no bfloat16")
    expected = features(nested, ["conv1", "backbone/skip"], "tensorflow")
    found = features(nested, ["conv1", "backbone/skip"], "openvino", precision="bfloat16")
    assert 1e-4 < deviation(found, expected) < 2e-2


def test_new_weights_are_compiled_anew() -> None:
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3, name="conv")])
    extraction = Extraction(model, "conv", engine="openvino")
    images = as_images(BYTES, None, 3)
    before = extraction(images)
    programs = dict(extraction._programs)
    np.testing.assert_array_equal(extraction(images), before)
    assert extraction._programs == programs  # the same weights need no other program
    model.layers[0].kernel.assign(-2 * model.layers[0].kernel)
    np.testing.assert_allclose(extraction(images), -2 * before, rtol=1e-4, atol=1e-3)


def test_a_cache_does_not_take_one_for_the_other(nested, tmp_path) -> None:
    cache = FeatureCache(tmp_path)
    for engine in ("tensorflow", "openvino", "openvino", "tensorflow"):
        features(nested, "conv1", engine, cache=cache)
    assert len(list(tmp_path.glob("*.npy"))) == 2


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (
            {"engine": "open_vino"},
            r"engine must be one of tensorflow, openvino, got 'open_vino', did you mean 'openvino'",
        ),
        ({"engine": "openvino", "precision": "float16"}, r"precision must be one of float32, bfloat16, got 'float16'"),
        ({"precision": "bfloat16"}, "precision='bfloat16' is of engine='openvino'"),
    ],
)
def test_what_cannot_be_is_refused(nested, settings, told) -> None:
    with pytest.raises(BuildError, match=told):
        Extraction(nested, None, **settings)


def test_without_the_package_the_extra_is_named(nested, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingExtra, match=r"pip install 'kerasflow\[openvino\]'"):
        Extraction(nested, None, engine="openvino")


def test_what_it_cannot_convert_is_told_with_the_way_out() -> None:
    def detour(x):
        return tf.numpy_function(np.negative, [x], tf.float32)

    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(2, 3, name="conv")])
    with pytest.raises(BuildError, match=r"OpenVINO cannot compile this network: .*PyFunc; engine='tensorflow' can"):
        features(model, "conv", "openvino", preprocess=lambda x: tf.ensure_shape(detour(x), (None, 8, 8, 3)))
