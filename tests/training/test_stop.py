"""Stopping rules are pure: rows in, a reason or None out."""

from __future__ import annotations

import math

import pytest

from kerasflow.training.stop import Deadline, Divergence, Plateau, Threshold, best_epoch


def rows(name: str, *values: float | None, first: int = 1) -> list[dict]:
    """One row an epoch; None stands for an epoch that did not measure the number."""
    return [
        {"epoch": first + index, "seconds": 30.0} | ({} if value is None else {name: value})
        for index, value in enumerate(values)
    ]


def stops_after(rule, given: list[dict]) -> int | None:
    """The epoch after which a loop that asks the rule every epoch would stop."""
    return next((row["epoch"] for n, row in enumerate(given, 1) if rule(given[:n])), None)


@pytest.mark.parametrize(
    ("rule", "values", "stop"),
    [
        (Plateau("loss", patience=2), (3, 2, 2, 2, 1), 4),
        (Plateau("loss", patience=2), (3, 2, 2.5, 1.9, 2, 1.8), None),
        (Plateau("loss", patience=1), (3, 3), 2),
        (Plateau("loss", patience=2, min_delta=0.5), (3, 2.8, 2.6, 2.4), 3),
        (Plateau("loss", patience=2, min_delta=0.5), (3, 2.8, 2.4, 2.3, 1.8), None),
        (Plateau("loss", patience=2, mode="max"), (1, 2, 3, 2, 2), 5),
        (Plateau("accuracy", patience=2), (0.5, 0.6, 0.7, 0.7, 0.7), 5),
        (Plateau("accuracy", patience=2, min_delta=0.1), (0.5, 0.65, 0.7, 0.72, 0.9), 4),
        (Plateau("decoder2_loss", patience=2), (3, 2, 1, 0.5), None),
        (Plateau("loss", patience=2), (math.nan, math.nan), 2),
        (Plateau("loss", patience=2), (1, -math.inf, 0.5, 0.4), None),
    ],
)
def test_plateau(rule, values, stop) -> None:
    assert stops_after(rule, rows(rule.monitor, *values)) == stop


def test_plateau_says_what_has_not_improved_for_how_long() -> None:
    reason = Plateau("val_loss", patience=2, min_delta=0.01)(rows("val_loss", 1, 1, 1))
    assert reason == "plateau: val_loss has not improved by 0.01 for 2 epochs"


def test_plateau_waits_for_epochs_that_measure_its_number() -> None:
    every_third = rows("val_loss", None, None, 1.0, None, None, 1.0, None, None, 0.5)
    assert stops_after(Plateau("val_loss", patience=3), every_third) == 6
    assert stops_after(Plateau("val_loss", patience=4), every_third) is None
    assert stops_after(Plateau("val_loss", patience=1), rows("val_loss", None, None, None)) is None


def test_plateau_counts_from_the_first_epoch_that_it_sees() -> None:
    assert stops_after(Plateau("loss", patience=2), rows("loss", math.nan, math.nan, first=11)) == 12


@pytest.mark.parametrize("rule", [Plateau("loss"), Threshold("loss", below=1), Deadline(1), Divergence()])
def test_no_epoch_stops_nothing(rule) -> None:
    assert rule([]) is None


@pytest.mark.parametrize(
    ("rule", "values", "stop"),
    [
        (Threshold("loss", below=0.5), (0.6, 0.5, 0.49), 3),
        (Threshold("accuracy", above=0.9), (0.95,), 1),
        (Threshold("accuracy", above=0.9), (0.9, 0.1), None),
        (Threshold("loss", below=0.5), (None, math.nan), None),
        (Threshold("grad_norm", below=1e-6), (1.0, 1e-7), 2),
    ],
)
def test_threshold(rule, values, stop) -> None:
    assert stops_after(rule, rows(rule.monitor, *values)) == stop


def test_threshold_says_the_number_and_the_bound() -> None:
    reason = Threshold("loss", below=0.5)(rows("loss", 0.25))
    assert reason == "threshold: loss = 0.25 is below 0.5"


def test_deadline_adds_up_the_epochs() -> None:
    assert stops_after(Deadline(minutes=1.5), rows("loss", 1, 1, 1, 1)) == 3


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["loss", "val_loss"])
def test_divergence_is_a_cost_that_is_not_finite(name, value) -> None:
    assert stops_after(Divergence(), rows(name, 1.0, value, 1.0)) == 2
    assert "after epoch 2" in str(Divergence()(rows(name, 1.0, value)))


def test_divergence_minds_costs_alone() -> None:
    assert Divergence()(rows("perplexity", math.inf)) is None


@pytest.mark.parametrize(
    ("values", "mode", "min_delta", "best"),
    [
        ((3, 1, 2), "min", 0.0, 2),
        ((3, 1, 2), "max", 0.0, 1),
        ((1, 1, 1), "min", 0.0, 1),
        ((3, 2.9, 2.8), "min", 0.15, 3),
        ((math.nan, 2, None), "min", 0.0, 2),
        ((math.nan,), "min", 0.0, 0),
        ((), "min", 0.0, 0),
    ],
)
def test_best_epoch(values, mode, min_delta, best) -> None:
    assert best_epoch(rows("loss", *values), "loss", mode, min_delta) == best
