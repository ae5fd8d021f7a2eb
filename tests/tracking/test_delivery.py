"""What is delivered, what is left out and who is told of it. A real store in a file; the twin where it is to refuse."""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from mlflow import MlflowClient

from kerasflow.errors import RefusedError
from kerasflow.recording import delivery_to, recorded
from kerasflow.synchronizing import sync
from kerasflow.tracking.delivery import Delivery, recorded_in
from kerasflow.tracking.folder import RunFolder, digest_of
from kerasflow.tracking.journal_tracker import JournalTracker
from kerasflow.tracking.memory import MemoryTracker
from tests.recorded_runs import synced


@pytest.fixture
def store(tmp_path: Path, made: Path) -> str:
    return f"sqlite:///{shutil.copy(made, tmp_path / 'mlflow.db')}"


@pytest.fixture
def begun(tmp_path: Path) -> Callable[..., JournalTracker]:
    """A run that has begun and completed an epoch."""

    def begin(name: str = "mlp", parent: str = "") -> JournalTracker:
        tracker = JournalTracker(RunFolder.create(tmp_path / "runs", "digits", name))
        tracker.start("digits", name, {}, {}, parent)
        tracker.epoch({"epoch": 1, "loss": 1.0})
        return tracker

    return begin


def end(tracker: JournalTracker) -> RunFolder:
    tracker.epoch({"epoch": 2, "loss": 0.5})
    tracker.end("FINISHED")
    tracker.folder.set_status("FINISHED", "epochs: all 2 are completed")
    tracker.folder.journal.close()
    return tracker.folder


def in_store(store: str, run: RunFolder):  # type: ignore[no-untyped-def]
    return MlflowClient(store).get_run(recorded_in(run)[1])


@contextmanager
def told(*words: str) -> Iterator[None]:
    """All that is told is one sentence, with these words in it; nothing if there are none."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    ours = ("kerasflow sync", "MLflow is told later")
    found = [str(one.message) for one in caught if any(word in str(one.message) for word in ours)]
    assert len(found) == bool(words), found
    assert all(word in text and "\n" not in text for text in found for word in words), found


def test_what_a_store_always_refuses_is_left_out_and_told_once(begun, store, tmp_path) -> None:
    tracker = begun()
    tracker.log_dataset("n" * 600, "ab" * 32, "train", {"rows": 1})  # MLflow takes names of 500 characters
    run = end(tracker)
    with told("the train data's description", "refused to log a dataset", str(run), "kerasflow sync"):
        assert delivery_to(run, store)() == 4
    found = in_store(store, run)
    assert found.info.status == "FINISHED"
    assert found.data.metrics["train/loss"] == 0.5
    assert "refused to log a dataset" in found.data.tags["left_out"]
    with told():
        synced(tmp_path / "runs")
    with told("the train data's description"):  # who names the run wants it to be tried again
        assert next(iter(sync(run))).delivered == 2


class Refusing(MemoryTracker):
    """Refuses whatever holds the metric `bad`, and has taken what came before it."""

    asked = 0

    def log_curves(self, points) -> None:  # type: ignore[no-untyped-def]
        self.asked += 1
        for point in points:
            if "bad" in point.metrics:
                raise RefusedError("the store refused to log metrics: bad")
            super().log_curves([point])


def test_one_refused_point_takes_no_other_with_it(begun) -> None:
    tracker, twin = begun(), Refusing()
    for step in range(2, 30):
        tracker.log_metrics({"bad" if step == 7 else "good": 1.0 / step}, step)
    run = end(tracker)
    with told("bad at step 7"):
        Delivery(run, "sqlite:///twin.db", lambda _: twin)()
    assert [step for step, _ in twin.metrics["good"]] == [step for step in range(2, 30) if step != 7]
    assert [step for step, _ in twin.metrics["train/loss"]] == [1, 2]
    assert twin.status == "FINISHED"


def delete(store: str, run: RunFolder) -> None:
    MlflowClient(store).delete_run(recorded_in(run)[1])


def purge(store: str, run: RunFolder) -> None:
    with sqlite3.connect(store.removeprefix("sqlite:///")) as database:
        database.execute("DELETE FROM runs WHERE run_uuid = ?", [recorded_in(run)[1]])


@pytest.mark.parametrize(("gone", "words"), [(delete, "is deleted in"), (purge, "has no run")])
def test_a_run_that_is_gone_is_told_once_and_left_alone(begun, store, tmp_path, gone, words) -> None:
    tracker = begun()
    delivery = delivery_to(tracker.folder, store)
    delivery()
    gone(store, tracker.folder)
    tracker.epoch({"epoch": 2, "loss": 0.7})  # while the run is at work, too
    with told(words, "no more of it is delivered", str(tracker.folder)):
        delivery()
    run = end(tracker)
    with told():
        synced(tmp_path / "runs")
    assert delivery_to(run, store).owed == 0
    with told(words):
        next(iter(sync(run)))
    if gone is delete:
        MlflowClient(store).restore_run(recorded_in(run)[1])
        with told():
            assert next(iter(sync(run))).delivered == 3
        assert in_store(store, run).info.status == "FINISHED"
    else:
        (run.directory / "delivered.json").unlink()
        with told():
            synced(tmp_path / "runs", store=store)
        assert in_store(store, run).info.status == "FINISHED"


@pytest.mark.parametrize("now", ["another text\n", None])
def test_a_file_that_is_not_what_the_run_has_logged_is_not_sent_and_told(begun, store, tmp_path, now) -> None:
    tracker = begun()
    note = tracker.folder.write_text("note.txt", "as it was\n")
    tracker.log_artifact(note)
    run = end(tracker)
    note.write_text(now) if now else note.unlink()
    with told("note.txt was changed" if now else "note.txt was removed", "after the run had logged it"):
        synced(tmp_path / "runs", store=store)
    found = in_store(store, run)
    assert "sha256/note.txt" not in found.data.tags
    assert "note.txt was" in found.data.tags["left_out"]
    assert (found.info.status, found.data.metrics["train/loss"]) == ("FINISHED", 0.5)
    assert MlflowClient(store).list_artifacts(found.info.run_id) == []
    with told():
        synced(tmp_path / "runs")
    note.write_text("as it was\n")  # brought back
    with told():
        next(iter(sync(run)))
    found = in_store(store, run)
    assert [item.path for item in MlflowClient(store).list_artifacts(found.info.run_id)] == ["note.txt"]
    assert found.data.tags["sha256/note.txt"] == digest_of(note)
    assert found.data.tags["left_out"] == "nothing any more"


def test_a_file_that_the_run_itself_has_replaced_is_sent_as_it_is_now(begun, store) -> None:
    tracker = begun()
    for text in ("first\n", "second\n"):
        tracker.log_artifact(tracker.folder.write_text("note.txt", text))
    run = end(tracker)
    with told():
        delivery_to(run, store)()
    found = in_store(store, run)
    assert Path(MlflowClient(store).download_artifacts(found.info.run_id, "note.txt")).read_text() == "second\n"
    assert found.data.tags["sha256/note.txt"] == digest_of(run.directory / "note.txt")


def test_a_file_that_a_run_at_work_writes_anew_waits_until_it_is_logged(begun, store) -> None:
    tracker = begun()
    with told(), recorded(tracker.folder, store):
        tracker.log_artifact(tracker.folder.write_text("note.txt", "first\n"))
        tracker.folder.write_text("note.txt", "second\n")
        time.sleep(1.5)
        tracker.log_artifact(tracker.folder.path("note.txt"))
        run = end(tracker)
    assert in_store(store, run).data.tags["sha256/note.txt"] == digest_of(run.directory / "note.txt")


def test_a_part_waits_for_the_run_that_it_is_a_part_of(begun, store) -> None:
    whole = begun("search")
    part = begun("candidate 1", whole.run_id)
    with told():
        later = threading.Timer(1.0, delivery_to(whole.folder, store))
        with recorded(part.folder, store):
            later.start()
            end(part)
        later.join()
    assert in_store(store, part.folder).data.tags["mlflow.parentRunId"] == recorded_in(whole.folder)[1]


def test_the_environment_is_left_alone(begun, store) -> None:
    before, tracker = dict(os.environ), begun()
    with recorded(tracker.folder, store) as delivery:
        assert dict(os.environ) == before
        while not delivery.run_id:
            time.sleep(0.05)
            assert dict(os.environ) == before
        end(tracker)
