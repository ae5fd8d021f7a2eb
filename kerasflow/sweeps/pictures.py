"""A sweep in pictures, and which of its hyperparameters mattered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerasflow.spec.document import clip
from kerasflow.spec.faults import short as short_text
from kerasflow.spec.sweep import same
from kerasflow.sweeps.package import optuna
from kerasflow.sweeps.tickets import tally
from kerasflow.tracking.compare import short_names

if TYPE_CHECKING:
    from kerasflow.spec.sweep import RangeSpec
    from kerasflow.sweeps.result import Study
    from kerasflow.tracking.folder import RunFolder

ENOUGH = 6
"""Finished trials from which on something is said of importance."""


def importances(found: Study) -> dict[str, float]:
    """How much of the objective's spread each hyperparameter explains, by its path, the largest first; they sum to 1.

    By Optuna's functional analysis of variance (Hutter, Hoos & Leyton-Brown 2014) over the finished trials, of those
    that every finished trial has. Empty where fewer than six have finished, or all drew or came to the same.
    """
    package, sweep = optuna(), found.spec.sweep
    assert sweep is not None
    finished = [trial for trial in tally(found.optuna, sweep).ended if trial.state.name == "COMPLETE"]
    if len(finished) < ENOUGH or len({trial.values[0] for trial in finished}) == 1:
        return {}
    if len({tuple(sorted(trial.params.items(), key=lambda pair: pair[0])) for trial in finished}) == 1:
        return {}
    these = package.create_study(directions=found.optuna.directions)  # without what was begun twice, and finalists
    these.add_trials(finished)
    evaluator = package.importance.FanovaImportanceEvaluator(seed=0)
    try:
        shares = package.importance.get_param_importances(these, evaluator=evaluator, target=lambda one: one.values[0])
    except RuntimeError:  # what every finished trial has differs too little for a tree to split by it
        return {}
    return {path: float(share) for path, share in shares.items()}


def draw(found: Study, shares: Mapping[str, float], folder: RunFolder) -> dict[str, Path]:
    """Draws what there is to see of a sweep, and gives the files by their key, which is the same for every sweep.

    Args:
        shares: as `importances` gives them.

    Raises:
        RunError: they cannot be written.
    """
    from kerasflow.viz.style import save

    files = {}
    for key, figure in _figures(found, shares):
        name = f"figures/{key}.png"
        with folder.writing(name) as path:
            save(figure, path)
        files[key] = folder.path(name)
    return files


def _figures(found: Study, shares: Mapping[str, float]) -> Iterator[tuple[str, Any]]:
    from kerasflow.viz import sweeps as viz

    sweep = found.spec.sweep
    if sweep is None or not any(trial.values for trial in found.trials):
        return
    objective, direction = found.objectives[0]
    short = dict(zip(sweep.space, short_names([path.replace(".", "/") for path in sweep.space]), strict=True))
    title = f"{found.spec.experiment}: {found.spec.name} sweep"
    labels = {path: _labels(one) for path, one in sweep.space.items()}

    def place(path: str, value: Any) -> Any:
        """Where a value lies on its axis; of a choice its place among the choices."""
        choices = sweep.space[path].choices
        return next(i for i, one in enumerate(choices) if same(one, value)) if choices else value

    trials = tuple(
        viz.Tried(
            trial.number,
            trial.state,
            {short[path]: place(path, value) for path, value in trial.chosen.items()},
            trial.values[0] if trial.values else None,
            trial.reported,
        )
        for trial in sorted(found.trials, key=lambda trial: trial.ended)
    )
    searched = [path for path in sweep.space if any(path in trial.chosen for trial in found.trials)]
    scales = tuple(viz.Scale(short[path], sweep.space[path].kind == "log", labels[path]) for path in searched)
    swept = viz.Swept(title, objective, direction, found.best_trial.number, trials, scales)
    yield "history", viz.history(swept)
    yield "slices", viz.slices(swept)
    yield "parallel_coordinates", viz.parallel_coordinates(swept)
    if any(one.reported for one in trials):
        yield "pruned_curves", viz.pruned_curves(swept)
    if shares:
        remark = f"functional analysis of variance over {len(swept.finished)} finished trials"
        named = {short[path]: share for path, share in shares.items()}
        yield "importance", viz.importance(named, objective, remark, title=title)
    if len(found.objectives) > 1:
        names = (found.objectives[0][0], found.objectives[1][0])
        both = [(trial.values[0], trial.values[1]) for trial in found.trials if trial.values]
        front = [(trial.values[0], trial.values[1]) for trial in found.best_trials]
        yield "front", viz.front(both, front, names, title=title)


def _labels(one: RangeSpec) -> tuple[str, ...]:
    """What the axis says of each choice: a name without its arguments where that tells them apart."""
    names = [next(iter(value)) if isinstance(value, Mapping) and len(value) == 1 else value for value in one.choices]
    words = tuple(str(name) for name in names)
    return words if len(set(words)) == len(words) else tuple(clip(short_text(value), 24) for value in one.choices)
