"""A part of what a source holds."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits

import kerasflow as kf
from kerasflow.data import load
from kerasflow.spec.data import DataSpec


def data(seed=0, **parts):
    return load(DataSpec.model_validate({"source": {"sklearn": "digits"}, **parts}), seed)


def test_the_first_rows_of_some_classes_in_the_sources_own_order():
    found = data(take={"classes": [5, 6, 7, 8, 9], "train": 40}, split={"test": 0, "validation": 0})
    x, y = load_digits(return_X_y=True)
    rows = np.flatnonzero(y >= 5)[:40]
    assert found.preparation.classes == (5, 6, 7, 8, 9)
    np.testing.assert_array_equal(found.train.y, y[rows] - 5)
    np.testing.assert_array_equal(found.train.x.reshape(40, -1), x[rows].astype("float32"))


def test_another_part_has_another_fingerprint_and_all_of_it_the_same_as_before():
    assert data(take={"train": 1000}).fingerprint != data().fingerprint
    assert data(take={"train": 1797}).fingerprint == data().fingerprint


@pytest.mark.parametrize(
    ("take", "message"),
    [
        ({"classes": [3, 12]}, "sklearn: digits: take.classes: there is no class 12"),
        ({"train": 5000}, "take.train: there are 1797 rows, 5000 are asked for"),
        ({"test": 5}, "take.test: the source brings no test set of its own; split.test draws one"),
    ],
)
def test_what_is_not_there_cannot_be_taken(take, message):
    with pytest.raises(kf.DataError, match=message):
        data(take=take)


def test_what_is_not_said_is_not_written():
    spec = DataSpec.model_validate({"source": {"sklearn": "digits"}})
    assert spec.model_dump(mode="json")["take"] == {}
