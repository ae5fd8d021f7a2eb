"""Delivery in the background, so that no store, slow or dead, is in the way of a training."""

from __future__ import annotations

import math
import shlex
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kerasflow.errors import RunError, TrackingError
from kerasflow.tracking.delivery import Delivery, delivering
from kerasflow.tracking.store_uri import sqlite_file

SECONDS_BETWEEN = 1.0
SHARE = 0.01
"""Of the time at most that a delivery takes, so that it costs a training on the same cores no more."""
LONGEST_PAUSE = 30.0
SECONDS_AT_THE_END = 5.0
SECONDS_FOR_A_FILE = 60.0
SECONDS_BETWEEN_SIGNS = 15.0

_LAST_FAULTS: dict[str, tuple[TrackingError | RunError | None, float]] = {}
"""Of each store, and when: a search makes a run for each fit, and not each need find out that the store is silent."""


class Shipper(threading.Thread):
    """Delivers a run's journal as it grows, and writes a sign of life into it.

    Attributes:
        fault: of the last delivery; None if it was whole.
    """

    def __init__(self, delivery: Delivery) -> None:
        super().__init__(name="kerasflow-shipper", daemon=True)
        self.delivery, self.journal = delivery, delivery.folder.journal
        self.fault, self._failed_at = _LAST_FAULTS.get(delivery.store, (None, -math.inf))
        if time.monotonic() - self._failed_at > SECONDS_AT_THE_END:
            self.fault = None
        self._ends = threading.Event()
        self._told = False

    def run(self) -> None:
        pause, sign = 0.0 if self.fault is None else SECONDS_AT_THE_END, time.monotonic()
        while not self._ends.wait(pause):
            began = time.monotonic()
            self._deliver()
            pause = self._pause(time.monotonic() - began, pause)
            if time.monotonic() - sign > SECONDS_BETWEEN_SIGNS:
                sign = time.monotonic()
                with suppress(RunError):  # a full disk is told by what matters more
                    self.journal.append("alive")
        if self.fault is None or time.monotonic() - self._failed_at > SECONDS_AT_THE_END:
            self._deliver()

    def close(self) -> None:
        """Delivers what is left, for some seconds at most; to a file of this machine for longer: it will be done."""
        self._ends.set()
        self.join(SECONDS_AT_THE_END if sqlite_file(self.delivery.store) is None else SECONDS_FOR_A_FILE)
        self.delivery.given_up = True  # others may deliver from now on

    def _deliver(self) -> None:
        try:
            self.delivery()
            self.fault = None
            _LAST_FAULTS.pop(self.delivery.store, None)
        except (TrackingError, RunError) as error:
            self.fault, self._failed_at = error, time.monotonic()
            _LAST_FAULTS[self.delivery.store] = error, self._failed_at
            if not self._told:
                warnings.warn(f"MLflow is told later, all is in the run folder: {error}", stacklevel=2)
            self._told = True

    def _pause(self, took: float, before: float) -> float:
        wanted = took / SHARE if self.fault is None else 2 * before
        return min(max(wanted, SECONDS_BETWEEN), LONGEST_PAUSE)


@contextmanager
def shipping(delivery: Delivery | None) -> Iterator[None]:
    """While the block runs, the run is delivered in the background; what is left at its end, for some seconds more.

    What cannot be delivered is told in a warning, with the command that does it later.
    """
    from kerasflow.tracking.mlflow_calls import patience

    if delivery is None:
        yield
        return
    with delivering(delivery.folder) as mine:
        if not mine:
            raise RunError(f"{delivery.folder}: another process delivers this run to MLflow just now; try again")
        with patience():  # read by MLflow from the environment, which is this thread's to change
            shipper = Shipper(delivery)
            shipper.start()
            try:
                yield
            finally:
                shipper.close()
    if delivery.owed:
        _tell(delivery, shipper.fault)


def deliver_now(delivery: Delivery) -> None:
    """Delivers what there is before it returns; what cannot be delivered is told in a warning."""
    try:
        delivery()
    except (TrackingError, RunError) as error:
        _tell(delivery, error)


def _tell(delivery: Delivery, fault: Exception | None) -> None:
    root = delivery.folder.directory.parent.parent
    where = "" if root == Path("runs").absolute() else f" --runs {shlex.quote(str(root))}"
    why = f" ({fault})" if fault else ""
    warnings.warn(
        f"MLflow was not told all{why}; nothing is lost, deliver the rest by: kerasflow sync{where}", stacklevel=4
    )
