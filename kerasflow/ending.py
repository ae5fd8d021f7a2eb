"""However a run ends, its record says so, and so does whoever stopped it."""

from __future__ import annotations

import shlex
import signal
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerasflow.errors import RunError

if TYPE_CHECKING:
    from kerasflow.tracking.folder import RunFolder
    from kerasflow.tracking.journal_tracker import JournalTracker
    from kerasflow.tracking.port import EndStatus


class _Terminated(BaseException):
    """SIGTERM, as an exception that unwinds the run like Ctrl-C does."""


@contextmanager
def truthful_status(tracker: JournalTracker) -> Iterator[None]:
    """Whatever ends the block early, the record says it: FAILED with the traceback, or KILLED.

    What interrupts it carries a note (`__notes__`) that says how to go on.
    """
    try:
        with _sigterm_raises():
            yield
    except Exception as error:  # whatever it is: it is recorded, and raised again
        _end(tracker, "FAILED", f"{type(error).__name__}: {error}", traceback.format_exc())
        raise
    except BaseException as error:
        names = {KeyboardInterrupt: "Ctrl-C", _Terminated: "SIGTERM"}
        _end(tracker, "KILLED", names.get(type(error), type(error).__name__), "")
        end = SystemExit(128 + signal.SIGTERM) if isinstance(error, _Terminated) else error
        if (tracker.folder.directory / "spec.yaml").is_file():
            end.add_note(_how_to_go_on(tracker.folder))
        if end is error:
            raise
        raise end from None


def _end(tracker: JournalTracker, status: EndStatus, detail: str, trace: str) -> None:
    """Says how a run ended wherever that can still be said; a full disk must not hide the fault that it is."""
    folder = tracker.folder
    folder.release_reserve()
    if trace:
        with suppress(RunError):  # the reason is in the status, too
            tracker.log_artifact(folder.write_text("traceback.txt", trace))
    try:
        tracker.set_tags({"status_detail": detail})
        tracker.end(status)
        folder.set_status(status, detail)
    except RunError as error:
        warnings.warn(f"the run's end ({status}) could not be written: {error}", stacklevel=2)


def _how_to_go_on(folder: RunFolder) -> str:
    path, here = folder.directory, Path.cwd()
    near = path.relative_to(here) if path.is_relative_to(here) else path
    rows = folder.rows
    when = f"after epoch {rows[-1]['epoch']}" if rows else "before the end of its first epoch"
    return f"Interrupted {when}; go on with: kerasflow run {shlex.quote(str(near))} --resume"


@contextmanager
def _sigterm_raises() -> Iterator[None]:
    def terminate(*_: Any) -> None:
        raise _Terminated

    with _handling({signal.SIGTERM: terminate}):
        yield


@contextmanager
def told_of_signals(tell: Callable[[str], None]) -> Iterator[None]:
    """While the block runs, Ctrl-C and SIGTERM are told before they do what they did; SIGTERM ends a process in order.

    Args:
        tell: gets the name, `Ctrl-C` or `SIGTERM`, between any two steps of the main thread: it had better only note.
    """

    def telling(number: int, name: str) -> Callable[[int, Any], None]:
        before = signal.getsignal(number)

        def handle(_: int, frame: Any) -> None:
            tell(name)
            if callable(before):
                before(number, frame)
            else:  # the system's own way would run no `finally` and no `atexit`
                raise SystemExit(128 + number)

        return handle

    names = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}
    heard = {n: name for n, name in names.items() if signal.getsignal(n) not in (signal.SIG_IGN, None)}
    with _handling({number: telling(number, name) for number, name in heard.items()}):
        yield


@contextmanager
def _handling(handlers: Mapping[signal.Signals, Callable[[int, Any], None]]) -> Iterator[None]:
    """While the block runs, signals are handled so; outside of the main thread, where Python hears none, as before."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is handlers[number]:  # else somebody has put back already what was there
                signal.signal(number, handler)
