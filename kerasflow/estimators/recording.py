"""Fits that record themselves in MLflow, and searches whose fits are recorded as parts of one run."""

from __future__ import annotations

import inspect
import json
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kerasflow.data.fingerprint import fingerprint
from kerasflow.ending import Mirror, truthful_status
from kerasflow.estimators.searches import SearchRun, place_in_search
from kerasflow.recording import DEFAULT_STORE
from kerasflow.tracking.environment import git_tags
from kerasflow.tracking.mlflow_tracker import MLflowTracker
from kerasflow.tracking.record import metrics_of, params_of
from kerasflow.training.history import History, Row

SECONDS_BETWEEN = 1.0  # what the epochs of a shorter time hold is sent at once: a request takes as long as some epochs
_NOT_PARAMS = ("tracker", "verbose", "warm_start", "callbacks")


@dataclass(frozen=True)
class Tracking:
    """Where an estimator's fits are recorded.

    Args:
        experiment: the name that runs to be compared share; the estimator's class if empty.
        uri: MLflow's tracking store, such as `sqlite:///mlflow.db` or `http://host:5000`; `auto` is
            MLFLOW_TRACKING_URI where that is set, else `sqlite:///mlflow.db`.
        name: of each run; the estimator's class if empty.
    """

    experiment: str = ""
    uri: str = "auto"
    name: str = ""

    def open(self) -> MLflowTracker:
        """A tracker for one run."""
        uri = os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_STORE if self.uri == "auto" else self.uri
        return MLflowTracker(uri)


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
    """One fit in the tracking store: epochs as they come, the end as it was.

    Attributes:
        run_id: the store's.
    """

    def __init__(self, tracker: MLflowTracker, mirror: Mirror, updates: int, is_part: bool) -> None:
        self.tracker, self.mirror, self.updates, self.is_part = tracker, mirror, updates, is_part
        self.run_id = tracker.run_id
        self._rows: list[Row] = []
        self._sent = time.monotonic()

    def epoch(self, row: Row) -> None:
        """An epoch's row of the history."""
        self._rows.append(row | {"updates": row["updates"] + self.updates})
        if time.monotonic() - self._sent > SECONDS_BETWEEN:
            self._send()

    def end(self, history: History, trained: tuple[Any, Any] | None) -> None:
        """The history is whole; a part of a search leaves its curves alone.

        Args:
            trained: the model and a sample, to be kept with a picture of the curves; None where more is to come.
        """
        self._send()
        tags = {"stop_reason": history.stop_reason, "engine": history.engine, "batch_norm": history.batch_norm}
        self.mirror(lambda tracker: tracker.set_tags(tags))
        best = {f"best/{key}": value for key, value in metrics_of(history.best).items() if key.startswith("val/")}
        self.mirror(lambda tracker: tracker.log_metrics({"best/epoch": history.best_epoch, **best}, 0))
        if self.is_part or trained is None:
            return
        with tempfile.TemporaryDirectory() as folder:
            picture = Path(folder) / "cost_curve.png"
            _draw(history, picture)
            self.mirror(lambda tracker: tracker.log_image("cost_curve", picture, 0))
        self.mirror(lambda tracker: tracker.log_model(*trained))

    def _send(self) -> None:
        points = [(metrics_of(row), int(row["epoch"])) for row in self._rows]
        self._rows, self._sent = [], time.monotonic()
        if points:
            self.mirror(lambda tracker: tracker.log_curves(points))


@contextmanager
def recording(
    estimator: Any, part_of: SearchRun | None, X: Any, y: Any, run_id: str, updates: int
) -> Iterator[Recording]:
    """Around a fit: its run, which ends as the fit does.

    Args:
        part_of: the search that the fit belongs to.
        run_id: of the run to go on with; empty for a new one.
        updates: that were made before.

    Raises:
        TrackingError: the store does not answer, or refuses, before anything is trained.
    """
    tracking = as_tracking(estimator.tracker)
    tracker = tracking.open()
    mirror = Mirror(tracker, "but all is in the estimator's history_")
    place = place_in_search()
    is_part = part_of is not None and place is not None
    with truthful_status(mirror) as begun:
        if run_id:
            tracker.resume(run_id)
        else:
            kind = type(estimator).__name__
            name = place.name if place is not None else "refit" if part_of is not None else tracking.name or kind
            tags = {"estimator": kind, **(place.tags if place is not None else {}), **git_tags()}
            parent = "" if part_of is None else part_of.run_id
            params = params_for(estimator.get_params(deep=False))
            tracker.start(tracking.experiment or kind, name, params, tags, parent)
        begun.run_id = tracker.run_id
        if not is_part and not run_id:
            _log_data(mirror, X, y)
        yield Recording(tracker, mirror, updates, is_part)


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


def _log_data(mirror: Mirror, X: Any, y: Any) -> None:
    if not isinstance(X, np.ndarray):
        return
    digest = fingerprint([("x", X), ("y", np.asarray(y))])
    profile = {"rows": len(X), "shape": list(X.shape), "dtype": str(X.dtype)}
    mirror(lambda tracker: tracker.log_dataset("arrays", digest, "train", profile))


def _draw(history: History, path: Path) -> None:
    from kerasflow.viz.style import save

    save(history.plot(), path)
