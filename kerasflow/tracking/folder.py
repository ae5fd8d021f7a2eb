"""The run folder: what a run leaves on disk, whole at every instant.

Where: `runs/<experiment>/<name>-<time>-<id>/`. In it: `journal.jsonl`, `status.json`, `spec.yaml`, `metrics.json`,
`model.keras`, `environment.txt`, `figures/*.png` and whatever else a run adds.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Literal

from kerasflow.errors import RunError
from kerasflow.tracking.journal import FILE, Journal, plain

State = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]
Rows = list[dict[str, Any]]
Runs = list["RunFolder"]

STATUS = "status.json"
LOCK = "run.lock"
SECONDS_FOR_A_LOOK = 2.0  # that `kerasflow sync` takes at most to see that a run is at work
RESERVE = ".reserve"
RESERVE_BYTES = 16 * 1024
"""Of the disk, let go when a run ends, so that its end can be written where the disk is full."""


@dataclass(frozen=True)
class Status:
    """How a run stands.

    Attributes:
        state: RUNNING until it has ended; a run that was killed outright stays RUNNING.
        reason: why it stopped, in a sentence.
        experiment, name: as the user wrote them.
        started, ended: ISO 8601 with the zone; `ended` is empty while it runs.
    """

    state: State
    experiment: str
    name: str
    started: str
    ended: str = ""
    reason: str = ""


class RunFolder:
    """One run's folder.

    Attributes:
        directory: where it is, absolute.
        journal: every event of the run.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.journal = Journal(directory / FILE)

    def __fspath__(self) -> str:
        return str(self.directory)

    def __str__(self) -> str:
        return str(self.directory)

    def __repr__(self) -> str:
        return f"RunFolder({str(self.directory)!r})"

    @classmethod
    def create(cls, root: Path, experiment: str, name: str) -> RunFolder:
        """A new folder below `root`, which no other run has, also when several start at once; its status is RUNNING.

        Raises:
            RunError: if it cannot be made.
        """
        now = datetime.now().astimezone()
        parent = root.absolute() / safe_name(experiment)
        while True:
            directory = parent / f"{safe_name(name)}-{now:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
            with _on_disk(directory):
                try:
                    directory.mkdir(parents=True)
                    break
                except FileExistsError:
                    if not parent.is_dir():
                        raise
        return cls(directory)._begun(experiment, name, now)

    @classmethod
    def at(cls, directory: Path, experiment: str, name: str) -> RunFolder:
        """The run of this very folder; begun if there is none.

        Raises:
            RunError: if it cannot be made.
        """
        if (directory / STATUS).is_file():
            return cls.open(directory)
        with _on_disk(directory):
            directory.mkdir(parents=True, exist_ok=True)
        return cls(directory.absolute())._begun(experiment, name, datetime.now().astimezone())

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> RunFolder:
        """The folder of a run that has begun.

        Raises:
            RunError: if there is no run.
        """
        directory = Path(path).absolute()
        if not (directory / STATUS).is_file():
            what = "is not a run folder: it has no status.json" if directory.is_dir() else "does not exist"
            raise RunError(f"{path}: {what}; give a folder like runs/<experiment>/<name>-<time>-<id>")
        return cls(directory)

    @classmethod
    def list(cls, root: Path, experiment: str) -> Runs:
        """The runs of an experiment below `root`, oldest first.

        Raises:
            RunError: if the experiment has none, with the near names and what there is.
        """
        found = [run for run in _runs(root.absolute() / safe_name(experiment)) if run.status.experiment == experiment]
        if not found:
            raise RunError(f"{root}: no run of experiment {experiment!r}{_hint(experiment, experiments(root))}")
        return _oldest_first(found)

    def release_reserve(self) -> None:
        """Lets go of the room that was kept for the end."""
        with suppress(OSError):
            (self.directory / RESERVE).unlink(missing_ok=True)

    def path(self, name: str) -> Path:
        """The place of a file in this folder, such as `figures/cost.png`; the folders above it are made.

        Raises:
            RunError: if the name leads out of the folder, or a folder cannot be made.
        """
        path = self.directory / name
        if ".." in Path(name).parts or not path.is_relative_to(self.directory):
            raise RunError(f"{name!r} leads out of the run folder {self.directory}")
        with _on_disk(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        return path

    @contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """A path to write a file or a folder to, which takes its real name when the block ends without an error.

        The path given ends like the name, for writers that look at the ending (`model.save`).
        """
        target = self.path(name)
        aside = target.with_name(f".writing-{os.getpid()}-{target.name}")
        try:
            with _on_disk(target):
                yield aside
                if target.is_dir():
                    shutil.rmtree(target)
                aside.replace(target)
        finally:
            if aside.is_dir():
                shutil.rmtree(aside, ignore_errors=True)
            else:
                aside.unlink(missing_ok=True)

    def write_text(self, name: str, text: str) -> Path:
        """Write a text file, whole or not at all; an older one is replaced."""
        with self.writing(name) as aside, aside.open("w", encoding="utf-8") as file:
            file.write(text)
            _settle(file)
        return self.path(name)

    def write_json(self, name: str, value: Any) -> Path:
        """Write a value as JSON; NumPy's numbers become plain ones, NaN and infinities Python's own words for them."""
        return self.write_text(name, json.dumps(value, indent=2, default=plain) + "\n")

    def read_json(self, name: str) -> Any:
        """The value that `write_json` wrote.

        Raises:
            RunError: if it is not there or is no JSON.
        """
        try:
            return json.loads(self.read_text(name))
        except ValueError as error:
            raise RunError(f"{self.directory / name}: is not JSON ({error})") from error

    def read_text(self, name: str) -> str:
        """The text that `write_text` wrote.

        Raises:
            RunError: if it is not there.
        """
        try:
            return (self.directory / name).read_text(encoding="utf-8")
        except OSError as error:
            raise RunError(f"{self.directory / name}: cannot be read: {error.strerror}") from error

    @property
    def rows(self) -> Rows:
        """The history's epochs, in order; of those that a resumed run computed again, the last ones.

        Raises:
            RunError: the journal cannot be read.
        """
        rows: Rows = []
        for event in self.journal.read():
            if event.kind == "epoch":
                rows.append(event.facts["row"])
            elif event.kind == "go_back":
                del rows[event.facts["epochs"] :]
        return rows

    @property
    def status(self) -> Status:
        """How the run stands."""
        return Status(**self.read_json(STATUS))

    def set_status(self, state: State, reason: str = "", ended: datetime | None = None) -> None:
        """Record how the run stands.

        Args:
            ended: when, if not now.
        """
        (self._keep_reserve if state == "RUNNING" else self.release_reserve)()
        at = "" if state == "RUNNING" else (ended or datetime.now()).astimezone().isoformat(timespec="seconds")
        self._write_status(replace(self.status, state=state, ended=at, reason=reason))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """While the block runs, no other process can write this run; the lock of a process that died holds nobody up.

        Raises:
            RunError: another process writes it now.
        """
        from filelock import FileLock, Timeout

        with _on_disk(self.directory / LOCK):
            lock = FileLock(self.directory / LOCK, timeout=SECONDS_FOR_A_LOOK)
            try:
                lock.acquire()
            except Timeout:
                raise RunError(
                    f"{self.directory}: another process is at work on this run; wait for it, or stop it first"
                ) from None
        try:
            yield
        finally:
            lock.release()

    def _begun(self, experiment: str, name: str, now: datetime) -> RunFolder:
        self._write_status(Status("RUNNING", experiment, name, started=now.isoformat(timespec="seconds")))
        self._keep_reserve()
        return self

    def _keep_reserve(self) -> None:
        with _on_disk(self.directory / RESERVE):
            (self.directory / RESERVE).write_bytes(os.urandom(RESERVE_BYTES))

    def _write_status(self, status: Status) -> None:
        self.write_json(STATUS, asdict(status))


def experiments(root: Path) -> list[str]:
    """The names of the experiments that have runs below `root`, sorted."""
    if not root.is_dir():
        return []
    return sorted({run.status.experiment for folder in root.iterdir() for run in _runs(folder)})


def every_run(root: Path) -> Runs:
    """The runs of all experiments below `root`, oldest first."""
    return _oldest_first([run for folder in root.absolute().glob("*") for run in _runs(folder)])


def digest_of(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes; of a folder's, by the names of its files.

    Raises:
        OSError: it cannot be read.
    """
    if path.is_dir():
        lines = [
            f"{file.relative_to(path).as_posix()} {digest_of(file)}"
            for file in sorted(path.rglob("*"))
            if file.is_file()
        ]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def safe_name(name: str) -> str:
    """A name as part of a path: no separators, no leading dot, at most 80 characters; not unique to the name."""
    return re.sub(r"[^\w.\-]+", "-", name).strip(".-")[:80] or "unnamed"


def _runs(folder: Path) -> Runs:
    return [RunFolder(status.parent) for status in folder.glob(f"*/{STATUS}")]


def _oldest_first(runs: Runs) -> Runs:
    return sorted(runs, key=lambda run: (datetime.fromisoformat(run.status.started), run.directory.name))


def _hint(experiment: str, known: list[str]) -> str:
    if not known:
        return "; nothing has run there yet"
    near = difflib.get_close_matches(experiment, known, n=1)
    guess = f", did you mean {near[0]!r}?" if near else "."
    return f"{guess} There are: {', '.join(known)}"


@contextmanager
def _on_disk(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {error.strerror or error}") from error


def _settle(file: IO[Any]) -> None:
    """A rename or a later line must not reach the disk before these bytes."""
    file.flush()
    os.fsync(file.fileno())
