"""The second fit of an architecture costs no tracing, however its model is given and its folds are cut."""

from __future__ import annotations

import keras
import pytest
from sklearn.datasets import load_iris
from sklearn.model_selection import cross_val_score

import kerasflow as kf

X, Y = load_iris(return_X_y=True)


def network(meta):
    return keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(7, "relu"), keras.layers.Dense(meta["n_classes_"], "softmax")]
    )


@pytest.mark.parametrize("way", ["perceptron", "callable", "keras.Model"])
def test_folds_of_nearly_one_size_share_their_programs(way, traces):
    model = {"perceptron": None, "callable": network, "keras.Model": network({"n_classes_": 3})}[way]
    estimator = kf.KerasClassifier(model, hidden_layer_sizes=(9,), epochs=2, random_state=0)
    cross_val_score(estimator, X, Y, cv=7)  # 128 or 129 samples to train on
    first = len(traces)
    cross_val_score(estimator, X, Y, cv=8)  # 131 or 132
    assert len(traces) == first
    assert first <= 2  # one of whole windows alone, one with a rest
