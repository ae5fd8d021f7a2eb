"""A network gives features, and a classifier of scikit-learn learns from them."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC

import kerasflow as kf
from kerasflow.transfer.classifier import FeatureTrainer, load_classifier, make_classifier, outputs

X, Y = load_iris(return_X_y=True)
X = X.astype("float32")

SPEC = {
    "experiment": "x",
    "data": {"source": {"sklearn": "digits"}},
    "model": {"backbone": "lenet5"},
    "train": {"route": "features"},
}


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(6, "relu"), keras.layers.Dropout(0.5)])


def test_the_classifier_is_the_one_that_scikit_learn_fits_on_the_features(network):
    trainer = FeatureTrainer(make_classifier("svm", {"C": 0.5}, {}, "multiclass", 0))
    seen = []
    history = trainer.fit(network, X, Y, validation=(X[::2], Y[::2]), on_epoch=seen.append)
    features = network.predict(X, verbose=0)
    own = make_pipeline(StandardScaler(), LinearSVC(C=0.5, random_state=0)).fit(features, Y)
    assert history.rows[0]["accuracy"] == own.score(features, Y)
    assert history.rows[0]["val_accuracy"] == own.score(features[::2], Y[::2])
    assert history.rows[0]["features"] == 6
    assert seen == history.rows
    np.testing.assert_array_equal(trainer.predict(network, X), own.predict(features))


@pytest.mark.parametrize(
    ("arguments", "grid", "kernel"),
    [
        ({"kernel": "poly"}, {}, "poly"),
        ({"gamma": 0.1}, {}, "rbf"),
        ({}, {"kernel": ["poly", "rbf"]}, "rbf"),
        ({"break_ties": True}, {}, "linear"),
    ],
)
def test_what_a_linear_machine_does_not_take_makes_it_a_kernel_machine(arguments, grid, kernel):
    made = make_classifier("svm", arguments, grid, "multiclass", 0)
    assert getattr(made, "estimator", made)[-1].get_params()["kernel"] == kernel
    assert isinstance(getattr(made, "estimator", made)[-1], SVC)


def test_lists_are_arguments_too():
    spec = kf.load_spec(SPEC, {"train.classifier": {"mlp_classifier": {"hidden_layer_sizes": [8]}}})
    assert spec.train.classifier.arguments == {"hidden_layer_sizes": [8]}
    spec = kf.load_spec(SPEC, {"train.grid": {"hidden_layer_sizes": [[8], [16, 8]]}})
    assert kf.load_spec(spec.to_document()).train.grid == {"hidden_layer_sizes": [[8], [16, 8]]}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.FitFailedWarning")
@pytest.mark.parametrize(
    ("name", "arguments", "grid", "message"),
    [
        ("svm", {"C": "a"}, {}, "LinearSVC refuses: The 'C' parameter of LinearSVC must be a float"),
        ("svm", {}, {"C": ["a"]}, "arguments refuses: The 'C' parameter of LinearSVC must be a float"),
        ("radius_neighbors_classifier", {"radius": 1e-6}, {}, "Classifier refuses: No neighbors found for test"),
    ],
)
def test_what_scikit_learn_refuses_is_told_whenever_it_does(network, name, arguments, grid, message):
    trainer = FeatureTrainer(make_classifier(name, arguments, grid, "multiclass", 0))
    with pytest.raises(kf.TrainingError, match=message):
        trainer.fit(network, X[::2], Y[::2], validation=(X[1::2] + 9, Y[1::2]))


def test_a_grid_is_searched_on_the_training_part(network):
    trainer = FeatureTrainer(make_classifier("logistic_regression", {}, {"C": [1e-6, 1.0]}, "multiclass", 0))
    history = trainer.fit(network, X, Y)
    assert history.stop_reason.endswith("is fitted with C=1.0")
    assert trainer.fitted[-1].C == 1.0


def test_probabilities_are_given_as_a_network_would(network):
    trainer = FeatureTrainer(make_classifier("logistic_regression", {}, {}, "binary", 0))
    trainer.fit(network, X, Y == 2)
    found = trainer.predict(network, X)
    assert found.shape == (150, 1)
    np.testing.assert_array_equal(found[:, 0] > 0.5, trainer.fitted.predict(network.predict(X, verbose=0)))


def test_what_was_kept_is_read_without_pickle(network, tmp_path):
    trainer = FeatureTrainer(make_classifier("svm", {}, {"C": [0.1, 1.0]}, "multiclass", 0))
    trainer.fit(network, X, Y)
    (name,) = trainer.keep(tmp_path)
    features = network.predict(X, verbose=0)
    np.testing.assert_array_equal(outputs(load_classifier(tmp_path / name), features), trainer.predict(network, X))
    (tmp_path / "broken").write_bytes(b"PK\x03\x04 broken")
    with pytest.raises(kf.RunError, match="broken: cannot be read"):
        load_classifier(tmp_path / "broken")


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("random_forest_classifier", {"n_estimators": 3}),
        ("hist_gradient_boosting_classifier", {"max_iter": 3}),
        ("gradient_boosting_classifier", {"n_estimators": 3}),
        ("mlp_classifier", {"max_iter": 5, "solver": "sgd"}),
        ("gaussian_process_classifier", {}),
        ("k_neighbors_classifier", {"algorithm": "ball_tree"}),
        ("calibrated_classifier_cv", {}),
    ],
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_whatever_a_spec_can_name_comes_back(network, tmp_path, name, arguments):
    trainer = FeatureTrainer(make_classifier(name, arguments, {}, "multiclass", 0))
    trainer.fit(network, X, Y)
    (file,) = trainer.keep(tmp_path)
    found = outputs(load_classifier(tmp_path / file), network.predict(X, verbose=0))
    np.testing.assert_allclose(found, trainer.predict(network, X), rtol=1e-6)
    kf.save(trainer.fitted, tmp_path / "estimator.skops")
    kf.load(tmp_path / "estimator.skops")  # by the same trust


class OwnSVC(LinearSVC):
    """Of no package that a file may name."""


def test_a_classifier_that_could_not_be_read_back_is_not_kept(network, tmp_path):
    trainer = FeatureTrainer(make_pipeline(OwnSVC()))
    trainer.fit(network, X, Y)
    with pytest.raises(kf.RunError, match=r"OwnSVC cannot be kept: it is made of \S*OwnSVC, which no file may name"):
        trainer.keep(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("logistic_regresion", {}, "scikit-learn has no classifier 'logistic_regresion', did you mean"),
        ("svm", {"los": "hinge"}, "svm has no argument 'los', did you mean 'loss'"),
    ],
)
def test_what_scikit_learn_does_not_have_is_told(name, arguments, message):
    with pytest.raises(kf.TrainingError, match=message):
        make_classifier(name, arguments, {}, "multiclass", 0)


def test_feature_maps_are_no_vectors():
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(2, 3)])
    with pytest.raises(kf.TrainingError, match=r"gives shape \(6, 6, 2\); set the backbone's pooling"):
        FeatureTrainer(make_classifier("svm", {}, {}, "multiclass", 0)).check(model, None)
