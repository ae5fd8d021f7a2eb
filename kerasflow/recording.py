"""What a run leaves, written as it goes: in its folder, whose journal a tracking store is told from."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kerasflow.errors import TrackingError
from kerasflow.tracking.record import params_of

if TYPE_CHECKING:
    import keras

    from kerasflow.data import Data, Part
    from kerasflow.spec.experiment import ExperimentSpec
    from kerasflow.tracking.delivery import Delivery
    from kerasflow.tracking.folder import RunFolder
    from kerasflow.tracking.journal_tracker import JournalTracker
    from kerasflow.tracking.port import Context
    from kerasflow.tracking.system import SystemMetrics
    from kerasflow.training.history import History, Row
    from kerasflow.training.port import Training

DEFAULT_STORE = "sqlite:///mlflow.db"


def store_for(uri: str) -> str:
    """The tracking store that is meant: `auto` is MLFLOW_TRACKING_URI, else a file here; empty for `none`.

    Raises:
        TrackingError: no store can be there; whether somebody answers shows later.
    """
    from kerasflow.tracking import store_uri

    if uri == "none":
        return ""
    if uri == "auto":
        uri = os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_STORE
    store_uri.check_possible(store_uri.resolve(uri))
    return uri


def store_of(folder: RunFolder) -> str:
    """The store that a run began for; empty for none.

    Raises:
        TrackingError: its address holds a password, which is kept nowhere; or the run is in a file that is gone.
    """
    from kerasflow.tracking import store_uri
    from kerasflow.tracking.delivery import recorded_in

    kept, run_id = recorded_in(folder)
    store = store_uri.with_password(kept, os.environ.get("MLFLOW_TRACKING_URI", ""))
    file = store_uri.sqlite_file(store)
    if run_id and file is not None and not file.exists():
        raise TrackingError(f"{folder}: its tracking store {file} is not there; bring it back")
    return store


@contextmanager
def recorded(folder: RunFolder, store: str) -> Iterator[Delivery | None]:
    """While the block runs, nobody else writes this run, and what it writes is sent to the store.

    Args:
        store: its address; empty for none.
    """
    from kerasflow.tracking.shipper import shipping

    delivery = delivery_to(folder, store) if store else None
    with closing(folder.journal), folder.locked(), shipping(delivery):
        yield delivery


def delivery_to(folder: RunFolder, store: str) -> Delivery:
    """What brings a run to an MLflow store."""
    from kerasflow.tracking import store_uri
    from kerasflow.tracking.delivery import Delivery
    from kerasflow.tracking.mlflow_tracker import MLflowTracker

    return Delivery(folder, store_uri.resolve(store), MLflowTracker)


@dataclass(frozen=True)
class Record:
    """The record of one run of a spec."""

    tracker: JournalTracker
    spec: ExperimentSpec
    data: Data
    system: SystemMetrics | None

    @classmethod
    def of(cls, folder: RunFolder, spec: ExperimentSpec, data: Data) -> Record:
        """The record in a run's folder."""
        from kerasflow.tracking.journal_tracker import JournalTracker
        from kerasflow.tracking.system import SystemMetrics

        return cls(JournalTracker(folder), spec, data, SystemMetrics() if spec.track.system_metrics else None)

    def start(self) -> None:
        """The run begins; before anything can fail, so that its failure has a run to be told of."""

        spec = self.spec
        self.tracker.start(
            spec.experiment, spec.name, params_of(spec.to_document()), {"spec_hash": spec.content_hash()}
        )

    def begin(self, engine: str, more: Mapping[str, str]) -> None:
        """What is known before the first epoch.

        Args:
            more: tags beside those of every run.
        """
        from importlib.metadata import version

        from kerasflow.tracking.environment import environment_text, git_tags

        folder, data, spec = self.tracker.folder, self.data, self.spec
        tags = {
            "data_fingerprint": data.fingerprint,
            "kerasflow": version("kerasflow"),
            "engine": engine,
            "run_folder": str(folder),
            **git_tags(),
            **more,
        }
        self.tracker.set_tags(tags)
        folder.write_text("spec.yaml", spec.without_password().to_yaml())
        folder.write_text("environment.txt", environment_text())
        folder.write_json("data.json", {"fingerprint": data.fingerprint, **data.summary})
        with folder.writing("preparation.skops") as path:
            data.preparation.save(path)
        self._keep("spec.yaml", "environment.txt", "data.json", "preparation.skops")
        parts: dict[Context, Part | None] = {"train": data.train, "validation": data.validation, "test": data.test}
        for context, part in parts.items():
            if part is not None:
                profile = {**data.summary, "rows": len(part)}
                self.tracker.log_dataset(data.summary["source"], data.fingerprint, context, profile)

    def go_on(self, rows: list[Row]) -> None:
        """A run goes on from these epochs; what came after them is computed again."""
        self.tracker.resume(self.tracker.run_id)
        self.tracker.folder.set_status("RUNNING")
        self.tracker.go_back(rows)
        self.tracker.set_tags({"status_detail": f"resumed after epoch {len(rows)}"})

    def epoch(self, row: dict[str, Any]) -> None:
        """An epoch's row of the history."""
        self.tracker.epoch(row)
        if self.system is not None and (taken := self.system(row["epoch"])):
            self.tracker.log_metrics(taken, row["epoch"])

    def end(self, trainer: Training, model: keras.Model, history: History, metrics: dict[str, float]) -> None:
        """The trained model, its numbers and figures; the run is FINISHED then."""
        from kerasflow.figures import draw
        from kerasflow.outcome import Outcome, tables
        from kerasflow.signature import signature_of

        folder, data, spec, tracker = self.tracker.folder, self.data, self.spec, self.tracker
        if self.system is not None and history.rows and (taken := self.system.last(history.rows[-1]["epoch"])):
            tracker.log_metrics(taken, history.rows[-1]["epoch"])
        with folder.writing("model.keras") as path:
            model.save(path)
        folder.write_json("metrics.json", metrics)
        beside = trainer.keep(folder.directory)
        outcome = Outcome.of(trainer, model, data)
        title = f"{spec.experiment}: {spec.name}"
        figures = draw(folder, model, trainer.cost, data, history, outcome, title=title)
        found = {**tables(outcome, data), "history.csv": history.to_frame()}
        for name, table in found.items():
            with folder.writing(name) as path:
                table.to_csv(path)
        tracker.log_metrics(metrics, 0)  # MLflow's charts draw bars across runs of what has no step but 0
        tracker.set_tags({"stop_reason": history.stop_reason, "batch_norm": history.batch_norm})
        for key, path in figures.items():
            tracker.log_image(key, path, 0)
        self._keep(*found, "metrics.json", "figures", *beside)
        tracker.log_model(folder.path("model.keras"), signature_of(model, data.train.x[:5]))
        tracker.end("FINISHED")
        folder.set_status("FINISHED", history.stop_reason)

    def _keep(self, *names: str) -> None:
        """Files of the folder become artifacts."""
        for name in names:
            self.tracker.log_artifact(self.tracker.folder.path(name))
