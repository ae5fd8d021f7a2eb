"""`kf.TrackingCallback`: the record of an experiment for a model that is trained by Keras' own `fit`."""

from __future__ import annotations

import atexit
import math
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerasflow.ending import told_of_signals
from kerasflow.errors import sentence
from kerasflow.recording import recorded, store_for
from kerasflow.signature import graph_signature
from kerasflow.tracking.environment import environment_text, git_tags
from kerasflow.tracking.folder import RunFolder
from kerasflow.tracking.journal_tracker import JournalTracker
from kerasflow.tracking.record import metrics_of, params_of
from kerasflow.tracking.system import SystemMetrics
from kerasflow.training.history import History


class TrackingCallback(keras.callbacks.Callback):
    """Records what `model.fit` does: in a run folder below `runs/`, and from there in MLflow.

    Several calls of `fit` with the same callback are stages of one run, whose epochs are counted on. The run is
    FINISHED when a `fit` returns and RUNNING again while another goes on. A `fit` that does not return has FAILED, or
    was KILLED by Ctrl-C or SIGTERM: the run says so when the script ends, in a notebook when the cell does.

    Args:
        experiment: the name that runs to be compared share.
        name: the run's own.
        uri: MLflow's tracking store; `auto` is MLFLOW_TRACKING_URI where that is set, else `sqlite:///mlflow.db`;
            `none` records in the run folder alone.
        params: what else is to be compared by, such as `{"data/augmented": True}`; dicts in it become paths.
        root: run folders are made below it.
        system_metrics: whether the machine's load and memory are curves, too.

    Attributes:
        folder: the run folder; None before the first `fit`.
        run_id: MLflow's; empty while it has not answered.

    Raises:
        TrackingError: no tracking store can be where one is wanted.

    Example:
        >>> tracking = kf.TrackingCallback("digits", "two stages")
        >>> model.fit(x, y, epochs=5, callbacks=[tracking])
    """

    def __init__(
        self,
        experiment: str,
        name: str = "run",
        *,
        uri: str = "auto",
        params: Mapping[str, Any] | None = None,
        root: str | Path = "runs",
        system_metrics: bool = True,
    ) -> None:
        super().__init__()
        self.experiment, self.name, self.root = experiment, name, Path(root)
        self.given = dict(params or {})
        self._store = store_for(uri)
        self._wants_system = system_metrics
        self._system: SystemMetrics | None = None
        self._tracker: JournalTracker | None = None
        self._delivery: Any = None
        self._held = ExitStack()
        self._began = 0.0
        self._signal = ""
        self._error_before: BaseException | None = None

    @property
    def folder(self) -> Path | None:
        return None if self._tracker is None else self._tracker.folder.directory

    @property
    def run_id(self) -> str:
        return "" if self._delivery is None else str(self._delivery.run_id)

    # ---- what Keras calls ------------------------------------------------------------------------------------------

    def on_train_begin(self, logs: Any = None) -> None:
        self._interrupted("the fit before did not come to its end", _last_error())
        self._signal, self._error_before = "", _last_error()
        goes_on = self._tracker is not None
        folder = self._tracker.folder if self._tracker else RunFolder.create(self.root, self.experiment, self.name)
        self._tracker = JournalTracker(folder)
        self._delivery = self._held.enter_context(recorded(folder, self._store))
        self._held.enter_context(told_of_signals(self._note_signal))
        self._held.enter_context(_at_the_end(self._after_cell, self._at_exit))
        if goes_on:
            self._tracker.resume(self._tracker.run_id)
            folder.set_status("RUNNING")
        else:
            self._describe(self._tracker)
        self._rows = folder.rows
        self._system = SystemMetrics() if self._wants_system else None

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._began = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        assert self._tracker is not None
        number = max(epoch + 1, self._rows[-1]["epoch"] + 1 if self._rows else 1)
        optimizer = self.model.optimizer
        row = {
            "epoch": number,
            **_numbers(logs or {}),
            "updates": int(optimizer.iterations),
            "lr": float(optimizer.learning_rate),
        }
        row["seconds"] = time.perf_counter() - self._began
        self._rows.append(row)
        self._tracker.epoch(row)
        if self._system is not None and (taken := self._system(number)):
            self._tracker.log_metrics(taken, number)

    def on_train_end(self, logs: Any = None) -> None:
        assert self._tracker is not None
        tracker, folder = self._tracker, self._tracker.folder
        stopped = "a callback stopped it" if self.model.stop_training else "all epochs are completed"
        reason = f"{stopped}, after epoch {self._rows[-1]['epoch'] if self._rows else 0}"
        history = History(self._rows, reason, best_epoch=_best_epoch(self._rows))
        if self._system is not None and self._rows and (taken := self._system.last(self._rows[-1]["epoch"])):
            tracker.log_metrics(taken, self._rows[-1]["epoch"])
        best = {f"best/{key.replace('/', '_')}": value for key, value in metrics_of(history.best).items()}
        tracker.log_metrics({"best/epoch": float(history.best_epoch)} | _chosen(best), 0)
        tracker.set_tags({"stop_reason": history.stop_reason})
        try:
            self._keep_files(tracker, history)
        except Exception as error:  # a model of the user's own that cannot be saved, say: the training is done
            warnings.warn(f"the run {folder} lacks a file: {sentence(error)}", stacklevel=2)
            tracker.set_tags({"status_detail": f"lacks a file: {sentence(error)}"})
        tracker.end("FINISHED")
        folder.set_status("FINISHED", history.stop_reason)
        self._close()

    # ---- how -------------------------------------------------------------------------------------------------------

    def _describe(self, tracker: JournalTracker) -> None:
        """What is known before the first epoch."""
        folder, model = tracker.folder, self.model
        params = {
            "model": model.name,
            "parameters": model.count_params(),
            "loss": _named(model.loss),
            "optimizer": {type(model.optimizer).__name__: _plain(model.optimizer.get_config())},
            **{key: self.params[key] for key in ("epochs", "steps") if self.params.get(key) is not None},
            **{key: value.tolist() if hasattr(value, "tolist") else value for key, value in self.given.items()},
        }
        tracker.start(self.experiment, self.name, params_of(params), {"engine": "keras", "run_folder": str(folder)})
        tracker.set_tags(git_tags())
        tracker.log_artifact(folder.write_text("environment.txt", environment_text()))

    def _keep_files(self, tracker: JournalTracker, history: History) -> None:
        from kerasflow.viz.style import save

        folder = tracker.folder
        with folder.writing("history.csv") as path:
            history.to_frame().to_csv(path)
        with folder.writing("figures/cost_curve.png") as path:
            save(history.plot(), path)
        with folder.writing("model.keras") as path:
            self.model.save(path)
        tracker.log_artifact(folder.path("history.csv"))
        tracker.log_image("cost_curve", folder.path("figures/cost_curve.png"), len(history.rows))
        signature = graph_signature(self.model)
        if signature is None:  # a model that computes by code of its own has no tensors to be named
            tracker.log_artifact(folder.path("model.keras"))
        else:
            tracker.log_model(folder.path("model.keras"), signature)

    def _interrupted(self, why: str, error: BaseException | None) -> None:
        """Says how a `fit` ended that did not return.

        Args:
            why: where nobody knows better.
            error: the last one that nobody has caught; it may be older than the `fit`.
        """
        if self._tracker is None or self._tracker.folder.status.state != "RUNNING":
            return
        error = None if error is self._error_before else error
        detail = self._signal or ("Ctrl-C" if isinstance(error, KeyboardInterrupt) else "")
        killed = bool(detail)
        if error is not None and not killed:
            trace = "".join(traceback.format_exception(error))
            self._tracker.log_artifact(self._tracker.folder.write_text("traceback.txt", trace))
            detail = f"{type(error).__name__}: {error}"
        self._tracker.set_tags({"status_detail": detail or why})
        self._tracker.end("KILLED" if killed else "FAILED")
        self._tracker.folder.set_status("KILLED" if killed else "FAILED", detail or why)
        self._close()

    def _note_signal(self, name: str) -> None:
        self._signal = name

    def _after_cell(self, result: Any) -> None:
        self._interrupted("the cell ended within a fit", result.error_in_exec)

    def _at_exit(self) -> None:
        self._interrupted("the script ended within a fit", _last_error())

    def _close(self) -> None:
        self._held.close()


def _last_error() -> BaseException | None:
    """The one that ends a script, or has ended a notebook's cell."""
    return getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)


@contextmanager
def _at_the_end(of_cell: Callable[[Any], None], of_process: Callable[[], None]) -> Iterator[None]:
    """While the block runs, something is called at the end of a notebook's cell and of the process."""
    notebook = sys.modules.get("IPython")
    shell = None if notebook is None else notebook.get_ipython()
    if threading.current_thread() is not threading.main_thread():
        shell = None  # a cell may end, and leave a thread at work
    atexit.register(of_process)
    if shell is not None:
        shell.events.register("post_run_cell", of_cell)
    try:
        yield
    finally:
        atexit.unregister(of_process)
        if shell is not None:
            shell.events.unregister("post_run_cell", of_cell)


def _numbers(logs: Mapping[str, Any]) -> dict[str, float]:
    """What an epoch has told, a metric of several numbers by their places: `f1_score_0`."""
    found: dict[str, float] = {}
    for key, value in logs.items():
        values = np.asarray(value, "float64").ravel()
        names = [key] if values.size == 1 else [f"{key}_{place}" for place in range(values.size)]
        found |= dict(zip(names, values.tolist(), strict=True))
    return {key: value for key, value in found.items() if key != "epoch"}


def _best_epoch(rows: list[dict[str, Any]]) -> int:
    """The epoch of the lowest cost of validation, or of training where there is none."""
    name = "val_loss" if any("val_loss" in row for row in rows) else "loss"
    having = [row for row in rows if math.isfinite(row.get(name, math.nan))]
    return int(min(having, key=lambda row: row[name])["epoch"]) if having else 0


def _chosen(best: Mapping[str, float]) -> dict[str, float]:
    return {key: value for key, value in best.items() if key.startswith(("best/train_", "best/val_"))}


def _named(loss: Any) -> Any:
    return getattr(loss, "name", None) or getattr(loss, "__name__", None) or str(loss)


def _plain(config: Mapping[str, Any]) -> dict[str, Any]:
    """An optimizer's settings that are plain values; a schedule by its own settings."""
    found = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            value = {str(value.get("class_name")): _plain(value.get("config", {}))}
        if value is not None and key != "name":
            found[key] = value
    return found
