"""A run that has ended, examined: its curves, its model and its data, read from its folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kerasflow.assembly import assemble, rule_of
from kerasflow.data import Data, load
from kerasflow.errors import BuildError, DataError, RunError
from kerasflow.explain.forms import Told, table
from kerasflow.explain.guessing import guess_of
from kerasflow.explain.initial import LayerStatistics, initialisation
from kerasflow.explain.judgement import Answers, Evidence, Finding, diagnosis, not_judged
from kerasflow.explain.telling import told
from kerasflow.explain.waiting import Stopping, stopping
from kerasflow.explanation import Explanation, Section, check_route, ensure_compiled, explained
from kerasflow.spec.experiment import ExperimentSpec, load_spec
from kerasflow.tracking.delivery import folder_of
from kerasflow.tracking.folder import RunFolder
from kerasflow.training.evaluate import predict
from kerasflow.transfer.backbone import load_network

if TYPE_CHECKING:
    import keras

SAMPLES = 5_000
"""Of each part, at most, that the model is asked about."""
FOR_LAYERS = 256
"""Of the training part, whose activations are looked at."""
ARITHMETIC = ("forward", "cost", "backward", "weight", "gradient", "plane")
"""Sections of an explanation that a page of a run has; the others ask how a training begins."""
_BATCH = 256


@dataclass(frozen=True)
class Diagnosis:
    """What came of the examination.

    Attributes:
        title: the experiment, and the run's folder.
        epochs: that were trained.
        reason: why it ended.
        stopping: what each stopping rule counted; None of a training in stages, each of which has its own.
        findings: what hindered the training; none of a healthy run.
        unknown: what could not be judged, by name, and why.
        spec: of the run.
        data, model: of the run, the model trained; None where they are gone.
    """

    title: str
    epochs: int
    reason: str
    stopping: Stopping | None
    findings: tuple[Finding, ...]
    unknown: Mapping[str, str]
    spec: ExperimentSpec
    data: Data | None = field(repr=False)
    model: keras.Model | None = field(repr=False)


def diagnose(run: str | Path, *, root: str | Path = "runs") -> Diagnosis:
    """Examines a run; trains and writes nothing.

    Args:
        run: its folder, or its id in MLflow. What of it is gone is not judged: without its data or its model, the
            curves alone are.
        root: where run folders are; for an id alone.

    Raises:
        RunError: the folder is no run's, or no epoch of it was completed.
    """
    folder = folder_of(run, root)
    if not folder.rows:
        raise RunError(f"{folder}: no epoch is completed, so there is nothing to examine")
    spec = load_spec(folder.path("spec.yaml"))
    reasons: dict[str, str] = {}
    data = _data(folder, spec, reasons)
    model = _model(folder, spec, reasons)
    evidence = _evidence(folder, spec, data, model)
    unknown = reasons | dict(not_judged(evidence))
    return Diagnosis(
        f"{spec.experiment}: {folder}",
        len(evidence.rows),
        folder.status.reason,
        None if spec.train.stages else stopping(evidence.rows, [rule_of(rule) for rule in spec.train.stop]),
        diagnosis(evidence),
        unknown,
        spec,
        data,
        model,
    )


def explained_run(found: Diagnosis, *, sample: int = 0, weight: str = "") -> Explanation:
    """The examination as sections of a page, with the arithmetic of the trained model.

    Args:
        found: of a run whose data and model are there.
        sample, weight: as for `explanation.explanation`.

    Raises:
        RunError: the data or the model is gone.
        DataError, BuildError, TrainingError: there is no such sample or weight, or the route learns nothing by
            gradients.
    """
    spec, data, model = found.spec, found.data, found.model
    check_route(spec)
    if data is None or model is None:
        gone = "; ".join(f"{name} {found.unknown[name]}" for name in ("the data", "the model") if name in found.unknown)
        raise RunError(f"{found.title}: its arithmetic cannot be shown: {gone}")
    when = f"as they were after {found.epochs} epochs"
    arithmetic = explained(spec, data, _like(spec, data, model), when, sample=sample, weight=weight, only=ARITHMETIC)
    sections = [Section("diagnosis", "What hindered this training", "", None, _told(found))]
    if found.stopping is not None:
        sections.append(Section("stopping", "Stopping", "stopping", found.stopping, told(found.stopping)))
    return replace(arithmetic, sections=(*sections, *arithmetic.sections))


def _told(found: Diagnosis) -> Told:
    rows = [(finding.name, finding.words, finding.advice) for finding in found.findings]
    numbers = [(f.name, name, float(value)) for f in found.findings for name, value in f.evidence.items()]
    words = [f"{found.epochs} epochs; {found.reason}."]
    words += [] if rows else ["Nothing has hindered this training, as far as its numbers tell."]
    words += [f"Not judged: {name}, for {why}." for name, why in found.unknown.items()]
    tables = [table("Findings", ("finding", "what is seen", "try"), rows)]
    tables += [table("The numbers behind them", ("finding", "number", "value"), numbers)]
    return Told(tuple(words), tuple(tables))


def draw(found: Diagnosis, folder: Path) -> Path | None:
    """Draws the cost and each rule's counter into the folder, `stopping.png`; nothing of a training in stages.

    Raises:
        RunError: the picture cannot be written.
    """
    from kerasflow.viz import explained
    from kerasflow.viz.style import save

    if found.stopping is None:
        return None
    path = folder / "stopping.png"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save(explained.stopping(found.stopping), path)
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {error.strerror or error}") from error
    return path


def _data(folder: RunFolder, spec: ExperimentSpec, reasons: dict[str, str]) -> Data | None:
    try:
        data = load(spec.data, spec.seed)
    except DataError as error:
        reasons["the data"] = f"cannot be read: {error}"
        return None
    if data.fingerprint != folder.read_json("data.json")["fingerprint"]:
        reasons["the data"] = "has changed since"
        return None
    return data


def _model(folder: RunFolder, spec: ExperimentSpec, reasons: dict[str, str]) -> keras.Model | None:
    file = folder.directory / "model.keras"
    if spec.train.route == "features":
        reasons["the model"] = "of the features route no layer learns"
        return None
    if not file.exists():
        reasons["the model"] = f"the run holds no model, it is {folder.status.state}"
        return None
    try:
        return load_network(file)
    except BuildError as error:
        reasons["the model"] = str(error)
        return None


def _evidence(folder: RunFolder, spec: ExperimentSpec, data: Data | None, model: keras.Model | None) -> Evidence:
    rows, ran_out = folder.rows, folder.status.reason.startswith("epochs:")
    rate = _rate(spec, rows[-1])
    if data is None:
        return Evidence(rows, rate=rate, ran_out=ran_out)
    prep = data.preparation
    in_classes = prep.classes is not None
    return Evidence(
        rows,
        [str(name) for name in prep.classes] if prep.classes is not None else (),
        np.bincount(data.train.y.reshape(-1).astype(int), minlength=prep.n_outputs).tolist() if in_classes else (),
        guess_of(_loss(spec, prep.task), data.train.y),
        list(_answers(data, model)) if model is not None and in_classes else (),
        _layers(spec, data, model) if model is not None else (),
        rate,
        ran_out,
    )


def _loss(spec: ExperimentSpec, task: str) -> str:
    """Its name; none of one with arguments, such as smoothed labels: what guessing costs by it is not known."""
    from kerasflow.builders.objects import loss_of

    if spec.train.loss.arguments:
        return ""
    return loss_of(task) if spec.train.loss.name == "auto" else spec.train.loss.name


def _rate(spec: ExperimentSpec, row: Mapping[str, Any]) -> tuple[str, float] | None:
    """Where the spec says the learning rate, if it is one number for all of the training."""
    optimizer = spec.train.optimizer
    given = optimizer.arguments.get("learning_rate")
    if isinstance(given, dict) or spec.train.stages:
        return None
    return f"train.optimizer.{optimizer.name}.learning_rate", float(given if given is not None else row["lr"])


def _answers(data: Data, model: keras.Model) -> Iterator[Answers]:
    for name in ("train", "validation", "test"):
        part = getattr(data, name)
        if part is None:
            continue
        rows = np.arange(min(len(part), SAMPLES))
        outputs = np.asarray(predict(model, np.asarray(part.x[rows]), _BATCH), dtype=float)
        if outputs.shape[1] == 1:
            outputs = np.hstack([1 - outputs, outputs])
        yield Answers(name, part.y[rows].reshape(-1).astype(int), outputs)


def _layers(spec: ExperimentSpec, data: Data, model: keras.Model) -> tuple[LayerStatistics, ...]:
    like = _like(spec, data, model)
    rows = np.arange(min(len(data.train), FOR_LAYERS))
    y = data.train.y[rows]
    column = y.ndim == 1 and like.output_shape[1:] == (1,)
    return initialisation(like, np.asarray(data.train.x[rows]), y.reshape(-1, 1) if column else y).layers


def _like(spec: ExperimentSpec, data: Data, model: keras.Model) -> keras.Model:
    """The trained model, compiled as the run was: the saved one is not."""
    like, _ = assemble(spec, data, check=False)
    like.set_weights(model.get_weights())
    ensure_compiled(spec, data, like)
    return like
