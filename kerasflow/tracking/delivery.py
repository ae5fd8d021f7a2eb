"""A run's journal is brought to a tracking store: in order, each event once, from where it was left."""

from __future__ import annotations

import json
import re
import shlex
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from kerasflow.errors import FileChangedError, NotYetError, RefusedError, RunError, RunGoneError, TrackingError
from kerasflow.tracking.folder import RunFolder, every_run
from kerasflow.tracking.journal import Event
from kerasflow.tracking.journal_tracker import is_replaced, replay, runs_of
from kerasflow.tracking.port import Tracker
from kerasflow.tracking.store_uri import shown

STATE = "delivered.json"
LOCK = "delivery.lock"
LEFT_OUT_TAG = "left_out"


class Delivery:
    """What a store has of a run, and what it is owed.

    How far the store has come is kept beside the journal. It is written after the store has answered, so what it says
    may lag behind: a run that is taken up again is asked for what it has, and only the rest is sent.

    What the store will never take is left out, and so is a file that is not what the run has logged: that is told in a
    warning, once, kept beside the journal, and a tag of the run in the store, and what comes behind it is delivered.

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
        self.given_up = self._mended = False
        address = shown(store)
        self._state: dict[str, Any] = {"store": address, "run_id": "", "offset": 0, "gone": "", "left_out": []}
        self._state |= _read(folder)
        if self._state["offset"] > folder.journal.size:  # its end went with the power, and what comes is not that
            self._state |= {"offset": 0, "run_id": "", "store": address, "left_out": []}  # the store knows its key
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

    def try_again(self) -> None:
        """What was left out is owed again, and a run that was gone is looked for."""
        first = min((one["from"] for one in self._state["left_out"]), default=self._state["offset"])
        self._mended = bool(self._state["left_out"])
        self._state |= {"offset": first, "left_out": [], "gone": ""}

    def __call__(self) -> int:
        """Delivers all that there is, and gives the number of events that the store has taken.

        Raises:
            TrackingError: the store does not answer, or refuses for now. Delivering again goes on where this ended.
        """
        self.folder.journal.settle()  # no store may know what the disk could still lose
        events, delivered = self._events(), 0
        try:
            for some in runs_of(events):
                if self.given_up:
                    break
                left_out = len(self._state["left_out"])
                self._send(some)
                self._confirm(some[-1].end)
                delivered += len(some) - (len(self._state["left_out"]) - left_out)
            if self._mended and not self._state["left_out"] and not self.given_up:
                self._taken_up().set_tags({LEFT_OUT_TAG: "nothing any more"})
                self._mended = False
        except RunGoneError as gone:
            self._tracker = None
            self._give_up_for_good(str(gone))
        except BaseException:
            self._tracker = None  # what has become of the last call is not known: the next one asks
            raise
        return delivered

    def _events(self) -> list[Event]:
        if self._state["gone"]:
            return []
        events = [event for event in self.folder.journal.read(self._state["offset"]) if event.kind != "alive"]
        begun = self.run_id or (events and events[0].kind == "start")
        return events if begun else []  # a run that ended before it began is nothing to a store

    def _send(self, events: list[Event]) -> None:
        try:
            replay(events, self._taken_up(), self.folder)
        except FileChangedError as changed:
            if is_replaced(events[0], self.folder):
                return  # by the run itself: what it has logged later comes later
            if self.folder.status.state == "RUNNING":  # it may be about to log this very file
                raise NotYetError(f"{self.folder}: {changed}") from changed
            self._leave_out(events[0], str(changed))
        except RefusedError as refused:
            if events[0].kind == "start":
                raise  # the store has nothing of the run then, and nothing could come behind it
            self._tracker = None
            self._taken_up()  # finds out what of them has arrived, and whether there still is a run
            if len(events) > 1:
                for event in events:
                    self._send([event])
            else:
                self._leave_out(events[0], str(refused))

    def _leave_out(self, event: Event, why: str) -> None:
        """What no store will ever have of a run is told wherever somebody may look for it."""
        left_out = [*self._state["left_out"], {"from": self._state["offset"], "why": why}]
        with suppress(RefusedError):
            self._taken_up().set_tags({LEFT_OUT_TAG: "; ".join(one["why"] for one in left_out)})
        self._state["left_out"] = left_out
        warnings.warn(
            f"{self.folder}: MLflow's record of the run is without {_named(event)}, the rest is delivered: {why}; mend "
            f"that, and have it tried again by: kerasflow sync {shlex.quote(str(self.folder))}",
            stacklevel=2,
        )

    def _give_up_for_good(self, why: str) -> None:
        self._state["gone"] = why
        self._keep()
        warnings.warn(
            f"{self.folder}: no more of it is delivered: {why}; all is in the run folder. Restore the run there and "
            f"call kerasflow sync {shlex.quote(str(self.folder))}, or remove its {STATE} to make a new one by "
            f"kerasflow sync --uri {shown(self.store)}",
            stacklevel=2,
        )

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


def _named(event: Event) -> str:
    """An event, as a person would call it."""
    facts = event.facts
    if "path" in facts:
        return str(facts["path"])
    if event.kind == "epoch":
        return f"the metrics of epoch {facts['row']['epoch']}"
    return {
        "log_curves": f"{', '.join(facts.get('metrics', ()))} at step {facts.get('step')}",
        "set_tags": f"the tags {', '.join(facts.get('tags', ()))}",
        "log_dataset": f"the {facts.get('context')} data's description",
        "end": f"its end ({facts.get('status')})",
    }.get(event.kind, event.kind)


def recorded_in(folder: RunFolder) -> tuple[str, str]:
    """The store that a run is recorded in, and its id there; both empty if it has never arrived."""
    state = _read(folder)
    return str(state.get("store", "")), str(state.get("run_id", ""))


def is_run_id(text: str) -> bool:
    """Whether a text is an id of MLflow's for a run."""
    return re.fullmatch("[0-9a-f]{32}", text) is not None


def folder_of(run: str | Path, root: str | Path) -> RunFolder:
    """The folder of a run.

    Args:
        run: the folder itself, or the run's id in MLflow.
        root: where run folders are.

    Raises:
        RunError: there is none.
    """
    if Path(run).is_dir() or not is_run_id(str(run)):
        return RunFolder.open(run)
    found = next((folder for folder in every_run(Path(root)) if recorded_in(folder)[1] == str(run)), None)
    if found is None:
        raise RunError(
            f"{run}: no run below {root} is recorded in MLflow by this id; give its folder, or --runs FOLDER"
        )
    return found


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
