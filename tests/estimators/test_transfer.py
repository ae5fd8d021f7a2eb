"""A trained network, put to another task by scikit-learn's rules."""

from __future__ import annotations

import pickle

import keras
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score

import kerasflow as kf
from kerasflow.transfer.stages import Stage

RNG = np.random.default_rng(0)
LABELS = np.array(["ankle", "bag", "coat"])[np.arange(60) % 3]
IMAGES = RNG.normal(0, 1, (60, 8, 8, 1)).astype("float32")
for _place in range(60):
    IMAGES[_place, 2 * (_place % 3) : 2 * (_place % 3) + 3] += 4.0  # where it is bright is its class


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Flatten(), keras.layers.Dense(16, "relu", name="dense")]
    path = tmp_path_factory.mktemp("saved") / "low.keras"
    keras.Sequential([keras.Input((8, 8, 1)), *layers, keras.layers.Dense(4, name="old_head")]).save(path)
    return path


def classifier(backbone, **parameters):
    return kf.TransferClassifier(backbone, **{"epochs": 3, "learning_rate": 0.01, "random_state": 0, **parameters})


def dense_of(model):
    return model.get_layer("backbone").get_layer("dense").kernel.numpy()


def test_the_head_learns_and_the_backbone_stays(saved):
    estimator = classifier(saved, epochs=15).fit(IMAGES, LABELS)
    np.testing.assert_array_equal(dense_of(estimator.model_), keras.models.load_model(saved).get_layer("dense").kernel)
    assert estimator.score(IMAGES, LABELS) > 0.9
    assert estimator.n_iter_ == 15


def test_stages_are_objects_or_dicts_and_unfreeze(saved):
    stages = [Stage(2, 0.01), {"epochs": 1, "learning_rate": 0.001, "unfreeze": ["dense"]}]
    estimator = classifier(saved, stages=stages, validation_fraction=0.2).fit(IMAGES, LABELS)
    assert estimator.history_["val_loss"] == [row["val_loss"] for row in estimator.history_.rows]
    assert [row["stage"] for row in estimator.history_.rows] == [1, 1, 2]
    before = keras.models.load_model(saved).get_layer("dense").kernel
    assert np.abs(dense_of(estimator.model_) - before).max() > 0


def test_class_weights_reach_every_stage(saved):
    heavy = {"ankle": 1000.0, "bag": 1.0, "coat": 1.0}
    estimator = classifier(saved, class_weight=heavy, epochs=20, learning_rate=0.05).fit(IMAGES, LABELS)
    assert (estimator.predict(IMAGES[LABELS == "ankle"]) == "ankle").all()


def test_it_clones_searches_pickles_and_refits_to_the_same_bits(saved):
    estimator = classifier(saved)
    assert clone(estimator).get_params() == estimator.get_params()
    search = GridSearchCV(estimator, {"layers": [["head"], [{"dropout": 0.1}, "head"]]}, cv=2).fit(IMAGES, LABELS)
    assert len(search.cv_results_["params"]) == 2
    assert cross_val_score(estimator, IMAGES, LABELS, cv=2).shape == (2,)
    once, twice = (clone(estimator).fit(IMAGES, LABELS) for _ in range(2))
    np.testing.assert_array_equal(once.predict_proba(IMAGES), twice.predict_proba(IMAGES))
    copy = pickle.loads(pickle.dumps(once))  # noqa: S301  # our own bytes
    np.testing.assert_array_equal(copy.predict_proba(IMAGES), once.predict_proba(IMAGES))


def test_a_network_in_memory_is_one_like_its_file_and_is_never_changed(saved, tmp_path):
    network = keras.models.load_model(saved)
    network.get_layer("dense").trainable = False
    before = network.get_weights()
    stages = [Stage(2, 0.01), Stage(1, 0.001, unfreeze=["dense"])]
    estimator = classifier(network, stages=stages).fit(IMAGES, LABELS)
    for now, then in zip(network.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)
    assert not network.get_layer("dense").trainable
    expected = classifier(saved, stages=stages).fit(IMAGES, LABELS).predict_proba(IMAGES)
    np.testing.assert_array_equal(estimator.predict_proba(IMAGES), expected)
    again = pickle.loads(pickle.dumps(estimator))  # noqa: S301  # our own bytes
    np.testing.assert_array_equal(again.predict_proba(IMAGES), expected)
    np.testing.assert_array_equal(clone(estimator).fit(IMAGES, LABELS).predict_proba(IMAGES), expected)
    kf.save(estimator, tmp_path / "estimator.skops")
    loaded = kf.load(tmp_path / "estimator.skops")
    np.testing.assert_array_equal(loaded.predict_proba(IMAGES), expected)
    assert loaded.stages == stages
    assert loaded.fit(IMAGES, LABELS).score(IMAGES, LABELS) == estimator.score(IMAGES, LABELS)


def test_a_network_in_memory_is_held_to_what_it_takes(saved):
    network = keras.models.load_model(saved)
    with pytest.raises(kf.BuildError, match=r"takes samples of shape \(8, 8, 1\), got \(6, 8, 1\)"):
        classifier(network).fit(IMAGES[:, :6], LABELS)


@pytest.fixture(scope="module")
def of_the_zoo():
    """A network of gray images in 0..255, random weights."""
    images = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 1), dtype=np.uint8)
    estimator = kf.TransferClassifier("lenet5", weights=None, epochs=1, random_state=0)
    return estimator.fit(images, LABELS[:12]), images


def test_no_weights_are_random_ones(of_the_zoo):
    again = clone(of_the_zoo[0]).set_params(random_state=1).fit(of_the_zoo[1], LABELS[:12])
    kernels = [one.model_.get_layer("backbone").get_weights()[0] for one in (of_the_zoo[0], again)]
    assert np.abs(kernels[0] - kernels[1]).max() > 0


def test_images_to_predict_are_held_to_the_range_that_was_learned(of_the_zoo):
    estimator, images = of_the_zoo
    assert estimator.predict(images / 1.0).shape == (12,)
    for ask in (estimator.predict, estimator.predict_proba):
        with pytest.raises(kf.DataError, match=r"lenet5 takes .* 0\.\.255, got .* looks like 0\.\.1; multiply"):
            ask(images / 255.0)


def test_images_of_another_size_are_told_by_their_shape(of_the_zoo):
    estimator, images = of_the_zoo
    told = r"X has samples of shape \(20, 32, 1\), but TransferClassifier is expecting samples of shape \(32, 32, 1\)"
    for given in (images[:, :20], images[:, :20].tolist()):
        with pytest.raises(ValueError, match=told):
            estimator.predict(given)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"stages": [{"epoch": 1}]}, "a stage has no argument 'epoch', did you mean 'epochs'"),
        ({"stages": [3]}, "stages must be kf.transfer.Stage or dicts"),
        ({"backbone": 3}, r"name of a network of the zoo, a keras\.Model or the path of a \.keras file, got int"),
        (
            {"backbone": keras.Sequential(name="s")},
            "s is Sequential, whose layers stand in no graph|has no weights yet",
        ),
        ({"layer": "dens"}, "has no layer 'dens', did you mean 'dense'"),
    ],
)
def test_what_cannot_be_is_told(saved, parameters, message):
    with pytest.raises(kf.KerasflowError, match=message):
        classifier(**{"backbone": saved, **parameters}).fit(IMAGES, LABELS)
