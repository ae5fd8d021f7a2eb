"""However a run ends, its record says so: in the folder, in the tracking store, and to whoever stopped it."""

from __future__ import annotations

import shlex
import signal
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerasflow.errors import RunError, TrackingError

if TYPE_CHECKING:
    from kerasflow.tracking.folder import RunFolder
    from kerasflow.tracking.port import EndStatus, Tracker


class Mirror:
    """A tracker that may fail without taking the training with it: the run folder is the truth.

    Every call is tried, because a store may come back; the first that fails is told, the others are not.

    Args:
        kept: where the numbers are in any case, for the message.
    """

    def __init__(self, tracker: Tracker | None, kept: str = "but all is in the run folder") -> None:
        self.tracker, self.kept = tracker, kept
        self.told = False

    def __call__(self, send: Callable[[Tracker], None]) -> None:
        if self.tracker is None:
            return
        try:
            send(self.tracker)
        except TrackingError as error:
            if not self.told:
                warnings.warn(f"not all is recorded in MLflow, {self.kept}: {error}", stacklevel=3)
            self.told = True


class _Terminated(BaseException):
    """SIGTERM, as an exception that unwinds the run like Ctrl-C does."""


@dataclass
class Begun:
    """As much of a run as there is yet."""

    run_id: str = ""
    folder: RunFolder | None = None


@contextmanager
def truthful_status(mirror: Mirror) -> Iterator[Begun]:
    """Whatever ends the block, folder and tracker say it: FINISHED, FAILED with the traceback, or KILLED.

    What interrupts it carries a note (`__notes__`) that says how to go on.
    """
    begun = Begun()
    try:
        with _sigterm_raises():
            yield begun
            mirror(lambda tracker: tracker.end("FINISHED"))
    except Exception as error:  # whatever it is: it is recorded, and raised again
        _end(mirror, begun, "FAILED", f"{type(error).__name__}: {error}", traceback.format_exc())
        raise
    except BaseException as error:
        names = {KeyboardInterrupt: "Ctrl-C", _Terminated: "SIGTERM"}
        _end(mirror, begun, "KILLED", names.get(type(error), type(error).__name__), "")
        end = SystemExit(128 + signal.SIGTERM) if isinstance(error, _Terminated) else error
        if begun.folder is not None:
            end.add_note(_how_to_go_on(begun.folder))
        if end is error:
            raise
        raise end from None


def _end(mirror: Mirror, begun: Begun, status: EndStatus, detail: str, trace: str) -> None:
    """Says how a run ended wherever that can still be said; a full disk or a dead server must not hide the fault."""
    if begun.folder is not None:
        try:
            begun.folder.set_status(status, detail)
            if trace:
                begun.folder.write_text("traceback.txt", trace)
        except RunError as error:
            warnings.warn(f"the run's end ({status}) could not be written: {error}", stacklevel=2)
    if not begun.run_id:
        return
    left = [begun.folder.directory / name for name in ("traceback.txt", "history.jsonl")] if begun.folder else []

    def send(tracker: Tracker) -> None:
        tracker.set_tags({"status_detail": detail})
        for path in left:
            if path.exists():
                tracker.log_artifact(path)

    mirror(send)
    mirror(lambda tracker: tracker.end(status))


def _how_to_go_on(folder: RunFolder) -> str:
    path, here = folder.directory, Path.cwd()
    near = path.relative_to(here) if path.is_relative_to(here) else path
    rows = folder.rows
    when = f"after epoch {rows[-1]['epoch']}" if rows else "before the end of its first epoch"
    return f"Interrupted {when}; go on with: kerasflow run {shlex.quote(str(near))} --resume"


@contextmanager
def _sigterm_raises() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def terminate(*_: Any) -> None:
        raise _Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
