"""What a sweep draws, and which hyperparameter it says mattered."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest

import kerasflow as kf
from kerasflow.sweeps.pictures import draw, importances
from kerasflow.sweeps.result import Study
from kerasflow.sweeps.sampling import FINAL, SLOT
from kerasflow.tracking.folder import RunFolder
from kerasflow.viz import sweeps as viz

SPACE = {
    "train.optimizer.adam.learning_rate": {"log": [0.001, 0.1]},
    "train.batch_size": {"choice": [16, 32]},
    "train.epochs": {"int": [1, 9]},
}


@pytest.fixture
def study(iris: Callable[..., dict[str, Any]], tmp_path: Path) -> Callable[..., Study]:
    """A study whose trials have these values, by a function of what they drew; none is trained."""

    def made(cost: Callable[[dict[str, Any]], Any], count: int = 24, **sweep: Any) -> Study:
        settings = iris(name="drawn")
        settings["train"]["optimizer"] = {"adam": {"learning_rate": 0.05}}
        spec = kf.load_spec(settings | {"sweep": {"space": SPACE, "trials": count} | sweep})
        assert spec.sweep is not None
        kept = optuna.create_study(directions=["minimize"] * len(spec.sweep.objective))

        def objective(trial: optuna.Trial) -> Any:
            from kerasflow.sweeps.space import suggest

            trial.set_user_attr(SLOT, trial.number)
            trial.set_user_attr("runs", {"folder": "", "seeds": [{}]})
            assert spec.sweep is not None
            chosen = suggest(trial, spec.sweep)
            if len(spec.sweep.objective) == 1:
                trial.report(1.0, 1)
                trial.report(cost(chosen), 2)
            if trial.number == 5:
                raise optuna.TrialPruned
            return cost(chosen)

        kept.optimize(objective, n_trials=count)
        return Study.of(kept, spec, tmp_path)

    return made


def by_batch_size(chosen: dict[str, Any]) -> float:
    return chosen["train.batch_size"] + 0.01 * chosen["train.epochs"]


def test_what_decides_the_objective_is_said_to_matter(study: Callable[..., Study]) -> None:
    shares = importances(study(by_batch_size))
    assert next(iter(shares)) == "train.batch_size"
    assert shares["train.batch_size"] > 0.9
    assert sum(shares.values()) == pytest.approx(1)


def test_of_few_or_equal_trials_nothing_is_said_of_importance(study: Callable[..., Study]) -> None:
    assert importances(study(by_batch_size, 4)) == {}
    one = {"train.batch_size": {"choice": [16]}}
    seconds = itertools.count(1)
    assert importances(study(lambda chosen: float(next(seconds)), 8, space=one)) == {}
    assert importances(study(lambda chosen: 1.0)) == {}


def test_every_picture_is_drawn(study: Callable[..., Study], tmp_path: Path) -> None:
    found = study(by_batch_size)
    files = draw(found, importances(found), RunFolder.at(tmp_path / "sweep", "iris", "drawn sweep"))
    assert set(files) == {"history", "slices", "parallel_coordinates", "pruned_curves", "importance"}
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in files.values())


def test_where_no_finalist_finished_the_best_trial_is_the_best(study: Callable[..., Study], tmp_path: Path) -> None:
    found = study(by_batch_size, 8, repeats=2, finalists=1)
    pruned = optuna.trial.TrialState.PRUNED
    attributes = {FINAL: 0, "runs": {"folder": "", "seeds": [{}]}}
    found.optuna.add_trial(optuna.trial.create_trial(state=pruned, user_attrs=attributes))
    again = Study.of(found.optuna, found.spec, tmp_path)
    assert [one.state for one in again.finalists] == ["pruned"]
    assert again.best_trial == min(again.judged, key=lambda one: one.values[0]) == found.best_trial


def test_two_objectives_have_a_front(study: Callable[..., Study], tmp_path: Path) -> None:
    two = ["val_loss", "perf/train_seconds"]
    found = study(lambda chosen: (by_batch_size(chosen), -chosen["train.epochs"]), objective=two)
    files = draw(found, importances(found), RunFolder.at(tmp_path / "sweep", "iris", "drawn sweep"))
    assert "front" in files
    assert "pruned_curves" not in files


def test_the_history_shows_the_best_so_far_and_each_axis_its_values() -> None:
    tried = [
        viz.Tried(1, "finished", {"rate": 0.01, "kind": 0}, 3.0),
        viz.Tried(2, "pruned", {"rate": 0.1, "kind": 1}),
        viz.Tried(3, "finished", {"rate": 0.1, "kind": 1}, 1.0),
        viz.Tried(4, "finished", {"rate": 1.0, "kind": 0}, 2.0),
    ]
    scales = (viz.Scale("rate", log=True), viz.Scale("kind", choices=("a", "b")))
    swept = viz.Swept("a sweep", "val_loss", "min", 4, tuple(tried), scales)
    (axes,) = viz.history(swept).axes
    best = next(line for line in axes.lines if str(line.get_label()).startswith("best so far"))
    assert list(best.get_ydata()) == [3.0, 1.0, 1.0, 1.0]
    assert list(best.get_xdata()) == [1, 3, 4, 4]
    panels = viz.slices(swept).axes
    assert [axes.get_xscale() for axes in panels] == ["log", "linear"]
    assert [text.get_text() for text in panels[1].get_xticklabels()] == ["a", "b"]
    ring = panels[0].lines[-1]
    assert (list(ring.get_xdata()), list(ring.get_ydata())) == ([1.0], [2.0]), "the one that is said to be the best"
    lines = viz.parallel_coordinates(swept).axes[0].lines
    ends = {float(line.get_ydata()[-1]) for line in lines if len(line.get_xdata()) == 3}
    assert len(ends) == 3
