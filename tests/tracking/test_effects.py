"""Effects of hyperparameters against numbers by hand and by pandas."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest

from kerasflow.tracking.effects import Level, effects

RATE = "train/optimizer/sgd/learning_rate"


def test_one_hyperparameter_over_three_seeds_by_hand() -> None:
    params = [{"seed": seed, RATE: rate} for rate in (0.1, 0.01) for seed in (0, 1, 2)]
    (effect,) = effects(params, [0.9, 0.8, 1.0, 0.5, 0.5, 0.8], ["seed", RATE])
    assert effect.name == RATE
    low, high = effect.levels
    assert (low.value, low.runs, low.settings, high.value, high.runs) == (0.01, 3, 1, 0.1, 3)
    assert (low.mean, low.std) == (pytest.approx(0.6), pytest.approx(math.sqrt(0.03)))
    assert (high.mean, high.std) == (pytest.approx(0.9), pytest.approx(0.1))


def test_one_hyperparameter_is_what_pandas_groups() -> None:
    generator = np.random.default_rng(0)
    frame = pd.DataFrame({"units": generator.integers(1, 5, 40) * 16, "metric": generator.normal(size=40)})
    params = [{"units": int(units), "seed": seed} for seed, units in enumerate(frame.units)]
    (effect,) = effects(params, list(frame.metric), ["units", "seed"])
    wanted = frame.groupby("units").metric.agg(["count", "mean", "std"])
    got = pd.DataFrame([vars(level) for level in effect.levels]).set_index("value")
    assert list(got.index) == list(wanted.index)
    assert list(got.runs) == list(wanted["count"])
    np.testing.assert_allclose(got[["mean", "std"]], wanted[["mean", "std"]])


def test_the_spread_is_that_of_seeds_whatever_lies_between_settings() -> None:
    # Units move the metric by 10, seeds by ±1: the spread beside a rate's mean is of the seeds alone.
    grid = list(itertools.product((0.1, 0.2), (16, 32), (-1, 1)))
    params = [{"rate": rate, "units": units, "seed": seed} for rate, units, seed in grid]
    values = [10 * (units == 32) + seed + 100 * rate for rate, units, seed in grid]
    rate, units = effects(params, values, ["rate", "units", "seed"])
    assert [level.mean for level in rate.levels] == pytest.approx([15, 25])
    assert [level.mean for level in units.levels] == pytest.approx([15, 25])
    assert {level.settings for level in rate.levels} == {2}
    assert [level.std for level in rate.levels] == pytest.approx([math.sqrt(2)] * 2)


def test_a_setting_with_more_seeds_weighs_no_more() -> None:
    params = [{"rate": 1, "units": 1}] * 3 + [{"rate": 1, "units": 2}] + [{"rate": 2, "units": 1}]
    rate, _ = effects(params, [0.0, 0.0, 0.0, 8.0, 1.0], ["rate", "units"])
    assert rate.levels[0] == Level(1, runs=4, without=0, settings=2, mean=4.0, std=0.0)
    assert math.isnan(rate.levels[1].std), "one run alone has no spread"


def test_runs_without_a_finite_number_are_counted_and_move_no_mean() -> None:
    params = [{"rate": 1.0}, {"rate": 1.0}, {"rate": 9.0}, {"rate": 9.0}]
    ((calm, wild),) = [effect.levels for effect in effects(params, [2.0, math.inf, math.nan, math.nan], ["rate"])]
    assert (calm.runs, calm.without, calm.mean) == (1, 1, 2.0)
    assert (wild.runs, wild.without, wild.settings) == (0, 2, 0)
    assert math.isnan(wild.mean)


def test_values_come_as_numbers_then_words_then_unset() -> None:
    params = [{"x": "relu"}, {}, {"x": 10}, {"x": 9.5}, {"x": "gelu"}, {"x": True}]
    (effect,) = effects(params, [0.0] * 6, ["x"])
    assert [level.value for level in effect.levels] == [9.5, 10, True, "gelu", "relu", None]


def test_seeds_are_no_hyperparameter() -> None:
    assert effects([{"seed": 0}, {"seed": 1}], [1.0, 2.0], ["seed"]) == []
    assert effects([{"random_state": 0}, {"random_state": 1}], [1.0, 2.0], ["random_state"]) == []
