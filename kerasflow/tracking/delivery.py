"""A run's journal is brought to a tracking store: in order, each event once, from where it was left."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from kerasflow.errors import RunError, TrackingError
from kerasflow.tracking.folder import RunFolder
from kerasflow.tracking.journal import Event
from kerasflow.tracking.journal_tracker import replay, runs_of
from kerasflow.tracking.port import Tracker
from kerasflow.tracking.store_uri import shown

STATE = "delivered.json"
LOCK = "delivery.lock"


class Delivery:
    """What a store has of a run, and what it is owed.

    How far the store has come is kept beside the journal. It is written after the store has answered, so what it says
    may lag behind: a run that is taken up again is asked for what it has, and only the rest is sent.

    Args:
        folder: the run's.
        store: the tracking store's address.
        tracker: makes a tracker for that store.

    Attributes:
        given_up: set by who waits no longer for it: it ends before the next call to the store.

    Raises:
        TrackingError: the run is recorded in another store already.
    """

    def __init__(self, folder: RunFolder, store: str, tracker: Callable[[str], Tracker]) -> None:
        self.folder, self.store = folder, store
        self._make = tracker
        self._tracker: Tracker | None = None
        self.given_up = False
        address = shown(store)
        self._state: dict[str, Any] = {"store": address, "run_id": "", "offset": 0, **_read(folder)}
        if self._state["offset"] > folder.journal.size:  # its end went with the power, and what comes is not that
            self._state |= {"offset": 0, "run_id": "", "store": address}  # the store finds the run by its key
        if self.run_id and self._state["store"] != address:
            raise TrackingError(
                f"{folder}: is recorded in {self._state['store']} already, so not in {address}; remove its {STATE} to "
                "begin a new run there"
            )
        if self._state["store"] != address or not (folder.directory / STATE).exists():
            self._state["store"] = address
            self._keep()

    @property
    def run_id(self) -> str:
        """The store's id of the run; empty until it has one."""
        return str(self._state["run_id"])

    @property
    def owed(self) -> int:
        """Events that the store has not confirmed."""
        return len(self._events())

    def __call__(self) -> int:
        """Delivers all that there is, and gives the number of events.

        Raises:
            TrackingError: the store does not answer, or refuses. Delivering again goes on where this ended.
        """
        self.folder.journal.settle()  # no store may know what the disk could still lose
        events, delivered = self._events(), 0
        try:
            for some in runs_of(events):
                if self.given_up:
                    break
                replay(some, self._taken_up(), self.folder)
                self._confirm(some[-1].end)
                delivered += len(some)
        except BaseException:
            self._tracker = None  # what has become of the last call is not known: the next one asks
            raise
        return delivered

    def _events(self) -> list[Event]:
        events = [event for event in self.folder.journal.read(self._state["offset"]) if event.kind != "alive"]
        begun = self.run_id or (events and events[0].kind == "start")
        return events if begun else []  # a run that ended before it began is nothing to a store

    def _taken_up(self) -> Tracker:
        if self._tracker is None:
            tracker = self._make(self.store)
            if self.run_id:
                tracker.resume(self.run_id, running=False)
            self._tracker = tracker
        return self._tracker

    def _confirm(self, offset: int) -> None:
        assert self._tracker is not None
        self._state |= {"run_id": self._tracker.run_id, "offset": offset}
        self._keep()

    def _keep(self) -> None:
        with suppress(RunError):  # a full disk; whoever delivers next asks the store
            self.folder.write_json(STATE, self._state)


def recorded_in(folder: RunFolder) -> tuple[str, str]:
    """The store that a run is recorded in, and its id there; both empty if it has never arrived."""
    state = _read(folder)
    return str(state.get("store", "")), str(state.get("run_id", ""))


@contextmanager
def delivering(folder: RunFolder) -> Iterator[bool]:
    """While the block runs, nobody else delivers this run; gives False if somebody does already."""
    from filelock import FileLock, Timeout

    lock = FileLock(folder.directory / LOCK, blocking=False)
    try:
        lock.acquire()
    except Timeout:
        yield False
        return
    except OSError as error:
        raise RunError(f"{folder}: cannot be written: {error.strerror or error}") from error
    try:
        yield True
    finally:
        lock.release()


def _read(folder: RunFolder) -> dict[str, Any]:
    try:
        found = json.loads((folder.directory / STATE).read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else {}
    except (OSError, ValueError):  # never delivered, or torn: the store is asked
        return {}
