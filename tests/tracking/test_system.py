"""How often the machine is asked for its load."""

from __future__ import annotations

import pytest

from kerasflow.tracking import system


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(system.time, "monotonic", lambda: now[0])
    return now


def asked(metrics: system.SystemMetrics, clock: list[float], epochs: int, seconds: float) -> list[int]:
    found = []
    for epoch in range(1, epochs + 1):
        clock[0] += seconds
        found += [epoch] * bool(metrics(epoch))
    return found + [epochs] * bool(metrics.last(epochs))


def test_a_short_run_is_asked_at_its_first_and_at_its_last_epoch(clock) -> None:
    assert asked(system.SystemMetrics(), clock, 5, 0.1) == [1, 5]


def test_a_run_of_one_epoch_is_asked_once(clock) -> None:
    assert asked(system.SystemMetrics(), clock, 1, 0.1) == [1]


def test_a_longer_one_at_most_every_two_seconds_between(clock) -> None:
    assert asked(system.SystemMetrics(), clock, 8, 0.75) == [1, 4, 7, 8]
    assert asked(system.SystemMetrics(), clock, 3, 5.0) == [1, 2, 3]


def test_it_gives_numbers_by_the_names_that_mlflow_knows() -> None:
    found = system.SystemMetrics()(1)
    assert {"system/cpu_utilization_percentage", "system/system_memory_usage_percentage"} <= set(found)
    assert 0 < found["system/process_memory_megabytes"] < found["system/system_memory_usage_megabytes"] * 10
