"""Who is put into scikit-learn: each contender makes a classifier of the digits, and gives a function that uses it.

All of them have one hidden layer with ReLU, lower the cross-entropy by Adam, and report nothing while they train.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from contenders import Fit, Job, Mark, repeated

GRID = {"rate": (0.001, 0.003, 0.01), "units": (32, 64), "batch_size": (32, 64)}
FOLDS_OF_THE_GRID, FOLDS = 5, 10

Make = Callable[[int], tuple[Any, dict[str, str]]]  # for a number of epochs, and what it calls the names of GRID


def _kerasflow(epochs: int) -> tuple[Any, dict[str, str]]:
    import tensorflow  # noqa: F401

    from kerasflow import KerasClassifier

    names = {"rate": "learning_rate", "units": "hidden_layer_sizes", "batch_size": "batch_size"}
    return KerasClassifier(hidden_layer_sizes=(32,), epochs=epochs, random_state=0), names


def _sklearn(epochs: int) -> tuple[Any, dict[str, str]]:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    warnings.simplefilter("ignore", ConvergenceWarning)
    names = {"rate": "learning_rate_init", "units": "hidden_layer_sizes", "batch_size": "batch_size"}
    every = {"n_iter_no_change": epochs + 1, "tol": 0.0}  # it is to pass all of them
    return MLPClassifier((32,), batch_size=32, max_iter=epochs, random_state=0, **every), names


def _scikeras(epochs: int) -> tuple[Any, dict[str, str]]:
    from scikeras.wrappers import KerasClassifier

    warnings.simplefilter("ignore")  # it is written for an older scikit-learn
    names = {"rate": "optimizer__learning_rate", "units": "model__units", "batch_size": "batch_size"}
    loss = "sparse_categorical_crossentropy"
    options = {"optimizer": "adam", "model__units": 32, "batch_size": 32, "verbose": 0, "random_state": 0}
    return KerasClassifier(_keras_network, loss=loss, epochs=epochs, **options), names


def _skorch(epochs: int) -> tuple[Any, dict[str, str]]:
    import torch
    from skorch import NeuralNetClassifier
    from torch_networks import OneHiddenLayer

    names = {"rate": "lr", "units": "module__units", "batch_size": "batch_size"}
    options = {"criterion": torch.nn.CrossEntropyLoss, "optimizer": torch.optim.Adam, "train_split": None, "verbose": 0}
    return NeuralNetClassifier(OneHiddenLayer, max_epochs=epochs, lr=0.001, batch_size=32, **options), names


def _keras_network(units: int) -> Any:
    import keras

    layers = [keras.Input((64,)), keras.layers.Dense(units, "relu"), keras.layers.Dense(10, "softmax")]
    return keras.Sequential(layers)


def _searching(make: Make, job: Job) -> Fit:
    from sklearn.model_selection import GridSearchCV

    x, y = _digits(job)
    make(1)  # its imports are none of the search's seconds

    def fit(epochs: int, mark: Mark | None = None) -> str:
        estimator, names = make(epochs)
        tuples = names["units"] == "hidden_layer_sizes"
        grid = {names[name]: [(v,) if name == "units" and tuples else v for v in GRID[name]] for name in GRID}
        search = GridSearchCV(estimator, grid, cv=_folds(FOLDS_OF_THE_GRID, y), scoring="accuracy", error_score="raise")
        return _engine(search.fit(x, y).best_estimator_)

    return fit


def _crossing(make: Make, job: Job) -> Fit:
    from sklearn.model_selection import cross_val_score

    x, y = _digits(job)

    def fit(epochs: int, mark: Mark | None = None) -> str:
        cross_val_score(make(epochs)[0], x, y, cv=_folds(FOLDS, y))
        return ""

    return fit


def _predicting(make: Make, job: Job) -> Fit:
    x, y = _digits(job)
    estimator = make(1)[0].fit(x, y)
    row = x[:1]
    estimator.predict(row)
    return repeated(lambda: estimator.predict(row), _engine(estimator))


def _checking(estimator: Any) -> Fit:
    from sklearn.utils.estimator_checks import check_estimator

    def fit(epochs: int, mark: Mark | None = None) -> str:
        check_estimator(estimator, on_skip=None)
        return ""

    return fit


def kerasflow_search(job: Job, seed: int) -> Fit:
    return _searching(_kerasflow, job)


def sklearn_search(job: Job, seed: int) -> Fit:
    return _searching(_sklearn, job)


def scikeras_search(job: Job, seed: int) -> Fit:
    return _searching(_scikeras, job)


def skorch_search(job: Job, seed: int) -> Fit:
    return _searching(_skorch, job)


def kerasflow_folds(job: Job, seed: int) -> Fit:
    return _crossing(_kerasflow, job)


def sklearn_folds(job: Job, seed: int) -> Fit:
    return _crossing(_sklearn, job)


def kerasflow_row(job: Job, seed: int) -> Fit:
    return _predicting(_kerasflow, job)


def sklearn_row(job: Job, seed: int) -> Fit:
    return _predicting(_sklearn, job)


def kerasflow_checks(job: Job, seed: int) -> Fit:
    import tensorflow  # noqa: F401

    from kerasflow import KerasClassifier

    return _checking(KerasClassifier())


def sklearn_checks(job: Job, seed: int) -> Fit:
    from sklearn.neural_network import MLPClassifier

    warnings.simplefilter("ignore")
    return _checking(MLPClassifier())


def scikeras_row(job: Job, seed: int) -> Fit:
    return _predicting(_scikeras, job)


def _folds(wanted: int, y: np.ndarray) -> int:
    """As many folds as the smallest class has samples for; a quick run has few."""
    return min(wanted, int(np.bincount(y).min()))


def _engine(estimator: Any) -> str:
    return getattr(getattr(estimator, "history_", None), "engine", "")


def _digits(job: Job) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return (x[: job.samples] / 16).astype("float32"), y[: job.samples]
