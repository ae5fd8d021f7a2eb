"""The search that an estimator is cloned in, recorded as one run with the fits as its parts.

scikit-learn tells an estimator nothing of the search around it. But a search clones the estimator that it was given
when it begins, and lets that clone go when it returns: so the clone finds the search among the callers, and what is to
be said of the whole is said when the clone is gone. Fits in other processes know the run's key, which clones hand on.
"""

from __future__ import annotations

import json
import sys
import weakref
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import numpy as np

from kerasflow.recording import recorded, store_for
from kerasflow.tracking.folder import RunFolder
from kerasflow.tracking.journal_tracker import JournalTracker
from kerasflow.tracking.port import Points

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class SearchRun:
    """The run of a search.

    Attributes:
        key: of the run, by which its parts name it.
        search: tells the search from others of this process.
    """

    key: str
    search: int


@dataclass(frozen=True)
class Place:
    """Where in a cross-validation a fit stands.

    Attributes:
        name: for people, from 1.
        tags: for the store, from 0 as in `cv_results_`.
    """

    name: str
    tags: dict[str, str]


def place_in_search() -> Place | None:
    """The candidate and the fold that the present fit is for; None outside of a cross-validation."""
    for frame in _callers():
        if frame.f_code.co_name == "_fit_and_score":
            known = frame.f_locals
            parts = [
                (word, known[key][0])
                for word, key in (("candidate", "candidate_progress"), ("fold", "split_progress"))
                if known.get(key)
            ]
            named = ", ".join(f"{word} {number + 1}" for word, number in parts)
            return Place(named or "fold", {word: str(number) for word, number in parts})
    return None


def search_run_for(clone: Any, before: SearchRun | None) -> SearchRun | None:
    """The run of the search that is cloning, begun if this is its first clone; else the one that there was.

    Args:
        clone: that the search keeps until it returns.
        before: of the estimator that is cloned.

    Raises:
        TrackingError: no store can be where one is wanted.
    """
    from kerasflow.estimators.recording import as_tracking, params_for

    search = _search_among_callers()
    if search is None or (before is not None and before.search == id(search)):
        return before
    tracking, kind = as_tracking(clone.tracker), type(clone).__name__
    store, name = store_for(tracking.uri), tracking.name or type(search).__name__
    experiment = tracking.experiment or kind
    folder = RunFolder.create(Path(tracking.root), experiment, name)
    held = ExitStack()
    held.enter_context(recorded(folder, store))
    tracker = JournalTracker(folder)
    given = {"search": type(search).__name__, **_search_params(search)}
    tracker.start(experiment, name, params_for(given | clone.get_params(deep=False)), {"estimator": kind})
    weakref.finalize(clone, _finish, held, tracker, search)  # the search does not hold this clone
    return SearchRun(tracker.run_id, id(search))


def _finish(held: ExitStack, tracker: JournalTracker, search: Any) -> None:
    """The search has returned, or was given up."""
    folder, results = tracker.folder, getattr(search, "cv_results_", None)
    with held:
        if results is None:
            tracker.end("FAILED")
            folder.set_status("FAILED", "the search has not come to its end")
        else:
            _tell_results(tracker, results, getattr(search, "best_index_", None))
            tracker.end("FINISHED")
            folder.set_status("FINISHED", "the search has come to its end")


def _tell_results(tracker: JournalTracker, results: Any, best: int | None) -> None:
    tracker.log_curves(list(_scores(results)))
    if best is not None:
        found = {f"best/{name}": float(results[name][best]) for name in _names(results)}
        tracker.log_metrics({**found, "best/candidate": best + 1}, 0)
        tracker.set_tags({"best_params": json.dumps(results["params"][best], default=str), **_told(results, best)})
    with tracker.folder.writing("cv_results.csv") as path:
        _table(results).to_csv(path, index=False)
    tracker.log_artifact(tracker.folder.path("cv_results.csv"))


def _scores(results: Any) -> Iterator[Points]:
    """Mean and standard deviation over folds, a step for each candidate, from 1."""
    for place in range(len(results["params"])):
        yield Points({f"cv/{name}": float(results[name][place]) for name in _names(results)}, place + 1)


def _names(results: Any) -> list[str]:
    kinds = ("mean_test_", "std_test_", "mean_train_", "std_train_", "mean_fit_time")
    return [name for name in results if name.startswith(kinds)]


def _told(results: Any, best: int) -> dict[str, str]:
    names = [name.removeprefix("mean_test_") for name in results if name.startswith("mean_test_")]
    folds = sum(name.startswith("split") and name.endswith(f"_test_{names[0]}") for name in results)
    means = {name: (results[f"mean_test_{name}"][best], results[f"std_test_{name}"][best]) for name in names}
    return {name: f"{mean:.4g} ± {std:.2g} over {folds} folds" for name, (mean, std) in means.items()}


def _table(results: Any) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(
        {
            name: np.ma.filled(column, np.nan) if np.ma.isMA(column) and column.dtype.kind == "f" else column
            for name, column in results.items()
            if name != "params"
        }
    )


def _search_params(search: Any) -> dict[str, Any]:
    own = search.get_params(deep=False)
    return {name: own[name] for name in ("cv", "scoring", "refit") if name in own}


def _search_among_callers() -> Any:
    from sklearn.model_selection._search import BaseSearchCV

    for frame in _callers():
        if frame.f_code.co_name == "_fit_and_score":  # what is cloned for one fit is gone after it
            return None
        if frame.f_code.co_name == "fit" and isinstance(frame.f_locals.get("self"), BaseSearchCV):
            return frame.f_locals["self"]
    return None


def _callers() -> Iterator[FrameType]:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        yield frame
        frame = frame.f_back
