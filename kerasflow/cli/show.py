"""Results as a person reads them in a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table

from kerasflow.cli.side_by_side import effects_table, side_by_side, text
from kerasflow.errors import RunError
from kerasflow.recording import DEFAULT_STORE
from kerasflow.spec.symmetry import copies
from kerasflow.tracking.compare import BESIDE
from kerasflow.tracking.store_uri import shown

if TYPE_CHECKING:
    import pandas as pd

    from kerasflow.builders.table import LayerRow
    from kerasflow.experiment import RunResult
    from kerasflow.inspection import Inspection
    from kerasflow.rerunning import RerunResult
    from kerasflow.synchronizing import Synced
    from kerasflow.tracking.compare import Comparison

RUNS_AT_MOST = 50
"""That a screen is asked to show."""

console = Console(highlight=False, soft_wrap=False)


def show_result(result: RunResult) -> None:
    """A run's final numbers, and where the rest is."""
    if not result.is_chief:
        console.print("This worker's part of the run is done; the chief has its record.")
        return
    table = Table(box=box.SIMPLE_HEAD, title=f"{result.spec.experiment}: {result.spec.name}", title_justify="left")
    table.add_column("result")
    table.add_column("value", justify="right")
    for name, value in result.metrics.items():
        table.add_row(name, f"{value:.0f}" if name in ("best/epoch", "data/labelled") else f"{value:.4f}")
    table.add_row("updates", f"{result.history.updates}")
    console.print(table)
    _line("stopped", result.history.stop_reason)
    _line("run folder", _near(result.folder))
    curve = result.folder / "figures" / "cost_curve.png"
    if curve.is_file():
        _line("cost curve", _near(curve))
    if result.store:
        _line("compare", f"kerasflow compare {_quoted(result.spec.experiment)}")
        _line("open the UI", _ui(result.store))


def show_rerun(found: RerunResult) -> None:
    """The new run, and each final number beside that of the run that it repeats."""
    show_result(found.result)
    if not found.result.is_chief:
        return
    if not found.then:
        _line("compared", "the first run did not finish, so there is nothing to compare with")
        return
    title = "the same to the bit" if found.same else "NOT the same"
    if found.changed:
        title = f"changed: {'; '.join(found.changed)}: the numbers are this run's own"
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left")
    table.add_column("at the end")
    for column in ("then", "now"):
        table.add_column(column, justify="right")
    for name, value in found.then.items():
        table.add_row(name, repr(value), repr(found.now.get(name)))
    console.print(table)


@contextmanager
def told_how_to_go_on() -> Iterator[None]:
    """Who stops a run by Ctrl-C or SIGTERM reads how far it came and how it goes on."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as end:
        for note in getattr(end, "__notes__", ()):
            print(note, file=sys.stderr)
        raise


def show_inspection(found: Inspection) -> None:
    """Data, layers, windows and memory of an experiment that was not trained."""
    title = f"{found.spec.experiment}: {found.spec.name}"
    console.print(layer_table(title, found.input_shape, found.layers))
    train, rows = found.spec.train, found.data["rows"]
    _line("data", f"{', '.join(f'{count:,} {part}' for part, count in rows.items() if count)}; {found.data['task']}")
    _line("parameters", f"{found.parameters:,}, of which {found.trainable:,} are trained")
    passes = (
        "in one pass"
        if found.micro_batches == 1
        else f"as {found.micro_batches} micro-batches of {train.micro_batch_size}"
    )
    if found.epochs:
        _line("window", f"{train.batch_size} samples {passes}, one update")
        _line("updates", f"{found.updates_per_epoch:,} an epoch, {found.updates_per_epoch * found.epochs:,} at most")
    memory = found.memory
    parts = f"weights {_size(memory.weights)}, gradients {_size(memory.gradients)}, optimizer {_size(memory.optimizer)}"
    _line("memory", f"about {_size(memory.total)}: {parts}, activations {_size(memory.activations)}")
    if same := len(copies(found.spec.model)):
        _line("symmetry", f"hidden kernels that begin all equal: {same}; kf.explain.symmetry shows what comes of it")


def layer_table(title: str, input_shape: tuple[int | None, ...], rows: Sequence[LayerRow]) -> Table:
    """A model's layers with their shapes and weights."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=title or None, title_justify="left")
    for column in ("layer", "kind"):
        table.add_column(column, overflow="fold")
    for column in ("output shape", "parameters"):
        table.add_column(column, justify="right", overflow="fold")
    table.add_row("input", "", _shape(input_shape), "")
    for row in rows:
        table.add_row(row.name, row.kind, _shape(row.output_shape), f"{row.parameters:,}" if row.parameters else "")
    return table


def show_comparison(found: Comparison, metric: str) -> None:
    """Runs below each other: what differs, the metrics, which is best; then what each hyperparameter does."""
    metrics = [name for name in found.metrics if not name.startswith(BESIDE)]
    wanted = found.question(metric)
    tests = [name for name in metrics if name.startswith("test/")]
    best = found.best(wanted)
    # The best epoch's numbers, not the last one's: they are the model's where a rule restores its weights.
    held = [n for n in metrics if n.startswith("best/val_")] or [n for n in metrics if n.startswith("val/")]
    shown = list(dict.fromkeys([*([wanted] if wanted else []), *tests, *held]))
    some = found.foremost(wanted, RUNS_AT_MOST)
    table, left_out = side_by_side(some, shown or metrics, best, console)
    console.print(table)
    if len(some.runs) < len(found.runs):
        _line("runs", f"the best {len(some.runs)} of {len(found.runs):,}; --csv and --html hold all")
    if left_out:
        _line("no room for", ", ".join(left_out))
    if best is not None:
        _line("best", f"{best.label}, by {wanted} = {text(best.metrics[wanted])}")
        effects = found.effects(wanted)
        # Where no value is shared, the table of runs has said it all.
        if any(level.runs + level.without > 1 for effect in effects for level in effect.levels):
            console.print(effects_table(effects, wanted))


def show_synced(runs: Iterable[Synced]) -> bool:
    """Run by run what was delivered; gives whether all is where it belongs."""
    seen = faults = at_work = 0
    for run in runs:
        seen += 1
        at_work += run.status == "RUNNING"
        told = [f"still training, {run.epochs:,} epochs so far, and tells MLflow itself"] * (run.status == "RUNNING")
        told += [f"delivered {run.delivered:,} events"] if run.delivered else []
        told += ["its process is gone: it says KILLED now"] if run.closed else []
        if told:
            _line(run.status, f"{_near(run.folder)}: {'; '.join(told)}")
        if run.fault:
            faults += 1
            print(f"error: {_near(run.folder)}: {run.fault}", file=sys.stderr)
    nothing = "nothing else" if at_work else "nothing"
    left = f"{faults:,} with more to tell than could be told" if faults else f"{nothing} is left to tell"
    working = f"{at_work:,} still training; " if at_work else ""
    console.print(f"Runs looked at: {seen:,}; {working}{left}.")
    return not faults


def show_file(what: str, path: Path) -> None:
    """Where something was written."""
    _line(what, _near(path))


def write_predictions(frame: pd.DataFrame, output: Path | None) -> None:
    """As CSV, to a file or to the screen."""
    if output is None:
        frame.to_csv(sys.stdout)
        return
    try:
        frame.to_csv(output)
    except OSError as error:
        raise RunError(f"{output}: cannot be written: {error.strerror or error}") from error
    console.print(f"{len(frame):,} predictions in {_near(output)}")


def _line(name: str, text: str) -> None:
    console.print(f"  [bold]{name:<12}[/bold] {text}", soft_wrap=True)


def _ui(store: str) -> str:
    store = shown(store)
    if store.startswith(("http://", "https://")):
        return store
    return "kerasflow ui" if store == DEFAULT_STORE else f"kerasflow ui --uri {_quoted(store)}"


def _near(path: Path) -> str:
    """The path from here, if it is below here."""
    absolute = path.absolute()
    return str(absolute.relative_to(Path.cwd())) if absolute.is_relative_to(Path.cwd()) else str(absolute)


def _quoted(name: str) -> str:
    return f"'{name}'" if " " in name else name


def _shape(shape: tuple[int | None, ...]) -> str:
    return " × ".join("?" if size is None else str(size) for size in shape) or "1"


def _size(size: int) -> str:
    from rich.filesize import decimal

    return decimal(size)
