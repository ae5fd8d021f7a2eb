"""Judgement on numbers alone, at their edges."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from kerasflow.explain import Evidence, diagnosis
from kerasflow.explain.guessing import Guess, guess_of
from kerasflow.explain.initial import LayerStatistics
from kerasflow.explain.judgement import not_judged

TEN_CLASSES = Guess(float(np.log(10)), float(np.log(10)), "how frequent each class is")


def rows(costs: Any, held_out: Any = ()) -> list[dict[str, float]]:
    table = [{"epoch": place, "loss": float(cost)} for place, cost in enumerate(costs, 1)]
    for row, value in zip(table, held_out, strict=False):
        row["val_loss"] = float(value)
    return table


def names(evidence: Evidence) -> list[str]:
    return [finding.name for finding in diagnosis(evidence)]


def test_a_curve_that_goes_up_and_down_has_too_high_a_rate() -> None:
    assert names(Evidence(rows([2, 1, 1.8, 0.9, 1.7, 1.0, 1.6]))) == ["learning rate too high"]
    arrived = 2 * 0.5 ** np.arange(12.0) + 0.001 * (-1.0) ** np.arange(12)
    assert names(Evidence(rows(arrived))) == []


def test_a_first_epoch_dearer_than_guessing_has_too_high_a_rate_and_nothing_else_is_judged() -> None:
    thrown = rows([20, 12, 9, 7, 5, 3], held_out=[13, 20, 30, 40, 50, 58])
    assert names(Evidence(thrown, guess=TEN_CLASSES, ran_out=True)) == ["learning rate too high"]
    assert names(Evidence(rows([3, 1.5, 1, 0.7, 0.5, 0.4]), guess=TEN_CLASSES, ran_out=True)) == []


def test_a_long_end_in_which_nothing_happens_is_a_plateau_if_nothing_stopped_it() -> None:
    still = np.concatenate([2 * 0.5 ** np.arange(10.0), np.full(30, 2 * 0.5**9)])
    assert names(Evidence(rows(still), ran_out=True)) == ["plateau"]
    assert names(Evidence(rows(still))) == []


def test_little_is_no_ground_for_a_finding() -> None:
    assert names(Evidence(rows([1.0]))) == []
    assert names(Evidence(rows([1.0] * 8))) == []
    assert names(Evidence([])) == []
    assert "overfitting" in not_judged(Evidence(rows([1.0])))
    told = diagnosis(Evidence(rows([1.0, float("nan")])))
    assert told[0].words == "the cost is no longer finite in epoch 2"
    assert not any("rate" in name for name in not_judged(Evidence(rows([1.0, float("nan")]))))
    assert any("rate" in name for name in not_judged(Evidence(rows([1.0, 0.9]))))


def test_hidden_units_saturate_and_an_output_is_sure() -> None:
    hidden, output = (
        LayerStatistics(name, "Dense", activation, 0.0, 9.0, 0.5, 0.5, 1e-6, 0.0, 0.9, {})
        for name, activation in (("hidden", "tanh"), ("head", "sigmoid"))
    )
    (found,) = diagnosis(Evidence(rows([0.6, 0.1]), layers=[hidden, output]))
    assert found.words == "90% of the values of hidden are where tanh is flat"


def test_a_curve_that_does_not_move_has_too_low_a_rate_unless_it_has_arrived() -> None:
    still = rows([2.5 - 1e-6 * epoch for epoch in range(8)])
    assert names(Evidence(still, guess=TEN_CLASSES, ran_out=True)) == ["learning rate too low", "underfitting"]
    arrived = rows([2.303 - 1e-6 * epoch for epoch in range(8)])
    assert names(Evidence(arrived, guess=TEN_CLASSES, ran_out=True)) == ["underfitting"]
    known = rows([0.3 - 1e-6 * epoch for epoch in range(8)])
    assert names(Evidence(known, guess=TEN_CLASSES, ran_out=True)) == []


def test_guessing_costs_what_the_best_constant_answer_costs() -> None:
    y = np.repeat([0, 1, 2], [2, 1, 1])
    classes = guess_of("sparse_categorical_crossentropy", y)
    assert classes is not None
    assert (classes.cost, classes.silent) == (pytest.approx(1.5 * np.log(2)), pytest.approx(np.log(3)))
    values = np.array([[1.0, 10.0], [2.0, 14.0], [6.0, 10.0], [3.0, 30.0]])
    for loss, best in (("mean_squared_error", np.mean), ("mean_absolute_error", np.median)):
        found = guess_of(loss, values)
        assert found is not None
        answers = np.broadcast_to(best(values, axis=0), values.shape)
        assert found.cost == pytest.approx(float(np.mean(keras.losses.get(loss)(values, answers))))
        assert found.silent == pytest.approx(float(np.mean(keras.losses.get(loss)(values, 0 * values))))
    labels = np.array([[0, 1], [1, 1], [0, 1], [0, 0]])
    found = guess_of("binary_crossentropy", labels)
    assert found is not None
    shares = np.broadcast_to(labels.mean(axis=0), labels.shape)
    assert found.cost == pytest.approx(float(np.mean(keras.losses.binary_crossentropy(labels, shares))), rel=1e-5)
    assert guess_of("huber", values) is None
    assert guess_of("mean_squared_error", np.ones(4)) is None
