"""What scikit-learn's users rely on, kept by `kf.KerasClassifier` and `kf.KerasRegressor` alike.

Networks are tiny and share their sizes: a new architecture costs half a second, and one that was there before nothing.
"""

from __future__ import annotations

import copy
import gc
import io
import itertools
import pickle
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import joblib
import keras
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import sklearn
import tensorflow as tf
from scipy.stats import loguniform, randint
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.datasets import load_digits, load_iris
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import (
    AdaBoostClassifier,
    AdaBoostRegressor,
    BaggingClassifier,
    BaggingRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.exceptions import DataConversionWarning, NotFittedError
from sklearn.experimental import enable_halving_search_cv  # noqa: F401  # scikit-learn asks for it by this import
from sklearn.feature_selection import RFE, SequentialFeatureSelector
from sklearn.inspection import partial_dependence, permutation_importance
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    HalvingGridSearchCV,
    KFold,
    RandomizedSearchCV,
    StratifiedKFold,
    TimeSeriesSplit,
    TunedThresholdClassifierCV,
    check_cv,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    learning_curve,
    validation_curve,
)
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputRegressor
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, OneHotEncoder, StandardScaler
from sklearn.semi_supervised import SelfTrainingClassifier
from sklearn.utils.class_weight import compute_sample_weight

import kerasflow as kf

X, CODES = load_iris(return_X_y=True)
X = StandardScaler().fit_transform(X)
_ORDER = np.random.default_rng(0).permutation(len(X))  # so that consecutive folds hold every class
X, CODES = X[_ORDER], CODES[_ORDER]
LABELS = np.array(["setosa", "versicolor", "virginica"])[CODES]
QUANTITY = 2 * X[:, 2] - X[:, 1] + np.sin(X[:, 0])
FRAME = pd.DataFrame(X, columns=["a", "b", "c", "d"])
SPEC = {"layers": [{"dense": {"units": 8, "activation": "relu"}}, "head"]}
SMALL = {"hidden_layer_sizes": (8,), "epochs": 2, "random_state": 0}
LEARNING = {"learning_rate": 0.05, "epochs": 8}


@dataclass(frozen=True, eq=False)
class Case:
    """An estimator and the target that it learns.

    Attributes:
        good: a score that only an estimator that learned can have.
    """

    kind: type
    y: np.ndarray
    scoring: str
    good: float

    def make(self, **parameters: Any) -> Any:
        return self.kind(**{**SMALL, **parameters})

    def learner(self, **parameters: Any) -> Any:
        return self.make(**{**LEARNING, **parameters})

    def outputs(self, estimator: Any, x: Any = X) -> Any:
        """All that the network says, not only the likeliest label."""
        return estimator.predict_proba(x) if is_classifier(estimator) else estimator.predict(x)

    def same(self, first: Any, second: Any, x: Any = X) -> None:
        np.testing.assert_array_equal(self.outputs(first, x), self.outputs(second, x))


CLASSIFIER = Case(kf.KerasClassifier, LABELS, "accuracy", 0.8)
REGRESSOR = Case(kf.KerasRegressor, QUANTITY, "r2", 0.5)


@pytest.fixture(params=[CLASSIFIER, REGRESSOR], ids=["classifier", "regressor"])
def case(request) -> Case:
    return request.param


def classifier(**parameters):
    return CLASSIFIER.make(**parameters)


def regressor(**parameters):
    return REGRESSOR.make(**parameters)


def network(meta, units=8, last=None):
    """A callable such as users write; without `last` a classifier's outputs are logits."""
    return keras.Sequential(
        [
            keras.Input(meta["X_shape_"][1:]),
            keras.layers.Dense(units, "relu"),
            keras.layers.Dense(meta.get("n_classes_", meta["n_outputs_"]), last),
        ]
    )


class Raising(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        raise RuntimeError("the user's own fault")


# ---- parameters ----------------------------------------------------------------------------------------------------


def test_a_clone_has_the_same_parameters_and_nothing_fitted(case):
    stop = kf.stop.Plateau("loss", patience=3)
    fitted = case.make(stop=stop, optimizer__learning_rate=0.01).fit(X, case.y)
    twin = clone(fitted)
    assert twin.get_params().keys() == fitted.get_params().keys()
    assert all(repr(value) == repr(twin.get_params()[name]) for name, value in fitted.get_params().items())
    assert not [name for name in vars(twin) if name.endswith("_") and not name.startswith("_")]
    with pytest.raises(NotFittedError):
        twin.predict(X)


def test_parameters_come_back_from_get_params_as_they_were_given(case):
    given = {"model": SPEC, "optimizer__learning_rate": 0.02, "model__layers__0__dense__units": 5, "fit__epochs": 1}
    estimator = case.kind(**given)
    assert all(estimator.get_params()[name] is value for name, value in given.items())
    again = case.kind(**estimator.get_params())
    assert again.get_params() == estimator.get_params()


def test_set_params_reaches_deep_names_through_a_pipeline(case):
    pipeline = Pipeline([("scale", StandardScaler()), ("net", case.make(model=SPEC))])
    pipeline.set_params(net__optimizer__learning_rate=0.25, net__model__layers__0__dense__units=5, net__epochs=1)
    model = pipeline.fit(X, case.y)["net"].model_
    assert float(model.optimizer.learning_rate) == 0.25
    assert model.layers[-1].kernel.shape[0] == 5
    assert pipeline.get_params()["net__optimizer__learning_rate"] == 0.25


def test_repr_shows_what_is_not_the_default(case):
    shown = repr(case.kind(epochs=7, optimizer__learning_rate=0.5))
    assert shown.startswith(case.kind.__name__)
    assert "epochs=7" in shown
    assert "optimizer__learning_rate=0.5" in shown
    assert "batch_size" not in shown


def test_notebooks_show_estimators_fitted_or_not(case):
    pipeline = make_pipeline(StandardScaler(), case.make(epochs=3))
    before = pipeline._repr_html_()
    after = pipeline.fit(X, case.y)._repr_html_()
    assert case.kind.__name__ in before
    assert "Not fitted" in before
    assert "Not fitted" not in after


def test_an_unknown_parameter_is_refused_with_the_near_name(case):
    with pytest.raises(TypeError, match=r"unexpected parameter 'epoch', did you mean 'epochs'\?"):
        case.kind(epoch=3).fit(X, case.y)
    with pytest.raises(ValueError, match="Invalid parameter 'epoch' for estimator"):
        case.kind().set_params(epoch=3)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"epochs": 0}, "The 'epochs' parameter of"),
        ({"batch_size": 1.5}, "The 'batch_size' parameter of"),
        ({"validation_fraction": 1.0}, "The 'validation_fraction' parameter of"),
        ({"engine": "cuda"}, "The 'engine' parameter of"),
    ],
)
def test_values_out_of_range_are_refused_in_the_words_of_scikit_learn(case, wrong, words):
    with pytest.raises(ValueError, match=words):
        case.make(**wrong).fit(X, case.y)


@pytest.mark.parametrize("name", ["model_", "n_iter_", "loss_curve_"])
def test_attributes_of_an_estimator_that_is_not_fitted_say_so(case, name):
    with pytest.raises(NotFittedError, match=f"This {case.kind.__name__} instance is not fitted yet"):
        getattr(case.kind(), name)


def test_predictions_of_an_estimator_that_is_not_fitted_say_so(case):
    words = f"This {case.kind.__name__} instance is not fitted yet"
    with pytest.raises(NotFittedError, match=words):
        case.kind().predict(X)
    with pytest.raises(NotFittedError, match=words):
        case.kind().score(X, case.y)
    with pytest.raises(NotFittedError, match=words):
        case.outputs(case.kind())


def test_what_the_constructor_is_given_is_never_changed(case):
    sizes, optimizer, spec = [8], keras.optimizers.SGD(0.1, momentum=0.9), copy.deepcopy(SPEC)
    stop = [kf.stop.Plateau("loss", patience=1)]
    case.make(hidden_layer_sizes=sizes, optimizer=optimizer, stop=stop, learning_rate=0.5).fit(X, case.y)
    case.make(model=spec, model__layers__0__dense__units=5, epochs=1).fit(X, case.y)
    assert sizes == [8]
    assert not optimizer.built
    assert float(optimizer.learning_rate) == pytest.approx(0.1)
    assert spec == SPEC
    assert stop == [kf.stop.Plateau("loss", patience=1)]


def test_a_class_weight_is_never_changed():
    weight = {"setosa": 1, "versicolor": 1, "virginica": 5}
    classifier(class_weight=weight).fit(X, LABELS)
    assert weight == {"setosa": 1, "versicolor": 1, "virginica": 5}


def test_a_metric_object_is_never_changed(case):
    metric = keras.metrics.MeanSquaredError() if case is REGRESSOR else keras.metrics.SparseCategoricalAccuracy()
    before = [variable.numpy() for variable in metric.variables]
    case.make(metrics=[metric]).fit(X, case.y)
    for variable, value in zip(metric.variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)


# ---- pipelines and columns -----------------------------------------------------------------------------------------


def test_an_estimator_learns_at_the_end_of_nested_pipelines(case):
    pipeline = Pipeline([("before", make_pipeline(MinMaxScaler(), StandardScaler())), ("net", case.learner())])
    assert make_pipeline(pipeline).fit(X, case.y).score(X, case.y) > case.good


def test_an_estimator_learns_from_the_columns_of_a_column_transformer(case):
    frame = FRAME.assign(kind=np.where(X[:, 0] > 0, "long", "short"))
    columns = ColumnTransformer(
        [("n", StandardScaler(), ["a", "b", "c"]), ("k", OneHotEncoder(drop="first"), ["kind"])]
    )
    assert make_pipeline(columns, case.learner()).fit(frame, case.y).score(frame, case.y) > case.good


def test_an_estimator_learns_from_a_feature_union(case):
    half = [(f"half{i}", FunctionTransformer(lambda x, i=i: x[:, 2 * i : 2 * i + 2])) for i in range(2)]
    union = make_pipeline(FeatureUnion(half), case.make()).fit(X, case.y)
    case.same(union, case.make().fit(X, case.y))  # put together again, they are the same features


def test_a_function_transformer_before_the_network_is_the_function(case):
    pipeline = make_pipeline(FunctionTransformer(np.negative), case.make()).fit(X, case.y)
    np.testing.assert_array_equal(case.outputs(pipeline), case.outputs(case.make().fit(-X, case.y), -X))


def test_a_pipeline_that_puts_out_frames_gives_the_network_its_names(case):
    pipeline = make_pipeline(MinMaxScaler(), case.make()).set_output(transform="pandas").fit(FRAME, case.y)
    assert pipeline[-1].feature_names_in_.tolist() == list("abcd")
    with pytest.raises(ValueError, match="feature names should match"):
        pipeline[-1].predict(FRAME[list("badc")])


def test_a_transformed_target_is_given_in_its_own_unit():
    scaled = TransformedTargetRegressor(regressor(**LEARNING), transformer=StandardScaler())
    predicted = scaled.fit(X, 1000 + 50 * QUANTITY).predict(X)
    assert abs(predicted.mean() - 1000) < 50
    assert scaled.score(X, 1000 + 50 * QUANTITY) > 0.5


# ---- searches ------------------------------------------------------------------------------------------------------


def test_a_grid_search_finds_the_epochs_that_learn(case):
    search = GridSearchCV(case.learner(), {"epochs": [1, 8], "batch_size": [16, 150]}, cv=2).fit(X, case.y)
    assert search.best_params_ == {"epochs": 8, "batch_size": 16}
    case.same(search, case.learner(**search.best_params_).fit(X, case.y))  # the refit is a fit like any other


def test_a_grid_search_finds_the_learning_rate_by_its_deep_name(case):
    grid = {"net__optimizer__learning_rate": [1e-6, 0.05], "net__optimizer": ["adam"]}
    search = GridSearchCV(Pipeline([("net", case.make(epochs=8))]), grid, cv=2).fit(X, case.y)
    assert search.best_params_["net__optimizer__learning_rate"] == 0.05
    assert float(search.best_estimator_["net"].model_.optimizer.learning_rate) == pytest.approx(0.05)


def test_a_grid_search_changes_a_spec_by_path(case):
    search = GridSearchCV(case.make(model=SPEC), {"model__layers__0__dense__units": [5, 8]}, cv=2).fit(X, case.y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    best = search.best_params_["model__layers__0__dense__units"]
    assert search.best_estimator_.model_.layers[-1].kernel.shape[0] == best
    case.same(search, case.make(hidden_layer_sizes=(best,)).fit(X, case.y))  # the perceptron is that very spec


def test_a_randomized_search_draws_from_the_distributions_of_scipy(case):
    drawn = {"learning_rate": loguniform(1e-3, 1e-1), "epochs": randint(1, 4)}
    search = RandomizedSearchCV(case.make(), drawn, n_iter=3, cv=2, random_state=0).fit(X, case.y)
    assert len({one["learning_rate"] for one in search.cv_results_["params"]}) == 3
    assert search.best_estimator_.n_iter_ == search.best_params_["epochs"]
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_a_halving_search_spends_epochs_on_what_is_promising(case):
    search = HalvingGridSearchCV(
        case.make(), {"learning_rate": [1e-6, 1e-5, 0.05]}, resource="epochs", min_resources=2, max_resources=6, cv=2
    ).fit(X, case.y)
    assert search.best_params_ == {"learning_rate": 0.05, "epochs": 6}


# ---- model selection -----------------------------------------------------------------------------------------------


def test_cross_validation_scores_every_fold(case):
    scores = cross_val_score(make_pipeline(FunctionTransformer(), case.learner()), X, case.y, cv=3)
    assert (scores > case.good).all()
    np.testing.assert_array_equal(scores, cross_val_score(case.learner(), X, case.y, cv=3, scoring=case.scoring))


def test_cross_validated_probabilities_are_in_the_order_of_the_classes():
    probabilities = cross_val_predict(classifier(**LEARNING), X, LABELS, cv=3, method="predict_proba")
    np.testing.assert_allclose(probabilities.sum(1), 1)
    assert (np.unique(LABELS)[probabilities.argmax(1)] == LABELS).mean() > 0.8


def test_cross_validate_gives_several_scores_and_the_estimators(case):
    scoring = ["accuracy", "roc_auc_ovr", "neg_log_loss"] if case is CLASSIFIER else ["r2", "neg_mean_absolute_error"]
    found = cross_validate(case.learner(), X, case.y, cv=KFold(2), scoring=scoring, return_estimator=True)
    assert all(np.isfinite(found[f"test_{name}"]).all() for name in scoring)
    for (train, _), estimator in zip(KFold(2).split(X), found["estimator"], strict=True):
        case.same(estimator, case.learner().fit(X[train], case.y[train]))


def test_roc_auc_and_log_loss_take_the_probabilities():
    binary = CODES == 2
    two = classifier(**LEARNING).fit(X, binary).predict_proba(X)
    three = classifier(**LEARNING).fit(X, LABELS).predict_proba(X)
    assert roc_auc_score(binary, two[:, 1]) > 0.9
    assert roc_auc_score(LABELS, three, multi_class="ovr") > 0.9
    assert log_loss(binary, two) < log_loss(binary, np.full(len(X), binary.mean()))
    assert log_loss(LABELS, three) < np.log(3)


def test_the_logarithms_are_those_of_the_probabilities():
    fitted = classifier().fit(X, LABELS)
    np.testing.assert_array_equal(fitted.predict_log_proba(X), np.log(fitted.predict_proba(X)))


def test_a_learning_curve_scores_growing_parts_of_the_data(case):
    sizes, _, scores = learning_curve(case.learner(), X, case.y, cv=2, train_sizes=[0.4, 1.0])
    assert sizes.tolist() == [30, 75]
    assert (scores[1] > case.good).all()


def test_a_validation_curve_shows_what_a_parameter_does(case):
    _, scores = validation_curve(
        case.make(epochs=8), X, case.y, param_name="optimizer__learning_rate", param_range=[1e-6, 0.05], cv=2
    )
    assert (scores[1] > scores[0]).all()


@pytest.mark.parametrize("splitter", [TimeSeriesSplit(3), GroupKFold(3)], ids=["time", "groups"])
def test_splits_by_time_and_by_group_are_kept(case, splitter):
    groups = np.arange(len(X)) % 10
    scores = cross_val_score(case.make(), X, case.y, cv=splitter, groups=groups)
    train, test = next(splitter.split(X, case.y, groups))
    assert scores[0] == case.make().fit(X[train], case.y[train]).score(X[test], case.y[test])


def test_a_classifier_is_split_by_class_and_a_regressor_is_not():
    assert is_classifier(classifier())
    assert is_regressor(regressor())
    assert not is_classifier(regressor())
    assert isinstance(check_cv(3, LABELS, classifier=is_classifier(classifier())), StratifiedKFold)
    by_class = cross_val_score(classifier(), np.sort(X, 0), np.sort(LABELS), cv=3)  # else a fold would lack a class
    assert np.isfinite(by_class).all()


def test_permutation_importance_finds_the_features_that_count(case):
    fitted = case.learner().fit(X, case.y)
    found = permutation_importance(fitted, X, case.y, n_repeats=2, random_state=0).importances_mean
    assert found[2] > found[0]


def test_partial_dependence_follows_the_target():
    along = partial_dependence(regressor(**LEARNING).fit(X, QUANTITY), X, [2], grid_resolution=5)["average"][0]
    assert (np.diff(along) > 0).all()
    by_class = partial_dependence(classifier(**LEARNING).fit(X, LABELS), X, [2], grid_resolution=5)["average"]
    assert by_class.shape == (3, 5)
    assert by_class[0, 0] > by_class[0, -1]  # setosa has the shortest petals


def test_a_network_beats_guessing_on_the_digits():
    images, digits = load_digits(return_X_y=True)
    train, test = slice(0, 600), slice(600, 1000)
    score = classifier(hidden_layer_sizes=(16,), epochs=10, learning_rate=0.01).fit(images[train], digits[train])
    guess = DummyClassifier().fit(images[train], digits[train]).score(images[test], digits[test])
    assert score.score(images[test], digits[test]) > 0.7 > guess


# ---- estimators made of estimators ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ensemble",
    [
        VotingClassifier([("a", classifier(**LEARNING)), ("b", classifier(**LEARNING, batch_size=16))], voting="soft"),
        VotingClassifier([("a", classifier(**LEARNING)), ("b", classifier(**LEARNING, batch_size=16))], voting="hard"),
        StackingClassifier([("a", classifier(**LEARNING)), ("b", classifier(**LEARNING, batch_size=16))], cv=2),
        StackingClassifier([("a", DummyClassifier())], classifier(**LEARNING), cv=2, passthrough=True),
        BaggingClassifier(classifier(**LEARNING), 3, random_state=0),
        AdaBoostClassifier(classifier(**LEARNING), n_estimators=2, random_state=0),
        CalibratedClassifierCV(classifier(**LEARNING), cv=2),
        OneVsRestClassifier(classifier(**LEARNING)),
        OneVsOneClassifier(classifier(**LEARNING)),
    ],
    ids=lambda one: f"{type(one).__name__}-{getattr(one, 'voting', getattr(one, 'passthrough', ''))}",
)
def test_a_classifier_learns_within_the_ensembles_of_scikit_learn(ensemble):
    assert ensemble.fit(X, LABELS).score(X, LABELS) > 0.75
    assert set(ensemble.predict(X)) <= set(LABELS)


@pytest.mark.parametrize(
    "ensemble",
    [
        VotingRegressor([("a", regressor(**LEARNING)), ("b", regressor(**LEARNING, batch_size=16))]),
        StackingRegressor([("a", regressor(**LEARNING)), ("b", regressor(**LEARNING, batch_size=16))], cv=2),
        StackingRegressor([("a", regressor(**LEARNING))], regressor(**LEARNING), cv=2, passthrough=True),
        BaggingRegressor(regressor(**LEARNING), 3, random_state=0),
        AdaBoostRegressor(regressor(**LEARNING), n_estimators=2, random_state=0),
    ],
    ids=lambda one: f"{type(one).__name__}-{getattr(one, 'passthrough', '')}",
)
def test_a_regressor_learns_within_the_ensembles_of_scikit_learn(ensemble):
    assert ensemble.fit(X, QUANTITY).score(X, QUANTITY) > 0.5


def test_bagging_gives_every_member_a_seed_of_its_own(case):
    bag = BaggingClassifier if case is CLASSIFIER else BaggingRegressor
    first, second = bag(case.make(random_state=None), 2, bootstrap=False, random_state=0).fit(X, case.y).estimators_
    codes = CODES if case is CLASSIFIER else case.y  # the bag tells its members numbers
    assert (case.outputs(first) != case.outputs(second)).any()
    case.same(first, clone(first).fit(X, codes))


def test_a_chain_of_classifiers_predicts_labels_one_behind_the_other():
    labels = np.stack([CODES > 0, CODES > 1], axis=1).astype(int)
    predicted = ClassifierChain(classifier(**LEARNING)).fit(X, labels).predict(X)
    assert (predicted == labels).mean() > 0.85


def test_one_regressor_for_each_target_is_the_same_as_each_alone():
    both = MultiOutputRegressor(regressor()).fit(X, np.stack([QUANTITY, X[:, 0]], axis=1))
    REGRESSOR.same(both.estimators_[1], regressor().fit(X, X[:, 0]))
    assert both.predict(X).shape == (150, 2)


def test_recursive_elimination_is_refused_because_networks_have_no_coefficients(case):
    with pytest.raises(ValueError, match=f"the underlying estimator {case.kind.__name__} should have `coef_`"):
        RFE(case.make()).fit(X, case.y)


def test_a_sequential_selector_keeps_the_features_that_count(case):
    chosen = (
        SequentialFeatureSelector(case.learner(epochs=4), n_features_to_select=1, cv=2).fit(X, case.y).get_support()
    )
    assert chosen[2:].any()  # of the petals: the sepals say little of either target


def test_self_training_labels_what_has_no_label():
    some = np.where(np.arange(len(X)) % 3 == 0, CODES, -1)
    taught = SelfTrainingClassifier(classifier(**LEARNING), threshold=0.6, max_iter=2).fit(X, some)
    assert (taught.transduction_ != -1).sum() > (some != -1).sum()
    assert taught.score(X, CODES) > 0.8


def test_a_tuned_threshold_raises_the_score_that_it_is_tuned_for():
    rare = np.where((CODES == 2) & (np.arange(len(X)) % 2 == 0), "yes", "no")
    alone = classifier(epochs=4, learning_rate=0.02)
    tuned = TunedThresholdClassifierCV(alone, scoring="balanced_accuracy", cv=2).fit(X, rare)
    assert tuned.best_score_ > 0.7
    assert set(tuned.predict(X)) == {"yes", "no"}


# ---- training goes on ----------------------------------------------------------------------------------------------


def test_warm_start_goes_on_where_the_last_fit_ended(case):
    estimator = case.make(warm_start=True, epochs=3).fit(X, case.y)
    before = estimator.loss_curve_
    estimator.fit(X, case.y)
    assert [row["epoch"] for row in estimator.history_.rows] == [1, 2, 3, 4, 5, 6]
    assert estimator.n_iter_ == 6
    assert estimator.loss_curve_[:3] == before
    assert max(estimator.loss_curve_[3:]) < min(before)


def test_without_warm_start_each_fit_begins_anew(case):
    estimator = case.make().fit(X, case.y)
    first = case.outputs(estimator)
    np.testing.assert_array_equal(case.outputs(estimator.fit(X, case.y)), first)
    assert estimator.n_iter_ == 2


def test_warm_start_takes_what_was_set_since(case):
    estimator = case.make(warm_start=True).fit(X, case.y)
    before = case.outputs(estimator)
    estimator.set_params(learning_rate=1e-12, epochs=1).fit(X, case.y)
    np.testing.assert_allclose(case.outputs(estimator), before, atol=1e-9)
    with pytest.raises(ValueError, match="warm_start goes on with the weights of the previous fit"):
        estimator.set_params(hidden_layer_sizes=(5,)).fit(X, case.y)


def test_warm_start_refuses_other_classes():
    estimator = classifier(warm_start=True).fit(X, LABELS)
    with pytest.raises(ValueError, match=r"warm_start can only be used where `self.classes_` has the same classes"):
        estimator.fit(X, np.where(LABELS == "setosa", "other", LABELS))
    assert estimator.n_iter_ == 2


def test_partial_fit_is_one_more_epoch(case):
    fitted = case.make(epochs=3).fit(X, case.y)
    stepped = case.make()
    for _ in range(3):
        stepped.partial_fit(X, case.y)
    case.same(stepped, fitted)
    assert stepped.loss_curve_ == fitted.loss_curve_
    case.same(stepped.partial_fit(X, case.y), case.make(epochs=4).fit(X, case.y))


def test_partial_fit_knows_the_classes_that_are_still_to_come():
    first = LABELS != "virginica"
    estimator = classifier().partial_fit(X[first], LABELS[first], classes=np.unique(LABELS))
    assert estimator.classes_.tolist() == ["setosa", "versicolor", "virginica"]
    assert estimator.predict_proba(X).shape == (150, 3)
    assert estimator.partial_fit(X[~first], LABELS[~first]).n_iter_ == 2


def test_partial_fit_refuses_classes_that_the_first_call_did_not_name():
    first = LABELS != "virginica"
    estimator = classifier().partial_fit(X[first], LABELS[first])
    with pytest.raises(ValueError, match=r"`y` has classes not in `self.classes_`.*virginica"):
        estimator.partial_fit(X, LABELS)
    with pytest.raises(ValueError, match=r"classes not in `self.classes_`"):
        classifier().partial_fit(X, LABELS, classes=["setosa", "virginica"])


@pytest.mark.parametrize("way", ["fit", "partial_fit"])
def test_training_goes_on_after_a_first_one_that_was_broken_off(case, way):
    estimator = case.make(callbacks=Raising, warm_start=True)
    with pytest.raises(RuntimeError, match="the user's own fault"):
        getattr(estimator, way)(X, case.y)
    estimator.set_params(callbacks=None)
    assert getattr(estimator, way)(X, case.y).n_iter_ >= 1


def test_a_fit_whose_model_is_refused_leaves_nothing_that_predicts():
    estimator = classifier(model=lambda: keras.Sequential([keras.Input((4,)), keras.layers.Dense(5, "softmax")]))
    with pytest.raises(ValueError, match="gives 5 outputs for 3 classes"):
        estimator.fit(X, LABELS)
    with pytest.raises(NotFittedError):
        estimator.predict(X)


def test_stop_rules_end_a_fit(case):
    estimator = case.make(epochs=20, stop=kf.stop.Plateau("loss", patience=2, min_delta=1e9)).fit(X, case.y)
    assert estimator.n_iter_ == 3
    assert "loss" in estimator.history_.stop_reason


def test_keras_callbacks_are_given_as_a_class_with_arguments_of_their_own(case):
    stopping = {"callbacks": keras.callbacks.EarlyStopping, "callbacks__monitor": "loss", "callbacks__patience": 2}
    assert case.make(epochs=20, callbacks__min_delta=1e9, **stopping).fit(X, case.y).n_iter_ == 3


def test_a_callback_object_is_used_and_not_changed(case):
    callback = keras.callbacks.EarlyStopping("loss", patience=2, min_delta=1e9)
    before = dict(vars(callback))
    estimator = case.make(epochs=20, callbacks=[callback])
    assert [estimator.fit(X, case.y).n_iter_, estimator.fit(X, case.y).n_iter_] == [3, 3]
    assert vars(callback) == before


def test_the_held_out_part_has_the_classes_in_proportion():
    def share(y_true, y_pred):
        return tf.reshape(tf.cast(y_true, "float32"), [-1])

    rare = np.arange(len(X)) % 5 == 0
    history = classifier(metrics=[share], validation_fraction=0.2, epochs=1).fit(X, rare).history_
    assert history["val_share"] == pytest.approx([0.2])
    assert history["share"] == pytest.approx([0.2])
    with pytest.raises(ValueError, match="least populated class"):
        classifier(validation_fraction=0.2).fit(X, np.arange(len(X)) == 0)


def test_a_stop_rule_watches_the_held_out_part(case):
    stop = kf.stop.Plateau("val_loss", patience=1, min_delta=1e9)
    history = case.make(validation_fraction=0.2, epochs=20, stop=stop).fit(X, case.y).history_
    assert len(history["val_loss"]) == 2


# ---- weights of samples --------------------------------------------------------------------------------------------


def test_class_weights_by_label_are_the_same_as_sample_weights():
    by_label = classifier(class_weight={"setosa": 1, "versicolor": 3, "virginica": 0.5}).fit(X, LABELS)
    weight = np.select([LABELS == "setosa", LABELS == "versicolor"], [1, 3], 0.5)
    CLASSIFIER.same(by_label, classifier().fit(X, LABELS, sample_weight=weight))
    assert (by_label.predict_proba(X) != classifier().fit(X, LABELS).predict_proba(X)).any()


def test_balanced_class_weights_are_those_of_scikit_learn():
    rare = np.where(np.arange(len(X)) % 5 == 0, "rare", "often")
    weight = compute_sample_weight("balanced", rare)
    balanced = classifier(class_weight="balanced").fit(X, rare)
    CLASSIFIER.same(balanced, classifier().fit(X, rare, sample_weight=weight))


def test_class_weights_multiply_sample_weights():
    weight = np.linspace(0.5, 2, len(X))
    both = classifier(class_weight={"setosa": 2, "versicolor": 1, "virginica": 1}).fit(X, LABELS, weight)
    CLASSIFIER.same(both, classifier().fit(X, LABELS, np.where(LABELS == "setosa", 2 * weight, weight)))


def test_a_sample_of_weight_nought_is_as_good_as_absent(case):
    kept = np.arange(len(X)) % 3 > 0
    weighted = case.make(batch_size=len(X)).fit(X, case.y, sample_weight=kept.astype(float))
    absent = case.make(batch_size=len(X)).fit(X[kept], case.y[kept])
    np.testing.assert_allclose(case.outputs(weighted), case.outputs(absent), rtol=1e-9, atol=1e-12)


def test_only_the_ratios_of_sample_weights_count(case):
    weight = np.linspace(0.5, 2, len(X))
    case.same(case.make().fit(X, case.y, weight), case.make().fit(X, case.y, 4 * weight))
    assert (case.outputs(case.make().fit(X, case.y, weight)) != case.outputs(case.make().fit(X, case.y))).any()


def test_weights_that_are_all_nought_are_refused(case):
    with pytest.raises(ValueError, match=r"must hold a positive weight|at least one non-zero number"):
        case.make().fit(X, case.y, sample_weight=np.zeros(len(X)))


def test_weights_of_another_length_are_refused_in_the_words_of_scikit_learn(case):
    with pytest.raises(ValueError, match=r"sample_weight.shape == \(3,\), expected \(150,\)"):
        case.make().fit(X, case.y, sample_weight=np.ones(3))


def test_weights_of_another_length_are_refused_beside_class_weights_too():
    with pytest.raises(ValueError, match=r"sample_weight.shape == \(3,\), expected \(150,\)"):
        classifier(class_weight="balanced").fit(X, LABELS, sample_weight=np.ones(3))


def test_sample_weights_are_routed_to_the_network(case):
    weight = np.linspace(0.1, 3, len(X))
    with sklearn.config_context(enable_metadata_routing=True):
        network = case.make().set_fit_request(sample_weight=True).set_score_request(sample_weight=False)
        pipeline = make_pipeline(FunctionTransformer(), network)
        found = cross_validate(
            pipeline, X, case.y, cv=KFold(2), params={"sample_weight": weight}, return_estimator=True
        )
    for (train, _), estimator in zip(KFold(2).split(X), found["estimator"], strict=True):
        case.same(estimator, case.make().fit(X[train], case.y[train], weight[train]))


# ---- samples and targets of all kinds ------------------------------------------------------------------------------


def test_columns_in_another_order_are_refused(case):
    fitted = case.make().fit(FRAME, case.y)
    assert fitted.feature_names_in_.tolist() == list("abcd")
    with pytest.raises(ValueError, match="feature names should match"):
        fitted.predict(FRAME[list("badc")])


def test_another_number_of_features_is_refused(case):
    with pytest.raises(ValueError, match=f"X has 3 features, but {case.kind.__name__} is expecting 4 features"):
        case.make().fit(X, case.y).predict(X[:, :3])


def test_missing_values_are_refused(case):
    spoilt = X.copy()
    spoilt[3, 1] = np.nan
    with pytest.raises(ValueError, match="Input X contains NaN"):
        case.make().fit(spoilt, case.y)


def test_a_frame_of_pandas_is_the_same_as_its_array(case):
    fitted = case.make().fit(FRAME, pd.Series(case.y))
    np.testing.assert_array_equal(case.outputs(fitted, FRAME), case.outputs(case.make().fit(X, case.y)))


def test_a_frame_of_polars_is_the_same_as_its_array(case):
    polars = pytest.importorskip("polars", reason="polars is not installed: frames of it are not tried.")
    frame = polars.DataFrame(X, schema=list("abcd"))
    fitted = case.make().fit(frame, case.y)
    np.testing.assert_array_equal(case.outputs(fitted, frame), case.outputs(case.make().fit(X, case.y)))
    assert fitted.feature_names_in_.tolist() == list("abcd")


@pytest.mark.parametrize("table", [scipy.sparse.csr_matrix, scipy.sparse.csc_array, scipy.sparse.coo_array])
def test_a_sparse_table_is_the_same_as_a_dense_one(case, table):
    dense = np.where(np.abs(X) > 0.5, X, 0)
    sparse = case.make().fit(table(dense), case.y)
    np.testing.assert_array_equal(
        case.outputs(sparse, table(dense)), case.outputs(case.make().fit(dense, case.y), dense)
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_predictions_have_the_precision_of_the_samples(case, dtype):
    fitted = case.make().fit(X.astype(dtype), case.y.astype(dtype) if case is REGRESSOR else case.y)
    assert case.outputs(fitted, X.astype(dtype)).dtype == dtype
    assert {weight.dtype.name for weight in fitted.model_.get_weights()} == {dtype}


@pytest.mark.parametrize(
    "labels",
    [
        np.array(["setosa", "versicolor", "virginica"]),
        np.array(["setosa", "versicolor", "virginica"], dtype=object),
        np.array([-7, 3, 1000]),
        np.array([1.0, 2.0, 5.0]),
        np.array([False, True, True]),
    ],
    ids=["strings", "objects", "integers", "whole floats", "booleans"],
)
def test_labels_come_back_in_the_words_of_the_user(labels):
    y = labels[CODES]
    fitted = classifier(**LEARNING).fit(X, y)
    np.testing.assert_array_equal(fitted.classes_, np.unique(y))
    assert fitted.classes_.dtype == fitted.predict(X).dtype == y.dtype
    assert fitted.predict_proba(X).shape == (150, len(np.unique(y)))
    assert (fitted.predict(X) == y).mean() == fitted.score(X, y) > 0.8


def test_several_labels_for_each_sample_are_nought_and_one():
    labels = np.stack([CODES > 0, CODES > 1, X[:, 0] > 0], axis=1).astype(int)
    fitted = classifier(**LEARNING).fit(X, labels)
    np.testing.assert_array_equal(fitted.predict(X), (fitted.predict_proba(X) > 0.5).astype(int))
    assert fitted.predict(X).dtype == labels.dtype
    assert (fitted.predict(X) == labels).mean() > 0.8
    assert fitted.score(X, labels) == (fitted.predict(X) == labels).all(1).mean()


def test_several_targets_of_several_classes_keep_their_own_labels():
    targets = np.stack([LABELS, np.where(X[:, 0] > 0, "long", "short")], axis=1)
    fitted = classifier(**LEARNING).fit(X, targets)
    assert [part.shape for part in fitted.predict_proba(X)] == [(150, 3), (150, 2)]
    assert [set(column) <= set(own) for column, own in zip(fitted.predict(X).T, fitted.classes_, strict=True)] == [
        True
    ] * 2
    assert (fitted.predict(X) == targets).mean() > 0.8


def test_several_quantities_are_predicted_side_by_side():
    targets = np.stack([QUANTITY, X[:, 0], X[:, 3]], axis=1)
    fitted = regressor(**LEARNING).fit(X, targets)
    assert fitted.predict(X).shape == (150, 3)
    assert fitted.score(X, targets) > 0.5


def test_a_target_in_one_column_is_flattened_with_a_warning(case):
    with pytest.warns(DataConversionWarning, match="A column-vector y was passed"):
        fitted = case.make().fit(X, case.y[:, None])
    case.same(fitted, case.make().fit(X, case.y))
    assert fitted.predict(X).shape == (150,)


def test_images_of_bytes_go_through_a_convolution(case):
    images = np.random.default_rng(0).integers(0, 256, (60, 6, 6, 1)).astype("uint8")
    images[::2, 2:4, 2:4] = 255
    y = np.where(np.arange(60) % 2 == 0, "spot", "none") if case is CLASSIFIER else (np.arange(60) % 2).astype(float)
    conv = {"conv2d": {"filters": 4, "kernel_size": 3, "activation": "relu"}}
    spec = {"layers": [{"rescaling": 1 / 255}, conv, "flatten", "head"]}
    fitted = case.make(model=spec, epochs=15, learning_rate=0.03).fit(images, y)
    assert fitted.score(images, y) > 0.5 + 0.3 * (case is CLASSIFIER)
    with pytest.raises(
        ValueError, match=r"samples of shape \(6, 5, 1\), but .* is expecting samples of shape \(6, 6, 1\)"
    ):
        fitted.predict(images[:, :, :5])


def test_sequences_are_samples_of_any_shape(case):
    sequences = X.reshape(150, 2, 2)
    fitted = case.learner().fit(sequences, case.y)
    assert fitted.score(sequences, case.y) > case.good
    np.testing.assert_array_equal(case.outputs(fitted, sequences), case.outputs(case.learner().fit(X, case.y)))


# ---- models and losses ---------------------------------------------------------------------------------------------


def test_a_keras_model_keeps_its_weights_through_initialize(case):
    keras.utils.set_random_seed(3)
    last = keras.layers.Dense(3, "softmax") if case is CLASSIFIER else keras.layers.Dense(1)
    model = keras.Sequential([keras.Input((4,)), last])
    weights = model.get_weights()
    ready = case.make(model=model).initialize(X.astype("float32"), case.y)
    found = case.outputs(ready, X.astype("float32"))
    np.testing.assert_allclose(found.reshape(150, -1), model.predict(X, verbose=0), rtol=1e-6)
    assert ready.n_iter_ == 0
    trained = case.make(model=model).fit(X.astype("float32"), case.y)
    assert (trained.model_.get_weights()[0] != weights[0]).any()
    for before, after in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


def test_losses_are_given_by_name_class_object_and_function(case):
    losses = keras.losses
    ways = {
        CLASSIFIER: [
            "categorical_crossentropy",
            losses.CategoricalCrossentropy,
            losses.CategoricalCrossentropy(),
            losses.categorical_crossentropy,
            "sparse_categorical_crossentropy",
            losses.SparseCategoricalCrossentropy,
        ],
        REGRESSOR: ["mse", losses.MeanSquaredError, losses.MeanSquaredError(), losses.mean_squared_error],
    }[case]
    expected = case.outputs(case.make().fit(X, case.y))
    for loss in ways:
        np.testing.assert_allclose(case.outputs(case.make(loss=loss).fit(X, case.y)), expected, rtol=1e-6)


def test_arguments_of_a_loss_are_routed_to_it():
    sharp, smooth = (
        classifier(loss=keras.losses.CategoricalCrossentropy, loss__label_smoothing=share, **LEARNING).fit(X, LABELS)
        for share in (0.0, 0.5)
    )
    assert sharp.predict_proba(X).max(1).mean() > smooth.predict_proba(X).max(1).mean()


@pytest.mark.parametrize("kind", ["multiclass", "binary", "multilabel"])
def test_a_model_that_gives_logits_gives_probabilities(kind):
    y = {"multiclass": LABELS, "binary": CODES == 2, "multilabel": np.stack([CODES > 0, CODES > 1], 1).astype(int)}[
        kind
    ]
    fitted = classifier(model=network, **LEARNING).fit(X, y)
    found, logits = fitted.predict_proba(X), fitted.model_.predict(X, verbose=0)
    assert ((logits < 0) | (logits > 1)).any()
    assert ((found >= 0) & (found <= 1)).all()
    if kind != "multilabel":
        np.testing.assert_allclose(found.sum(1), 1)
    assert fitted.score(X, y) > 0.75


def test_a_callable_is_told_what_its_parameters_say(case):
    last = "softmax" if case is CLASSIFIER else None
    fitted = case.make(model=network, model__units=5, last=last).fit(X, case.y)
    assert fitted.model_.layers[0].kernel.shape == (4, 5)
    assert clone(fitted).get_params()["last"] == last


# ---- the same bits -------------------------------------------------------------------------------------------------


def test_fits_and_clones_of_one_seed_have_the_same_bits(case):
    estimator = case.make(validation_fraction=0.2).fit(X, case.y)
    first = case.outputs(estimator)
    np.testing.assert_array_equal(case.outputs(clone(estimator).fit(X, case.y)), first)
    np.testing.assert_array_equal(case.outputs(estimator.fit(X, case.y)), first)
    assert (case.outputs(clone(estimator).set_params(random_state=1).fit(X, case.y)) != first).any()


def test_a_random_state_object_draws_anew_for_each_fit(case):
    def two(state):
        estimator = case.make(random_state=state)
        return [case.outputs(estimator.fit(X, case.y)) for _ in range(2)]

    first, second = two(np.random.RandomState(5))
    assert (first != second).any()
    np.testing.assert_array_equal([first, second], two(np.random.RandomState(5)))


def test_no_global_generator_is_moved(case):
    def drawn_after(work):
        keras.utils.set_random_seed(4)  # Python's, NumPy's, TensorFlow's and Keras'
        work()
        return random.random(), np.random.get_state()[1].tolist(), float(tf.random.uniform([]))  # noqa: NPY002

    made_anew = case.make(model=network, model__units=3)
    for estimator in (case.make(), case.make(validation_fraction=0.2), made_anew):
        assert drawn_after(lambda e=estimator: e.fit(X, case.y).predict(X)) == drawn_after(lambda: None)


def test_the_bits_do_not_depend_on_global_generators():
    found = []
    for seed in (1, 2):
        keras.utils.set_random_seed(seed)
        found.append(classifier(model=network).fit(X, LABELS).predict_proba(X))
    np.testing.assert_array_equal(*found)


def test_two_processes_give_the_same_bits_as_one(case):
    method = "predict_proba" if case is CLASSIFIER else "predict"
    one, two = (cross_val_predict(case.learner(), X, case.y, cv=2, method=method, n_jobs=jobs) for jobs in (1, 2))
    np.testing.assert_array_equal(one, two)


# Models are lent from one fitted estimator to the next: none of what follows may be seen by anybody.

DROPOUT = {"layers": [{"dense": {"units": 8, "activation": "relu"}}, {"dropout": 0.3}, "batch_normalization", "head"]}


def test_the_bits_do_not_depend_on_what_was_fitted_before_or_is_still_held(case):
    networks = [{}, {"hidden_layer_sizes": (5,)}, {"model": DROPOUT}]
    kinds = [(0, "float32"), (0, "float64"), (1, "float64"), (2, "float64")]
    plan = [(*kind, state) for kind in kinds for state in (0, 1)]
    rng, held, expected = np.random.default_rng(0), [], {}
    for turn in range(2):
        for place in rng.permutation(len(plan)):
            which, dtype, state = plan[place]
            estimator = case.make(random_state=state, learning_rate=0.01 * (1 + state), epochs=1, **networks[which])
            found = case.outputs(estimator.fit(X.astype(dtype), case.y), X.astype(dtype))
            np.testing.assert_array_equal(found, expected.setdefault(plan[place], found), err_msg=str(plan[place]))
            if turn == 0 and rng.random() < 0.3:
                held.append((estimator, found, dtype))
    for estimator, found, dtype in held:
        np.testing.assert_array_equal(case.outputs(estimator, X.astype(dtype)), found)


def test_a_model_that_somebody_holds_is_nobody_elses(case):
    first = case.make().fit(X, case.y)
    model, before = first.model_, first.model_.get_weights()
    del first
    gc.collect()
    others = [case.make(random_state=state).fit(X, case.y) for state in (1, 2)]
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert all(other.model_ is not model for other in others)


def test_what_is_done_to_a_model_is_not_seen_by_later_fits(case):
    expected = case.outputs(case.make().fit(X, case.y))
    first = case.make().fit(X, case.y)
    first.model_.set_weights([np.ones_like(weight) for weight in first.model_.get_weights()])
    first.model_.layers[-1].trainable = False
    first.model_.optimizer.learning_rate = 9.0
    del first
    gc.collect()
    np.testing.assert_array_equal(case.outputs(case.make().fit(X, case.y)), expected)


def test_a_model_that_a_callback_holds_is_nobody_elses(case):
    kept = []

    class Keeping(keras.callbacks.Callback):
        def on_train_end(self, logs=None):
            kept.append(self.model)

    case.make(callbacks=Keeping).fit(X, case.y)
    gc.collect()
    before = kept[0].get_weights()
    case.make(random_state=1).fit(X, case.y)
    for old, new in zip(before, kept[0].get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_what_a_callback_does_to_a_model_is_not_seen_by_later_fits(case):
    class Changing(keras.callbacks.Callback):
        def on_train_end(self, logs=None):
            self.model.layers[-1].trainable = False
            self.model.layers[1].activation = keras.activations.tanh

    sizes = {"hidden_layer_sizes": (7,)}  # of no other test, which else would get the model that is spoilt here
    case.make(callbacks=Changing, **sizes).fit(X, case.y)
    gc.collect()
    model = case.make(**sizes).fit(X, case.y).model_
    assert model.layers[-1].trainable
    assert model.layers[1].activation is keras.activations.relu


def test_a_learning_rate_that_a_callback_sets_is_not_seen_by_later_fits(case):
    expected = case.outputs(case.make().fit(X, case.y))
    case.make(callbacks=keras.callbacks.LearningRateScheduler(lambda epoch: 1.0)).fit(X, case.y)
    gc.collect()
    np.testing.assert_array_equal(case.outputs(case.make().fit(X, case.y)), expected)


def test_metrics_of_one_name_are_not_taken_for_each_other():
    def constant(value):
        def shown(y_true, y_pred):
            return value * tf.ones_like(y_pred[:, 0])

        return keras.metrics.MeanMetricWrapper(shown, name="shown")

    assert classifier(metrics=[constant(1.0)]).fit(X, LABELS).history_["shown"] == [1.0, 1.0]
    gc.collect()
    assert classifier(metrics=[constant(5.0)]).fit(X, LABELS).history_["shown"] == [5.0, 5.0]


def test_a_fit_that_fails_midway_leaves_no_trace_in_the_next(case):
    expected = case.outputs(case.make().fit(X, case.y))
    with pytest.raises(RuntimeError, match="the user's own fault"):
        case.make(callbacks=Raising).fit(X, case.y)
    gc.collect()
    np.testing.assert_array_equal(case.outputs(case.make().fit(X, case.y)), expected)


def test_a_training_that_diverges_leaves_no_trace_in_the_next(case):
    expected = case.outputs(case.make().fit(X, case.y))
    diverged = case.make(learning_rate=1e300).fit(1e100 * X, case.y)
    assert "divergence" in diverged.history_.stop_reason
    del diverged
    gc.collect()
    np.testing.assert_array_equal(case.outputs(case.make().fit(X, case.y)), expected)


def test_fits_in_threads_have_the_same_bits(case):
    plan = list(itertools.product(["float32", "float64"], range(3))) * 2

    def fitted(one):
        dtype, state = one
        return case.outputs(case.make(random_state=state).fit(X.astype(dtype), case.y), X.astype(dtype))

    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(fitted, plan))
    for one, outputs in zip(plan, found, strict=True):
        np.testing.assert_array_equal(outputs, fitted(one))
        assert outputs.dtype == one[0]


def test_a_search_in_threads_has_the_same_scores(case):
    search = GridSearchCV(case.make(), {"hidden_layer_sizes": [(5,), (8,)], "random_state": [0, 1]}, cv=2, refit=False)
    alone = clone(search).fit(X, case.y).cv_results_["mean_test_score"]
    with joblib.parallel_config("threading", n_jobs=3):
        np.testing.assert_array_equal(search.fit(X, case.y).cv_results_["mean_test_score"], alone)


def test_a_cleared_session_of_keras_changes_nothing(case):
    held = case.make().fit(X, case.y)
    expected = case.outputs(held)
    case.make().fit(X, case.y)
    keras.utils.clear_session()
    np.testing.assert_array_equal(case.outputs(case.make().fit(X, case.y)), expected)
    np.testing.assert_array_equal(case.outputs(held), expected)


def test_models_that_are_too_many_to_keep_are_let_go_in_silence(monkeypatch):
    said = []  # what a finalizer raises reaches nobody else
    monkeypatch.setattr(sys, "unraisablehook", lambda raised: said.append(repr(raised.exc_value)))
    regressor(hidden_layer_sizes=(2,)).initialize(X, QUANTITY)
    gc.collect()
    held = regressor(hidden_layer_sizes=(2,)).initialize(X, QUANTITY)
    others = [regressor(hidden_layer_sizes=(2, 2 + place)).initialize(X, QUANTITY) for place in range(12)]
    del others
    gc.collect()
    assert said == []
    assert held.n_iter_ == 0


def test_borrowers_in_cycles_are_collected_while_other_models_come_back():
    # The garbage collector runs wherever something is allocated, so also where a model is just coming back. A deadlock
    # there would stop this process for good, so another one tries it, at every allocation.
    program = """
import gc, weakref
from kerasflow.estimators import lending

class Borrower: ...

def borrowed(key):
    one = Borrower()
    weakref.finalize(one, lending._take_back, key, object())
    return one

gc.disable()
for allocations in range(1, 150):
    gc.collect()
    gc.freeze()
    for place in range(5):
        one = borrowed((allocations, place))
        one.itself = one
    one = borrowed((allocations, "no cycle"))
    gc.set_threshold(allocations, 1000, 1000)
    gc.enable()
    del one
    gc.disable()
print("done")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=True)
    assert (done.stdout, done.stderr) == ("done\n", "")


# ---- copies --------------------------------------------------------------------------------------------------------


def through_pickle(estimator):
    return pickle.loads(pickle.dumps(estimator))  # noqa: S301  # our own bytes


def through_joblib(estimator):
    file = io.BytesIO()
    joblib.dump(estimator, file)
    file.seek(0)
    return joblib.load(file)


@pytest.mark.parametrize(
    ("copied", "parameters"),
    [
        (through_pickle, {}),
        (through_pickle, {"model": DROPOUT}),
        (through_pickle, {"model": network}),
        (through_joblib, {"model": DROPOUT}),
        (copy.deepcopy, {"model": DROPOUT}),
    ],
    ids=["pickle", "pickle-dropout", "pickle-callable", "joblib-dropout", "deepcopy-dropout"],
)
def test_a_copy_predicts_and_goes_on_in_the_same_bits(case, copied, parameters):
    estimator = case.make(**parameters).fit(X, case.y)
    twin = copied(estimator)
    before = case.outputs(estimator)
    np.testing.assert_array_equal(case.outputs(twin), before)
    assert twin.history_.rows == estimator.history_.rows
    twin.partial_fit(X, case.y)
    np.testing.assert_array_equal(case.outputs(estimator), before)  # the copy's training is its own
    case.same(twin, estimator.partial_fit(X, case.y))
    case.same(twin, copied(twin))


def test_a_pickled_search_in_a_pipeline_comes_back(case):
    search = GridSearchCV(
        make_pipeline(StandardScaler(), case.make()), {f"{case.kind.__name__.lower()}__epochs": [1, 2]}
    )
    fitted = search.set_params(cv=2).fit(X, case.y)
    twin = through_pickle(fitted)
    assert twin.best_params_ == fitted.best_params_
    case.same(twin, fitted)


def test_a_pickle_of_an_estimator_that_is_not_fitted_is_not_fitted(case):
    twin = through_pickle(case.make(optimizer=keras.optimizers.SGD, optimizer__momentum=0.5))
    with pytest.raises(NotFittedError):
        twin.predict(X)
    case.same(twin.fit(X, case.y), case.make(optimizer=keras.optimizers.SGD(momentum=0.5)).fit(X, case.y))
