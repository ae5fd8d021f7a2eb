"""The commands."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kerasflow.cli import zoo
from kerasflow.cli.startup import load_tensorflow
from kerasflow.errors import KerasflowError, RunError, SpecError

if TYPE_CHECKING:
    from kerasflow.spec.experiment import ExperimentSpec

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Experiments written down once: a plain Keras model, trained exactly, every number in MLflow.",
)
app.add_typer(zoo.app, name="zoo")

Spec = Annotated[Path, typer.Argument(metavar="SPEC", help="The experiment's YAML or JSON file.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Change a field, e.g. train.epochs=3. May be repeated."),
]
Root = Annotated[Path, typer.Option("--runs", metavar="FOLDER", help="Where run folders are.")]


def run_app() -> int:
    """Runs the command that was typed; what a user can mend is said in one sentence, with exit code 2."""
    warnings.showwarning = _say
    try:
        app()
    except SpecError as error:
        print(error, file=sys.stderr)
    except KerasflowError as error:
        print(f"error: {error}", file=sys.stderr)
    return 2


@app.command()
def run(
    spec: Annotated[
        Path, typer.Argument(metavar="SPEC", help="The experiment's YAML or JSON file; a run folder with --resume.")
    ],
    set_: Set = None,
    runs: Root = Path("runs"),
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only the result.")] = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Go on with a run that did not finish: this folder's, or the newest of this very spec."
        ),
    ] = False,
) -> None:
    """Train an experiment and record it, or go on with a run that was interrupted."""
    from functools import partial

    from kerasflow import experiment
    from kerasflow.cli.show import show_result, told_how_to_go_on

    overrides = parse_overrides(set_)  # what is wrong is told before anything heavy loads
    act = (
        partial(experiment.resume, _run_to_resume(spec, overrides, runs))
        if resume
        else partial(experiment.run, _spec_to_run(spec, overrides), root=runs)
    )
    load_tensorflow()
    with told_how_to_go_on():
        result = act(verbose=0 if quiet else "auto")
    show_result(result)


def _spec_to_run(spec: Path, overrides: dict[str, Any]) -> ExperimentSpec:
    from kerasflow.spec.experiment import load_spec

    if spec.is_dir():
        raise RunError(f"{spec}: is a folder; give a spec, or add --resume to go on with the run that is in it")
    return load_spec(spec, overrides)


def _run_to_resume(spec: Path, overrides: dict[str, Any], runs: Path) -> Path:
    from kerasflow.experiment import unfinished
    from kerasflow.spec.experiment import load_spec

    if not spec.is_dir():
        return unfinished(load_spec(spec, overrides), runs)
    if overrides:
        raise RunError(f"{spec}: a run goes on as it began; leave out --set, or give its spec.yaml to begin a new one")
    return spec


@app.command()
def rerun(
    run: Annotated[str, typer.Argument(metavar="RUN", help="An MLflow run id, or a run folder.")],
    set_: Set = None,
    uri: Annotated[str, typer.Option(help="The tracking store that has the run, and gets the new one.")] = "",
    runs: Root = Path("runs"),
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only the result.")] = False,
) -> None:
    """Train a recorded run again, from its record alone; exit code 1 if it does not end the same to the bit.

    With --set it is another experiment, whose numbers are its own.
    """
    from kerasflow.cli.show import show_rerun, told_how_to_go_on

    overrides = parse_overrides(set_)
    load_tensorflow()
    from kerasflow.rerunning import rerun as run_again

    with told_how_to_go_on():
        found = run_again(run, overrides, uri=uri, root=runs, verbose=0 if quiet else "auto")
    show_rerun(found)
    if not found.same and not found.changed:
        raise typer.Exit(1)


@app.command()
def sweep(
    spec: Annotated[Path, typer.Argument(metavar="SPEC", help="An experiment's YAML or JSON file with sweep:.")],
    trials: Annotated[int | None, typer.Option(min=1, help="As many, over all calls; else as the spec says.")] = None,
    minutes: Annotated[float | None, typer.Option(help="After which no trial begins; else as the spec says.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that run trials at once.")] = 1,
    storage: Annotated[
        str,
        typer.Option(
            envvar="KERASFLOW_SWEEP_STORAGE",
            help="Where trials are kept, e.g. postgresql://user@host/database; else a file in the sweep's folder.",
        ),
    ] = "",
    worker: Annotated[
        bool, typer.Option("--worker", help="Work on a sweep that others work on; its end is left to them.")
    ] = False,
    set_: Set = None,
    runs: Root = Path("runs"),
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only the result.")] = False,
) -> None:
    """Train an experiment many times with other values, and give the best; called again, go on where it was."""
    from kerasflow.spec.experiment import load_spec
    from kerasflow.sweeps import searching

    loaded = load_spec(spec, parse_overrides(set_))
    searching.as_sweep(loaded, trials, minutes)
    if workers == 1:
        load_tensorflow()
    verbose: Any = 0 if quiet else "auto"
    if worker:
        if not storage:
            raise typer.BadParameter("a worker needs the storage that the others have", param_hint="--storage")
        if searching.join(loaded, storage, root=runs, verbose=verbose, trials=trials, minutes=minutes):
            raise typer.Exit(130)
        return
    from kerasflow.cli.sweeping import show_study

    found = searching.sweep(
        loaded, trials, workers=workers, storage=storage, root=runs, verbose=verbose, minutes=minutes
    )
    show_study(found, runs)
    if found.interrupted:
        raise typer.Exit(130)


@app.command()
def check(spec: Spec, set_: Set = None) -> None:
    """Show what an experiment would be: data, layers, windows, memory. Trains nothing."""
    from kerasflow.spec.experiment import load_spec

    loaded = load_spec(spec, parse_overrides(set_))
    load_tensorflow()
    from kerasflow.cli.show import show_inspection
    from kerasflow.inspection import inspect

    show_inspection(inspect(loaded))


@app.command()
def explain(
    spec: Annotated[
        Path,
        typer.Argument(
            metavar="SPEC",
            help="The experiment's YAML or JSON file; or a run's folder, or its MLflow id, to examine it.",
        ),
    ],
    sample: Annotated[int, typer.Option(help="Of the training part, counted from 0: the one that is followed.")] = 0,
    weight: Annotated[
        str, typer.Option(help="The weight that is followed, e.g. dense_1/kernel[3,2]; the steepest if not given.")
    ] = "",
    only: Annotated[
        list[str] | None, typer.Option(metavar="SECTION", help="Show this section alone. May be repeated.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option(help="Write one interactive page that works offline to this file, too.")
    ] = None,
    figures: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Draw the sections into this folder.")] = None,
    set_: Set = None,
    runs: Root = Path("runs"),
) -> None:
    """Show the arithmetic of an experiment's model: forward, cost, back, descent; or what hindered a run's training.

    Trains nothing.
    """
    import logging

    from kerasflow.tracking.delivery import is_run_id

    overrides = parse_overrides(set_)
    if spec.is_dir() or is_run_id(str(spec)):
        if only or overrides:
            raise RunError(f"{spec}: is a run, which is examined as a whole, as it was; leave out --only and --set")
        _examine(spec, runs, figures, html, sample, weight)
        return
    load_tensorflow()

    from kerasflow.cli.explanation import show_explanation
    from kerasflow.cli.show import show_file
    from kerasflow.explanation import draw, explanation, write_page

    logging.getLogger("tensorflow").setLevel("ERROR")  # each section compiles its own functions, which it wonders at
    found = explanation(spec, overrides, sample=sample, weight=weight, only=only or ())
    show_explanation(found)
    if html:
        show_file("page", write_page(found, html))
    for picture in draw(found, figures) if figures else ():
        show_file("picture", picture)


def _examine(run: Path, runs: Path, figures: Path | None, html: Path | None, sample: int, weight: str) -> None:
    load_tensorflow()
    from kerasflow.cli.diagnosis import show_diagnosis
    from kerasflow.cli.show import show_file
    from kerasflow.diagnosing import diagnose, draw, explained_run
    from kerasflow.explanation import write_page

    found = diagnose(run, root=runs)
    show_diagnosis(found)
    if html:
        show_file("page", write_page(explained_run(found, sample=sample, weight=weight), html))
    if figures and (picture := draw(found, figures)):
        show_file("picture", picture)


@app.command()
def schema() -> None:
    """Print the JSON Schema of a spec, so that an editor completes and checks it."""
    import json

    from kerasflow.spec.experiment import ExperimentSpec

    print(json.dumps(ExperimentSpec.model_json_schema(), indent=2))


@app.command()
def compare(
    experiment: Annotated[str, typer.Argument(metavar="EXPERIMENT", help="The name that the runs share.")],
    runs: Root = Path("runs"),
    metric: Annotated[
        str, typer.Option(help="What runs are judged by, e.g. val/loss; the first test metric if not given.")
    ] = "",
    picture: Annotated[Path | None, typer.Option(help="Where the picture goes; below --runs if not given.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write the table of runs to this file, too.")] = None,
    html: Annotated[
        Path | None, typer.Option(help="Write one interactive page that works offline to this file, too.")
    ] = None,
) -> None:
    """Lay the runs of an experiment side by side: what differs, what it does, the best one, their cost curves."""
    from kerasflow.cli.show import show_comparison, show_file
    from kerasflow.comparison import compare as compare_runs
    from kerasflow.comparison import draw, write_page, write_table

    found = compare_runs(experiment, root=runs)
    show_comparison(found, metric)
    show_file("cost curves", draw(found, experiment, picture, root=runs))
    if csv:
        show_file("table", write_table(found, csv))
    if html:
        show_file("page", write_page(found, experiment, html, metric))


@app.command()
def predict(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="New rows or images: a table, an array, an image or a folder.")
    ],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A CSV file; printed if not given.")] = None,
) -> None:
    """Predict new rows or images with a run's model and its own preprocessing."""
    from kerasflow.cli.show import write_predictions

    load_tensorflow()
    from kerasflow.prediction import predict_file

    write_predictions(predict_file(run, file), output)


@app.command()
def sync(
    run: Annotated[Path | None, typer.Argument(metavar="RUN", help="A run folder; all of them if not given.")] = None,
    runs: Root = Path("runs"),
    uri: Annotated[str, typer.Option(help="The tracking store for runs that are in none yet.")] = "",
) -> None:
    """Tell MLflow what it was not told when its server was away, and close runs whose process is gone."""
    from kerasflow.cli.show import show_synced
    from kerasflow.recording import store_for
    from kerasflow.synchronizing import sync as sync_runs

    if not show_synced(sync_runs(run, root=runs, store=store_for(uri) if uri else "")):
        raise typer.Exit(2)


@app.command()
def ui(
    uri: Annotated[str, typer.Option(help="The tracking store.")] = "",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 5000,
) -> None:
    """Open the MLflow UI on the local store; stop it with Ctrl-C."""
    from kerasflow.cli.server import serve

    serve(uri or os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db", port)


@app.callback(invoke_without_command=True)
def about(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)] = False,
) -> None:
    if version:
        from kerasflow import __version__

        print(f"kerasflow {__version__}")
        raise typer.Exit


def _say(message: Warning | str, *_: object, **__: object) -> None:
    """A warning as a sentence, without the line of code that gave it."""
    print(f"warning: {message}", file=sys.stderr)


def parse_overrides(pairs: list[str] | None) -> dict[str, Any]:
    """`["train.epochs=3"]` -> `{"train.epochs": 3}`; values are read as YAML."""
    from kerasflow.spec.document import parse_value

    overrides = {}
    for pair in pairs or []:
        path, equals, value = pair.partition("=")
        if not equals or not path.strip():
            raise typer.BadParameter(f"expected PATH=VALUE such as train.epochs=3, got {pair!r}", param_hint="--set")
        overrides[path.strip()] = parse_value(value)
    return overrides
