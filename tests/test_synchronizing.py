"""What `kerasflow sync` makes of runs whose process is gone, and of stores; with processes and servers in
tests/tracking/test_faults.py."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient

from kerasflow.cli.show import show_synced
from kerasflow.errors import RunError
from kerasflow.recording import delivery_to
from kerasflow.synchronizing import sync
from kerasflow.tracking.delivery import recorded_in
from kerasflow.tracking.folder import RunFolder
from kerasflow.tracking.journal_tracker import JournalTracker


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run whose process has gone after two epochs."""
    folder = RunFolder.create(tmp_path / "runs", "digits", "mlp")
    tracker = JournalTracker(folder)
    tracker.start("digits", "mlp", {}, {})
    for epoch in (1, 2):
        tracker.epoch({"epoch": epoch, "loss": 1 / epoch})
    folder.journal.close()
    return folder


def test_a_run_without_a_process_is_killed_once(run: RunFolder, tmp_path: Path) -> None:
    (first,), (second,) = sync(root=tmp_path / "runs"), sync(root=tmp_path / "runs")
    assert (first.status, first.closed, first.fault) == ("KILLED", True, "")
    assert (second.status, second.closed) == ("KILLED", False)
    assert run.status.reason.startswith("its process is gone; last heard of at ")


def test_a_run_at_work_is_left_alone_and_said_to_be(run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    with run.locked():
        assert show_synced(sync(run))
    told = capsys.readouterr().out
    assert "RUNNING" in told
    assert "still training, 2 epochs so far" in " ".join(told.split())
    assert "Runs looked at: 1; 1 still training; nothing else is left to tell." in told
    assert run.status.state == "RUNNING"


def test_an_end_that_only_the_journal_knows_is_written_down(run: RunFolder) -> None:
    tracker = JournalTracker(run)
    tracker.set_tags({"stop_reason": "epochs: all 2 are completed"})
    tracker.end("FINISHED")
    run.journal.close()
    (found,) = sync(run)
    assert (found.status, found.closed) == ("FINISHED", False)
    assert run.status.reason == "epochs: all 2 are completed"


def test_a_store_is_named_for_runs_that_have_none_alone(run: RunFolder, tmp_path: Path, store: str, result) -> None:
    known = f"sqlite:///{shutil.copy(store.removeprefix('sqlite:///'), tmp_path / 'known.db')}"
    other = f"sqlite:///{shutil.copy(store.removeprefix('sqlite:///'), tmp_path / 'other.db')}"
    delivery_to(run, known)()
    elsewhere = RunFolder.create(tmp_path / "runs", "digits", "unrecorded")
    JournalTracker(elsewhere).start("digits", "unrecorded", {}, {})
    elsewhere.journal.close()
    assert [found.fault for found in sync(root=tmp_path / "runs", store=other)] == ["", ""]
    assert [recorded_in(one)[0] for one in (run, elsewhere)] == [known, other]
    for one in (run, elsewhere):
        address, run_id = recorded_in(one)
        assert MlflowClient(address).get_run(run_id).info.status == "KILLED"


def test_what_is_no_run_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="does not exist"):
        list(sync(tmp_path / "nothing"))
    assert list(sync(root=tmp_path)) == []
