"""`kerasflow sync`: every run below a folder is what it says it is, and the tracking store knows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from kerasflow.errors import RunError, TrackingError, sentence
from kerasflow.recording import delivery_to, store_of
from kerasflow.tracking.delivery import delivering, recorded_in
from kerasflow.tracking.folder import RunFolder, every_run
from kerasflow.tracking.journal_tracker import JournalTracker, told_by


@dataclass(frozen=True)
class Synced:
    """What became of one run.

    Attributes:
        folder: the run's.
        status: RUNNING if its process is at work, else FINISHED, FAILED or KILLED; empty where there is a fault.
        epochs: that it has completed.
        delivered: events that the store has confirmed just now.
        closed: whether its process was gone, which nobody had said before.
        fault: why it is not all in the store; empty if it is.
    """

    folder: Path
    status: str
    epochs: int
    delivered: int
    closed: bool = False
    fault: str = ""


def sync(folder: str | Path | None = None, *, root: str | Path = "runs", store: str = "") -> Iterator[Synced]:
    """Closes runs whose process is gone, and delivers what a tracking store has not been told; yields run by run.

    A run that another process is at work on is left to it. Nothing is delivered twice, however often this is called.

    What a store has refused for good, and a run that was deleted in it, is tried again where its folder is named.

    Args:
        folder: one run's; all below `root` if not given.
        root: where run folders are.
        store: the tracking store for runs that are in none yet; if empty, the one that each began for.

    Raises:
        RunError: there is no such run.
        TrackingError: the store's address is none.
    """
    runs = [RunFolder.open(folder)] if folder is not None else every_run(Path(root))
    for run in runs:
        yield _one(run, store, again=folder is not None)


def _one(run: RunFolder, store: str, again: bool) -> Synced:
    closed, delivered, fault = False, 0, ""
    try:
        closed = _close_if_gone(run)
        with delivering(run) as mine:
            uri = store if store and not recorded_in(run)[1] else store_of(run)
            if mine and uri:
                delivery = delivery_to(run, uri)
                if again:
                    delivery.try_again()
                delivered = delivery()
        return Synced(run.directory, run.status.state, len(run.rows), delivered, closed)
    except TrackingError as error:
        fault = str(error)
    except Exception as error:  # of one run, which must not keep the others from being delivered
        fault = sentence(error)
    return Synced(run.directory, "", 0, delivered, closed, fault)


def _close_if_gone(run: RunFolder) -> bool:
    """Whether a run said RUNNING whose process is gone: power, SIGKILL, a full memory. It says KILLED then."""
    try:
        with run.locked():
            if run.status.state != "RUNNING":
                return False
            events = list(run.journal.read())
            if not events:
                run.set_status("KILLED", "its process is gone, before it began")
                return True
            ended = next((event for event in reversed(events) if event.kind in ("end", "resume")), None)
            if ended is not None and ended.kind == "end":  # the process went between the journal and the status
                status, tags = ended.facts["status"], told_by(run).tags
                reason = tags.get("stop_reason" if status == "FINISHED" else "status_detail", "")
                run.set_status(status, reason, datetime.fromtimestamp(ended.at / 1000))
                return False
            heard = datetime.fromtimestamp(events[-1].at / 1000).astimezone()
            detail = f"its process is gone; last heard of at {heard.isoformat(sep=' ', timespec='seconds')}"
            tracker = JournalTracker(run)
            tracker.set_tags({"status_detail": detail})
            tracker.end("KILLED", at=events[-1].at)
            run.journal.close()
            run.set_status("KILLED", detail, heard)
            return True
    except RunError:
        return False
