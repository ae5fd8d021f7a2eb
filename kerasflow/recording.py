"""What a run leaves, written as it goes: in its folder, which is the truth, and in the tracking store, its mirror."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kerasflow.ending import Mirror

if TYPE_CHECKING:
    import keras

    from kerasflow.data import Data, Part
    from kerasflow.spec.experiment import ExperimentSpec
    from kerasflow.tracking.folder import RunFolder
    from kerasflow.tracking.port import Context, Tracker
    from kerasflow.training.history import History, Row
    from kerasflow.training.port import Training

DEFAULT_STORE = "sqlite:///mlflow.db"


def open_tracker(spec: ExperimentSpec, file: str = "") -> tuple[Tracker | None, str]:
    """The tracker that a spec asks for, and its store's URI; nothing and "" for `track: {uri: none}`.

    Args:
        file: the SQLite file that the run is in already, wherever the working directory was then.
    """
    uri = spec.track.uri
    if uri == "none":
        return None, ""
    if file:
        uri = f"sqlite:///{file}"
    elif uri == "auto":
        uri = os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_STORE
    from kerasflow.tracking.mlflow_tracker import MLflowTracker

    return MLflowTracker(uri), uri


def started(tracker: Tracker | None, spec: ExperimentSpec, data: Data, engine: str) -> str:
    """Begins a run in the store, and gives its id; empty without a store."""
    from importlib.metadata import version

    from kerasflow.tracking.environment import git_tags
    from kerasflow.tracking.record import params_of

    if tracker is None:
        return ""
    tags = {
        "spec_hash": spec.content_hash(),
        "data_fingerprint": data.fingerprint,
        "kerasflow": version("kerasflow"),
        "engine": engine,
        **git_tags(),
    }
    return tracker.start(spec.experiment, spec.name, params_of(spec.to_document()), tags)


def taken_up(tracker: Tracker | None, run_id: str) -> str:
    """Goes on with the run that the store has already, and gives its id; empty where it has none."""
    if tracker is None or not run_id:
        return ""
    tracker.resume(run_id)
    return run_id


@dataclass(frozen=True)
class Record:
    """The record of one run that has begun in the store, or has none there.

    Attributes:
        run_id: the store's; empty without one.
        store: its URI.
    """

    folder: RunFolder
    mirror: Mirror
    spec: ExperimentSpec
    data: Data
    run_id: str
    store: str

    def mark_running(self) -> None:
        """Says that a process is at work on the run, and where it is recorded."""
        from kerasflow.tracking.store_uri import resolve, sqlite_file

        file = sqlite_file(resolve(self.store)) if self.store else None
        self.folder.set_status("RUNNING", run_id=self.run_id, store="" if file is None else str(file))

    def go_back(self, rows: list[Row]) -> None:
        """Leaves the epochs that a resumed run goes on from; what came after them is computed again."""
        self.folder.write_rows(rows)
        detail = f"resumed after epoch {len(rows)}"
        self.mirror(lambda tracker: tracker.set_tags({"status_detail": detail}))
        for row in rows:  # the store may have missed some; those that it has are not added again
            self._mirror_row(row)

    def begin(self) -> None:
        """What is known before the first epoch."""
        from kerasflow.tracking.environment import environment_text

        folder, data = self.folder, self.data
        folder.write_text("spec.yaml", self.spec.to_yaml())
        folder.write_text("environment.txt", environment_text())
        folder.write_json("data.json", {"fingerprint": data.fingerprint, **data.summary})
        with folder.writing("preparation.skops") as path:
            data.preparation.save(path)

        def send(tracker: Tracker) -> None:
            tracker.set_tags({"run_folder": str(folder)})
            for name in ("spec.yaml", "environment.txt", "data.json", "preparation.skops"):
                tracker.log_artifact(folder.path(name))
            parts: dict[Context, Part | None] = {"train": data.train, "validation": data.validation, "test": data.test}
            for context, part in parts.items():
                if part is not None:
                    profile = {**data.summary, "rows": len(part)}
                    tracker.log_dataset(data.summary["source"], data.fingerprint, context, profile)

        self.mirror(send)

    def epoch(self, row: dict[str, Any]) -> None:
        """An epoch's row of the history."""
        self.folder.append_row(row)
        self._mirror_row(row)

    def end(self, trainer: Training, model: keras.Model, history: History, metrics: dict[str, float]) -> None:
        """The trained model, its numbers and figures; the run is FINISHED then."""
        from kerasflow.figures import draw

        folder, data, spec = self.folder, self.data, self.spec
        with folder.writing("model.keras") as path:
            model.save(path)
        folder.write_json("metrics.json", metrics)
        beside = trainer.keep(folder.directory)
        figures = draw(folder, model, trainer, data, history, title=f"{spec.experiment}: {spec.name}")
        folder.set_status("FINISHED", history.stop_reason)

        def send(tracker: Tracker) -> None:
            tracker.log_metrics(metrics, 0)  # MLflow's charts draw bars across runs of what has no step but 0
            tracker.set_tags({"stop_reason": history.stop_reason, "batch_norm": history.batch_norm})
            for key, path in figures.items():
                tracker.log_image(key, path, 0)
            for name in ("history.jsonl", "metrics.json", "figures", *beside):
                tracker.log_artifact(folder.path(name))
            tracker.log_model(model, data.train.x[:5])

        self.mirror(send)

    def _mirror_row(self, row: Row) -> None:
        from kerasflow.tracking.record import metrics_of

        self.mirror(lambda tracker: tracker.log_metrics(metrics_of(row), row["epoch"]))
