from __future__ import annotations

import math
from pathlib import Path

import pytest

from kerasflow.errors import RunError
from kerasflow.tracking.compare import compare
from kerasflow.tracking.folder import RunFolder
from kerasflow.tracking.journal_tracker import JournalTracker


def _run(root: Path, name: str, rate: float, losses: list[float], accuracy: float | None) -> RunFolder:
    folder = RunFolder.create(root, "rates", name)
    tracker = JournalTracker(folder)
    params = {"seed": 0, "train/optimizer/sgd/learning_rate": rate}
    tracker.start("rates", name, params, {})
    for epoch, loss in enumerate(losses, start=1):
        tracker.epoch({"epoch": epoch, "loss": loss, "val_loss": 2 * loss})
    if accuracy is not None:
        tracker.log_metrics({"test/accuracy": accuracy}, 0)
        folder.set_status("FINISHED", "epochs: all done")
    return folder


@pytest.fixture
def folders(tmp_path: Path) -> list[RunFolder]:
    return [
        _run(tmp_path, "fast", 0.1, [0.9, 0.3], 0.95),
        _run(tmp_path, "wild", 1.0, [5.0, math.inf], math.nan),
        _run(tmp_path, "slow", 0.001, [2.0, 1.9], 0.6),
    ]


def test_only_what_differs_is_named(folders: list[RunFolder]) -> None:
    comparison = compare(folders)
    assert comparison.differing == ("train/optimizer/sgd/learning_rate",)
    assert [run.label for run in comparison.runs] == ["fast", "wild", "slow"]


def test_the_best_run_by_the_kind_of_metric(folders: list[RunFolder]) -> None:
    comparison = compare(folders)
    best = {metric: run.label for metric in comparison.metrics if (run := comparison.best(metric))}
    assert best == {"test/accuracy": "fast", "val/loss": "fast", "train/loss": "fast"}
    assert comparison.best("test/unheard_of") is None


def test_the_question_is_the_first_outcome_of_the_test_set_unless_another_is_asked(folders: list[RunFolder]) -> None:
    comparison = compare(folders)
    assert comparison.question() == "test/accuracy"
    assert comparison.question("val/loss") == "val/loss"
    with pytest.raises(RunError, match="no run has the metric 'test/acuracy', did you mean 'test/accuracy'"):
        comparison.question("test/acuracy")


def test_the_foremost_runs_are_the_best_of_a_metric_best_first(folders: list[RunFolder]) -> None:
    comparison = compare(folders)
    assert comparison.foremost("test/accuracy", 3) is comparison
    assert [run.label for run in comparison.foremost("test/accuracy", 2).runs] == ["fast", "slow"]
    assert [run.label for run in comparison.foremost("train/loss", 1).runs] == ["fast"]


def test_effects_are_of_the_hyperparameters_that_differ(folders: list[RunFolder]) -> None:
    (effect,) = compare(folders).effects("test/accuracy")
    assert [(level.value, level.runs, level.without) for level in effect.levels] == [
        (0.001, 1, 0),
        (0.1, 1, 0),
        (1, 0, 1),
    ]
    assert effect.levels[1].mean == 0.95


def test_a_table_with_a_row_a_run(folders: list[RunFolder]) -> None:
    frame = compare(folders).to_frame()
    assert list(frame.index) == ["fast", "wild", "slow"]
    assert list(frame.columns) == [
        "status", "train/optimizer/sgd/learning_rate", "test/accuracy", "val/loss", "train/loss", "stop_reason",
    ]  # fmt: skip
    assert frame.loc["slow", "train/loss"] == 1.9
    assert frame.loc["fast", "stop_reason"] == "epochs: all done"


def test_runs_of_one_name_are_told_apart(tmp_path: Path) -> None:
    comparison = compare([_run(tmp_path, "mlp", 0.1, [1.0], 0.5), _run(tmp_path, "mlp", 0.1, [1.0], 0.5)])
    first, second = (run.label for run in comparison.runs)
    assert first != second
    assert first.startswith("mlp ")
    assert comparison.differing == ()


def test_a_run_that_has_not_ended_is_compared_by_its_last_epoch(tmp_path: Path) -> None:
    running, empty = _run(tmp_path, "running", 0.1, [1.0, 0.5], None), _run(tmp_path, "empty", 0.2, [], None)
    comparison = compare([running, empty])
    assert comparison.runs[0].metrics["train/loss"] == 0.5
    assert comparison.runs[0].status == "RUNNING"
    assert list(comparison.curves()) == ["running"]
    assert comparison.to_frame().loc["empty", "train/loss"] != comparison.to_frame().loc["empty", "train/loss"]


def test_no_run_or_a_broken_one(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no run to compare"):
        compare([])
    folder = RunFolder.create(tmp_path, "rates", "broken")
    assert compare([folder]).runs[0].metrics == {}, "a run that has just begun"
    folder.journal.path.write_text("a: [\n")
    with pytest.raises(RunError, match=r"journal\.jsonl: holds what is no event"):
        compare([folder])
