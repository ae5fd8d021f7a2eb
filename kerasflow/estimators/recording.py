"""Fits that record themselves in MLflow, and searches whose fits are recorded as parts of one run."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kerasflow.data.fingerprint import fingerprint
from kerasflow.ending import truthful_status
from kerasflow.estimators.searches import SearchRun, place_in_search
from kerasflow.recording import recorded, store_for
from kerasflow.signature import signature_of
from kerasflow.tracking.delivery import Delivery
from kerasflow.tracking.environment import git_tags
from kerasflow.tracking.folder import RunFolder
from kerasflow.tracking.journal_tracker import JournalTracker
from kerasflow.tracking.record import metrics_of, params_of
from kerasflow.training.history import History, Row

_NOT_PARAMS = ("tracker", "verbose", "warm_start", "callbacks")


@dataclass(frozen=True)
class Tracking:
    """Where an estimator's fits are recorded.

    Args:
        experiment: the name that runs to be compared share; the estimator's class if empty.
        uri: MLflow's tracking store, such as `sqlite:///mlflow.db` or `http://host:5000`; `auto` is
            MLFLOW_TRACKING_URI where that is set, else `sqlite:///mlflow.db`.
        name: of each run; the estimator's class if empty.
        root: run folders are made below it.
    """

    experiment: str = ""
    uri: str = "auto"
    name: str = ""
    root: str = "runs"


def as_tracking(given: Any) -> Tracking:
    """What the parameter `tracker` says.

    Raises:
        TypeError: it is neither an address nor a `Tracking`.
    """
    if isinstance(given, str):
        return Tracking(uri=given)
    if not isinstance(given, Tracking):
        raise TypeError(f"tracker must be None, the address of an MLflow store or a kf.Tracking, got {given!r}")
    return given


class Recording:
    """One fit in its run folder, and from there in the tracking store: epochs as they come, the end as it was."""

    def __init__(self, tracker: JournalTracker, delivery: Delivery | None, updates: int, is_part: bool) -> None:
        self.tracker, self.folder, self.delivery = tracker, tracker.folder, delivery
        self.updates, self.is_part = updates, is_part
        self.reason = ""

    @property
    def run_id(self) -> str:
        """The store's; empty while it has not answered."""
        return "" if self.delivery is None else self.delivery.run_id

    def epoch(self, row: Row) -> None:
        """An epoch's row of the history."""
        self.tracker.epoch(row | {"updates": row["updates"] + self.updates})

    def end(self, history: History, trained: tuple[Any, Any] | None) -> None:
        """The history is whole; a part of a search leaves its curves alone.

        Args:
            trained: the model and a sample, to be kept with a picture of the curves; None where more is to come.
        """
        self.reason = history.stop_reason
        tags = {"stop_reason": history.stop_reason, "engine": history.engine, "batch_norm": history.batch_norm}
        self.tracker.set_tags(tags)
        best = {f"best/{key}": value for key, value in metrics_of(history.best).items() if key.startswith("val/")}
        self.tracker.log_metrics({"best/epoch": history.best_epoch, **best}, 0)
        if self.is_part or trained is None:
            return
        with self.folder.writing("figures/cost_curve.png") as path:
            _draw(history, path)
        self.tracker.log_image("cost_curve", self.folder.path("figures/cost_curve.png"), 0)
        with self.folder.writing("model.keras") as path:
            trained[0].save(path)
        self.tracker.log_model(self.folder.path("model.keras"), signature_of(*trained))


@contextmanager
def recording(
    estimator: Any, part_of: SearchRun | None, X: Any, y: Any, before: Path | None, updates: int
) -> Iterator[Recording]:
    """Around a fit: its run, which ends as the fit does.

    Args:
        part_of: the search that the fit belongs to.
        before: the folder of the run to go on with; None for a new one.
        updates: that were made before.

    Raises:
        TrackingError: no store can be where one is wanted, before anything is trained.
    """
    tracking, kind = as_tracking(estimator.tracker), type(estimator).__name__
    place, store = place_in_search(), store_for(tracking.uri)
    name = place.name if place is not None else "refit" if part_of is not None else tracking.name or kind
    experiment = tracking.experiment or kind
    goes_on = before is not None and before.is_dir()  # not where the estimator came from another machine
    folder = RunFolder(before) if before and goes_on else RunFolder.create(Path(tracking.root), experiment, name)
    tracker = JournalTracker(folder)
    with recorded(folder, store) as delivery:
        found = Recording(tracker, delivery, updates, part_of is not None and place is not None)
        with truthful_status(tracker):
            if goes_on:
                tracker.resume(tracker.run_id)
                folder.set_status("RUNNING")
            else:
                tags = {"estimator": kind, **(place.tags if place is not None else {}), **git_tags()}
                params = params_for(estimator.get_params(deep=False))
                tracker.start(experiment, name, params, tags, "" if part_of is None else part_of.key)
                if not found.is_part:
                    _log_data(tracker, X, y)
            yield found
            tracker.end("FINISHED")
            folder.set_status("FINISHED", found.reason)


def params_for(params: Mapping[str, Any]) -> dict[str, Any]:
    """An estimator's parameters as a store has them: `optimizer/learning_rate`; objects by their names."""
    return params_of({name.replace("__", "/"): _shown(v) for name, v in params.items() if name not in _NOT_PARAMS})


def _shown(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, list | tuple):
        return [_shown(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _shown(item) for key, item in value.items()}
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if inspect.isclass(value) or inspect.isroutine(value):
        return value.__name__
    if hasattr(value, "get_config"):
        return f"{type(value).__name__} {json.dumps(value.get_config(), default=str)}"
    return str(value)


def _log_data(tracker: JournalTracker, X: Any, y: Any) -> None:
    if not isinstance(X, np.ndarray):
        return
    digest = fingerprint([("x", X), ("y", np.asarray(y))])
    profile = {"rows": len(X), "shape": list(X.shape), "dtype": str(X.dtype)}
    tracker.log_dataset("arrays", digest, "train", profile)


def _draw(history: History, path: Path) -> None:
    from kerasflow.viz.style import save

    save(history.plot(), path)
