"""The journal of a run: every event in the order in which it came, appended and never changed.

One line of JSON an event: `{"kind": "epoch", "at": 1764362000000, "row": {...}}`. A process that is killed tears the
last line at most, and a torn line is no event. What a run was, is read from here; a tracking store is told from here.
"""

from __future__ import annotations

import errno
import json
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, NamedTuple

from kerasflow.errors import RunError

FILE = "journal.jsonl"
SECONDS_UNSETTLED = 1.0
"""That a loss of power may take: to have the disk hold each event would cost short epochs more than they take."""


class Event(NamedTuple):
    """Something that happened.

    Attributes:
        kind: what: a method of `Tracker`, or `epoch`, `go_back`, `alive`.
        at: when, in milliseconds since 1970; never before the event above it, also if the clock was put back.
        facts: JSON-ready.
        end: the byte behind its line.
    """

    kind: str
    at: int
    facts: dict[str, Any]
    end: int


class Journal:
    """A run's journal; several threads may append to it, one process at a time.

    Args:
        file: made by the first event.
    """

    def __init__(self, file: Path) -> None:
        self.path = file
        self._file: IO[bytes] | None = None
        self._last = 0
        self._settled = -SECONDS_UNSETTLED
        self._turn = threading.Lock()

    def append(self, kind: str, facts: Mapping[str, Any] | None = None) -> None:
        """Adds an event; the system has it when this returns, and within a second the disk.

        Raises:
            RunError: it cannot be written; nothing of it stays then.
        """
        with self._turn:
            try:
                file = self._opened()
                self._last = max(int(time.time() * 1000), self._last)
                line = json.dumps({"kind": kind, "at": self._last, **(facts or {})}, default=plain)
                end = file.seek(0, os.SEEK_END)
                try:
                    _write_whole(file, f"{line}\n".encode())
                except OSError:
                    with suppress(OSError):
                        file.truncate(end)
                    raise
                if time.monotonic() - self._settled > SECONDS_UNSETTLED:
                    self._settle(file)
            except OSError as error:
                raise RunError(f"{self.path}: cannot be written: {error.strerror or error}") from error

    def settle(self) -> None:
        """Has the disk hold all events, so that they survive a loss of power, too."""
        with self._turn, suppress(OSError):
            if self._file is not None:
                self._settle(self._file)

    def close(self) -> None:
        """Settles, and lets the file go until the next event."""
        self.settle()
        with self._turn:
            if self._file is not None:
                self._file.close()
                self._file = None

    def read(self, start: int = 0) -> Iterator[Event]:
        """The events from a byte on, in order.

        Raises:
            RunError: a whole line is no event.
        """
        try:
            with self.path.open("rb") as file:
                file.seek(start)
                text = file.read()
        except FileNotFoundError:
            return
        except OSError as error:
            raise RunError(f"{self.path}: cannot be read: {error.strerror}") from error
        end = start
        *lines, _torn = text.split(b"\n")
        for line in lines:
            end += len(line) + 1
            try:
                facts = json.loads(line)
                yield Event(facts.pop("kind"), facts.pop("at"), facts, end)
            except (ValueError, KeyError, AttributeError, TypeError) as error:
                raise RunError(f"{self.path}: holds what is no event, before byte {end}: {error}") from error

    def _settle(self, file: IO[bytes]) -> None:
        os.fsync(file.fileno())
        self._settled = time.monotonic()

    @property
    def size(self) -> int:
        """In bytes."""
        return self.path.stat().st_size if self.path.exists() else 0

    def _opened(self) -> IO[bytes]:
        if self._file is None:
            self._last = max((event.at for event in self.read()), default=0)
            self._file = self.path.open("a+b", buffering=0)
            _drop_torn_line(self._file)
        return self._file


def plain(value: Any) -> Any:
    """NumPy's numbers and arrays as JSON has them, for `json.dumps(default=...)`."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} {value!r} has no form in JSON")


def _write_whole(file: IO[bytes], line: bytes) -> None:
    """In one call to the system, so that lines of two threads or a kill leave no mixture."""
    if file.write(line) != len(line):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _drop_torn_line(file: IO[bytes]) -> None:
    """Cuts what follows the last line break: a crash while it was written."""
    end = file.seek(0, os.SEEK_END)
    if end == 0:
        return
    file.seek(end - 1)
    if file.read(1) == b"\n":
        return
    file.seek(0)
    file.truncate(file.read().rfind(b"\n") + 1)
