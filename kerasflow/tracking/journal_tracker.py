"""The tracker that writes a run's journal, and what reads it out to another tracker."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from kerasflow.errors import FileChangedError, RunError, TrackingError
from kerasflow.tracking.folder import RunFolder, digest_of
from kerasflow.tracking.journal import Event
from kerasflow.tracking.port import Context, EndStatus, Points, Tensor, Tracker
from kerasflow.tracking.record import DIGEST_TAG, metrics_of

POINTS_AT_ONCE = 1000
_CURVES = ("epoch", "log_curves")


class JournalTracker:
    """Keeps a run in the journal of its folder, at once and whatever becomes of a store.

    Files are in the folder already; the journal holds their paths and digests. Those of artifacts and models are tags
    of the run, too: who changes a file cannot change those.

    Attributes:
        run_id: the folder's name.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder, self.run_id = folder, folder.directory.name

    def start(
        self,
        experiment: str,
        name: str,
        params: Mapping[str, Any],
        tags: Mapping[str, Any],
        parent: str = "",
        key: str = "",
        at: int | None = None,
    ) -> str:
        facts = {"experiment": experiment, "name": name, "params": dict(params), "tags": dict(tags)}
        self.folder.journal.append("start", facts | {"parent": parent, "key": key or self.run_id})
        return self.run_id

    def resume(self, run_id: str, running: bool = True) -> None:
        self.folder.journal.append("resume")

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        self.folder.journal.append("set_tags", {"tags": dict(tags)})

    def epoch(self, row: Mapping[str, Any]) -> None:
        """Add an epoch's row of the history; its metrics are those of `metrics_of`."""
        self.folder.journal.append("epoch", {"row": dict(row)})

    def go_back(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Take up the history where it was when it held these rows; those that the journal has lost are added."""
        kept = min(len(self.folder.rows), len(rows))
        self.folder.journal.append("go_back", {"epochs": kept})
        for row in rows[kept:]:
            self.epoch(row)

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        self.log_curves([Points(metrics, step)])

    def log_curves(self, points: Sequence[Points]) -> None:
        for point in points:
            self.folder.journal.append("log_curves", {"metrics": dict(point.metrics), "step": point.step})

    def log_dataset(self, name: str, digest: str, context: Context, profile: Mapping[str, Any]) -> None:
        facts = {"name": name, "digest": digest, "context": context, "profile": dict(profile)}
        self.folder.journal.append("log_dataset", facts)

    def log_image(self, key: str, path: Path, step: int) -> None:
        self.folder.journal.append("log_image", {"key": key, **self._file(path), "step": step})

    def log_artifact(self, path: Path, folder: str = "") -> None:
        self.folder.journal.append("log_artifact", {**self._file(path), "folder": folder})

    def log_model(self, path: Path, signature: Mapping[str, Sequence[Tensor]]) -> None:
        self.folder.journal.append("log_model", {**self._file(path), "signature": dict(signature)})

    def end(self, status: EndStatus, at: int | None = None) -> None:
        self.folder.release_reserve()
        self.folder.journal.append("end", {"status": status} if at is None else {"status": status, "ended": at})
        self.folder.journal.settle()

    def _file(self, path: Path) -> dict[str, str]:
        """A file of the run folder, as the journal knows it."""
        try:
            return {"path": path.relative_to(self.folder.directory).as_posix(), "sha256": digest_of(path)}
        except OSError as error:
            raise RunError(f"{path}: cannot be read: {error.strerror}") from error


@dataclass
class Told:
    """What a journal says of its run, as it stands.

    Attributes:
        key, parent: names it, and the run that it is a part of; empty of one that is none.
        params, tags: flat.
        metrics: each one's last value, by the name under which it is tracked.
        rows: the history's epochs; of those that a resumed run computed again, the last ones.
    """

    key: str = ""
    parent: str = ""
    params: dict[str, Any] = field(default_factory=dict)
    tags: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)


def told_by(folder: RunFolder) -> Told:
    """Reads a run's journal once.

    Raises:
        RunError: it cannot be read.
    """
    told = Told()
    for event in folder.journal.read():
        if event.kind == "start":
            told.params, told.key, told.parent = (event.facts[name] for name in ("params", "key", "parent"))
        if event.kind in ("start", "set_tags"):
            told.tags |= event.facts["tags"]
        elif event.kind in _DIGESTED:
            told.tags |= _digest_tag(event)
        elif event.kind == "epoch":
            told.rows.append(event.facts["row"])
        elif event.kind == "go_back":
            del told.rows[event.facts["epochs"] :]
        elif event.kind == "log_curves":
            told.metrics |= event.facts["metrics"]
    if told.rows:
        told.metrics = metrics_of(told.rows[-1]) | told.metrics
    return told


def runs_of(events: Iterable[Event]) -> Iterable[list[Event]]:
    """Events in the order in which they came, neighbours that add to curves together."""
    for curves, group in groupby(events, lambda event: event.kind in _CURVES):
        some = list(group)
        size = POINTS_AT_ONCE if curves else 1
        yield from (some[start : start + size] for start in range(0, len(some), size))


def replay(events: Sequence[Event], tracker: Tracker, folder: RunFolder) -> None:
    """Tells a tracker what happened: one event, or several that add to curves.

    Raises:
        FileChangedError: the file that was logged is another now, or gone.
        TrackingError: as the tracker does.
    """
    event = events[0]
    facts = dict(event.facts)
    if event.kind in _CURVES:
        tracker.log_curves([_points(one) for one in events])
    elif event.kind == "start":
        tracker.start(**facts, at=event.at)
    elif event.kind == "resume":
        tracker.resume(tracker.run_id)
    elif event.kind == "end":
        tracker.end(facts["status"], at=facts.get("ended", event.at))
    elif event.kind in _OTHERS:
        if "path" in facts:
            facts["path"] = _as_logged(folder, facts["path"], facts.pop("sha256"))
        if "signature" in facts:
            facts["signature"] = {side: [Tensor(*one) for one in some] for side, some in facts["signature"].items()}
        getattr(tracker, event.kind)(**facts)
        if event.kind in _DIGESTED:
            tracker.set_tags(_digest_tag(event))


def is_replaced(event: Event, folder: RunFolder) -> bool:
    """Whether the run itself has logged another file of the same name later."""
    later = folder.journal.read(event.end)
    return any(one.kind == event.kind and one.facts["path"] == event.facts["path"] for one in later)


_DIGESTED = ("log_artifact", "log_model")
_OTHERS = ("set_tags", "log_dataset", "log_image", *_DIGESTED)


def _digest_tag(event: Event) -> dict[str, str]:
    """By the artifact's path in the store."""
    name, folder = Path(event.facts["path"]).name, event.facts.get("folder", "")
    return {f"{DIGEST_TAG}{folder}/{name}" if folder else f"{DIGEST_TAG}{name}": event.facts["sha256"]}


def _as_logged(folder: RunFolder, name: str, sha256: str) -> Path:
    """A file of the run folder, which is what the run has logged."""
    path = _within(folder, name)
    found = digest_of(path) if path.exists() else ""
    if found == sha256:
        return path
    what = f"was changed (SHA-256 {sha256[:12]}… then, {found[:12]}… now)" if found else "was removed"
    raise FileChangedError(f"{name} {what} after the run had logged it")


def _points(event: Event) -> Points:
    if event.kind == "epoch":
        row = event.facts["row"]
        return Points(metrics_of(row), row["epoch"], event.at)
    return Points(event.facts["metrics"], event.facts["step"], event.at)


def _within(folder: RunFolder, name: str) -> Path:
    path = (folder.directory / name).resolve()
    if not path.is_relative_to(folder.directory.resolve()):
        raise TrackingError(f"{folder.journal.path}: names a file outside of the run folder: {name!r}")
    return path
