"""Runs of one experiment side by side, as numbers: what differs in what was wanted, and what came of it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerasflow.columns import higher_is_better
from kerasflow.errors import RunError, did_you_mean
from kerasflow.tracking.delivery import recorded_in
from kerasflow.tracking.effects import Effect, effects
from kerasflow.tracking.folder import RunFolder
from kerasflow.tracking.journal_tracker import told_by

if TYPE_CHECKING:
    import pandas as pd

BESIDE = ("optim/", "perf/", "system/")
"""Begin the names of metrics that are no outcome: schedules, speed, load."""


@dataclass(frozen=True)
class ComparedRun:
    """One run.

    Attributes:
        label: its name; the end of its folder's name is added where several bear it.
        name: as the user wrote it.
        directory: its folder.
        status: RUNNING, FINISHED, FAILED or KILLED.
        stop_reason: why it stopped, in a sentence.
        run_id: of the tracking store.
        params: what was wanted, flat.
        metrics: those that it ended with, by name: its last epoch's, and what was measured of the whole.
        rows: its history, one dict an epoch.
        key, parent: names it, and the run that it is a part of.
    """

    label: str
    name: str
    directory: Path
    status: str
    stop_reason: str
    run_id: str
    params: dict[str, Any]
    metrics: dict[str, float]
    rows: list[dict[str, Any]] = field(repr=False)
    key: str = ""
    parent: str = ""


@dataclass(frozen=True)
class Comparison:
    """Several runs side by side.

    Attributes:
        runs: oldest first.
        differing: names of the params that are not the same in all runs, in the spec's order.
        metrics: names of the metrics that any run has; tests first, then validation, then the rest.
        wholes: runs that have others as their parts, such as sweeps: these are compared, and they are not.
    """

    runs: tuple[ComparedRun, ...]
    differing: tuple[str, ...]
    metrics: tuple[str, ...]
    wholes: tuple[ComparedRun, ...] = ()

    def best(self, metric: str) -> ComparedRun | None:
        """The run with the best finite value of a metric: the largest of an accuracy or its kin, else the smallest.

        Returns:
            None if no run has one.
        """
        having = [run for run in self.runs if math.isfinite(run.metrics.get(metric, math.nan))]
        if not having:
            return None
        return (max if higher_is_better(metric) else min)(having, key=lambda run: run.metrics[metric])

    def question(self, metric: str = "") -> str:
        """The metric that runs are judged by: the one asked for, else the first of the test set that is no cost.

        Returns:
            Empty if no run has a metric.

        Raises:
            RunError: no run has the one asked for.
        """
        if metric and metric not in self.metrics:
            known = ", ".join(self.metrics) or "none"
            guess = did_you_mean(metric, self.metrics)
            raise RunError(f"no run has the metric {metric!r}{guess}; there are {known}")
        tests = [name for name in self.metrics if name.startswith("test/") and not name.endswith("loss")]
        # How fast a run was, and its schedule, are no outcome.
        outcomes = [name for name in self.metrics if not name.startswith(BESIDE)]
        return metric or next(iter([*tests, *outcomes]), "")

    def foremost(self, metric: str, count: int) -> Comparison:
        """All runs where there are no more than `count`, else the best of them by a metric, best first."""
        if len(self.runs) <= count:
            return self
        sign = -1 if higher_is_better(metric) else 1
        costs = {id(run): sign * run.metrics.get(metric, math.nan) for run in self.runs}
        ordered = sorted(self.runs, key=lambda run: (not math.isfinite(costs[id(run)]), costs[id(run)]))
        return replace(self, runs=tuple(ordered[:count]))

    def effects(self, metric: str) -> list[Effect]:
        """What each hyperparameter that differs does to a metric, by its values; runs of other seeds are repeats."""
        values = [run.metrics.get(metric, math.nan) for run in self.runs]
        return effects([run.params for run in self.runs], values, self.differing)

    def curves(self) -> dict[str, list[dict[str, Any]]]:
        """The history of each run by its label; runs without an epoch are left out."""
        return {run.label: run.rows for run in self.runs if run.rows}

    def to_frame(self) -> pd.DataFrame:
        """One row a run, by label: `status`, differing params, metrics, `stop_reason`; a gap is None or NaN."""
        import pandas as pd

        return pd.DataFrame(
            [
                {
                    "status": run.status,
                    **{name: run.params.get(name) for name in self.differing},
                    **{name: run.metrics.get(name, math.nan) for name in self.metrics},
                    "stop_reason": run.stop_reason,
                }
                for run in self.runs
            ],
            index=pd.Index([run.label for run in self.runs], name="run"),
        )


def compare(folders: Sequence[RunFolder]) -> Comparison:
    """Lay runs side by side; `RunFolder.list(root, experiment)` finds those of an experiment.

    Raises:
        RunError: if there is none, or a folder cannot be read.
    """
    if not folders:
        raise RunError("there is no run to compare")
    names = Counter(folder.status.name for folder in folders)
    found = [_read(folder, names[folder.status.name] > 1) for folder in folders]
    parents = {run.parent for run in found if run.parent}
    runs = tuple(run for run in found if run.key not in parents)
    return Comparison(runs, _differing(runs), _metric_names(runs), tuple(run for run in found if run.key in parents))


def short_names(paths: Sequence[str]) -> list[str]:
    """Each path's end, as long as it takes to tell it from the others: `optimizer/adam/decay` is `decay` if alone."""
    names = []
    for path in paths:
        parts = path.split("/")
        ends = ("/".join(parts[-length:]) for length in range(1, len(parts) + 1))
        names.append(next(end for end in ends if end == path or sum(f"/{p}".endswith(f"/{end}") for p in paths) == 1))
    return names


def _read(folder: RunFolder, shared_name: bool) -> ComparedRun:
    status, told = folder.status, told_by(folder)
    return ComparedRun(
        label=f"{status.name} {folder.directory.name.rsplit('-', 1)[-1]}" if shared_name else status.name,
        name=status.name,
        directory=folder.directory,
        status=status.state,
        stop_reason=status.reason,
        run_id=recorded_in(folder)[1],
        params=told.params,
        metrics=told.metrics,
        rows=told.rows,
        key=told.key,
        parent=told.parent,
    )


def _differing(runs: Sequence[ComparedRun]) -> tuple[str, ...]:
    names = list(dict.fromkeys(name for run in runs for name in run.params))
    missing = object()
    differ = [name for name in names if len({run.params.get(name, missing) for run in runs}) > 1]
    # Of a sweep, model/layers says in one text what model/layers/0/dense/units and its like say each by itself.
    return tuple(
        name
        for name in differ
        if not all(any(other.startswith(f"{name}/") for other in run.params) for run in runs if name in run.params)
    )


def _metric_names(runs: Sequence[ComparedRun]) -> tuple[str, ...]:
    order = {"test": 0, "val": 1, "best": 2, "train": 3}
    names = dict.fromkeys(name for run in runs for name in run.metrics)
    return tuple(sorted(names, key=lambda name: order.get(name.split("/")[0], 4)))
