"""Trials' runs, brought to the tracking store one after the other while the next trial trains."""

from __future__ import annotations

import shlex
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue

from kerasflow.errors import NotYetError
from kerasflow.tracking.folder import RunFolder

SECONDS_AT_THE_END = 60.0
SECONDS_BETWEEN_TRIES = 0.5
FAULTS_AT_MOST = 3
"""In a row, after which the store is not asked again: all is in the run folders."""


class Deliveries(threading.Thread):
    """Delivers the runs that have ended.

    Args:
        store: the tracking store's address; empty for none.
    """

    def __init__(self, store: str) -> None:
        super().__init__(name="kerasflow-deliveries", daemon=True)
        self.store, self.owed = store, 0
        self._ended: SimpleQueue[RunFolder] = SimpleQueue()
        self._closing = threading.Event()
        self._fault: Exception | None = None

    def put(self, folder: RunFolder) -> None:
        """This run has ended."""
        if self.store:
            self.owed += 1
            self._ended.put(folder)

    def run(self) -> None:
        faults = 0
        later: list[RunFolder] = []
        while faults < FAULTS_AT_MOST:
            try:
                folder = self._ended.get(timeout=SECONDS_BETWEEN_TRIES)
            except Empty:
                if later:
                    folder = later.pop(0)
                elif self._closing.is_set():
                    return
                else:
                    continue
            try:
                self._deliver(folder)
                self.owed -= 1
                faults = 0
            except NotYetError as error:  # the run that it is a part of comes first
                self._fault = error
                later.append(folder)
            except Exception as error:  # whatever MLflow and its drivers raise must not end this thread
                self._fault, faults = error, faults + 1
                later.append(folder)

    def _deliver(self, folder: RunFolder) -> None:
        from kerasflow.recording import delivery_to
        from kerasflow.tracking.delivery import delivering

        with delivering(folder) as mine:
            if mine:
                delivery_to(folder, self.store)()

    def close(self, root: Path) -> None:
        """Delivers what is left, for a minute at most, and tells what could not be."""
        self._closing.set()
        until = time.monotonic() + SECONDS_AT_THE_END
        while self.is_alive() and time.monotonic() < until:
            self.join(0.1)
        if self.owed:
            where = "" if root.absolute() == Path("runs").absolute() else f" --runs {shlex.quote(str(root))}"
            warnings.warn(
                f"MLflow was not told of {self.owed} runs ({self._fault}); nothing is lost, deliver the rest by: "
                f"kerasflow sync{where}",
                stacklevel=3,
            )


@contextmanager
def deliveries(store: str, root: Path) -> Iterator[Deliveries]:
    """While the block runs, what is put is delivered."""
    found = Deliveries(store)
    if not store:
        yield found
        return
    found.start()
    try:
        yield found
    finally:
        found.close(root)
