"""The one page that joins the rooms: an `ExperimentSpec` in, a `RunResult` out, everything on disk and in MLflow."""

from __future__ import annotations

import os
import signal
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerasflow.errors import TrackingError
from kerasflow.spec.experiment import ExperimentSpec, load_spec

if TYPE_CHECKING:
    import keras

    from kerasflow.data import Data, Part
    from kerasflow.tracking.folder import RunFolder
    from kerasflow.tracking.port import Context, EndStatus, Tracker
    from kerasflow.training.history import History
    from kerasflow.training.progress import Verbose
    from kerasflow.training.trainer import Trainer

DEFAULT_STORE = "sqlite:///mlflow.db"


@dataclass(frozen=True, eq=False)
class RunResult:
    """What a run leaves.

    Attributes:
        metrics: the final numbers by name: `test/loss`, `test/accuracy`, ..., `best/epoch`, and the best epoch's
            others.
        model: trained.
        history: every epoch, and why it stopped.
        folder: the run folder.
        run_id: MLflow's; empty without tracking.
        spec: resolved.
        store: the tracking store's URI; empty without tracking.
    """

    metrics: dict[str, float]
    model: keras.Model
    history: History
    folder: Path
    run_id: str
    spec: ExperimentSpec
    store: str


def run(
    source: str | Path | Mapping[str, Any] | ExperimentSpec,
    overrides: Mapping[str, Any] | None = None,
    *,
    root: str | Path = "runs",
    verbose: Verbose = "auto",
) -> RunResult:
    """Runs one experiment: data, model, training, figures, record.

    Args:
        source: a spec, its path, text or dict.
        overrides: values by dotted path, e.g. `{"train.epochs": 3}`.
        root: run folders are made below it.
        verbose: 0 silent, 1 a progress bar, 2 a line an epoch; `auto` looks whether there is a terminal.

    Raises:
        SpecError, DataError, BuildError: what is wanted cannot be; nothing has been written then.
        TrainingError: the loss, a metric or a stopping rule does not fit; nothing has been written then. Or the
            training failed; the run says FAILED then, with the traceback in its folder.
        TrackingError: the tracking store does not answer; nothing has been written then.
        RunError: the disk failed; so does the run, as far as that can still be written.
    """
    from kerasflow.data import load
    from kerasflow.tracking.folder import RunFolder

    spec = load_spec(source, overrides)
    data = load(spec.data, spec.seed)
    model, trainer = assemble(spec, data, verbose)
    tracker, store = open_tracker(spec)
    mirror = _Mirror(tracker)
    with _truthful_status(mirror) as begun:
        run_id = begun.run_id = _start(tracker, spec, data)
        folder = begun.folder = RunFolder.create(Path(root), spec.experiment, spec.name)
        _write_beginning(folder, mirror, spec, data, run_id)
        history = _train(model, trainer, data, folder, mirror)
        metrics = _final_metrics(model, data, history, trainer)
        _write_end(folder, mirror, spec, trainer, model, data, history, metrics)
    return RunResult(metrics, model, history, folder.directory, run_id, spec, store)


def assemble(spec: ExperimentSpec, data: Data, verbose: Verbose = 0) -> tuple[keras.Model, Trainer]:
    """The model for the data, with seeded weights, and the trainer that the spec describes, checked to fit together.

    Raises:
        BuildError: the layers do not fit together, or not the data.
        TrainingError: the loss, a metric or a stopping rule does not fit.
    """
    from kerasflow.builders import graph, objects
    from kerasflow.training import stop
    from kerasflow.training.trainer import Trainer

    prep, train = data.preparation, spec.train
    model = graph.build(
        spec.model,
        prep.input_shape,
        prep.n_outputs,
        prep.task,
        seed=spec.seed,
        where=lambda path: spec.where(("model", *path)),
    )
    rules = {"plateau": stop.Plateau, "threshold": stop.Threshold, "deadline": stop.Deadline}
    chosen = [rule.chosen for rule in train.stop]
    trainer = Trainer(
        objects.optimizer(train.optimizer),
        objects.loss(train.loss, prep.task),
        objects.metrics(train.metrics, prep.task),
        batch_size=train.batch_size,
        micro_batch_size=train.micro_batch_size,
        batch_norm=train.batch_norm,
        epochs=train.epochs,
        seed=spec.seed,
        engine=train.engine,
        stop=[rules[name](**dict(part)) for name, part in chosen],
        verbose=verbose,
    )
    trainer.check(model, data.train.x, data.train.y, validation=_held_out(data))
    return model, trainer


def _held_out(data: Data) -> tuple[Any, Any] | None:
    return None if data.validation is None else (data.validation.x, data.validation.y)


def open_tracker(spec: ExperimentSpec) -> tuple[Tracker | None, str]:
    """The tracker that a spec asks for, and its store's URI; nothing and "" for `track: {uri: none}`."""
    uri = spec.track.uri
    if uri == "none":
        return None, ""
    if uri == "auto":
        uri = os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_STORE
    from kerasflow.tracking.mlflow_tracker import MLflowTracker

    return MLflowTracker(uri), uri


def _start(tracker: Tracker | None, spec: ExperimentSpec, data: Data) -> str:
    from importlib.metadata import version

    from kerasflow.tracking.environment import git_tags
    from kerasflow.tracking.record import params_of
    from kerasflow.training.loop import choose_engine

    if tracker is None:
        return ""
    tags = {
        "spec_hash": spec.content_hash(),
        "data_fingerprint": data.fingerprint,
        "kerasflow": version("kerasflow"),
        "engine": choose_engine(spec.train.engine)[0],
        **git_tags(),
    }
    return tracker.start(spec.experiment, spec.name, params_of(spec.to_document()), tags)


class _Mirror:
    """A tracker that may fail without taking the training with it: the run folder is the truth.

    Every call is tried, because a store may come back; the first that fails is told, the others are not.
    """

    def __init__(self, tracker: Tracker | None) -> None:
        self.tracker = tracker
        self.told = False

    def __call__(self, send: Callable[[Tracker], None]) -> None:
        if self.tracker is None:
            return
        try:
            send(self.tracker)
        except TrackingError as error:
            if not self.told:
                warnings.warn(f"not all is recorded in MLflow, but all is in the run folder: {error}", stacklevel=3)
            self.told = True


def _train(model: keras.Model, trainer: Trainer, data: Data, folder: RunFolder, mirror: _Mirror) -> History:
    from kerasflow.tracking.record import metrics_of

    def on_epoch(row: dict[str, Any]) -> None:
        folder.append_row(row)
        mirror(lambda tracker: tracker.log_metrics(metrics_of(row), row["epoch"]))

    return trainer.fit(model, data.train.x, data.train.y, validation=_held_out(data), on_epoch=on_epoch)


def _final_metrics(model: keras.Model, data: Data, history: History, trainer: Trainer) -> dict[str, float]:
    from kerasflow.tracking.record import metrics_of
    from kerasflow.training.evaluate import evaluate

    metrics = {"best/epoch": float(history.best_epoch)}
    metrics |= {f"best/{k}": v for k, v in metrics_of(history.best).items() if k.startswith(("train/", "val/"))}
    metrics = {
        name.replace("best/train/", "best/train_").replace("best/val/", "best/val_"): v for name, v in metrics.items()
    }
    if data.test is not None:
        found = evaluate(model, data.test.x, data.test.y, trainer.evaluation_batch, history.engine, trainer.batch_size)
        metrics |= {f"test/{name}": value for name, value in found.items()}
    return metrics


def _write_beginning(folder: RunFolder, mirror: _Mirror, spec: ExperimentSpec, data: Data, run_id: str) -> None:
    from kerasflow.tracking.environment import environment_text

    folder.set_status("RUNNING", run_id=run_id)
    folder.write_text("spec.yaml", spec.to_yaml())
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

    mirror(send)


def _write_end(
    folder: RunFolder,
    mirror: _Mirror,
    spec: ExperimentSpec,
    trainer: Trainer,
    model: keras.Model,
    data: Data,
    history: History,
    metrics: dict[str, float],
) -> None:
    from kerasflow.figures import draw

    with folder.writing("model.keras") as path:
        model.save(path)
    folder.write_json("metrics.json", metrics)
    title, cost = f"{spec.experiment}: {spec.name}", trainer.loss.name
    figures = draw(folder, model, data, history, title=title, cost=cost, batch_size=trainer.evaluation_batch)
    folder.set_status("FINISHED", history.stop_reason)

    def send(tracker: Tracker) -> None:
        tracker.log_metrics(metrics, 0)  # MLflow's charts draw bars across runs of what has no step but 0
        tracker.set_tags({"stop_reason": history.stop_reason, "batch_norm": history.batch_norm})
        for key, path in figures.items():
            tracker.log_image(key, path, 0)
        for name in ("history.jsonl", "metrics.json", "figures"):
            tracker.log_artifact(folder.path(name))
        tracker.log_model(model, data.train.x[:5])

    mirror(send)


class _Terminated(BaseException):
    """SIGTERM, as an exception that unwinds the run like Ctrl-C does."""


@dataclass
class _Begun:
    """As much of a run as there is yet."""

    run_id: str = ""
    folder: RunFolder | None = None


@contextmanager
def _truthful_status(mirror: _Mirror) -> Iterator[_Begun]:
    """Whatever ends the block, folder and tracker say it: FINISHED, FAILED with the traceback, or KILLED."""
    begun = _Begun()
    try:
        with _sigterm_raises():
            yield begun
            mirror(lambda tracker: tracker.end("FINISHED"))
    except Exception as error:
        _end(mirror, begun, "FAILED", f"{type(error).__name__}: {error}", traceback.format_exc())
        raise
    except BaseException as error:
        names = {KeyboardInterrupt: "Ctrl-C", _Terminated: "SIGTERM"}
        _end(mirror, begun, "KILLED", names.get(type(error), type(error).__name__), "")
        if isinstance(error, _Terminated):
            raise SystemExit(128 + signal.SIGTERM) from None
        raise


def _end(mirror: _Mirror, begun: _Begun, status: EndStatus, detail: str, trace: str) -> None:
    """Says how a run ended wherever that can still be said; a full disk or a dead server must not hide the fault."""
    from kerasflow.errors import RunError

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
