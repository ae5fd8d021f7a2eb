"""Records runs that are killed at random instants, twenty of them, four at once.

    killed_program.py ROOT STORE SEED

Importing MLflow takes seconds, in which there is little to be killed in: one process imports, and forks.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

import mlflow.store.tracking.sqlalchemy_store  # noqa: F401
from recorded_program import main as record

AT_ONCE, ROUNDS = 4, 5
LONGEST = 3.0  # seconds from the first epoch on: the run's beginning and several deliveries


def main(root: Path, store: str, seed: int) -> None:
    instants = random.Random(seed)
    for turn in range(ROUNDS):
        due = {}
        for number in range(AT_ONCE):
            process = _begun(root, store, f"run-{turn}-{number}")
            due[process] = time.monotonic() + instants.uniform(0, LONGEST)
        for process, instant in sorted(due.items(), key=lambda one: one[1]):
            time.sleep(max(0.0, instant - time.monotonic()))
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)


def _begun(root: Path, store: str, name: str) -> int:
    """A process that has completed an epoch."""
    heard, tell = os.pipe()
    process = os.fork()
    if process == 0:
        os.dup2(tell, sys.stdout.fileno())
        record(root, store, name, 10_000, 0.02)
        os._exit(0)
    os.close(tell)
    assert os.read(heard, 8).startswith(b"epoch 1")
    return process  # what it says further stays in the pipe, which holds more than that


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
