"""The arithmetic of an experiment, before it is trained: its model and some of its samples, explained in sections."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from kerasflow import explain
from kerasflow.assembly import assemble
from kerasflow.data import Data, load
from kerasflow.errors import BuildError, DataError, RunError, TrainingError, did_you_mean
from kerasflow.explain.diagram import Diagram, diagram
from kerasflow.explain.forms import Told
from kerasflow.explain.recorder import replaced
from kerasflow.explain.telling import told
from kerasflow.explain.weights import find_weight
from kerasflow.spec.experiment import ExperimentSpec, load_spec
from kerasflow.training.keras_internals import flatten_layers

SAMPLES = 64
"""Of the training part, that costs and gradients are of."""

LARGE = 1_000_000
"""Weights from which on a model is explained with fewer samples, steps and points."""


NOTHING = 1e-300
"""A rate of Dropout that is 0 in float32, but at which a copy of the layer still has its random generator."""


@dataclass(frozen=True, eq=False)
class Subject:
    """What is explained.

    Attributes:
        title: the experiment and its name.
        model: compiled, with the weights that are explained.
        x, y: the set, `(n, ...)`; the sample is its first.
        sample: its place in the training part.
        weight: the one that is followed.
        parameters: how many numbers the model's weights hold.
        learning_rate: α, as the spec has it.
        micro_batch_size: of the spec, or half of the set.
        when: what the weights are, in words.
    """

    title: str
    model: Any
    x: np.ndarray
    y: np.ndarray
    sample: int
    weight: str
    parameters: int
    learning_rate: float
    micro_batch_size: int
    when: str

    @property
    def facts(self) -> str:
        """What is computed here, in a sentence or two."""
        return (
            f"{self.parameters:,} weights, {self.when}. Sample {self.sample} of the training part "
            f"is followed forward and back; costs are of {len(self.x)} samples, it and others, with Dropout off."
        )

    @property
    def is_large(self) -> bool:
        return self.parameters >= LARGE

    @cached_property
    def trace(self) -> explain.Trace:
        return explain.forward(self.model, self.x[0])

    @cached_property
    def back(self) -> explain.Backward:
        return explain.backward(self.model, self.x, self.y)


@dataclass(frozen=True)
class Section:
    """One part of the explanation.

    Attributes:
        name: what `--only` calls it.
        title: its heading.
        question: of `kerasflow.explain` that it answers, which is also its drawing's name.
        numbers: the dataclass of `kerasflow.explain`; None where there are none, and `told` says why.
        told: the same in words, tables and curves.
    """

    name: str
    title: str
    question: str
    numbers: Any
    told: Told


@dataclass(frozen=True)
class Explanation:
    """A whole experiment, explained."""

    subject: Subject
    diagram: Diagram
    sections: tuple[Section, ...]


Answer = Callable[[Subject], Any]


def _few(subject: Subject, many: int, few: int) -> int:
    return few if subject.is_large else many


# Name, heading, the question of `explain`, and how it is asked. A new section is a new row.
_SECTIONS: tuple[tuple[str, str, str, Answer], ...] = (
    ("forward", "Forward propagation", "forward", lambda s: s.trace),
    ("cost", "Error and cost", "cost", lambda s: explain.cost(s.model, s.x, s.y)),
    ("backward", "Backward propagation", "backward", lambda s: s.back),
    (
        "check",
        "Gradient check",
        "check_gradients",
        lambda s: explain.check_gradients(s.model, s.x[:10], s.y[:10], weights=_few(s, 60, 8)),
    ),
    (
        "descent",
        "One step of gradient descent",
        "descent",
        lambda s: explain.descent(s.model, s.x, s.y, s.learning_rate),
    ),
    (
        "weight",
        "The cost along one weight",
        "along_weight",
        lambda s: explain.along_weight(s.model, s.x, s.y, s.weight, points=_few(s, 41, 11)),
    ),
    (
        "gradient",
        "The cost along the gradient",
        "along_gradient",
        lambda s: explain.along_gradient(s.model, s.x, s.y, points=_few(s, 41, 11)),
    ),
    (
        "plane",
        "The cost over two directions",
        "plane",
        lambda s: explain.plane(s.model, s.x, s.y, steps=_few(s, 20, 4), points=_few(s, 25, 7)),
    ),
    (
        "rates",
        "What the learning rate does",
        "learning_rates",
        lambda s: explain.learning_rates(s.model, s.x, s.y, epochs=_few(s, 30, 5)),
    ),
    (
        "search",
        "Updating a weight randomly",
        "random_search",
        lambda s: explain.random_search(s.model, s.x, s.y, s.weight, _few(s, 50, 10)),
    ),
    ("initialisation", "Initialisation", "initialisation", lambda s: explain.initialisation(s.model, s.x, s.y)),
    (
        "histograms",
        "How the weights are distributed",
        "histograms",
        lambda s: explain.histograms(s.model, s.x, s.y, epochs=_few(s, 10, 2)),
    ),
    ("symmetry", "Symmetry", "symmetry", lambda s: explain.symmetry(s.model, s.x, s.y, steps=_few(s, 10, 2))),
    (
        "accumulation",
        "Gradient accumulation",
        "accumulation",
        lambda s: explain.accumulation(s.model, s.x, s.y, s.micro_batch_size),
    ),
)

SECTIONS = tuple(name for name, *_ in _SECTIONS)
"""Their names, in the order in which they are told."""


def explanation(
    source: str | Path | Mapping[str, Any] | ExperimentSpec,
    overrides: Mapping[str, Any] | None = None,
    *,
    sample: int = 0,
    weight: str = "",
    only: Sequence[str] = (),
) -> Explanation:
    """Explains the model of an experiment as a run would begin with it; trains and writes nothing.

    Args:
        source, overrides: as for `kf.run`.
        sample: of the training part, counted from 0: the one that is followed forward and back.
        weight: the one that is followed, `dense_1/kernel[3,2]`; the one with the largest gradient if not given.
        only: names of sections; all if empty.

    Raises:
        SpecError, DataError, BuildError, TrainingError: as a run would before it trains; or there is no such sample,
            weight or section, or the route learns nothing by gradients.
    """
    for name in only:
        if name not in SECTIONS:
            hint = did_you_mean(name, SECTIONS) or f"; there are {', '.join(SECTIONS)}"
            raise TrainingError(f"there is no section {name!r} of an explanation{hint}")
    spec = load_spec(source, overrides)
    check_route(spec)
    data = load(spec.data, spec.seed)
    model, _ = assemble(spec, data)
    return explained(spec, data, model, "as a run would begin with them", sample=sample, weight=weight, only=only)


def check_route(spec: ExperimentSpec) -> None:
    """Refuses what learns nothing by gradients.

    Raises:
        TrainingError: it is the features route.
    """
    if spec.train.route == "features":
        raise TrainingError(
            f"{spec.where(('train', 'route'))}: the features route fits a classifier without gradients, so there is no "
            "propagation to explain; take the route scratch or transfer"
        )


def explained(
    spec: ExperimentSpec,
    data: Data,
    model: Any,
    when: str,
    *,
    sample: int = 0,
    weight: str = "",
    only: Sequence[str] = (),
) -> Explanation:
    """Explains a model on some of an experiment's samples, with the weights that it has.

    Args:
        model: of the experiment; compiled here if it is not.
        when: what these weights are, in words: `as a run would begin with them`.
        sample, weight, only: as for `explanation`.

    Raises:
        DataError, BuildError: there is no such sample or weight.
    """
    subject = _subject(spec, data, model, sample, weight, when)
    with replaced(_without_dropout(model)):
        sections = tuple(_answered(subject, *row) for row in _SECTIONS if not only or row[0] in only)
    return Explanation(subject, diagram(subject.trace, subject.back), sections)


def _without_dropout(model: Any) -> list[tuple[Any, str, Any]]:
    """What makes Dropout and its like pass everything: they draw other numbers in each pass, so that no two agree."""
    drawing = (layer for layer in flatten_layers(model) if hasattr(layer, "seed_generator"))
    return [(layer, "rate", NOTHING) for layer in drawing if "rate" in vars(layer)]


def _subject(spec: ExperimentSpec, data: Data, model: Any, sample: int, weight: str, when: str) -> Subject:
    n, parameters = len(data.train), model.count_params()
    if not -n <= sample < n:
        raise DataError(f"there is no sample {sample}: the training part has {n:,}, counted from 0 to {n - 1:,}")
    ensure_compiled(spec, data, model)
    place = sample % n
    most = SAMPLES // 4 if parameters >= LARGE else SAMPLES
    rows = np.sort([place, *[i for i in range(min(n, most)) if i != place][: most - 1]])
    order = np.argsort(rows != place, kind="stable")  # images are read in the order of their places
    x, y = np.asarray(data.train.x[rows]), data.train.y[rows]
    x, y = x[order], _as_targets(y[order], model)
    name = find_weight(model, weight).name if weight else _steepest(model, x, y)
    micro = min(spec.train.micro_batch_size or max(1, len(rows) // 2), len(rows))
    rate = float(np.asarray(model.optimizer.learning_rate))
    title = f"{spec.experiment}: {spec.name}"
    return Subject(title, model, x, y, place, name, parameters, rate, micro, when)


def ensure_compiled(spec: ExperimentSpec, data: Data, model: Any) -> None:
    """Compiles a model as its experiment says, if it is not: training in stages leaves that to each stage."""
    from kerasflow.builders import objects

    if not getattr(model, "compiled", False):
        model.compile(objects.optimizer(spec.train.optimizer), objects.loss(spec.train.loss, data.preparation.task))


def _as_targets(y: np.ndarray, model: Any) -> np.ndarray:
    """Targets with the output's axes: one number an observation is a column of one."""
    shape = getattr(model, "output_shape", None)
    if isinstance(shape, tuple) and y.ndim == 1 and shape[1:] == (1,):
        return y.reshape(-1, 1)
    return y


def _steepest(model: Any, x: np.ndarray, y: np.ndarray) -> str:
    """The weight with the largest gradient, of the first variable that has a kernel's axes."""
    gradients = explain.backward(model, x, y).gradients
    if not gradients:
        raise BuildError(f"the model {model.name!r} has no weights that learn, so there is no gradient to explain")
    path = next((path for path, g in gradients.items() if g.ndim > 1), next(iter(gradients)))
    g = gradients[path]
    at = np.unravel_index(int(np.abs(g).argmax()), g.shape)
    return f"{path}[{','.join(str(int(i)) for i in at)}]"


def _answered(subject: Subject, name: str, title: str, question: str, answer: Answer) -> Section:
    try:
        numbers = answer(subject)
    except BuildError as error:  # such as a model that cannot be made again in float64
        return Section(name, title, question, None, Told((f"This cannot be shown: {error}.",)))
    return Section(name, title, question, numbers, told(numbers, subject.weight))


def write_page(found: Explanation, path: Path) -> Path:
    """Writes one HTML page that needs no other file and no network, and gives its path.

    Raises:
        RunError: it cannot be written.
        MissingExtra: plotly is not installed.
    """
    from kerasflow.viz.explanation_page import page

    subject = found.subject
    numbers = {
        "facts": subject.facts,
        "weight": subject.weight,
        "diagram": asdict(found.diagram),
        "sections": [{"name": s.name, "title": s.title, **asdict(s.told)} for s in found.sections],
    }
    text = page(numbers, title=subject.title)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {error.strerror or error}") from error
    return path


def draw(found: Explanation, folder: Path) -> list[Path]:
    """Draws each section into the folder, `forward.png` and so on, and gives the paths.

    Raises:
        RunError: a picture cannot be written.
    """
    from kerasflow.viz.style import save

    explained = import_module("kerasflow.viz.explained")
    paths = []
    for section in found.sections:
        if section.numbers is None:
            continue
        path = folder / f"{section.name}.png"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            followed = {"weight": found.subject.weight} if section.question == "backward" else {}
            save(getattr(explained, section.question)(section.numbers, **followed), path)
        except OSError as error:
            raise RunError(f"{path}: cannot be written: {error.strerror or error}") from error
        paths.append(path)
    return paths
