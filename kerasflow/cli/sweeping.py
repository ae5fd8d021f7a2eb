"""A sweep's end as a person reads it in a terminal."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table

from kerasflow.cli.show import console

if TYPE_CHECKING:
    from kerasflow.sweeps.result import Study, Trial

TRIALS_AT_MOST = 5


def show_study(found: Study, runs: Path) -> None:
    """The best trials, how the others ended, and what to do with the best one."""
    way = found.objectives[0][1]
    best = sorted(found.judged, key=lambda trial: trial.values[0], reverse=way == "max")[:TRIALS_AT_MOST]
    if len(found.objectives) > 1:
        best = list(found.best_trials)
    table = Table(
        box=box.SIMPLE_HEAD,
        collapse_padding=True,
        title=f"{found.spec.experiment}: {found.spec.name} sweep",
        title_justify="left",
    )
    repeated = bool(best) and best[0] in found.finalists
    table.add_column("finalist" if repeated else "trial", justify="right")
    for name, _ in found.objectives:
        table.add_column(name, justify="right", no_wrap=True)
    paths = list(dict.fromkeys(path for trial in best for path in trial.chosen))
    for path in paths:
        table.add_column(path.rpartition(".")[2], justify="right")
    for trial in best:
        table.add_row(str(trial.number), *_values(trial), *(_text(trial.chosen.get(path)) for path in paths))
    if best:
        console.print(table)
    states = [trial.state for trial in found.trials]
    console.print(", ".join(f"{states.count(state)} {state}" for state in ("finished", "pruned", "failed")))
    for trial in (*found.trials, *found.finalists):
        if trial.error:
            console.print(f"trial {trial.number} failed: {trial.error}", markup=False)
    if found.interrupted:
        console.print("Interrupted; the same command goes on with the trials that are left.")
    if best:
        here = found.folder / "best.yaml"
        near = here.relative_to(Path.cwd()) if here.is_relative_to(Path.cwd()) else here
        console.print(f"best trial: kerasflow run {shlex.quote(str(near))}", markup=False, soft_wrap=True)
    else:
        console.print("no trial has finished")


def _values(trial: Trial) -> list[str]:
    stds = trial.stds or (None,) * len(trial.values)
    return [
        f"{value:.4g}" if std is None else f"{value:.4g} ± {std:.2g}"
        for value, std in zip(trial.values, stds, strict=True)
    ]


def _text(value: object) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
