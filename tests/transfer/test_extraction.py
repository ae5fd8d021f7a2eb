"""Features: one row an image, whatever the images come from."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import kerasflow as kf
from kerasflow.errors import BuildError, DataError
from kerasflow.transfer import extraction as extracting
from kerasflow.transfer import memory
from kerasflow.transfer.cache import FeatureCache
from kerasflow.transfer.extraction import Extraction
from kerasflow.transfer.images import Observed, as_images

LAYERS = keras.layers


def features(extraction: Extraction, given, **more) -> np.ndarray:
    return extraction(as_images(given, (8, 8), 3, **more))


@pytest.fixture(scope="module")
def extraction(nested) -> Extraction:
    """Of two layers, pooled, with a preprocessing."""
    return Extraction(nested, ["conv1", "backbone/skip"], preprocess=lambda x: x / 127.5 - 1, batch_size=16)


@pytest.fixture(scope="module")
def bytes_(images) -> np.ndarray:
    return (images * 255).astype("uint8")


def test_they_are_the_taps_of_preprocessed_images_side_by_side(nested, extraction, bytes_) -> None:
    found = features(extraction, bytes_)
    taps = kf.taps(nested, ["conv1", "backbone/skip"], "avg", batch_size=16)(bytes_.astype("float32") / 127.5 - 1)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.concatenate(list(taps.values()), axis=1), atol=1e-6)
    assert extraction.sizes((8, 8, 3)) == {"conv1": 4, "backbone/skip": 4}


def test_without_pooling_a_layer_is_flattened(nested, images) -> None:
    extraction = Extraction(nested, "conv1", pooling="none")
    found = features(extraction, images)
    expected = kf.taps(nested, "conv1")(images)["conv1"].reshape(len(images), -1)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_without_a_layer_they_are_the_model_s_output(nested, images) -> None:
    found = features(Extraction(nested, None), images[:5])
    np.testing.assert_allclose(found, nested(images[:5]).numpy(), atol=1e-6)


def test_arrays_datasets_and_folders_give_the_same(extraction, bytes_, tmp_path) -> None:
    expected = features(extraction, bytes_)
    for number, image in enumerate(bytes_):
        Image.fromarray(image).save(tmp_path / f"{number:02}.png")
    single = tf.data.Dataset.from_tensor_slices((bytes_, np.zeros(len(bytes_))))
    for given in (bytes_.astype("float32"), list(bytes_), single, single.batch(7), str(tmp_path)):
        np.testing.assert_allclose(features(extraction, given), expected, atol=1e-6)


def test_gray_images_are_repeated_and_resized_within_the_program(nested) -> None:
    gray = np.random.default_rng(0).integers(0, 256, (5, 4, 4), dtype=np.uint8)
    found = features(Extraction(nested, "conv1", image_size=(8, 8)), gray)
    wide = tf.image.resize(np.repeat(gray[..., None], 3, axis=-1).astype("float32"), (8, 8)).numpy()
    np.testing.assert_allclose(found, features(Extraction(nested, "conv1"), wide), atol=1e-4)


def test_shrinking_averages_what_it_leaves_out(nested) -> None:
    stripes = np.tile(np.array([0, 255], "uint8"), (1, 32, 16))[..., None].repeat(3, -1)
    small = Extraction(
        keras.Sequential([keras.Input((8, 8, 3)), LAYERS.ReLU(name="as_it_is")]), None, "none", None, (8, 8)
    )
    assert abs(features(small, stripes).reshape(8, 8, 3)[2:-2, 2:-2] - 127.5).max() < 1


def test_networks_of_any_size_take_images_of_any_size() -> None:
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, LAYERS.Conv2D(2, 3, name="conv")(inputs))
    images = np.ones((2, 6, 5, 3), "float32")
    flat = Extraction(model, "conv", "none")
    assert flat.sizes((6, 5, 3)) == {"conv": 4 * 3 * 2}
    assert flat(as_images(images, None, 3)).shape == (2, 24)
    with pytest.raises(DataError, match="give image_size"):
        flat.sizes((None, None, 3))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (np.zeros((2, 9, 9, 3), "uint8"), r"takes images of 8 × 8 pixels, got 9 × 9; image_size=\(8, 8\) resizes them"),
        (np.zeros((2, 8, 8, 4), "uint8"), r"images of 3 channels, got 4; leave out the transparency"),
        (np.zeros((2, 3, 8, 8), "uint8"), r"channels come last: np\.moveaxis\(images, 1, -1\)"),
        (np.zeros((8, 8, 3), "uint8"), r"one image needs a batch axis: image\[None\]"),
        (np.zeros((0, 8, 8, 3)), "there are no images"),
        (np.zeros((2, 5)), r"got shape \(2, 5\)"),
        (np.array([["a"]]), "with numbers, got values of type <U1"),
        (tf.data.Dataset.from_tensors(np.zeros((8, 8, 3))).repeat(), "never ends"),
        (tf.data.Dataset.from_tensors(np.zeros(3)), "expected a dataset of images"),
        ("/no/such/folder", "there is no such folder of images"),
    ],
)
def test_images_that_cannot_be_are_refused_in_one_sentence(extraction, given, told) -> None:
    with pytest.raises(DataError, match=told):
        features(extraction, given)


def test_a_range_that_was_scaled_before_is_noticed(nested, images) -> None:
    wants_bytes = Extraction(nested, "conv1", takes_bytes=True)
    with pytest.raises(DataError, match=r"takes images with values 0\.\.255, got .* multiply them by 255"):
        features(wants_bytes, images)
    with pytest.raises(DataError, match="give them before any scaling"):
        features(wants_bytes, images * 2 - 1)
    black_first = np.concatenate([np.zeros((40, 8, 8, 3), "float32"), images])
    with pytest.raises(DataError, match="multiply them by 255"):
        features(wants_bytes, black_first)
    assert len(features(wants_bytes, images * 255)) == len(images)


def test_a_network_that_scales_its_input_itself_wants_bytes(images) -> None:
    layers = [keras.Input((8, 8, 3)), LAYERS.Rescaling(1 / 255), LAYERS.Conv2D(2, 3)]
    with pytest.raises(DataError, match="multiply them by 255"):
        features(Extraction(keras.Sequential(layers), None), images)


def test_numbers_that_are_not_finite_are_told_by_their_image(extraction, images) -> None:
    broken = images.copy()
    broken[20, 3, 3, 0] = np.nan
    with pytest.raises(DataError, match="the pixels of image 20 are not finite"):
        features(extraction, broken)
    model = keras.Sequential([keras.Input((8, 8, 3)), LAYERS.Dense(2, bias_initializer=lambda *_, **__: [0, np.inf])])
    with pytest.raises(DataError, match=r"the features of image 0 are not finite; are the network's weights\?"):
        features(Extraction(model, None), images)


def test_broken_files_are_named_and_left_out_only_when_asked(extraction, bytes_, tmp_path: Path) -> None:
    for number in range(3):
        Image.fromarray(bytes_[number]).save(tmp_path / f"{number}.png")
    (tmp_path / "0a.png").write_bytes(b"")
    (tmp_path / "1a.jpg").write_bytes((tmp_path / "1.png").read_bytes()[:60])
    with pytest.raises(DataError, match=r"0a\.png: is empty; .*1a\.jpg: is .*leave them out by skip_broken"):
        features(extraction, tmp_path)
    with pytest.warns(UserWarning, match="2 of 5 images are left out"):
        found = features(extraction, tmp_path, skip_broken=True)
    np.testing.assert_allclose(found, features(extraction, bytes_[:3]), atol=1e-6)
    for file in (tmp_path / "0a.png", tmp_path / "1a.jpg"):
        file.unlink()
    (tmp_path / "notes.txt").write_text("from the first camera")
    with pytest.raises(DataError, match=r"only, found .*notes\.txt"):
        features(extraction, tmp_path)
    with pytest.warns(UserWarning, match=r"notes\.txt.* left out"):
        np.testing.assert_array_equal(features(extraction, tmp_path, skip_broken=True), found)


def test_features_that_do_not_fit_in_memory_are_refused_before_the_work(nested, images, monkeypatch, caplog) -> None:
    extraction = Extraction(nested, "conv1", pooling="none")
    with caplog.at_level("INFO"):
        features(extraction, images)
    assert "37 × 256 features take 37.9 kB of memory" in caplog.text
    assert caplog.records[0].levelname == "INFO"
    monkeypatch.setattr(memory, "available", lambda: 30_000)
    monkeypatch.setattr(Extraction, "_rows", None)  # nothing may be computed
    with pytest.raises(DataError, match=r"37 × 256 features take 37\.9 kB of memory, and 30\.0 kB are free"):
        features(extraction, images)


def test_what_unpooled_features_will_take_is_said_first(nested, images, monkeypatch, caplog, tmp_path) -> None:
    monkeypatch.setattr(extracting, "SAID_FROM", 30_000)  # which nobody overlooks: a warning
    extraction = Extraction(nested, "conv1", pooling="none")
    batches = tf.data.Dataset.from_tensor_slices(images).batch(8)
    features(extraction, batches)
    assert "every 1000 images' 256 features take 1.0 MB of memory" in caplog.text
    extraction(as_images(images, None, 3), FeatureCache(tmp_path))
    assert f"37 × 256 features take 37.9 kB on the disk of {tmp_path}" in caplog.text
    caplog.clear()
    extraction(as_images(images, None, 3), FeatureCache(tmp_path))  # which only reads
    features(Extraction(nested, "conv1"), images)
    assert caplog.text == ""
    monkeypatch.setattr(memory, "available", lambda: 20_000)
    with pytest.raises(DataError, match=r"features take .* of memory, and 20\.0 kB are free"):
        features(extraction, batches)


def test_memory_is_measured() -> None:
    assert 10**8 < memory.available() < 10**14


def test_samples_of_any_shape_go_through(images) -> None:
    model = keras.Sequential([keras.Input((4,)), LAYERS.Dense(2)])
    rows = np.random.default_rng(0).random((9, 4), dtype=np.float32)
    np.testing.assert_allclose(Extraction(model, None)(Observed(rows)), model(rows), rtol=1e-6)
    with pytest.raises(DataError, match=r"takes samples of shape \(4,\), got samples of shape \(8, 8, 3\)"):
        features(Extraction(model, None), images)


def test_a_network_of_several_inputs_is_refused() -> None:
    inputs = [keras.Input((8, 8, 3)), keras.Input((8, 8, 3))]
    with pytest.raises(BuildError, match=r"features are of one input, .*; use kf\.taps"):
        Extraction(keras.Model(inputs, LAYERS.Add()(inputs)), None)


def test_a_size_that_the_network_does_not_have_is_refused(nested) -> None:
    with pytest.raises(
        BuildError, match="image_size is 16 × 16, and the network 'nested' takes images of 8 × 8 pixels"
    ):
        Extraction(nested, "conv1", image_size=(16, 16))
