"""`kf.sweep`: the page that joins the room: the study, its run, who works, and what is left of it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerasflow.errors import Fault, RunError, SpecError
from kerasflow.recording import recorded, store_for
from kerasflow.secrecy import without_password
from kerasflow.spec.experiment import ExperimentSpec, load_spec
from kerasflow.sweeps.delivering import deliveries
from kerasflow.sweeps.pictures import draw, importances
from kerasflow.sweeps.progress import Verbose, progress
from kerasflow.sweeps.result import Study
from kerasflow.sweeps.space import slashed
from kerasflow.sweeps.study import key_of, open_study, storage_in
from kerasflow.sweeps.tickets import tally
from kerasflow.tracking.folder import RunFolder, safe_name
from kerasflow.tracking.journal_tracker import JournalTracker
from kerasflow.tracking.record import params_of

if TYPE_CHECKING:
    from kerasflow.spec.sweep import SweepSpec

BEST = "best.yaml"
_CURVE = "sweep/best"


def sweep(
    source: str | Path | Mapping[str, Any] | ExperimentSpec,
    trials: int | None = None,
    *,
    workers: int = 1,
    storage: str = "",
    root: str | Path = "runs",
    verbose: Verbose = "auto",
    minutes: float | None = None,
) -> Study:
    """Runs a spec many times with other values, as its `sweep:` says, and gives the best.

    Called again, it goes on where it was. Ctrl-C ends it with the best so far.

    Args:
        source: a spec with `sweep:`, its path, text or dict.
        trials: as many, over all calls; as the spec says if None.
        workers: processes that run trials at once; 1 is this one.
        storage: where trials are kept: `sqlite:///FILE`, or `postgresql://...` for many machines; a file in the sweep's
            folder, `runs/<experiment>/<name>-sweep`, if empty.
        root: run folders are made below it.
        verbose: 0 silent, 1 a line that changes, 2 a line a trial; `auto` looks whether there is a terminal.
        minutes: after which no trial begins; as the spec says if None.

    Raises:
        SpecError: the spec has faults, or no `sweep:`.
        MissingExtra: Optuna is not installed.
        RunError: the storage does not answer, or holds another sweep of this name.
        TrainingError: the first trials have all failed, or the objective is no number that a training has.
        TrackingError: no tracking store can be where one is wanted.
    """
    spec, wanted = as_sweep(source, trials, minutes)
    until = None if wanted.minutes is None else time.monotonic() + 60 * wanted.minutes
    store = store_for(spec.track.uri)
    directory = Path(root).absolute() / safe_name(spec.experiment) / f"{safe_name(spec.name)}-sweep"
    url = storage or storage_in(directory)
    study = open_study(spec, wanted, url)
    folder = RunFolder.at(directory, spec.experiment, f"{spec.name} sweep")
    with recorded(folder, store), progress(verbose, wanted, until) as tell:
        tracker = _begun(folder, spec, key_of(study))
        with _ended(tracker, study, spec):
            if workers > 1:
                from kerasflow.sweeps.workers import supervise

                interrupted = supervise(study, spec, Path(root), url, store, folder, workers, until, tell)
            else:
                from kerasflow.sweeps.working import work

                with deliveries(store, Path(root)) as ended:
                    interrupted = work(study, spec, Path(root), ended, until, tell)
    return Study.of(study, spec, directory, interrupted)


def join(
    source: str | Path | Mapping[str, Any] | ExperimentSpec,
    storage: str,
    *,
    root: str | Path = "runs",
    verbose: Verbose = "auto",
    trials: int | None = None,
    minutes: float | None = None,
) -> bool:
    """Works on a sweep that others work on, too, and leaves its own run and its end to who began it.

    Returns:
        Whether Ctrl-C or SIGTERM ended it.

    Raises:
        As `sweep`.
    """
    from kerasflow.sweeps.working import work

    spec, wanted = as_sweep(source, trials, minutes)
    until = None if wanted.minutes is None else time.monotonic() + 60 * wanted.minutes
    store = store_for(spec.track.uri)
    study = open_study(spec, wanted, storage)
    with deliveries(store, Path(root)) as ended, progress(verbose, wanted, until) as tell:
        return work(study, spec, Path(root), ended, until, tell)


def as_sweep(
    source: str | Path | Mapping[str, Any] | ExperimentSpec, trials: int | None = None, minutes: float | None = None
) -> tuple[ExperimentSpec, SweepSpec]:
    """A spec and its `sweep:`, with as many trials or minutes as are asked for.

    Raises:
        SpecError: it has faults, or no `sweep:`.
    """
    asked = {"sweep.trials": trials, "sweep.minutes": None if minutes is None else float(minutes)}
    spec = load_spec(source)
    if spec.sweep is None:
        raise SpecError([Fault("sweep", "is required: say what is tried, by which number, how often", spec.where(()))])
    spec = load_spec(spec, {path: value for path, value in asked.items() if value is not None})
    assert spec.sweep is not None
    return spec, spec.sweep


def _begun(folder: RunFolder, spec: ExperimentSpec, key: str) -> JournalTracker:
    """The sweep's own run, begun or taken up again."""
    from kerasflow.tracking.environment import environment_text, git_tags

    tracker = JournalTracker(folder)
    if folder.journal.size:
        tracker.resume(tracker.run_id)
        folder.set_status("RUNNING")
        return tracker
    document = spec.to_document()
    params = params_of({key: value for key, value in document.items() if key != "sweep"})
    space = {f"sweep/{key}": json.dumps(value) for key, value in document["sweep"].items() if key != "space"}
    tags = {"run_folder": str(folder), **git_tags()}
    tracker.start(spec.experiment, f"{spec.name} sweep", params | space, tags, key=key)
    folder.write_text("sweep.yaml", spec.without_password().to_yaml())
    folder.write_text("environment.txt", environment_text())
    for name in ("sweep.yaml", "environment.txt"):
        tracker.log_artifact(folder.path(name))
    return tracker


@contextmanager
def _ended(tracker: JournalTracker, study: Any, spec: ExperimentSpec) -> Iterator[None]:
    """However the block ends, the sweep's run has the best so far, and says how it ended."""
    folder = tracker.folder
    try:
        yield
    except BaseException as error:
        _tell(tracker, Study.of(study, spec, folder.directory))
        failed = isinstance(error, Exception)
        tracker.set_tags({"status_detail": f"{type(error).__name__}: {error}"})
        tracker.end("FAILED" if failed else "KILLED")
        folder.set_status("FAILED" if failed else "KILLED", f"{type(error).__name__}: {error}")
        raise
    found = Study.of(study, spec, folder.directory)
    _tell(tracker, found)
    assert spec.sweep is not None
    came = tally(study, spec.sweep)
    reason = f"{len(came.ended)} of {came.count or len(came.ended)} trials have ended"
    reason += f", {came.finals_done} of {len(came.finals)} finalists" if came.finals else ""
    tracker.end("FINISHED" if came.whole else "KILLED")
    folder.set_status("FINISHED" if came.whole else "KILLED", reason)


def _tell(tracker: JournalTracker, found: Study) -> None:
    """The best trial as a spec and as numbers, the curve of the best value, and the table of trials."""
    folder = tracker.folder
    states = [trial.state for trial in found.trials]
    numbers = {f"sweep/{state}": float(states.count(state)) for state in ("finished", "pruned", "failed")}
    if not found.trials:
        return
    with folder.writing("trials.csv") as path:
        found.to_frame().to_csv(path)
    tracker.log_artifact(folder.path("trials.csv"))
    curve = found.best_so_far()
    told = sum(_CURVE in event.facts["metrics"] for event in folder.journal.read() if event.kind == "log_curves")
    for step, (trial, best) in list(enumerate(curve, 1))[told:]:
        tracker.log_metrics({_CURVE: best, "sweep/value": trial.values[0]}, step)
    if curve:
        best_trial = found.best_trial
        numbers |= {f"best/{name}": v for (name, _), v in zip(found.objectives, best_trial.values, strict=True)}
        numbers |= {f"best/{name}_std": v for (name, _), v in zip(found.objectives, best_trial.stds, strict=False)}
        folder.write_text(BEST, found.best_spec.without_password().to_yaml())
        tracker.log_artifact(folder.path(BEST))
        tracker.set_tags({"best_trial": str(best_trial.number), "best_params": json.dumps(best_trial.chosen)})
        shares = importances(found)
        # With dots, for MLflow makes a section of what is before a slash.
        numbers |= {f"importance/{slashed(path).replace('/', '.')}": share for path, share in shares.items()}
        for key, picture in draw(found, shares, folder).items():
            tracker.log_image(key, picture, len(found.trials))
    folder.write_json("metrics.json", numbers)
    tracker.log_metrics(numbers, 0)


def no_best(found: Study) -> RunError:
    """What is said where a sweep has ended without a finished trial."""
    return RunError(f"{without_password(str(found.folder))}: no trial has finished")
