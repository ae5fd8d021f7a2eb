"""Sets that come with scikit-learn and Keras, by their short names.

Imported where one is loaded; Keras, and with it TensorFlow, loads only for a set of its own.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kerasflow.data.arrays import as_observations, as_targets
from kerasflow.data.sources import Found, Rows
from kerasflow.data.tables import Table, infer_columns
from kerasflow.data.target import Label
from kerasflow.errors import DataError, did_you_mean
from kerasflow.spec.data import KerasSource, SklearnSource

SKLEARN_BUNDLED = ("breast_cancer", "diabetes", "digits", "iris", "linnerud", "wine")
SKLEARN_FETCHED = ("california_housing", "covtype", "olivetti_faces")

# Each set and the file, below Keras' `datasets` folder, that holds it once it has been downloaded.
KERAS_IMAGES = {
    "cifar10": "cifar-10-batches-py-target_archive",
    "cifar100": "cifar-100-python-target_archive",
    "fashion_mnist": "fashion-mnist/train-images-idx3-ubyte.gz (and three more)",
    "mnist": "mnist.npz",
}
KERAS_NUMBERS = {"boston_housing": "boston_housing.npz", "california_housing": "california_housing.npz"}
KERAS_TOKENS = ("imdb", "reuters")

# Keras gives numbers; these are the names that its documentation gives them.
CLASS_NAMES: dict[str, tuple[Label, ...]] = {
    "cifar10": ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    "fashion_mnist": (
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
}


def read_sklearn(source: SklearnSource) -> Found:
    """A set of `sklearn.datasets`: integer targets are classes, under their names if it has any; floats are numbers.

    Raises:
        DataError: no such set, or one that must be downloaded and cannot be.
    """
    bunch = _bunch(source.name)
    where = f"sklearn: {source.name}"
    y = as_targets(np.asarray(bunch.target), len(bunch.data), where)
    # Of classes these are the labels, of numbers the columns.
    names = tuple(np.asarray(bunch.get("target_names", ())).tolist())
    columns = bunch.get("feature_names")
    x = as_observations(np.asarray(bunch.data), where)
    rows = x if columns is None else _table(pd.DataFrame(x, columns=[str(name) for name in columns]), where)
    if y.dtype.kind == "f":
        return Found(where, {"train": Rows(rows, y)}, names or ("target",), task="regression")
    labelled = len(names) == len(np.unique(y))
    y = np.asarray(names)[y] if labelled else y
    return Found(where, {"train": Rows(rows, y)}, task="classification", order=names if labelled else None)


def _table(frame: pd.DataFrame, where: str) -> Table:
    return infer_columns(frame, "error", where).clean(frame, where)


def _bunch(name: str) -> Any:
    from sklearn import datasets

    known = (*SKLEARN_BUNDLED, *SKLEARN_FETCHED)
    if name not in known:
        raise _no_such_set("sklearn", name, known)
    if name in SKLEARN_BUNDLED:
        return getattr(datasets, f"load_{name}")()
    try:
        return getattr(datasets, f"fetch_{name}")()
    # A download fails in many ways: no network, a proxy's page, a broken file.
    except Exception as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"data.source.sklearn: {name!r} does not come with scikit-learn and could not be downloaded to "
            f"{datasets.get_data_home()} ({reason}); get it where there is a network, or take a set that is bundled: "
            f"{', '.join(SKLEARN_BUNDLED)}"
        ) from error


def _no_such_set(kind: str, name: str, known: Collection[str]) -> DataError:
    near = did_you_mean(name, known)
    return DataError(f"data.source.{kind}: there is no set {name!r}; known are {', '.join(known)}{near}")


def read_keras(source: KerasSource) -> Found:
    """A set of `keras.datasets`, from Keras' cache or by download, with its own test set.

    Raises:
        DataError: no such set, token sequences, or a set that is not in the cache and cannot be downloaded.
    """
    name = source.name
    known = {**KERAS_IMAGES, **KERAS_NUMBERS}
    if name in KERAS_TOKENS:
        raise DataError(
            f"data.source.keras: {name!r} holds token sequences of many lengths; cut and pad them to one length "
            "(keras.utils.pad_sequences), save them with numpy.savez and read them with data.source.npz"
        )
    if name not in known:
        raise _no_such_set("keras", name, known)
    train, test = _load_data(name, known[name])
    where = f"keras: {name}"
    return Found(
        where=where,
        parts={"train": _named(train, name, where), "test": _named(test, name, where)},
        task="classification" if name in KERAS_IMAGES else "regression",
        order=CLASS_NAMES.get(name),
    )


def _load_data(name: str, file: str) -> Any:
    import keras

    try:
        return getattr(keras.datasets, name).load_data()
    # Keras raises a bare Exception for a failed download, and a broken file fails in as many ways as there are formats.
    except Exception as error:
        home = Path(os.environ.get("KERAS_HOME", "~/.keras"))
        raise DataError(
            f"data.source.keras: {name!r} could not be loaded: {' '.join(str(error).split())}; without a network, put "
            f"its file at {home / 'datasets' / file} (KERAS_HOME moves that folder, which must be writable)"
        ) from error


def _named(part: tuple[NDArray[Any], NDArray[Any]], name: str, where: str) -> Rows:
    x = as_observations(part[0], where)
    y = as_targets(part[1], len(x), where)
    return Rows(x, np.asarray(CLASS_NAMES[name])[y] if name in CLASS_NAMES else y)
