from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import kerasflow as kf
from kerasflow.comparison import draw
from kerasflow.tracking.folder import RunFolder
from kerasflow.tracking.journal_tracker import JournalTracker


@pytest.fixture
def runs(tmp_path: Path) -> dict[str, Path]:
    """The folders of three runs of one experiment, by name."""
    folders = {}
    for name in ("first", "second", "third"):
        folder = RunFolder.create(tmp_path, "rates", name)
        folder.write_text("spec.yaml", f"experiment: rates\nname: {name}\n")
        JournalTracker(folder).epoch({"epoch": 1, "loss": 1.0})
        folders[name] = folder.directory
    return folders


def test_an_experiment_by_its_name_is_all_of_its_runs(runs: dict[str, Path], tmp_path: Path) -> None:
    assert {run.name for run in kf.compare("rates", root=tmp_path).runs} == set(runs)


def test_run_folders_are_compared_alone_in_the_order_given(runs: dict[str, Path]) -> None:
    found = kf.compare([runs["third"], str(runs["first"])])
    assert [run.name for run in found.runs] == ["third", "first"]


def test_a_folder_that_is_no_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(kf.RunError, match="is not a run folder"):
        kf.compare([tmp_path])


def test_the_picture_lies_beside_the_runs_or_where_it_is_wanted(runs: dict[str, Path], tmp_path: Path) -> None:
    found = kf.compare("rates", root=tmp_path)
    assert draw(found, "rates", root=tmp_path) == tmp_path / "rates" / "comparison.png"
    assert draw(found, "rates", tmp_path / "mine.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_500_runs_of_100_epochs_take_less_than_5_seconds_of_processor_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)  # the making is not what is measured
    for index in range(500):
        folder = RunFolder.create(tmp_path, "grid", f"mlp {index}")
        tracker = JournalTracker(folder)
        tracker.start(
            "grid", f"mlp {index}", {"seed": index // 100, "units": index % 10, "rate": 0.1 ** (index % 7)}, {}
        )
        for epoch in range(1, 101):
            cost = 2.3 / epoch + index / 1e4
            row = {"loss": cost, "accuracy": 1 / cost, "val_loss": cost, "val_accuracy": 1 / cost, "lr": 0.1}
            tracker.epoch({"epoch": epoch, "updates": epoch, **row, "grad_norm": cost / 3, "seconds": 0.05})
        tracker.log_metrics({"test/loss": cost, "test/accuracy": 1 / cost}, 100)
        folder.set_status("FINISHED", "epochs: all done")
    command = [sys.executable, "-m", "kerasflow", "compare", "grid", "--runs", tmp_path, "--html", tmp_path / "x.html"]

    def seconds() -> float:
        before = os.times()
        subprocess.run(command, check=True, capture_output=True, timeout=120)
        after = os.times()
        return after.children_user + after.children_system - before.children_user - before.children_system

    assert min(seconds() for _ in range(2)) < 5  # a busy machine makes one slower
