"""scikit-learn's own checks of an estimator, passed with each way of giving a model."""

from __future__ import annotations

import functools
from typing import Any

import keras
import pytest
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.utils.estimator_checks import check_estimator, estimator_checks_generator

import kerasflow as kf

# scikit-learn's own networks skip them, too: they want an array API, and a decision function.
SKIPPED = {"check_array_api_input", "check_classifiers_multilabel_output_format_decision_function"}
SPEC = {"layers": [{"dense": {"units": 16, "activation": "relu"}}, "head"]}


def network(meta: dict[str, Any]) -> keras.Model:
    n_classes = meta.get("n_classes_")
    last = {None: (1, None), 2: (1, "sigmoid")}.get(n_classes, (n_classes, "softmax"))
    hidden = [keras.Input(meta["X_shape_"][1:]), keras.layers.Dense(16, "relu")]
    return keras.Sequential([*hidden, keras.layers.Dense(*last)])


def names_of_checks(estimator: Any) -> set[str]:
    """Of those that scikit-learn has for such an estimator, without running them."""
    checks = [check for _, check in estimator_checks_generator(estimator)]
    return {getattr(check, "func", check).__name__ for check in checks if isinstance(check, functools.partial)}


# Fewer epochs and a higher rate where the defaults are not what is tested: the checks fit a hundred times.
QUICK = {"epochs": 5, "learning_rate": 0.05}
HALF_A_MINUTE = pytest.mark.exhaustive  # each way to give a model is checked once by `make test`


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "peer", "parameters"),
    [
        pytest.param(kf.KerasClassifier, MLPClassifier, {}, id="classifier by default"),
        pytest.param(kf.KerasClassifier, MLPClassifier, {"model": network, **QUICK}, id="classifier, callable"),
        pytest.param(
            kf.KerasClassifier, MLPClassifier, {"model": SPEC, **QUICK}, id="classifier, spec", marks=HALF_A_MINUTE
        ),
        pytest.param(kf.KerasRegressor, MLPRegressor, {}, id="regressor by default"),
        pytest.param(
            kf.KerasRegressor, MLPRegressor, {"model": network, **QUICK}, id="regressor, callable", marks=HALF_A_MINUTE
        ),
        pytest.param(kf.KerasRegressor, MLPRegressor, {"model": SPEC, **QUICK}, id="regressor, spec"),
    ],
)
def test_an_estimator_passes_every_check_that_the_networks_of_scikit_learn_pass(kind, peer, parameters) -> None:
    results = check_estimator(kind(**parameters), on_fail=None, on_skip=None)
    failed = {one["check_name"]: repr(one["exception"]) for one in results if one["status"] == "failed"}
    skipped = {one["check_name"] for one in results if one["status"] == "skipped"}
    passed = {one["check_name"] for one in results if one["status"] == "passed"}
    assert failed == {}
    assert skipped <= SKIPPED
    expected = names_of_checks(peer())
    assert len(expected) > 40
    assert passed >= expected - SKIPPED
