"""What recording takes: a training whose epochs are recorded, with and without a store that is told of them."""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from contenders import Fit, Job, Mark, kerasflow_fit

SECONDS_TO_BEGIN = 120


def recorded_in_folder(job: Job, seed: int) -> Fit:
    """`kf.fit` with what `kf.run` does at each epoch: a row for the journal, the machine's load every two seconds."""
    return _recorded(job, seed, "")


def recorded_in_sqlite(job: Job, seed: int) -> Fit:
    """The same, and MLflow is told of it in the background, in a SQLite file."""
    return _recorded(job, seed, f"sqlite:///{_place().name}/mlflow.db")


def _recorded(job: Job, seed: int, store: str) -> Fit:
    train = kerasflow_fit(job, seed)

    def fit(epochs: int, mark: Mark | None = None) -> str:
        with _record(store) as record:

            def ended() -> None:
                record()
                if mark is not None:
                    mark()

            engine = train(epochs, ended)
        if mark is not None:
            mark()  # MLflow has been told all
        return engine

    return fit


@contextmanager
def _record(store: str) -> Iterator[Callable[[], None]]:
    """A run that has begun, in the store, too: what is counted are its epochs."""
    from kerasflow.recording import recorded
    from kerasflow.tracking.folder import RunFolder
    from kerasflow.tracking.journal_tracker import JournalTracker
    from kerasflow.tracking.system import SystemMetrics

    folder = RunFolder.create(Path(_place().name) / "runs", "benchmark", "recorded")
    tracker, system = JournalTracker(folder), SystemMetrics()
    numbers = itertools.count(1)

    def epoch() -> None:
        number = next(numbers)
        cost = {"loss": 1 / number, "accuracy": 0.9, "val_loss": 2 / number, "val_accuracy": 0.8}
        tracker.epoch({"epoch": number, **cost, "updates": number, "lr": 0.001, "seconds": 0.05})
        if taken := system(number):
            tracker.log_metrics(taken, number)

    with recorded(folder, store) as delivery:
        tracker.start("benchmark", "recorded", {}, {})
        deadline = time.monotonic() + SECONDS_TO_BEGIN
        while delivery is not None and not delivery.run_id:
            assert time.monotonic() < deadline, "MLflow has not answered"
            time.sleep(0.05)
        yield epoch
        tracker.end("FINISHED")
        folder.set_status("FINISHED")


@cache
def _place() -> tempfile.TemporaryDirectory[str]:
    """This process' own, removed when it ends."""
    return tempfile.TemporaryDirectory(prefix="kerasflow-benchmark-")
