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

from kerasflow.errors import NotYetError, RunError
from kerasflow.tracking.delivery import Delivery, delivering
from kerasflow.tracking.store_uri import is_reachable, sqlite_file

SECONDS_BETWEEN = 1.0
SHARE = 0.015
"""Of a core that deliveries take, so that they cost a training no more: MLflow's SQLite store takes that for epochs of
50 ms. To wait longer saves nothing, and leaves the rest to the run's end, where somebody waits for it."""
LONGEST_PAUSE = 30.0
SECONDS_AT_THE_END = 5.0
SECONDS_FOR_A_FILE = 60.0
SECONDS_BETWEEN_SIGNS = 15.0
SECONDS_FOR_ANOTHER = 15.0
"""That a run waits at its end for the one that it is a part of to be in the store."""
SECONDS_OF_A_WAIT = 0.2

_LAST_FAULTS: dict[str, tuple[Exception | None, float]] = {}
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
        self._begun = self._told = self._away = False

    def run(self) -> None:
        while True:
            with delivering(self.delivery.folder) as mine:
                if mine:
                    self._work()
                    return
            if self._ends.wait(SECONDS_BETWEEN):  # somebody else delivers all this while
                return

    def _work(self) -> None:
        pause = 0.0 if self.fault is None else SECONDS_AT_THE_END
        due, sign = time.monotonic() + pause, time.monotonic() + SECONDS_BETWEEN_SIGNS
        while not self._ends.wait(min(pause, SECONDS_BETWEEN)):
            began, worked = time.monotonic(), time.thread_time()
            if self._came_back():
                due, pause = began, 0.0
            if began >= due:
                first = not self._begun  # MLflow is imported in it, which says nothing of those to come
                self._deliver()
                cost = 0.0 if first else max((time.thread_time() - worked) / SHARE, time.monotonic() - began)
                pause = self._pause(cost, pause)
                due = time.monotonic() + pause
            self.journal.settle()
            if time.monotonic() >= sign and not self._ends.is_set():
                sign = time.monotonic() + SECONDS_BETWEEN_SIGNS
                with suppress(RunError):  # a full disk is told by what matters more
                    self.journal.append("alive")
        if self.fault is None or time.monotonic() - self._failed_at > SECONDS_AT_THE_END:
            self._deliver()
        until = time.monotonic() + SECONDS_FOR_ANOTHER
        while self._waits() and time.monotonic() < until:
            time.sleep(SECONDS_OF_A_WAIT)
            self._deliver()

    def _waits(self) -> bool:
        """Whether it is for nothing but something that has to come first, which a store that answers may get soon."""
        waits = isinstance(self.fault, NotYetError) and self.delivery.store not in _LAST_FAULTS
        return waits and not self.delivery.given_up

    def _came_back(self) -> bool:
        """Whether a store can be reached that could not when it was asked last."""
        was_away = self._away
        self._away = self.fault is not None and not is_reachable(self.delivery.store)
        return was_away and not self._away

    def close(self) -> None:
        """Delivers what is left, for some seconds at most; to a file of this machine for longer: it will be done."""
        self._ends.set()
        try:
            self.join(SECONDS_AT_THE_END if sqlite_file(self.delivery.store) is None else SECONDS_FOR_A_FILE)
        finally:
            self.delivery.given_up = True  # others may deliver once the call that is under way has come back

    def _deliver(self) -> None:
        try:
            self._begun |= self.delivery() > 0
            self.fault = None
            _LAST_FAULTS.pop(self.delivery.store, None)
        except NotYetError as error:
            self.fault, self._failed_at = error, -math.inf
        except Exception as error:  # whatever MLflow and its drivers raise must not end this thread
            self.fault, self._failed_at = error, time.monotonic()
            _LAST_FAULTS[self.delivery.store] = error, self._failed_at
            if not self._told:
                self._told = True
                with suppress(UserWarning):  # who makes warnings errors is not to lose this thread
                    warnings.warn(f"MLflow is told later, all is in the run folder: {error}", stacklevel=2)

    def _pause(self, cost: float, before: float) -> float:
        """Seconds until the next delivery.

        Args:
            cost: as many as the last one asks for: its share of a core, and as long a rest for a slow server.
            before: the pause before it.
        """
        if isinstance(self.fault, NotYetError):
            return SECONDS_BETWEEN
        return min(max(cost if self.fault is None else 2 * before, SECONDS_BETWEEN), LONGEST_PAUSE)


@contextmanager
def shipping(delivery: Delivery | None) -> Iterator[None]:
    """While the block runs, the run is delivered in the background; what is left at its end, for some seconds more.

    What cannot be delivered is told in a warning, with the command that does it later.
    """
    if delivery is None:
        yield
        return
    shipper = Shipper(delivery)
    shipper.start()
    try:
        yield
    finally:
        try:
            shipper.close()
        finally:
            _tell_what_is_left(delivery, shipper.fault)


def _tell_what_is_left(delivery: Delivery, fault: Exception | None) -> None:
    try:
        if not delivery.owed:
            return
    except RunError as error:
        fault = error
    root = delivery.folder.directory.parent.parent
    where = "" if root == Path("runs").absolute() else f" --runs {shlex.quote(str(root))}"
    why = f" ({fault})" if fault else ""
    warnings.warn(
        f"MLflow was not told all{why}; nothing is lost, deliver the rest by: kerasflow sync{where}", stacklevel=4
    )
