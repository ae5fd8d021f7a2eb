"""Records a run as an experiment does, without training anything: epochs of a known length, then a picture and the end.

    recorded_program.py ROOT STORE NAME EPOCHS SECONDS

Prints what it has done, and how long the record kept it. Several names with commas between are as many processes, which
begin at the same instant: importing MLflow takes seconds, and is done once before.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from kerasflow.ending import truthful_status
from kerasflow.recording import recorded, store_for
from kerasflow.tracking.folder import RunFolder
from kerasflow.tracking.journal_tracker import JournalTracker


def main(root: Path, store: str, name: str, epochs: int, seconds: float) -> None:
    folder = RunFolder.create(root, "faults", name)
    tracker = JournalTracker(folder)
    kept = 0.0
    began = time.perf_counter()
    with recorded(folder, store_for(store)) as delivery:
        with truthful_status(tracker):
            tracker.start("faults", name, {"epochs": epochs}, {"engine": "none"})
            kept += time.perf_counter() - began
            for epoch in range(1, epochs + 1):
                time.sleep(seconds)
                began = time.perf_counter()
                tracker.epoch({"epoch": epoch, "loss": 1 / epoch, "val_loss": 2 / epoch, "lr": 0.1})
                kept += time.perf_counter() - began
                _say(f"epoch {epoch}")
            note = folder.write_text("note.txt", f"after {epochs} epochs\n")
            tracker.log_artifact(note)
            tracker.log_metrics({"test/loss": 0.5}, 0)
            tracker.end("FINISHED")
            folder.set_status("FINISHED", "epochs: all are completed")
        began = time.perf_counter()
    kept += time.perf_counter() - began
    _say(f"kept {kept:.3f}")
    _say(f"run {delivery.run_id if delivery else ''}")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def fork(names: list[str]) -> str:
    """The name of this process' run."""
    if len(names) == 1:
        return names[0]
    import mlflow.store.tracking.sqlalchemy_store  # noqa: F401

    for name in names:
        if os.fork() == 0:
            return name
    sys.exit(sum(os.wait()[1] != 0 for _ in names))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], fork(sys.argv[3].split(",")), int(sys.argv[4]), float(sys.argv[5]))
