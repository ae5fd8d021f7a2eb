"""Ways of giving a model: nothing of it is lost, and what does not fit is told."""

from __future__ import annotations

import pickle
from pathlib import Path

import keras
import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.preprocessing import FunctionTransformer

import kerasflow as kf

X, Y = load_iris(return_X_y=True)


def classifier(model=None, **parameters):
    return kf.KerasClassifier(model, **{"epochs": 2, "hidden_layer_sizes": (8,), "random_state": 0, **parameters})


def regressor(model=None, **parameters):
    return kf.KerasRegressor(model, **{"epochs": 2, "hidden_layer_sizes": (8,), "random_state": 0, **parameters})


def network_of(units):
    return lambda: keras.Sequential([keras.Input((4,)), keras.layers.Dense(units)])


def normalising(meta):
    normalization = keras.layers.Normalization()
    normalization.adapt(X.astype("float32") * 3 + 1)
    return keras.Sequential([keras.Input((4,)), normalization, keras.layers.Dense(meta["n_classes_"], "softmax")])


def test_what_a_layer_of_a_given_model_has_adapted_to_is_kept():
    normalization = keras.layers.Normalization()
    normalization.adapt(X.astype("float32") * 3 + 1)
    model = keras.Sequential([keras.Input((4,)), normalization, keras.layers.Dense(1)])
    estimator = regressor(model).initialize(X, Y)
    np.testing.assert_allclose(estimator.predict(X), model.predict(X, verbose=0)[:, 0], rtol=1e-5)


def test_what_a_layer_has_adapted_to_survives_a_pickle_and_a_warm_start():
    estimator = classifier(normalising, warm_start=True).fit(X, Y)
    copy = pickle.loads(pickle.dumps(estimator))  # noqa: S301  # our own bytes
    np.testing.assert_array_equal(copy.predict_proba(X), estimator.predict_proba(X))
    np.testing.assert_array_equal(copy.fit(X, Y).predict_proba(X), estimator.fit(X, Y).predict_proba(X))


@pytest.mark.parametrize(("units", "targets"), [(1, 3), (3, 1)])
def test_a_regressor_whose_model_gives_another_number_of_outputs_is_refused(units, targets):
    y = np.tile(Y[:, None], targets)[:, 0] if targets == 1 else np.tile(Y[:, None], targets)
    with pytest.raises(ValueError, match=rf"gives {units} outputs for {targets} targets; give it {targets} units"):
        regressor(network_of(units)).fit(X, y)


class TwoInputs(kf.KerasRegressor):
    @property
    def feature_encoder(self):
        return FunctionTransformer(lambda X: [X[:, :3], X[:, 3:]])


class Summed(keras.Model):  # waits for its first samples
    def __init__(self):
        super().__init__()
        self.dense = [keras.layers.Dense(1), keras.layers.Dense(1)]

    def call(self, x):
        return self.dense[0](x[0]) + self.dense[1](x[1])


def test_a_model_with_two_inputs_that_waits_for_samples_is_made_again_by_a_pickle():
    estimator = TwoInputs(Summed, epochs=1, random_state=0).fit(X, Y)
    fitted = pickle.loads(pickle.dumps(estimator._fitted))  # noqa: S301  # our own bytes
    np.testing.assert_array_equal(
        fitted.inference([X[:, :3], X[:, 3:]], 150), estimator._fitted.inference([X[:, :3], X[:, 3:]], 150)
    )


def test_accuracy_takes_no_arguments_for_it_means_several_metrics():
    with pytest.raises(kf.TrainingError, match="'accuracy' means one metric or another"):
        classifier(metrics=["accuracy"], metrics__name="right").fit(X, Y)


def test_a_regressor_does_not_go_on_with_another_number_of_targets():
    estimator = regressor().partial_fit(X, Y)
    with pytest.raises(ValueError, match="y has 2 targets, but was fitted with 1"):
        estimator.partial_fit(X, np.stack([Y, Y], axis=1))


def test_a_fitted_estimator_does_not_need_the_file_of_its_spec_any_more(tmp_path: Path):
    file = tmp_path / "network.yaml"
    file.write_text("layers:\n  - dense: {units: 8, activation: relu}\n  - head\n", encoding="utf-8")
    estimator = classifier(str(file)).fit(X, Y)
    kept = pickle.dumps(estimator)
    file.write_text("layers:\n  - dense: {units: 8, activation: tanh}\n  - head\n", encoding="utf-8")
    copy = pickle.loads(kept)  # noqa: S301  # our own bytes
    np.testing.assert_array_equal(copy.predict_proba(X), estimator.predict_proba(X))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"model__units": 8}, "model__units has nothing to go to: model is neither a callable nor a spec"),
        ({"metrics__k": 2}, "metrics__k has nothing to go to"),
        ({"callbacks__patience": 2}, "callbacks__patience has nothing to go to"),
        ({"loss": "hinge", "loss__0__name": "x"}, "loss__0__name has nothing to go to"),
        ({"optimizer__learning_rate__decay_steps": 9}, "optimizer__learning_rate__decay_steps has nothing to go to"),
        ({"fit__initial_epoch": 1}, "fit__initial_epoch is counted by the estimator itself"),
        ({"fit__sample_weight": np.ones(150)}, r"fit__sample_weight .* give fit\(X, y, sample_weight\)"),
        ({"fit__class_weight": {0: 1}}, "fit__class_weight .* give class_weight, by your own labels"),
        ({"fit__x": X}, "fit__x is the X that fit is called with"),
        ({"fit__y": Y}, "fit__y is the y that fit is called with"),
        ({"fit__on_epoch": print}, "fit__on_epoch is the estimator's own; give callbacks"),
        (
            {"validation_fraction": 0.1, "fit__validation_split": 0.1},
            "validation_fraction and fit__validation_split both hold out samples",
        ),
    ],
    ids=lambda value: next(reversed(value)) if isinstance(value, dict) else "",
)
def test_a_parameter_that_would_be_dropped_is_refused(parameters, message):
    with pytest.raises((TypeError, kf.TrainingError), match=message):
        classifier(**parameters).fit(X, Y)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"optimizer": "adm"}, "Keras has no optimizer 'adm', did you mean 'adam'"),
        (
            {"loss": "binary_crossentropi"},
            "Keras has no loss 'binary_crossentropi', did you mean 'binary_crossentropy'",
        ),
        ({"metrics": ["acuracy"]}, "Keras has no metric 'acuracy', did you mean 'accuracy'"),
        (
            {"callbacks": "EarlyStopping"},
            "callbacks must be those of Keras, as classes .*, got 'EarlyStopping'",
        ),
        ({"callbacks": 3}, "callbacks must be those of Keras, as classes or objects, got 3"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_typo_in_a_name_is_told_with_the_near_one(parameters, message):
    with pytest.raises(kf.TrainingError, match=message):
        classifier(**parameters).fit(X, Y)


def test_a_subclass_that_takes_less_can_be_cloned():
    class Small(kf.KerasRegressor):
        def __init__(self, units=8):
            super().__init__(epochs=3)
            self.units = units

    assert clone(Small(units=4)).get_params() == {"units": 4}


def test_balanced_weights_are_refused_where_only_a_part_of_the_data_is_seen():
    with pytest.raises(ValueError, match="'balanced' is not supported for partial_fit"):
        classifier(class_weight="balanced").partial_fit(X, Y)


def test_sparse_labels_side_by_side_are_as_good_as_dense_ones():
    labels = np.stack([Y > 0, Y > 1], axis=1).astype(int)
    estimator = classifier(validation_fraction=0.2).fit(X, csr_matrix(labels))
    dense = classifier(validation_fraction=0.2).fit(X, labels)
    np.testing.assert_array_equal(estimator.predict_proba(X), dense.predict_proba(X))
    assert estimator.score(X, csr_matrix(labels)) == dense.score(X, labels)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"optimizer": 3}, "The 'optimizer' parameter of KerasClassifier must be .* Got 3 instead"),
        ({"loss": 3}, "The 'loss' parameter of KerasClassifier must be .* Got 3 instead"),
        ({"metrics": 3}, "The 'metrics' parameter of KerasClassifier must be .* Got 3 instead"),
        ({"hidden_layer_sizes": ("a",)}, r"hidden_layer_sizes must hold .* integers >= 1, got \('a',\)"),
        ({"hidden_layer_sizes": (2.5,)}, r"hidden_layer_sizes must hold .* integers >= 1, got \(2.5,\)"),
        ({"verbose": 3}, "verbose must be one of auto, 0, 1, 2, got 3"),
        ({"stop": 3}, "stop takes rules .* got 3"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_parameter_of_another_type_is_told_in_one_sentence(parameters, message):
    with pytest.raises((ValueError, kf.TrainingError), match=message):
        classifier(**parameters).fit(X, Y)


def of_units(units, meta):
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(units), keras.layers.Dense(meta["n_classes_"])])


def of_two_inputs():
    parts = [keras.Input((2,), name=name) for name in ("left", "right")]
    return keras.Model(parts, keras.layers.Dense(3, "softmax")(keras.layers.Concatenate()(parts)))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"model": of_units}, "of_units needs the argument 'units'; give it as model__units="),
        ({"model": of_units, "model__unit": 3}, "model__unit: of_units takes no argument 'unit', did you mean 'units'"),
        ({"optimiser__learning_rate": 1}, "did you mean 'optimizer__learning_rate'"),
        ({"model": of_two_inputs}, r"takes 2 inputs \(left, right\) and X is one; override .* feature_encoder"),
        ({"model": "network.keras"}, r"give the model itself, keras.models.load_model\('network.keras'\)"),
    ],
    ids=["missing", "unknown", "prefix", "inputs", "file"],
)
def test_what_a_model_is_not_given_rightly_is_told_with_what_to_do(parameters, message):
    with pytest.raises((TypeError, kf.TrainingError), match=message):
        classifier(**parameters).fit(X, Y)


def test_a_loss_for_an_output_that_is_not_there_is_told_with_the_near_name():
    loss = {"output_0": "sparse_categorical_crossentropy", "outptu_1": "binary_crossentropy"}
    with pytest.raises(kf.TrainingError, match="'outptu_1', but the model's outputs are output_0, output_1, did you"):
        classifier(loss=loss).fit(X, np.stack([Y, Y == 2], axis=1))


def test_a_regressor_refuses_labels_in_words():
    with pytest.raises(ValueError, match=r"y must hold numbers for a regressor, got .*'a'.*; KerasClassifier learns"):
        regressor().fit(X, np.array(list("abc"))[Y])


def test_a_keyword_that_fit_does_not_take_is_not_told_of_another_class():
    with pytest.raises(TypeError, match=r"^fit\(\) got an unexpected keyword argument 'epochs'"):
        classifier().fit(X, Y, epochs=3)


def test_a_metric_that_cannot_compute_in_float64_says_what_to_give():
    with pytest.raises(kf.TrainingError, match="InTopKV2 computes in float32 alone; give samples in float32"):
        classifier(metrics=[keras.metrics.SparseTopKCategoricalAccuracy(2)]).fit(X, Y)


def test_validation_data_may_have_the_labels_of_the_user():
    labels = np.array(["setosa", "versicolor", "virginica"])[Y]
    given = classifier(epochs=2, fit__validation_data=(X[::2], labels[::2], np.ones(75))).fit(X, labels)
    encoded = classifier(epochs=2, fit__validation_data=(X[::2], Y[::2])).fit(X, Y)
    assert given.history_["val_loss"] == encoded.history_["val_loss"]


def test_validation_data_are_checked_as_samples_are():
    with pytest.raises(ValueError, match="X has 2 features, but KerasClassifier is expecting 4 features"):
        classifier(fit__validation_data=(X[:, :2], Y)).fit(X, Y)
