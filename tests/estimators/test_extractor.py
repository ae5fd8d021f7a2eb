"""`kf.FeatureExtractor` keeps scikit-learn's rules, and bridges a network to an SVM."""

from __future__ import annotations

import gzip
import pickle
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

import kerasflow as kf
from kerasflow.errors import BuildError, DataError

LAYERS = keras.layers
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (60, 8, 8, 3), dtype=np.uint8)
IMAGES[:30, :, :, 0] //= 4  # the second class is redder
LABELS = np.repeat([0, 1], 30)


def halved(pixels):
    """A preprocessing that pickle finds by its name."""
    return pixels / 127.5 - 1


@pytest.fixture(scope="module")
def network() -> keras.Model:
    keras.utils.set_random_seed(0)
    layers = [LAYERS.Conv2D(4, 3, activation="relu", name="near"), LAYERS.Conv2D(6, 3, name="far")]
    return keras.Sequential([keras.Input((8, 8, 3)), *layers])


@pytest.fixture(scope="module")
def extractor(network) -> kf.FeatureExtractor:
    return kf.FeatureExtractor(network, layer=["near", "far"], preprocess=halved).fit(IMAGES)


def test_it_gives_rows_of_named_features(extractor) -> None:
    found = extractor.transform(IMAGES)
    assert found.shape == (60, 10)
    assert found.dtype == np.float32
    names = extractor.get_feature_names_out()
    assert list(names[[0, 3, 4, 9]]) == ["near_0", "near_3", "far_0", "far_5"]
    assert extractor.n_features_in_ == 8


def test_a_clone_has_the_same_parameters_and_shares_the_network(extractor, network) -> None:
    twin = clone(extractor)
    assert twin.backbone is network
    assert twin.get_params() == extractor.get_params()
    assert twin.layer is not extractor.layer
    with pytest.raises(NotFittedError):
        twin.transform(IMAGES)
    np.testing.assert_array_equal(twin.fit_transform(IMAGES), extractor.transform(IMAGES))


def test_it_is_a_part_of_pipelines_and_searches(network) -> None:
    model = make_pipeline(kf.FeatureExtractor(network, preprocess=halved), StandardScaler(), LinearSVC(random_state=0))
    search = GridSearchCV(
        model, {"featureextractor__layer": ["near", "far", ["near", "far"]]}, cv=3, error_score="raise"
    )
    search.fit(IMAGES, LABELS)
    assert search.best_score_ > 0.9
    assert len(search.cv_results_["params"]) == 3
    assert search.best_estimator_[0].backbone is network


def test_frames_have_the_features_names(network) -> None:
    frame = kf.FeatureExtractor(network, layer="near").set_output(transform="pandas").fit_transform(IMAGES)
    assert list(frame.columns) == ["near_0", "near_1", "near_2", "near_3"]
    assert clone(kf.FeatureExtractor(network).set_output(transform="pandas")).fit_transform(IMAGES).shape == (60, 6)


def test_a_pickle_holds_the_network_and_nothing_that_lives(extractor) -> None:
    expected = extractor.transform(IMAGES)
    again = pickle.loads(pickle.dumps(extractor))  # noqa: S301  # our own
    np.testing.assert_array_equal(again.transform(IMAGES), expected)
    assert list(again.get_feature_names_out()) == list(extractor.get_feature_names_out())


def test_a_saved_one_comes_back_without_pickle(extractor, network, tmp_path) -> None:
    plain = kf.FeatureExtractor(network, layer="near")
    model = make_pipeline(plain, StandardScaler(), LinearSVC(random_state=0)).fit(IMAGES, LABELS)
    kf.save(model, tmp_path / "model.skops")
    np.testing.assert_array_equal(kf.load(tmp_path / "model.skops").predict(IMAGES), model.predict(IMAGES))


def test_a_keras_file_is_a_backbone(network, tmp_path) -> None:
    network.save(tmp_path / "network.keras")
    found = kf.FeatureExtractor(tmp_path / "network.keras", layer="near").fit_transform(IMAGES)
    np.testing.assert_allclose(found, kf.FeatureExtractor(network, layer="near").fit_transform(IMAGES), rtol=1e-6)
    (tmp_path / "broken.keras").write_bytes(b"PK")
    with pytest.raises(BuildError, match=r"broken\.keras cannot be loaded"):
        kf.FeatureExtractor(str(tmp_path / "broken.keras")).fit(IMAGES)


def test_openvino_computes_the_same_in_searches_and_pickles(network) -> None:
    pytest.importorskip("openvino")
    extractor = kf.FeatureExtractor(network, layer="far", preprocess=halved)
    search = GridSearchCV(
        make_pipeline(extractor, StandardScaler(), LinearSVC()),
        {"featureextractor__engine": ["tensorflow", "openvino"]},
        cv=3,
        error_score="raise",
    ).fit(IMAGES, LABELS)
    first, second = search.cv_results_["mean_test_score"]
    assert first == second > 0.8
    fitted = clone(extractor).set_params(engine="openvino").fit(IMAGES)
    expected = extractor.fit_transform(IMAGES)
    for one in (fitted, pickle.loads(pickle.dumps(fitted))):  # noqa: S301 - its own
        assert one.engine == "openvino"
        np.testing.assert_allclose(one.transform(IMAGES), expected, atol=1e-5 * np.ptp(expected))


def test_folders_and_datasets_are_images_too(extractor, tmp_path) -> None:
    for number, image in enumerate(IMAGES[:5]):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    expected = extractor.transform(IMAGES[:5])
    for given in (tmp_path, tf.data.Dataset.from_tensor_slices((IMAGES[:5], LABELS[:5])).batch(2)):
        np.testing.assert_allclose(clone(extractor).fit_transform(given), expected, atol=1e-6)


def test_what_was_fitted_counts_whatever_is_set_later(network) -> None:
    extractor = kf.FeatureExtractor(network, layer="near").fit(IMAGES)
    extractor.set_params(layer="far")
    assert extractor.transform(IMAGES).shape == (60, 4)
    assert extractor.fit_transform(IMAGES).shape == (60, 6)


def test_a_cache_is_a_folder(network, tmp_path) -> None:
    extractor = kf.FeatureExtractor(network, layer="near", cache=tmp_path / "kept")
    first, second = extractor.fit_transform(IMAGES), extractor.transform(IMAGES)
    assert isinstance(second, np.memmap)
    np.testing.assert_array_equal(first, second)
    assert len(list((tmp_path / "kept").glob("*.npy"))) == 1


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({"pooling": "mean"}, "The 'pooling' parameter of FeatureExtractor must be"),
        ({"batch_size": 0}, "The 'batch_size' parameter of FeatureExtractor must be"),
        ({"image_size": (8,)}, r"image_size must be \(height, width\) in pixels, got \(8,\)"),
        ({"engine": "onnx"}, "The 'engine' parameter of FeatureExtractor must be"),
        ({"precision": "bfloat16"}, "precision='bfloat16' is of engine='openvino'"),
        ({"layer": "neer"}, "has no layer 'neer', did you mean 'near'"),
    ],
)
def test_parameters_that_cannot_be_are_refused_when_it_is_fitted(network, parameters, told) -> None:
    extractor = kf.FeatureExtractor(network, **parameters)
    with pytest.raises(ValueError, match=told):
        extractor.fit(IMAGES)


# ---- networks of the zoo ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mobilenet(assets) -> Path:
    return assets / "weights" / "mobilenet_v2_160_notop.weights.h5"


def fashion(assets: Path, part: str, n: int) -> tuple[np.ndarray, np.ndarray]:
    """The first images `(n, 28, 28)` and labels of a part."""
    folder = assets / "data" / "fashion-mnist"
    images = gzip.decompress((folder / f"{part}-images-idx3-ubyte.gz").read_bytes())
    labels = gzip.decompress((folder / f"{part}-labels-idx1-ubyte.gz").read_bytes())
    pixels = np.frombuffer(images, np.uint8, n * 784, offset=16).reshape(n, 28, 28)
    return pixels, np.frombuffer(labels, np.uint8, n, offset=8)


@pytest.mark.slow
def test_pretrained_features_beat_pixels_on_real_images(assets, mobilenet) -> None:
    (x, y), (x_test, y_test) = fashion(assets, "train", 2000), fashion(assets, "t10k", 1000)
    svm = make_pipeline(StandardScaler(), LinearSVC(C=0.001, random_state=0))
    features = kf.FeatureExtractor("mobilenet_v2", layer="block_13_expand_relu", weights=mobilenet, image_size=(96, 96))
    found = make_pipeline(features, svm).fit(x, y).score(x_test, y_test)
    pixels = clone(svm).fit(x.reshape(2000, -1), y).score(x_test.reshape(1000, -1), y_test)
    assert found >= 0.87
    assert pixels == pytest.approx(0.80, abs=0.01)

    scaled = keras.ops.image.resize(np.repeat(x[:8, ..., None], 3, -1).astype("float32"), (96, 96)) / 127.5 - 1
    network = keras.applications.MobileNetV2(include_top=False, weights=mobilenet, input_shape=(96, 96, 3))
    layer = keras.Model(network.input, network.get_layer("block_13_expand_relu").output)
    expected = layer(scaled).numpy().mean(axis=(1, 2))
    np.testing.assert_allclose(features.fit(x).transform(x[:8]), expected, atol=1e-4)

    with pytest.raises(DataError, match="multiply them by 255"):
        features.transform(x / 255)


def test_images_too_small_for_a_network_are_told_before_it_is_made() -> None:
    with pytest.raises(DataError, match=r"at least 32 × 32 pixels, got 8 × 8; image_size=\(height, width\) enlarges"):
        kf.FeatureExtractor("mobilenet_v2", weights=None).fit(IMAGES)


def test_a_network_that_nobody_knows_is_told_with_the_near_name() -> None:
    with pytest.raises(BuildError, match="mobilenet_v2"):
        kf.FeatureExtractor("mobilnet_v2").fit(IMAGES)
