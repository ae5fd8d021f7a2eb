"""Features are found again by the content of all that they depend on, and by nothing less."""

from __future__ import annotations

import shutil
from collections import namedtuple
from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasflow.errors import DataError
from kerasflow.transfer import identity
from kerasflow.transfer.cache import FeatureCache
from kerasflow.transfer.extraction import Extraction
from kerasflow.transfer.images import as_images
from kerasflow.zoo import normalize

LAYERS = keras.layers


def network(activation: str = "relu", filters: int = 2) -> keras.Model:
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [keras.Input((6, 6, 3)), LAYERS.Conv2D(filters, 3, activation=activation), LAYERS.BatchNormalization()]
    )


def by(divisor: float):
    return lambda pixels: pixels / divisor


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).random((40, 6, 6, 3), dtype=np.float32)


@pytest.fixture
def cache(tmp_path) -> FeatureCache:
    return FeatureCache(tmp_path / "features")


@pytest.fixture
def computed(monkeypatch) -> list[int]:
    """How many images have been computed, batch by batch."""
    batches: list[int] = []
    own = Extraction._rows

    def told(self, batch):
        batches.append(len(batch))
        return own(self, batch)

    monkeypatch.setattr(Extraction, "_rows", told)
    return batches


def test_a_second_pass_reads(cache, pixels, computed) -> None:
    first = Extraction(network(), None)(as_images(pixels, None, 3), cache)
    assert sum(computed) == 40
    again = Extraction(network(), None)(as_images(pixels.copy(), None, 3), cache)  # another model of the same content
    assert sum(computed) == 40
    assert isinstance(again, np.memmap)
    np.testing.assert_array_equal(again, first)
    np.testing.assert_array_equal(again, Extraction(network(), None)(as_images(pixels, None, 3)))
    with pytest.raises(ValueError, match="read-only"):
        again[0] = 0


def test_whatever_changes_the_features_computes_them_anew(cache, pixels, computed) -> None:
    def run(model=None, images=pixels, layers=None, **settings):
        Extraction(model or network(), layers, **settings)(as_images(images, None, 3), cache)
        new, computed[:] = bool(computed), []
        return new

    assert run()
    assert not run()
    model = network()
    model.variables[0].assign(model.variables[0] * 1.0001)
    assert run(model)
    assert run(network("tanh"))
    assert run(pooling="max")
    assert run(layers=[layer.name for layer in model.layers][:1], model=model)
    half, third = by(2.0), by(3.0)
    assert run(preprocess=half)
    assert run(preprocess=third)  # another by its effect alone
    assert not run(preprocess=by(2.0))
    assert run(preprocess=lambda x: tf.round(x) / 2)  # the same of whole pixels, not of resized ones
    assert run(image_size=(6, 6), images=np.repeat(pixels, 2, axis=1))
    changed = pixels.copy()
    changed[7, 0, 0, 0] += 1e-3
    assert run(images=changed)
    assert run(images=pixels[::-1])
    assert run(images=pixels[:39])
    assert not run()


def test_a_preprocessing_is_known_by_its_source_too() -> None:
    def rarely(pixels):
        return tf.where(pixels == 77.7, 0.0, pixels)

    def never(pixels):
        return tf.identity(pixels)

    assert identity.effect(rarely, (6, 6, 3)) != identity.effect(never, (6, 6, 3))
    assert identity.effect(np.sqrt, (6, 6, 3)) != identity.effect(np.cbrt, (6, 6, 3))  # without a source
    zoo = [partial(normalize, name) for name in ("mobilenet_v2", "resnet50", "xception", "mobilenet_v2")]
    effects = [identity.effect(one, (6, 6, 3)) for one in zoo]
    assert (len(set(effects)), effects[0]) == (2, effects[3])  # xception's is mobilenet_v2's


def test_moving_statistics_are_weights(cache, pixels, computed) -> None:
    model = network()
    extraction = Extraction(model, None)
    before = extraction(as_images(pixels, None, 3), cache)
    model.layers[-1].moving_mean.assign(np.ones(2))
    after = extraction(as_images(pixels, None, 3), cache)
    assert sum(computed) == 80
    assert not np.array_equal(before, after)


def test_names_and_what_is_frozen_do_not_matter() -> None:
    first, second = network(), network()
    second.trainable = False
    assert first.layers[0].name != second.layers[0].name
    assert identity.structure(first) == identity.structure(second)
    assert identity.weights(first) == identity.weights(second)


def test_a_name_that_is_also_a_word_is_told_from_it() -> None:
    def named(word: str) -> keras.Model:
        return keras.Sequential([keras.Input((4, 4, 3)), LAYERS.Conv2D(2, 3, activation=word, name=word)])

    assert identity.structure(named("relu")) != identity.structure(named("tanh"))


def test_wiring_matters() -> None:
    def wired(order) -> keras.Model:
        x = keras.Input((4, 4, 3))
        branches = [LAYERS.Conv2D(3, 1, activation=word, name=word)(x) for word in ("relu", "tanh")]
        return keras.Model(x, LAYERS.Subtract()(branches[::order]))

    assert identity.structure(wired(1)) != identity.structure(wired(-1))


def test_a_file_that_was_cut_off_is_made_anew(cache, pixels, computed) -> None:
    extraction = Extraction(network(), None)
    first = np.array(extraction(as_images(pixels, None, 3), cache))
    (file,) = cache.folder.glob("*.npy")
    file.write_bytes(file.read_bytes()[:-100])
    np.testing.assert_array_equal(extraction(as_images(pixels, None, 3), cache), first)
    assert sum(computed) == 80


def test_a_pass_that_fails_leaves_nothing(cache, pixels) -> None:
    pixels[39] = np.nan
    with pytest.raises(DataError, match="image 39"):
        Extraction(network(), None)(as_images(pixels, None, 3), cache)
    assert [file.name for file in cache.folder.iterdir() if not file.name.startswith(".")] == []


def test_a_full_disk_is_told_before_the_work(cache, pixels, computed, monkeypatch) -> None:
    usage = namedtuple("usage", "total used free")(1, 1, 1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(DataError, match=r"40 × 32 features take 5\.1 kB, and the disk has 1\.0 kB"):
        Extraction(network(), None, "none")(as_images(pixels, None, 3), cache)
    assert computed == []


def test_a_folder_that_cannot_be_made_is_told(tmp_path, pixels) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="features cannot be kept there"):
        Extraction(network(), None)(as_images(pixels, None, 3), FeatureCache(tmp_path / "file"))


def test_datasets_are_kept_if_they_give_the_same_each_time(cache, pixels, computed) -> None:
    extraction = Extraction(network(), None)
    dataset = tf.data.Dataset.from_tensor_slices(pixels)
    first = extraction(as_images(dataset.batch(16), None, 3), cache)
    again = extraction(as_images(dataset.batch(10), None, 3), cache)  # batches mean nothing
    assert sum(computed) == 40
    np.testing.assert_array_equal(first, again)
    with pytest.raises(DataError, match="leave out its shuffle"):
        extraction(as_images(dataset.shuffle(40), None, 3), cache)
    assert len(list(cache.folder.glob("*.npy"))) == 1
