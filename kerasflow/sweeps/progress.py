"""What the person at the keyboard sees of a sweep: one line that changes on a terminal, a line a trial elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from kerasflow.spec.sweep import SweepSpec
from kerasflow.sweeps.tickets import Tally, told

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

Verbose = Literal["auto", 0, 1, 2]


def line(found: Tally, sweep: SweepSpec) -> str:
    """`12/60 trials, best val_loss 0.0731 (trial 9), 3 pruned, 1 failed`."""
    of = f"/{found.count}" if found.count is not None else ""
    parts = [f"{len(found.ended)}{of} trials"]
    name, way = sweep.objective[0]
    if found.judged:
        best = (max if way == "max" else min)(found.judged, key=lambda trial: trial.values[0])
        parts.append(f"best {name} {best.values[0]:.4g} ({told(best)})")
    parts += [f"{found.number(state)} {word}" for state, word in (("PRUNED", "pruned"), ("FAIL", "failed"))]
    if found.finals:
        parts.insert(1, f"{found.finals_done}/{len(found.finals)} finalists")
    return ", ".join(parts)


def seconds_left(found: Tally, done_before: int, began: float, now: float, until: float | None) -> float | None:
    """What is left by the trials of this call so far, and at most until the deadline; None while nothing tells."""
    done = found.done - done_before
    by_trials = (found.wanted - found.done) * (now - began) / done if found.wanted and done > 0 else None
    known = [left for left in (by_trials, None if until is None else max(0.0, until - now)) if left is not None]
    return min(known, default=None)


@contextmanager
def progress(verbose: Verbose, sweep: SweepSpec, until: float | None) -> Iterator[Callable[[Tally], None]]:
    """Around a sweep: gives what to call with how far it has come."""
    level = (1 if sys.stderr.isatty() else 2) if verbose == "auto" else verbose
    shown = -1
    before: int | None = None
    began = time.monotonic()

    def text(found: Tally) -> str:
        nonlocal before
        before = found.done if before is None else before
        left = seconds_left(found, before, began, time.monotonic(), until)
        return line(found, sweep) + ("" if left is None else f", {_duration(left)} left")

    def on_terminal(bar: Progress, task: TaskID) -> Callable[[Tally], None]:
        return lambda found: bar.update(
            task, description=text(found), completed=found.done, total=found.wanted, refresh=True
        )

    def as_lines(found: Tally) -> None:
        nonlocal shown
        if level and found.done != shown:
            shown = found.done
            print(text(found), file=sys.stderr, flush=True)  # noqa: T201

    if level != 1:
        yield as_lines
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield on_terminal(bar, bar.add_task("", total=None))


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
