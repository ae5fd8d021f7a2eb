"""Runs side by side in the width that there is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from kerasflow.tracking.compare import ComparedRun, Comparison, short_names
from kerasflow.tracking.effects import Effect

VALUES_AT_MOST = 12
"""Of one hyperparameter; of more, as random search makes them, no table can be read."""


def side_by_side(
    found: Comparison, metrics: Sequence[str], best: ComparedRun | None, console: Console
) -> tuple[Table, list[str]]:
    """A table of what differs and what came of it, and the metrics that it has no room for.

    One row a run, if that fits; else one column a run, if that does; else rows again, with the last metrics left out.
    """
    for table in (_a_row_each(found, metrics, best), _a_column_each(found, metrics, best)):
        if _fits(table, console):
            return table, []
    shown = list(metrics)
    while len(shown) > 1 and not _fits(_a_row_each(found, shown, best), console):
        shown.pop()
    return _a_row_each(found, shown, best), list(metrics[len(shown) :])


def effects_table(effects: Sequence[Effect], metric: str) -> Table:
    """What a metric came to by each value of each hyperparameter."""
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("hyperparameter", "value"):
        table.add_column(name, overflow="fold")
    for name in ("runs", metric):
        table.add_column(name, justify="right", no_wrap=True)
    for effect, short in zip(effects, short_names([effect.name for effect in effects]), strict=True):
        if len(effect.levels) > VALUES_AT_MOST:
            table.add_row(short, f"{len(effect.levels):,} values: see the page of --html", end_section=True)
            continue
        for place, level in enumerate(effect.levels):
            last = place == len(effect.levels) - 1
            spread = f" ± {level.std:.2g}" if math.isfinite(level.std) else ""
            mean = f"{text(level.mean)}{spread}" if level.runs else "–"
            runs = f"{level.runs} of {level.runs + level.without}" if level.without else str(level.runs)
            table.add_row("" if place else short, text(level.value), runs, mean, end_section=last)
    return table


def text(value: Any) -> str:
    """A value as a table shows it; a dash where there is none."""
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _a_row_each(found: Comparison, metrics: Sequence[str], best: ComparedRun | None) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("run", overflow="fold", min_width=10)
    for name in short_names(found.differing):
        table.add_column(name, overflow="fold", min_width=len(name))
    table.add_column("status", no_wrap=True)
    for name in metrics:
        table.add_column(name, justify="right", no_wrap=True)
    for run in found.runs:
        params = (text(run.params.get(name)) for name in found.differing)
        numbers = (text(run.metrics.get(name)) for name in metrics)
        table.add_row(run.label, *params, run.status, *numbers, style="bold" if run is best else "")
    return table


def _a_column_each(found: Comparison, metrics: Sequence[str], best: ComparedRun | None) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("run", no_wrap=True)
    for run in found.runs:
        table.add_column(run.label, justify="right", overflow="fold", min_width=10, style="bold" if run is best else "")
    for name, short in zip(found.differing, short_names(found.differing), strict=True):
        table.add_row(short, *(text(run.params.get(name)) for run in found.runs))
    table.add_row("status", *(run.status for run in found.runs), end_section=True)
    for name in metrics:
        table.add_row(name, *(text(run.metrics.get(name)) for run in found.runs))
    return table


def _fits(table: Table, console: Console) -> bool:
    """Whether a table can be drawn without breaking a word or a number."""
    return console.measure(table, options=console.options.update(width=10_000)).minimum <= console.width
