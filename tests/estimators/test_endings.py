"""Fits that do not end as they should, and models that somebody keeps."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.metrics import roc_auc_score

import kerasflow as kf

X, Y = load_iris(return_X_y=True)


def classifier(**parameters):
    return kf.KerasClassifier(**{"epochs": 4, "hidden_layer_sizes": (8,), "random_state": 0, **parameters})


class Raising(keras.callbacks.Callback):
    def __init__(self, what):
        super().__init__()
        self.what = what

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            raise self.what


class Late(Raising):
    """Fails within the fifth epoch, after its updates."""

    def __init__(self):
        super().__init__(ZeroDivisionError("in a callback"))

    def on_epoch_begin(self, epoch, logs=None):
        pass

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 4:
            raise self.what


class Keeping(keras.callbacks.Callback):
    kept = []

    def on_train_end(self, logs=None):
        self.kept.append(self.model)


def test_a_fit_that_fails_leaves_no_half_trained_model_behind():
    estimator = classifier(callbacks=Raising(ZeroDivisionError("in a callback")))
    with pytest.raises(ZeroDivisionError):
        estimator.fit(X, Y)
    with pytest.raises(NotFittedError):
        estimator.predict(X)


def test_what_an_interrupted_fit_has_trained_can_be_used():
    estimator = classifier(callbacks=Raising(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        estimator.fit(X, Y)
    assert estimator.n_iter_ == 2
    assert estimator.history_.stop_reason == "interrupted: Ctrl-C"
    np.testing.assert_array_equal(estimator.predict_proba(X), classifier(epochs=2).fit(X, Y).predict_proba(X))


def test_a_partial_fit_that_fails_leaves_the_estimator_fitted():
    estimator = classifier().fit(X, Y)
    with pytest.raises(ValueError, match="classes not in"):
        estimator.partial_fit(X, Y + 1)
    assert estimator.predict(X).shape == (150,)


def test_a_warm_start_that_fails_leaves_what_was_there_before():
    estimator = classifier(epochs=2, warm_start=True).fit(X, Y)
    before = estimator.predict_proba(X)
    estimator.set_params(epochs=4, callbacks=Raising(ZeroDivisionError("in a callback")))  # in the third epoch of all
    with pytest.raises(ZeroDivisionError):
        estimator.fit(X, Y)
    np.testing.assert_array_equal(estimator.predict_proba(X), before)
    assert estimator.n_iter_ == 2


def test_a_partial_fit_that_fails_midway_leaves_the_weights_as_they_were():
    twins = [classifier(callbacks=Late).fit(X, Y), classifier().fit(X, Y)]
    expected = twins[0].predict_proba(X)
    with pytest.raises(ZeroDivisionError):
        twins[0].partial_fit(X, Y)
    np.testing.assert_array_equal(twins[0].predict_proba(X), expected)
    assert twins[0].n_iter_ == 4
    twins[0].set_params(callbacks=None)
    after = [twin.partial_fit(X, Y).predict_proba(X) for twin in twins]  # the optimizer's moments are there, too
    np.testing.assert_array_equal(*after)


def test_the_best_epoch_of_a_training_that_went_on_is_of_all_of_it():
    estimator = classifier(epochs=20, learning_rate=0.05, warm_start=True).fit(X, Y)
    best = estimator.history_.best_epoch
    estimator.set_params(learning_rate=10.0, epochs=1).fit(X, Y)
    assert estimator.history_["loss"][-1] > estimator.history_["loss"][best - 1]
    assert estimator.history_.best_epoch == best
    estimator.partial_fit(X, Y)
    assert estimator.history_.best_epoch == best


def test_the_best_epoch_of_a_training_that_goes_back_to_its_own_best_is_the_one_whose_weights_stay():
    stop = kf.stop.Plateau("loss", patience=9, restore_best=True)
    estimator = classifier(epochs=20, learning_rate=0.05, warm_start=True, stop=stop).fit(X, Y)
    estimator.set_params(learning_rate=10.0, epochs=2).fit(X, Y)
    assert estimator.history_.best_epoch > 20


def test_a_model_that_was_taken_out_is_not_lent_again():
    first = classifier().fit(X, Y)
    model = first.model_
    weights = model.get_weights()
    del first
    classifier(random_state=1).fit(X, Y)
    for before, after in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


def test_a_model_that_a_callback_keeps_is_not_lent_again():
    Keeping.kept.clear()
    classifier(callbacks=Keeping).fit(X, Y)
    (model,) = Keeping.kept
    weights = model.get_weights()
    classifier(random_state=1).fit(X, Y)
    for before, after in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


def test_a_network_that_is_lent_gives_the_bits_of_one_that_was_made_for_the_fit():
    spec = {"layers": [{"dense": {"units": 8, "activation": "relu"}}, {"dropout": 0.3}, "batch_normalization", "head"]}
    made = classifier(model=spec).fit(X, Y)
    expected = made.predict_proba(X)
    del made
    for seed in (1, 2):
        classifier(model=spec, random_state=seed, learning_rate=0.1).fit(X, Y)  # comes and goes
    np.testing.assert_array_equal(classifier(model=spec).fit(X, Y).predict_proba(X), expected)


def test_a_diverged_fit_leaves_no_trace_in_the_next():
    def regressor(rate):
        return kf.KerasRegressor(
            optimizer="sgd", learning_rate=rate, epochs=4, hidden_layer_sizes=(8,), random_state=0
        ).fit(X, Y)

    expected = regressor(0.01).predict(X)
    with pytest.warns(ConvergenceWarning, match="KerasRegressor: divergence: .* in epoch 1"):
        assert regressor(1e30).history_.stop["rule"] == "divergence"
    np.testing.assert_array_equal(regressor(0.01).predict(X), expected)


def test_a_hinge_loss_gives_margins_and_no_probabilities():
    estimator = classifier(loss="hinge", epochs=30).fit(X, Y == 2)
    margins = estimator.decision_function(X)
    assert margins.shape == (150,)
    np.testing.assert_array_equal(estimator.predict(X), margins > 0)
    assert roc_auc_score(Y == 2, margins) > 0.8
    assert not hasattr(estimator, "predict_proba")
    assert not hasattr(classifier(), "decision_function")
    assert classifier(loss=keras.losses.CategoricalHinge).fit(X, Y).decision_function(X).shape == (150, 3)
