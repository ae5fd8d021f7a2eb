"""A sweep of a small spec, as a user calls it: what it leaves, how it goes on, what it does with what fails."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient

import kerasflow as kf
from kerasflow.sweeps import tickets
from kerasflow.sweeps.result import Study
from kerasflow.sweeps.working import PARENT_VARIABLE
from kerasflow.tracking.folder import RunFolder, every_run
from kerasflow.training.program import Compiler, Program

Spec = Callable[..., dict[str, Any]]

RATE = {"train.optimizer.adam.learning_rate": {"log": [0.001, 0.1]}}
SPACE = RATE | {"model.layers[0].dense.units": {"choice": [4, 8]}}


@pytest.fixture
def spec(iris: Spec) -> Spec:
    def made(space: Any = SPACE, **sweep: Any) -> dict[str, Any]:
        found = iris(name="swept")
        found["train"] = {"optimizer": {"adam": {}}, "batch_size": 32, "epochs": 2, "engine": "graph"}
        found["train"]["optimizer"] = {"adam": {"learning_rate": 0.05}}
        return found | {"sweep": {"space": space, "trials": 3} | sweep}

    return made


def swept(spec: Any, root: Path, trials: int | None = None, **more: Any) -> Study:
    return kf.sweep(spec, trials, root=root, verbose=0, **more)


@pytest.fixture(scope="module")
def recorded(iris: Spec, store: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, Path]:
    """A sweep with two seeds a trial, recorded in MLflow."""
    root = tmp_path_factory.mktemp("sweep")
    made = iris(name="seeds", experiment="swept iris", track={"uri": store, "system_metrics": False})
    made["train"] = made["train"] | {"engine": "graph", "epochs": 2}
    return swept(made | {"sweep": {"space": SPACE, "trials": 2, "repeats": 2}}, root), root


def test_the_best_spec_run_by_itself_ends_in_the_same_bits(spec: Spec, tmp_path: Path) -> None:
    study = swept(spec(), tmp_path)
    best = study.folder / "best.yaml"
    assert "sweep" not in best.read_text()
    again = kf.run(best, root=tmp_path / "again", verbose=0)
    assert again.history.rows[-1]["val_loss"] == study.best_value
    assert study.best_value == min(trial.values[0] for trial in study.trials)
    assert kf.load_spec(best).content_hash() == study.best_spec.content_hash()


def test_it_goes_on_where_it_was_and_draws_what_it_would_have_drawn(spec: Spec, tmp_path: Path) -> None:
    first = swept(spec(), tmp_path / "parts", 2)
    both = swept(spec(), tmp_path / "parts", 4)
    whole = swept(spec(), tmp_path / "whole", 4)
    assert [trial.number for trial in both.trials] == [1, 2, 3, 4]
    assert both.trials[:2] == first.trials
    assert [trial.chosen for trial in both.trials] == [trial.chosen for trial in whole.trials]
    assert [trial.values for trial in both.trials] == [trial.values for trial in whole.trials]
    runs = len(every_run(tmp_path / "parts"))
    assert swept(spec(), tmp_path / "parts", 4).trials == both.trials
    assert len(every_run(tmp_path / "parts")) == runs == 5


def test_the_best_are_trained_with_more_seeds_and_judged_by_their_means(spec: Spec, tmp_path: Path) -> None:
    study = swept(spec(trials=4, repeats=3, finalists=2), tmp_path)
    assert [len(trial.seeds) for trial in study.trials] == [1] * 4
    best_two = sorted(study.trials, key=lambda trial: trial.values[0])[:2]
    assert [one.number for one in study.finalists] == sorted(trial.number for trial in best_two)
    for one in study.finalists:
        trial = study.trials[one.number - 1]
        assert one.chosen == trial.chosen
        values = [seed["val_loss"] for seed in one.seeds]
        assert values[0] == trial.values[0]  # which is not trained again
        assert one.values[0] == pytest.approx(np.mean(values))
        assert one.stds[0] == pytest.approx(np.std(values, ddof=1))
    assert study.best_trial == min(study.finalists, key=lambda one: one.values[0])
    again = kf.run(study.best_spec, root=tmp_path / "again", verbose=0)
    assert again.history.rows[-1]["val_loss"] == study.best_trial.seeds[0]["val_loss"]
    other_seed = study.best_spec.model_copy(update={"seed": study.best_spec.seed + 2})
    assert (
        kf.run(other_seed, root=tmp_path / "again", verbose=0).history.rows[-1]["val_loss"]
        == (study.best_trial.seeds[2]["val_loss"])
    )
    frame = study.to_frame()
    assert int(frame["val_loss_mean"].notna().sum()) == 2
    runs = len(every_run(tmp_path))
    assert swept(spec(trials=4, repeats=3, finalists=2), tmp_path).finalists == study.finalists
    assert len(every_run(tmp_path)) == runs


def test_trials_of_one_architecture_share_their_programs(spec: Spec, tmp_path: Path, monkeypatch) -> None:
    made, trace = [], Program.__init__
    monkeypatch.setattr(Program, "__init__", lambda self, *given: (made.append(self), trace(self, *given))[1])
    Compiler._pool.clear()
    swept(spec(RATE), tmp_path, 1)
    first = len(made)
    assert first > 0
    swept(spec(RATE), tmp_path, 3)
    assert len(made) == first


def test_whether_the_best_are_repeated_cannot_change_but_how_many(spec: Spec, tmp_path: Path) -> None:
    assert len(swept(spec(repeats=2, finalists=1), tmp_path).finalists) == 1
    assert len(swept(spec(repeats=2, finalists=2), tmp_path).finalists) == 2
    with pytest.raises(kf.RunError, match=r"sweep\.finalists is true there, nothing here"):
        swept(spec(repeats=2), tmp_path)
    fewer = swept(spec(repeats=2, finalists=2), tmp_path, 2)
    assert RunFolder.open(fewer.folder).status.state == "FINISHED"


def test_a_ticket_whose_worker_died_before_its_first_sign_of_life_is_run(
    spec: Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = swept(spec(), tmp_path, 1)
    tickets.look(study.optuna, kf.load_spec(spec(trials=3)).sweep)
    study.optuna.ask()  # drawn, and nobody is there
    monkeypatch.setattr(tickets, "SECONDS_TO_BEGIN", 0)
    assert [trial.number for trial in swept(spec(), tmp_path, 3).trials] == [1, 2, 3]


def test_a_worker_whose_parent_is_gone_begins_no_trial(spec: Spec, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv(PARENT_VARIABLE, str(os.getppid()))
    assert len(swept(spec(), tmp_path, 1).trials) == 1
    monkeypatch.setenv(PARENT_VARIABLE, str(os.getppid() + 1))
    assert len(swept(spec(), tmp_path, 2).trials) == 1


def test_another_space_in_the_same_storage_is_refused_with_what_differs(spec: Spec, tmp_path: Path) -> None:
    swept(spec(), tmp_path, 1)
    other = RATE | {"model.layers[0].dense.units": {"choice": [4, 16]}}
    with pytest.raises(kf.RunError, match=r"units\.choice is \[4, 8\] there, \[4, 16\] here; give this one a name"):
        swept(spec(other), tmp_path, 1)


def test_a_storage_that_answers_no_one_is_told_without_its_password(spec: Spec, tmp_path: Path) -> None:
    with pytest.raises(kf.RunError, match="storage does not answer") as refused:
        swept(spec(), tmp_path, storage="postgresql://anna:s3cret@127.0.0.1:9/none")
    assert "s3cret" not in str(refused.value)


def test_a_trial_that_fails_is_kept_with_its_traceback_and_the_sweep_goes_on(spec: Spec, tmp_path: Path) -> None:
    gone = {"csv": {"path": str(tmp_path / "gone.csv"), "target": "y"}}
    space = {"data.source": {"choice": [{"sklearn": "iris"}, gone]}}
    study = swept(spec(space, sampler="grid", trials=None), tmp_path)
    good, bad = study.trials
    assert (good.state, bad.state) == ("finished", "failed")
    assert bad.error.startswith("DataError: ")
    (folder,) = (run for run in every_run(tmp_path) if run.status.state == "FAILED")
    assert folder.directory.name == bad.folder
    assert "DataError" in folder.read_text("traceback.txt")
    assert study.best_trial == good


def test_where_all_fail_the_sweep_stops_and_says_the_common_cause(spec: Spec, tmp_path: Path) -> None:
    given = spec(trials=20)
    given["data"] = {"source": {"csv": {"path": str(tmp_path / "none.csv"), "target": "y"}}}
    with pytest.raises(kf.TrainingError, match=r"all of the first 3 trials failed, each by DataError: .*none\.csv"):
        swept(given, tmp_path)
    assert [run.status.state for run in every_run(tmp_path)].count("FAILED") == 4  # the sweep's own, too


def test_an_objective_that_no_training_has_stops_the_sweep_at_once(spec: Spec, tmp_path: Path) -> None:
    with pytest.raises(kf.TrainingError, match="no number 'val_los', did you mean 'val_loss'"):
        swept(spec(objective={"val_los": "min"}), tmp_path)


def test_trials_that_are_behind_are_pruned_and_their_curves_kept(spec: Spec, tmp_path: Path) -> None:
    rates = {"train.optimizer.adam.learning_rate": {"choice": [0.05, 0.04, 0.06, 0.07, 1e-6]}}
    given = spec(rates, sampler="grid", trials=None, pruner="median")
    given["train"]["epochs"] = 6
    study = swept(given, tmp_path)
    assert [trial.state for trial in study.trials] == ["finished"] * 4 + ["pruned"]
    assert 1 <= len(study.trials[4].reported) < 6
    (run,) = (run for run in every_run(tmp_path) if "pruned: val_loss" in run.status.reason)
    assert [row["val_loss"] for row in run.rows] == list(study.trials[4].reported.values())


def test_two_objectives_have_a_front(spec: Spec, tmp_path: Path) -> None:
    study = swept(spec(objective=["val_loss", "model/parameters"], trials=4), tmp_path)
    points = [trial.values for trial in study.best_trials]
    assert points
    assert not any(a != b and a[0] <= b[0] and a[1] <= b[1] for a in points for b in points)
    assert {"val_loss", "model/parameters"} <= set(study.to_frame())


def test_every_sampler_draws_from_the_space(spec: Spec, tmp_path: Path) -> None:
    for sampler in ("cma_es", "random", "quasi_random"):
        study = swept(spec(RATE | {"seed": {"int": [0, 9]}}, sampler=sampler, trials=2), tmp_path / sampler)
        rates = [trial.chosen["train.optimizer.adam.learning_rate"] for trial in study.trials]
        assert len(set(rates)) == 2
        assert all(0.001 <= rate <= 0.1 for rate in rates)


def test_ctrl_c_ends_it_with_the_best_so_far_and_the_trial_is_run_again(
    spec: Spec, tmp_path: Path, monkeypatch
) -> None:
    from kerasflow.sweeps.trial import Objective

    trained, begun = Objective._trained, []

    def interrupted(self: Any, *arguments: Any) -> Any:
        begun.append(1)
        if len(begun) == 2:
            os.kill(os.getpid(), signal.SIGINT)
            threading.Event().wait(5)
        return trained(self, *arguments)

    monkeypatch.setattr(Objective, "_trained", interrupted)
    study = swept(spec(), tmp_path)
    assert study.interrupted
    assert [trial.number for trial in study.trials] == [1]
    assert (study.folder / "best.yaml").is_file()
    assert RunFolder.open(study.folder).status.state == "KILLED"
    values = [t.params for t in study.optuna.get_trials() if t.user_attrs.get("slot") == 1]
    again = swept(spec(), tmp_path)
    assert [trial.number for trial in again.trials] == [1, 2, 3]
    assert again.trials[1].chosen == values[0]
    assert not again.interrupted


def test_of_several_seeds_the_mean_is_judged_and_the_deviation_kept(recorded: tuple[Study, Path]) -> None:
    study, root = recorded
    for trial in study.trials:
        one, other = (seed["val_loss"] for seed in trial.seeds)
        assert one != other
        assert trial.values == (pytest.approx((one + other) / 2),)
        assert trial.stds == (pytest.approx(abs(one - other) / 2**0.5),)
    again = kf.run(study.folder / "best.yaml", {"track.uri": "none"}, root=root / "again", verbose=0)
    row = next(row for row in again.history.rows if row["epoch"] == again.history.best_epoch)
    assert row["val_loss"] == study.best_trial.seeds[0]["val_loss"]


def test_mlflow_shows_one_run_a_sweep_a_child_a_trial_and_seeds_below_it(
    recorded: tuple[Study, Path], store: str
) -> None:
    study, _ = recorded
    client = MlflowClient(store)
    experiment = client.get_experiment_by_name("swept iris")
    runs = client.search_runs([experiment.experiment_id])
    assert {run.info.status for run in runs} == {"FINISHED"}
    (top,) = (run for run in runs if "mlflow.parentRunId" not in run.data.tags)
    below = {
        run.info.run_id: [one for one in runs if one.data.tags.get("mlflow.parentRunId") == run.info.run_id]
        for run in runs
    }
    trials = below[top.info.run_id]
    assert sorted(run.data.tags["trial"] for run in trials) == ["1", "2"]
    assert [len(below[run.info.run_id]) for run in trials] == [2, 2]
    assert top.data.metrics["best/val_loss"] == study.best_value
    assert {item.path for item in client.list_artifacts(top.info.run_id)} >= {"best.yaml", "trials.csv", "sweep.yaml"}
    pictures = [item.path for item in client.list_artifacts(top.info.run_id, "images")]
    for key in ("history", "slices", "parallel_coordinates"):
        assert any(key in path for path in pictures), (key, pictures)
    best = next(run for run in trials if run.data.tags["trial"] == str(study.best_trial.number))
    assert best.data.metrics["val_loss"] == study.best_value
    seed = below[best.info.run_id][0]
    assert len(client.get_metric_history(seed.info.run_id, "val/loss")) == 2
