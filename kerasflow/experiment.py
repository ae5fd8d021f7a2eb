"""The one page that joins the rooms: an `ExperimentSpec` in, a `RunResult` out, everything on disk and in MLflow.

A run that was interrupted, or whose process died, goes on from its folder.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerasflow.assembly import assemble, held_out
from kerasflow.ending import truthful_status
from kerasflow.errors import DataError, RunError, SpecError
from kerasflow.recording import Record, recorded, store_for, store_of
from kerasflow.spec.experiment import ExperimentSpec, load_spec

if TYPE_CHECKING:
    import keras

    from kerasflow.data import Data
    from kerasflow.tracking.delivery import Delivery
    from kerasflow.tracking.folder import RunFolder
    from kerasflow.training.checkpoint import Checkpoints
    from kerasflow.training.history import History
    from kerasflow.training.port import Training
    from kerasflow.training.progress import Verbose


@dataclass(frozen=True, eq=False)
class RunResult:
    """What a run leaves.

    Attributes:
        metrics: the final numbers by name: `test/loss`, `test/accuracy`, ..., `best/epoch`, and the best epoch's
            others; `data/labelled`, samples of the training and validation parts, and `perf/train_seconds`, which no
            other run has to the bit.
        model: trained.
        history: every epoch, and why it stopped.
        folder: the run folder.
        run_id: MLflow's; empty without tracking, and while the store has not answered.
        spec: resolved.
        store: the tracking store's URI; empty without tracking.
        is_chief: whether this process has written the record: False for a cluster's workers but the chief, which have
            no run folder of their own (`folder` is the one that the chief's is somewhere below) and no run in MLflow.
    """

    metrics: dict[str, float]
    model: keras.Model
    history: History
    folder: Path
    run_id: str
    spec: ExperimentSpec
    store: str
    is_chief: bool = True


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
        TrackingError: no tracking store can be where one is wanted; nothing has been written then. One that does not
            answer is told later, see `kerasflow sync`.
        RunError: the disk failed; so does the run, as far as that can still be written.
    """
    return begin(load_spec(source, overrides), root, verbose)


@dataclass(frozen=True)
class Earlier:
    """A run that a new one repeats.

    Attributes:
        name: its id in the tracking store, or its folder's name.
        fingerprint: of its data; empty if the new one's is to be another.
        changed: what the new one does otherwise; empty for nothing.
    """

    name: str
    fingerprint: str
    changed: str = ""

    @property
    def tags(self) -> dict[str, str]:
        """Of the new run."""
        return {"rerun_of": self.name} | ({"rerun_with": self.changed} if self.changed else {})


def begin(spec: ExperimentSpec, root: str | Path, verbose: Verbose, repeats: Earlier | None = None) -> RunResult:
    """Runs an experiment as `run` does.

    Args:
        repeats: the run that this one does again; its data must be the same.

    Raises:
        DataError: the data is not that of the run to be repeated; nothing has been written then.
        Others: as `run`.
    """
    from kerasflow.data import load
    from kerasflow.tracking.folder import RunFolder
    from kerasflow.training.distribution import joined

    if spec.sweep is not None:
        where = spec.where(("sweep",))
        warnings.warn(f"{where}: a run takes the spec as it stands; kerasflow sweep tries what is in it", stacklevel=3)
    strategy = joined(spec.train.strategy)
    data = load(spec.data, spec.seed)
    if repeats is not None and repeats.fingerprint:
        _check_same_data(repeats.name, repeats.fingerprint, data)
    model, trainer = assemble(spec, data, verbose, strategy)
    if not trainer.is_chief:
        return _follow(Path(root), spec, data, model, trainer)
    store = store_for(spec.track.uri)
    folder = RunFolder.create(Path(root), spec.experiment, spec.name)
    record = Record.of(folder, spec, data)
    with recorded(folder, store) as delivery:
        with truthful_status(record.tracker):
            record.start()
            record.begin(_engine(trainer, model, data), {} if repeats is None else repeats.tags)
            result = _complete(record, model, trainer)
        _checkpoints(folder).clear()
    return _as_delivered(result, delivery, store)


def resume(folder: str | Path, *, verbose: Verbose = "auto") -> RunResult:
    """Goes on with a run that was interrupted, failed, or whose process died: in its folder and its run in MLflow.

    It ends in the same bits as if nothing had happened. Epochs that its last checkpoint does not know are computed
    again; a run without one begins again from the start. History and curves are continuous: no epoch is there twice.

    Args:
        folder: the run's, `runs/<experiment>/<name>-<time>-<id>`.
        verbose: as for `kf.run`.

    Raises:
        RunError: there is no such run, it has finished, or another process is at work on it.
        DataError: the data is not what it was when the run began.
        SpecError, BuildError, TrainingError, TrackingError: as for `kf.run`.
    """
    from kerasflow.data import load
    from kerasflow.tracking.folder import RunFolder
    from kerasflow.training.distribution import devices_for, joined

    opened = RunFolder.open(folder)
    spec = load_spec(_spec_file(opened))
    strategy = joined(spec.train.strategy)
    is_chief = devices_for(strategy).is_chief
    store = store_of(opened)
    with recorded(opened, store) if is_chief else nullcontext() as delivery:
        checkpoints, status = _checkpoints(opened), opened.status
        rows = checkpoints.rows()
        if status.state == "FINISHED" and rows is None:
            raise RunError(f"{folder}: the run has finished ({status.reason}); there is nothing to go on with")
        data = load(spec.data, spec.seed)
        if (opened.directory / "data.json").is_file():  # else it ended before the training began
            _check_same_data(str(opened), opened.read_json("data.json")["fingerprint"], data)
        model, trainer = assemble(spec, data, verbose, strategy)
        if not trainer.is_chief:
            return _follow(opened.directory, spec, data, model, trainer, checkpoints)
        record = Record.of(opened, spec, data)
        with truthful_status(record.tracker):
            record.go_on(rows or [])
            result = _complete(record, model, trainer, sum(row["seconds"] for row in rows or []))
        checkpoints.clear()
    return _as_delivered(result, delivery, store)


def unfinished(spec: ExperimentSpec, root: str | Path = "runs") -> Path:
    """The newest run of this spec that has not finished: of its experiment and name, with the same numbers to come.

    Raises:
        RunError: there is none below `root`.
    """
    from kerasflow.tracking.folder import RunFolder

    for run in reversed(RunFolder.list(Path(root), spec.experiment)):
        status = run.status
        if status.name == spec.name and status.state != "FINISHED" and _is_of(run, spec):
            return run.directory
    raise RunError(
        f"{root}: no run of {spec.experiment!r} named {spec.name!r} with this spec waits to go on; begin a new one"
    )


def _is_of(run: RunFolder, spec: ExperimentSpec) -> bool:
    try:
        return load_spec(_spec_file(run)).content_hash() == spec.content_hash()
    except (RunError, SpecError):
        return False


def _spec_file(run: RunFolder) -> Path:
    file = run.directory / "spec.yaml"
    if not file.is_file():
        raise RunError(f"{run}: the run ended before its spec was written; begin a new one")
    return file


def _check_same_data(run: str, before: str, data: Data) -> None:
    if before != data.fingerprint:
        raise DataError(
            f"{data.summary['source']}: is not the data that {run} began with (SHA-256 {before[:12]}… then, "
            f"{data.fingerprint[:12]}… now); bring that back, or begin a new run"
        )


def _checkpoints(folder: RunFolder) -> Checkpoints:
    from kerasflow.training.checkpoint import Checkpoints

    return Checkpoints(folder.directory / "checkpoints")


def _engine(trainer: Training, model: keras.Model, data: Data) -> str:
    return trainer.engine_for(model, data.train.x, data.train.y)[0]


def _complete(record: Record, model: keras.Model, trainer: Training, spent: float = 0.0) -> RunResult:
    """A run that has begun, from its first or next epoch to its end; `spent` are seconds of the epochs before."""
    data, folder = record.data, record.tracker.folder
    began = time.perf_counter() - spent
    history = trainer.fit(
        model,
        data.train.x,
        data.train.y,
        validation=held_out(data),
        on_epoch=record.epoch,
        on_update=record.update if record.spec.track.updates else None,
        checkpoints=_checkpoints(folder),
    )
    seconds = time.perf_counter() - began
    metrics = final_metrics(model, data, history, trainer) | {"perf/train_seconds": seconds}
    record.end(trainer, model, history, metrics)
    return RunResult(metrics, model, history, folder.directory, "", record.spec, "")


def _as_delivered(result: RunResult, delivery: Delivery | None, store: str) -> RunResult:
    return replace(result, store=store, run_id="" if delivery is None else delivery.run_id)


def _follow(
    root: Path,
    spec: ExperimentSpec,
    data: Data,
    model: keras.Model,
    trainer: Training,
    checkpoints: Checkpoints | None = None,
) -> RunResult:
    """A worker's part in a run that the chief keeps the record of; from the chief's checkpoint on, if there is one."""
    history = trainer.fit(model, data.train.x, data.train.y, validation=held_out(data), checkpoints=checkpoints)
    metrics = final_metrics(model, data, history, trainer)
    return RunResult(metrics, model, history, root, "", spec, "", is_chief=False)


def final_metrics(model: keras.Model, data: Data, history: History, trainer: Training) -> dict[str, float]:
    """What a training comes to, by the names of `RunResult.metrics`."""
    from kerasflow.tracking.record import metrics_of

    metrics = {"best/epoch": float(history.best_epoch)}
    metrics |= {f"best/{k}": v for k, v in metrics_of(history.best).items() if k.startswith(("train/", "val/"))}
    metrics = {
        name.replace("best/train/", "best/train_").replace("best/val/", "best/val_"): v for name, v in metrics.items()
    }
    if data.test is not None:
        found = trainer.evaluate(model, data.test.x, data.test.y, history.engine)
        metrics |= {f"test/{name}": value for name, value in found.items()}
    labelled = len(data.train) + (0 if data.validation is None else len(data.validation))
    return metrics | {"data/labelled": float(labelled)}
