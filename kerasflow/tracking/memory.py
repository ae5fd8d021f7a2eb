"""The tracker that keeps everything in plain attributes: the MLflow adapter's twin, for tests."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from kerasflow.errors import TrackingError
from kerasflow.tracking.port import Context, EndStatus, Points, Tensor
from kerasflow.tracking.record import Reached, new_points


class LoggedDataset(NamedTuple):
    """A part of the data, as `log_dataset` was told of it."""

    name: str
    digest: str
    context: Context
    profile: Mapping[str, Any]


class MemoryTracker:
    """Keeps one run in memory.

    Attributes:
        run_id: empty before `start`.
        status: empty before `start`, RUNNING, then what `end` was given.
        params, tags: as given.
        metrics: by key, the points `(step, value)` in the order they came.
        images: by key and step, the file's bytes.
        artifacts: by path inside the run, the file's bytes.
        datasets: in the order they came.
        model: the file's bytes; empty if there is none.
        signature: as given.
        started, ended: as given, in milliseconds since 1970.
    """

    def __init__(self) -> None:
        self.experiment = ""
        self.name = ""
        self.parent = ""
        self.run_id = ""
        self.status = ""
        self.params: dict[str, Any] = {}
        self.tags: dict[str, Any] = {}
        self.metrics: dict[str, list[tuple[int, float]]] = {}
        self.images: dict[tuple[str, int], bytes] = {}
        self.artifacts: dict[str, bytes] = {}
        self.datasets: list[LoggedDataset] = []
        self.model = b""
        self.signature: Mapping[str, Sequence[Tensor]] = {}
        self.key = ""
        self.started: int | None = None
        self.ended: int | None = None
        self._last: dict[str, Reached] = {}
        self._times: dict[str, int] = {}

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
        if self.run_id and key and key == self.key:
            self.resume(self.run_id, running=False)
            return self.run_id
        if self.run_id:
            raise TrackingError(f"this tracker keeps run {self.run_id} already; a new run needs a new tracker")
        self.experiment, self.name, self.parent = experiment, name, parent
        self.run_id, self.status = uuid.uuid4().hex, "RUNNING"
        self.key, self.started = key, at
        self.params.update(params)
        self.tags.update(tags)
        return self.run_id

    def resume(self, run_id: str, running: bool = True) -> None:
        if run_id != self.run_id:
            raise TrackingError(f"there is no run {run_id} in this tracker's memory")
        if running:
            self.status = "RUNNING"
        ends = {key: max(points) for key, points in self.metrics.items()}
        self._last = {key: Reached(step, self._times[key], value) for key, (step, value) in ends.items()}

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        self._require_start()
        self.tags.update(tags)

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        self.log_curves([Points(metrics, step)])

    def log_curves(self, points: Sequence[Points]) -> None:
        self._require_start()
        for metrics, step, at in points:
            for key, value in new_points(metrics, step, at, self._last).items():
                self.metrics.setdefault(key, []).append((step, float(value)))
                self._times[key] = at or 0

    def log_dataset(self, name: str, digest: str, context: Context, profile: Mapping[str, Any]) -> None:
        self._require_start()
        self.datasets.append(LoggedDataset(name, digest, context, dict(profile)))

    def log_image(self, key: str, path: Path, step: int) -> None:
        self._require_start()
        self.images[key, step] = _read(path)

    def log_artifact(self, path: Path, folder: str = "") -> None:
        self._require_start()
        prefix = f"{folder}/" if folder else ""
        if path.is_dir():
            for file in sorted(file for file in path.rglob("*") if file.is_file()):
                self.artifacts[f"{prefix}{path.name}/{file.relative_to(path).as_posix()}"] = _read(file)
        else:
            self.artifacts[f"{prefix}{path.name}"] = _read(path)

    def log_model(self, path: Path, signature: Mapping[str, Sequence[Tensor]]) -> None:
        self._require_start()
        self.model, self.signature = _read(path), signature

    def end(self, status: EndStatus, at: int | None = None) -> None:
        self._require_start()
        self.status, self.ended = status, at

    def _require_start(self) -> None:
        if not self.run_id:
            raise TrackingError("no run has begun: call start first")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise TrackingError(f"{path} cannot be read: {error.strerror}") from error
