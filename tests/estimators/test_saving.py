"""Estimators in files that hold no pickle: they come back as they were, and nothing is loaded that is not trusted."""

from __future__ import annotations

import copy
import json
import pickle
import pickletools
import zipfile

import keras
import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_diabetes, load_iris
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import kerasflow as kf
from kerasflow.estimators.portable import SavedName

X, Y = load_iris(return_X_y=True)
LABELS = np.array(["setosa", "versicolor", "virginica"])[Y]


def classifier(**parameters):
    return kf.KerasClassifier(**{"epochs": 3, "hidden_layer_sizes": (8,), "random_state": 0, **parameters})


def with_dropout(meta, units=4):
    return keras.Sequential(
        [
            keras.Input(meta["X_shape_"][1:]),
            keras.layers.Dense(units, "relu"),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(meta["n_classes_"]),
        ]
    )


class Doubled(keras.layers.Layer):
    def call(self, x):
        return 2 * x


def with_own_layer(meta):
    layers = [keras.Input(meta["X_shape_"][1:]), Doubled(), keras.layers.Dense(meta["n_classes_"], "softmax")]
    return keras.Sequential(layers)


@pytest.fixture
def through_a_file(tmp_path):
    def saved_and_loaded(estimator, trusted=()):
        kf.save(estimator, tmp_path / "estimator.skops")
        return kf.load(tmp_path / "estimator.skops", trusted=trusted)

    return saved_and_loaded


def test_a_classifier_comes_back_with_its_probabilities_labels_parameters_and_history(through_a_file):
    before = classifier(class_weight={"setosa": 2, "versicolor": 1, "virginica": 1}).fit(X, LABELS)
    after = through_a_file(before)
    np.testing.assert_array_equal(after.predict_proba(X), before.predict_proba(X))
    np.testing.assert_array_equal(after.predict(X), before.predict(X))
    np.testing.assert_array_equal(after.classes_, before.classes_)
    assert after.get_params() == before.get_params()
    assert after.history_.rows == before.history_.rows


def test_a_regressor_comes_back(through_a_file):
    x, y = load_diabetes(return_X_y=True)
    before = kf.KerasRegressor(epochs=2, hidden_layer_sizes=(8,), random_state=0).fit(x, y)
    np.testing.assert_array_equal(through_a_file(before).predict(x), before.predict(x))


@pytest.mark.parametrize(
    ("parameters", "trusted"), [({}, ()), ({"model": with_dropout}, (with_dropout,))], ids=["perceptron", "callable"]
)
def test_training_goes_on_in_the_same_bits(through_a_file, parameters, trusted):
    before = classifier(**parameters).fit(X, LABELS)
    after = through_a_file(before, trusted)
    before.partial_fit(X, LABELS)
    after.partial_fit(X, LABELS)
    np.testing.assert_array_equal(after.predict_proba(X), before.predict_proba(X))


def test_an_estimator_that_was_loaded_can_be_fitted_anew(through_a_file):
    fitted = classifier().fit(X, LABELS)
    assert through_a_file(fitted).fit(X, LABELS).loss_curve_ == fitted.loss_curve_


def test_an_unfitted_estimator_keeps_objects_classes_and_rules(through_a_file):
    before = classifier(
        model={"layers": ["head"]},
        optimizer=keras.optimizers.SGD,
        optimizer__momentum=0.5,
        loss=keras.losses.SparseCategoricalCrossentropy(ignore_class=7),
        stop=[kf.stop.Plateau("loss", patience=2)],
    )
    after = through_a_file(before)
    assert after.optimizer is keras.optimizers.SGD
    assert after.loss.get_config() == before.loss.get_config()
    assert after.stop == before.stop
    assert after.fit(X, LABELS).model_.optimizer.momentum == 0.5


def test_a_given_model_is_kept_with_its_own_weights(through_a_file):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "softmax")])
    before = classifier(model=model).fit(X, LABELS)
    after = through_a_file(before)
    np.testing.assert_array_equal(after.model.get_weights()[0], model.get_weights()[0])
    np.testing.assert_array_equal(after.predict_proba(X), before.predict_proba(X))


def test_a_pipeline_on_a_frame_comes_back(through_a_file):
    frame = pd.DataFrame(X, columns=["a", "b", "c", "d"])
    before = make_pipeline(StandardScaler(), classifier()).fit(frame, LABELS)
    np.testing.assert_array_equal(through_a_file(before).predict_proba(frame), before.predict_proba(frame))


def test_a_search_comes_back(through_a_file):
    before = GridSearchCV(classifier(), {"learning_rate": [0.001, 0.01]}, cv=2).fit(X, LABELS)
    after = through_a_file(before)
    assert after.best_params_ == before.best_params_
    np.testing.assert_array_equal(after.predict(X), before.predict(X))


def test_a_callable_is_imported_only_when_it_is_trusted(tmp_path):
    file = tmp_path / "estimator.skops"
    kf.save(classifier(model=with_dropout).fit(X, LABELS), file)
    name = f"{with_dropout.__module__}.with_dropout"
    with pytest.raises(kf.EstimatorError, match=rf"names {name}, which loading would import.*trusted=\['{name}'\]"):
        kf.load(file)


def test_layers_of_ones_own_are_found_among_the_trusted(tmp_path):
    file = tmp_path / "estimator.skops"
    before = classifier(model=with_own_layer).fit(X, LABELS)
    kf.save(before, file)
    with pytest.raises(kf.EstimatorError, match=r"Doubled.*trusted=\[\.\.\.\]"):
        kf.load(file, trusted=[with_own_layer]).predict(X)
    after = kf.load(file, trusted=[with_own_layer, Doubled])
    np.testing.assert_array_equal(after.predict_proba(X), before.predict_proba(X))


def test_what_was_loaded_with_layers_of_ones_own_can_be_copied_and_saved_again(tmp_path):
    before = classifier(model=with_own_layer).fit(X, LABELS)
    kf.save(before, tmp_path / "one.skops")
    after = kf.load(tmp_path / "one.skops", trusted=[with_own_layer, Doubled])
    kf.save(after, tmp_path / "two.skops")
    for copied in (
        copy.deepcopy(after),
        pickle.loads(pickle.dumps(after)),  # noqa: S301  # our own bytes
        kf.load(tmp_path / "two.skops", trusted=[with_own_layer, Doubled]),
    ):
        np.testing.assert_array_equal(copied.predict_proba(X), before.predict_proba(X))


def test_functions_of_keras_that_compute_need_no_trust(through_a_file):
    before = classifier(
        loss=keras.losses.sparse_categorical_crossentropy, metrics=[keras.metrics.sparse_categorical_accuracy]
    )
    after = through_a_file(before.fit(X, LABELS))
    assert after.loss is keras.losses.sparse_categorical_crossentropy
    assert after.metrics == [keras.metrics.sparse_categorical_accuracy]


def test_other_functions_of_keras_are_refused_even_where_a_file_names_them():
    with pytest.raises(kf.EstimatorError, match=r"get_file is no class, loss, metric or activation of Keras'"):
        SavedName("keras.utils", "get_file").load()


def test_no_member_of_the_file_is_a_pickle(tmp_path):
    kf.save(classifier().fit(X, LABELS), tmp_path / "estimator.skops")
    with zipfile.ZipFile(tmp_path / "estimator.skops") as archive:
        contents = [archive.read(name) for name in archive.namelist()]
    assert any(content.startswith(b"PK") for content in contents)  # the .keras file
    for content in contents:
        with pytest.raises(ValueError, match=r"."):
            list(pickletools.genops(content))


def test_a_file_that_names_a_function_of_a_trusted_package_runs_no_code(tmp_path):
    attack = {
        "__class__": "check_output",
        "__module__": "sklearn.utils._testing",  # imports subprocess' function of that name
        "__loader__": "ConstructorFromReduceNode",
        "__id__": 1,
        "content": {
            "__class__": "tuple",
            "__module__": "builtins",
            "__loader__": "TupleNode",
            "__id__": 2,
            "content": [
                {
                    "__class__": "str",
                    "__module__": "builtins",
                    "__loader__": "JsonNode",
                    "__id__": 3,
                    "content": json.dumps(["touch", str(tmp_path / "ran")]),
                    "is_json": True,
                }
            ],
        },
        "protocol": 2,
        "_skops_version": "0.16.0",
    }
    with zipfile.ZipFile(tmp_path / "attack.skops", "w") as archive:
        archive.writestr("schema.json", json.dumps(attack))
    with pytest.raises(kf.EstimatorError, match=r"names sklearn\.utils\._testing\.check_output"):
        kf.load(tmp_path / "attack.skops")
    assert not (tmp_path / "ran").exists()


def test_a_lambda_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(kf.EstimatorError, match="a lambda has no name"):
        kf.save(classifier(model=lambda meta: with_dropout(meta)), tmp_path / "estimator.skops")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_missing_or_foreign_is_named(tmp_path):
    with pytest.raises(kf.EstimatorError, match=r"nothing\.skops: there is no such file"):
        kf.load(tmp_path / "nothing.skops")
    (tmp_path / "text.skops").write_text("hello")
    with pytest.raises(kf.EstimatorError, match=r"text\.skops: is no estimator that kf\.save wrote"):
        kf.load(tmp_path / "text.skops")


def test_a_file_that_is_cut_off_is_named(tmp_path):
    file = tmp_path / "estimator.skops"
    kf.save(classifier().fit(X, LABELS), file)
    file.write_bytes(file.read_bytes()[:2000])
    with pytest.raises(kf.EstimatorError, match=r"estimator\.skops: is no estimator"):
        kf.load(file)


def test_callbacks_are_kept_as_classes_and_as_objects_only_where_these_are_trusted(through_a_file):
    by_class = classifier(callbacks=keras.callbacks.EarlyStopping, callbacks__patience=1, callbacks__monitor="loss")
    assert through_a_file(by_class.fit(X, Y)).fit(X, Y).n_iter_ == by_class.n_iter_
    by_object = classifier(callbacks=keras.callbacks.EarlyStopping("loss", patience=1))
    with pytest.raises(kf.EstimatorError, match=r"names .*EarlyStopping, which loading would import"):
        through_a_file(by_object)
    assert through_a_file(by_object, trusted=[keras.callbacks.EarlyStopping]).fit(X, Y).n_iter_ == by_class.n_iter_
