"""The numbers of a page that compares runs: plain, finite and short, as JSON takes them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from kerasflow.columns import higher_is_better
from kerasflow.tracking.compare import BESIDE, ComparedRun, Comparison, short_names
from kerasflow.tracking.effects import SEEDS, in_order
from kerasflow.tracking.record import metrics_of

_SHARE = "importance/"


def page_numbers(found: Comparison, metric: str = "") -> dict[str, Any]:
    """What a page needs to draw, filter and group runs.

    Args:
        metric: what runs are judged by at first; `Comparison.question` chooses if not given.

    Returns:
        `metric`; `metrics`, outcomes alone, each with whether `higher` is better; `params`, those that differ, each
        with its `short` name, whether it is a `seed`, and its `values` in order; `curves`, their names; `importance`,
        what sweeps found of their hyperparameters, each with a `label` and `shares`; and `runs`,
        each with `params` and `metrics` by place, and `epochs` with a list a curve. What is not finite is None in a
        curve and a word among the metrics.

    Raises:
        RunError: no run has the metric.
    """
    chosen = found.question(metric)
    metrics = [name for name in found.metrics if name == chosen or not name.startswith(BESIDE)]
    columns = _columns(found.runs)
    return {
        "metric": chosen,
        "metrics": [{"name": name, "higher": higher_is_better(name)} for name in metrics],
        "params": [
            {"name": name, "short": short, "seed": name in SEEDS, "values": _values(found.runs, name)}
            for name, short in zip(found.differing, short_names(found.differing), strict=True)
        ],
        "curves": list(columns),
        "importance": [said for run in found.wholes if (said := _importance(run))["shares"]],
        "runs": [
            {
                "label": run.label,
                "status": run.status,
                "reason": run.stop_reason,
                "params": [_plain(run.params.get(name)) for name in found.differing],
                "metrics": [_plain(run.metrics.get(name)) for name in metrics],
                "epochs": [row["epoch"] for row in run.rows],
                "curves": [_curve(run.rows, column) for column in columns.values()],
            }
            for run in found.runs
        ],
    }


def _importance(run: ComparedRun) -> dict[str, Any]:
    """What a sweep has said of its hyperparameters."""
    shares = {name.removeprefix(_SHARE): value for name, value in run.metrics.items() if name.startswith(_SHARE)}
    named = zip(short_names([name.replace(".", "/") for name in shares]), shares.values(), strict=True)
    return {"label": run.label, "shares": [{"short": short, "share": share} for short, share in named]}


def _values(runs: Sequence[ComparedRun], name: str) -> list[Any]:
    return [_plain(value) for value in sorted({run.params.get(name) for run in runs}, key=in_order)]


def _columns(runs: Sequence[ComparedRun]) -> dict[str, str]:
    """The columns of the histories that hold numbers, by the names under which they are tracked."""
    columns = dict.fromkeys(column for run in runs for row in run.rows for column in row)
    samples = {column: next(row[column] for run in runs for row in run.rows if column in row) for column in columns}
    return {name: column for column, value in samples.items() for name in metrics_of({column: value})}


def _curve(rows: Sequence[Mapping[str, Any]], column: str) -> list[float | None]:
    """Six digits are more than a screen can show, and a third of the bytes."""
    values = (row.get(column) for row in rows)
    return [float(f"{value:.6g}") if value is not None and math.isfinite(value) else None for value in values]


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
