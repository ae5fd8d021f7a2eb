"""A run's journal: what is appended comes back, whatever tears its end."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from kerasflow.errors import RunError
from kerasflow.tracking.folder import RunFolder
from kerasflow.tracking.journal import Journal
from kerasflow.tracking.journal_tracker import JournalTracker


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.jsonl")


def test_events_come_back_in_their_order_and_from_any_of_them_on(journal: Journal) -> None:
    for number in range(3):
        journal.append("set_tags", {"tags": {"n": np.int64(number), "x": np.float32(0.5)}})
    events = list(journal.read())
    assert [event.facts["tags"] for event in events] == [{"n": number, "x": 0.5} for number in range(3)]
    assert list(journal.read(events[0].end)) == events[1:]
    assert list(journal.read(events[2].end)) == []
    assert events[2].end == journal.path.stat().st_size


def test_there_is_nothing_before_the_first(journal: Journal) -> None:
    assert list(journal.read()) == []
    assert not journal.path.exists()


def test_cut_at_any_of_its_last_bytes_it_holds_what_was_whole_and_goes_on(journal: Journal) -> None:
    for number in range(4):
        journal.append("epoch", {"row": {"epoch": number + 1, "loss": math.inf, "name": "ä" * 20}})
    journal.close()
    whole, events = journal.path.read_bytes(), list(journal.read())
    assert len(whole) > 200
    for cut in range(1, 201):
        journal.path.write_bytes(whole[:-cut])
        torn = Journal(journal.path)
        kept = [event for event in events if event.end <= len(whole) - cut]
        assert list(torn.read()) == kept
        torn.append("end", {"status": "KILLED"})
        torn.close()
        *before, last = torn.read()
        assert before == kept
        assert (last.kind, last.facts) == ("end", {"status": "KILLED"})


def test_a_clock_that_is_put_back_does_not_turn_the_order(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([2000.0, 1000.0, 2500.0])
    monkeypatch.setattr(time, "time", lambda: next(clock))
    journal.append("alive")
    journal.append("alive")
    journal.close()
    again = Journal(journal.path)
    again.append("alive")
    assert [event.at for event in again.read()] == [2_000_000, 2_000_000, 2_500_000]


def test_a_line_that_is_no_event_is_named(journal: Journal) -> None:
    journal.append("alive")
    journal.close()
    with journal.path.open("a") as file:
        file.write("nonsense\n")
    with pytest.raises(RunError, match=r"journal\.jsonl: holds what is no event") as caught:
        list(journal.read())
    assert "\n" not in str(caught.value)


def test_what_has_no_form_in_json_leaves_nothing(journal: Journal) -> None:
    with pytest.raises(TypeError, match="has no form in JSON"):
        journal.append("set_tags", {"tags": {"x": object()}})
    journal.append("alive")
    assert [event.kind for event in journal.read()] == ["alive"]


def test_two_threads_tear_no_line(journal: Journal) -> None:
    def write() -> None:
        for number in range(500):
            journal.append("set_tags", {"tags": {"n": number}})

    threads = [threading.Thread(target=write) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(event.facts["tags"]["n"] for event in journal.read()) == sorted([*range(500)] * 2)


WRITES = """
import sys
from pathlib import Path
from kerasflow.tracking.journal import Journal
journal = Journal(Path(sys.argv[1]))
for number in range(10**9):
    journal.append("epoch", {"row": {"epoch": number + 1}})
    print(number + 1, flush=True)
"""


def test_what_a_killed_process_has_written_is_there(journal: Journal) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", WRITES, str(journal.path)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for _ in range(200):
        process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    said = [int(line) for line in process.communicate(timeout=30)[0].split()]
    epochs = [event.facts["row"]["epoch"] for event in journal.read()]
    assert epochs == list(range(1, len(epochs) + 1))
    assert len(epochs) >= max(said, default=200)


# --- the history in it


@pytest.fixture
def tracker(tmp_path: Path) -> JournalTracker:
    return JournalTracker(RunFolder.create(tmp_path, "digits", "mlp"))


def test_rows_come_back_as_they_were(tracker: JournalTracker) -> None:
    tracker.epoch({"epoch": 1, "loss": np.float32(0.5), "val_loss": math.inf})
    tracker.epoch({"epoch": np.int64(2), "loss": 1 / 3, "val_loss": 0.1})
    assert tracker.folder.rows == [
        {"epoch": 1, "loss": 0.5, "val_loss": math.inf},
        {"epoch": 2, "loss": 1 / 3, "val_loss": 0.1},
    ]


def test_epochs_that_are_computed_again_take_the_place_of_the_first(tracker: JournalTracker) -> None:
    for epoch in (1, 2, 3):
        tracker.epoch({"epoch": epoch, "loss": 0.1 + 0.2})
    tracker.go_back(tracker.folder.rows[:2])
    assert [row["epoch"] for row in tracker.folder.rows] == [1, 2]
    tracker.epoch({"epoch": 3, "loss": 9.0})
    assert tracker.folder.rows[-1] == {"epoch": 3, "loss": 9.0}
    lines = tracker.folder.journal.path.read_text().splitlines()
    assert [json.loads(line)["kind"] for line in lines] == ["epoch"] * 3 + ["go_back", "epoch"]  # nothing is cut


def test_epochs_that_only_a_checkpoint_remembers_are_added(tracker: JournalTracker) -> None:
    rows = [{"epoch": 1, "loss": 3.0}, {"epoch": 2, "loss": 2.0}, {"epoch": 3, "loss": 1.0}]
    tracker.epoch(rows[0])
    tracker.go_back(rows)
    assert tracker.folder.rows == rows
