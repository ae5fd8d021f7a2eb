"""Fits in MLflow: a run each, and under a search one run with the fits as its parts. Read back from a real store."""

from __future__ import annotations

import gc
import socket
import time
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import kerasflow as kf
from kerasflow.tracking import shipper
from kerasflow.tracking.folder import RunFolder, digest_of

X, Y = load_iris(return_X_y=True)


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('store')}/mlflow.db"


def tracking(store, experiment):
    """Run folders beside the store."""
    return kf.Tracking(experiment, store, root=f"{store.removeprefix('sqlite:///')}.runs")


def classifier(store, experiment, **parameters):
    tracker = tracking(store, experiment)
    return kf.KerasClassifier(
        **{"epochs": 3, "hidden_layer_sizes": (8,), "random_state": 0, **parameters}, tracker=tracker
    )


def runs_of(store, experiment):
    client = MlflowClient(store)
    return client.search_runs([client.get_experiment_by_name(experiment).experiment_id])


def parts(runs):
    """The parent and its children."""
    (parent,) = (run for run in runs if "mlflow.parentRunId" not in run.data.tags)
    children = [run for run in runs if run is not parent]
    assert all(run.data.tags["mlflow.parentRunId"] == parent.info.run_id for run in children)
    return parent, children


@pytest.fixture(scope="module")
def fitted(store):
    return classifier(store, "alone", validation_fraction=0.2, optimizer__learning_rate=0.01).fit(X, Y)


@pytest.fixture(scope="module")
def run(store, fitted):
    return MlflowClient(store).get_run(fitted.run_id_)


def test_a_fit_is_a_run_that_ends_as_finished(run):
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "KerasClassifier"
    assert run.data.tags["stop_reason"] == "epochs: all 3 are completed"
    assert run.data.tags["engine"] == "graph"


def test_every_epoch_is_a_point_of_each_curve(store, fitted, run):
    client = MlflowClient(store)
    for name, curve in (("train/loss", "loss"), ("val/loss", "val_loss"), ("optim/updates", None)):
        points = client.get_metric_history(run.info.run_id, name)
        assert [point.step for point in points] == [1, 2, 3]
        if curve is not None:
            assert [point.value for point in points] == fitted.history_[curve]
    assert run.data.metrics["best/epoch"] == fitted.history_.best_epoch


def test_parameters_are_hyperparameters_by_path(run):
    assert run.data.params["optimizer/learning_rate"] == "0.01"
    assert run.data.params["batch_size"] == "32"
    assert "tracker" not in run.data.params


def test_data_cost_curve_and_model_are_there(store, run):
    ((dataset,),) = [run.inputs.dataset_inputs]
    assert '"rows": 150' in dataset.dataset.profile
    client = MlflowClient(store)
    assert any(item.path.startswith("images/cost_curve") for item in client.list_artifacts(run.info.run_id, "images"))
    assert len(run.outputs.model_outputs) == 1


def test_partial_fits_go_on_in_one_run(store):
    estimator = classifier(store, "partial")
    for _ in range(3):
        estimator.partial_fit(X, Y)
    (run,) = runs_of(store, "partial")
    points = MlflowClient(store).get_metric_history(run.info.run_id, "optim/updates")
    assert [(point.step, point.value) for point in points] == [(1, 5), (2, 10), (3, 15)]
    assert run.info.status == "FINISHED"
    assert not run.outputs.model_outputs  # not one for each call


def test_a_warm_start_in_another_experiment_is_a_run_there(store):
    estimator = classifier(store, "first", warm_start=True).fit(X, Y)
    estimator.set_params(tracker=tracking(store, "second")).fit(X, Y)
    assert [len(runs_of(store, name)) for name in ("first", "second")] == [1, 1]


def test_searches_within_a_cross_validation_are_runs_of_their_own(store):
    search = GridSearchCV(classifier(store, "nested"), {"learning_rate": [0.001, 0.01]}, cv=2)
    cross_val_score(search, X, Y, cv=2)
    gc.collect()
    runs = runs_of(store, "nested")
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    children = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    assert len(parents) == 2
    for parent in parents:
        mine = [run for run in children if run.data.tags["mlflow.parentRunId"] == parent.info.run_id]
        assert len(mine) == 2 * 2 + 1  # two candidates in two folds, and the refit
    assert {run.info.status for run in runs} == {"FINISHED"}


def test_a_fit_that_fails_is_a_run_that_failed(store):
    with pytest.raises(kf.TrainingError, match="validation_split"):
        classifier(store, "failing", fit__validation_split=2.0).fit(X, Y)
    (run,) = runs_of(store, "failing")
    assert run.info.status == "FAILED"
    assert "validation_split" in run.data.tags["status_detail"]


@pytest.mark.parametrize("n_jobs", [1, 2], ids=["in this process", "in two others"])
def test_a_search_is_one_run_with_its_fits_nested(store, n_jobs):
    name = f"search-{n_jobs}"
    grid = {"kerasclassifier__learning_rate": [0.001, 0.01], "kerasclassifier__batch_size": [32, 50]}
    search = GridSearchCV(make_pipeline(StandardScaler(), classifier(store, name)), grid, cv=3, n_jobs=n_jobs).fit(X, Y)
    gc.collect()
    parent, children = parts(runs_of(store, name))
    assert parent.info.status == "FINISHED"
    assert parent.info.run_name == "GridSearchCV"
    assert len(children) == 4 * 3 + 1
    assert {run.info.run_name for run in children} >= {"candidate 1, fold 1", "candidate 4, fold 3", "refit"}
    places = {(run.data.tags["candidate"], run.data.tags["fold"]) for run in children if "fold" in run.data.tags}
    assert places == {(str(candidate), str(fold)) for candidate in range(4) for fold in range(3)}
    assert all(run.info.status == "FINISHED" for run in children)
    second = next(run for run in children if run.info.run_name == "candidate 2, fold 1")
    assert second.data.params["learning_rate"] == str(search.cv_results_["params"][1]["kerasclassifier__learning_rate"])


def test_the_search_has_mean_and_deviation_over_folds_for_each_candidate(store):
    search = GridSearchCV(classifier(store, "means"), {"learning_rate": [0.001, 0.01, 0.1]}, cv=3, refit=False)
    search.fit(X, Y)
    gc.collect()
    parent, _ = parts(runs_of(store, "means"))
    client = MlflowClient(store)
    for kind in ("mean", "std"):
        points = client.get_metric_history(parent.info.run_id, f"cv/{kind}_test_score")
        assert [point.step for point in points] == [1, 2, 3]
        np.testing.assert_allclose([point.value for point in points], search.cv_results_[f"{kind}_test_score"])
    assert parent.data.metrics["best/mean_test_score"] == pytest.approx(search.best_score_)
    assert parent.data.metrics["best/candidate"] == search.best_index_ + 1
    mean, std = search.best_score_, search.cv_results_["std_test_score"][search.best_index_]
    assert parent.data.tags["score"] == f"{mean:.4g} ± {std:.2g} over 3 folds"
    path = client.download_artifacts(parent.info.run_id, "cv_results.csv")
    assert "split2_test_score" in Path(path).read_text()


def test_what_was_logged_has_its_digest_among_the_tags(store, run):
    (file,) = Path(tracking(store, "").root).glob(f"*/{run.data.tags['kerasflow.key']}/model.keras")
    assert run.data.tags["sha256/model.keras"] == digest_of(file)


def test_a_search_whose_server_says_nothing_is_not_kept_waiting(tmp_path, monkeypatch):
    """It takes the connection and never answers: each question takes five seconds, in the background."""
    monkeypatch.setattr(shipper, "SECONDS_AT_THE_END", 0.3)
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        tracker = kf.Tracking("mute", f"http://127.0.0.1:{mute.getsockname()[1]}", root=str(tmp_path))
        search = GridSearchCV(kf.KerasClassifier(epochs=1, tracker=tracker), {"batch_size": [50]}, cv=2, refit=False)
        began = time.monotonic()
        with pytest.warns(UserWarning, match="MLflow was not told all"):
            search.fit(X, Y)
        assert time.monotonic() - began < 5
        del search
        gc.collect()
    runs = RunFolder.list(tmp_path, "mute")
    assert len(runs) == 3
    assert {run.status.state for run in runs} == {"FINISHED"}


def test_several_scores_are_named(store):
    search = GridSearchCV(
        classifier(store, "scores"), {"batch_size": [32]}, cv=2, scoring=["accuracy", "neg_log_loss"], refit="accuracy"
    )
    search.fit(X, Y)
    gc.collect()
    parent, _ = parts(runs_of(store, "scores"))
    assert parent.data.metrics["best/mean_test_accuracy"] == pytest.approx(search.best_score_)
    assert "over 2 folds" in parent.data.tags["neg_log_loss"]


def test_a_search_that_fails_says_so(store):
    search = GridSearchCV(classifier(store, "broken", model=3), {"batch_size": [32]}, cv=2, error_score="raise")
    with pytest.raises(TypeError, match="model must be"):
        search.fit(X, Y)
    del search
    gc.collect()
    parent, _ = parts(runs_of(store, "broken"))
    assert parent.info.status == "FAILED"


def test_two_searches_are_two_runs_and_a_later_fit_is_none_of_theirs(store):
    estimator = classifier(store, "two")
    for seed in range(2):
        search = RandomizedSearchCV(estimator, {"batch_size": [32, 50]}, n_iter=1, cv=2, random_state=seed).fit(X, Y)
    clone(search.best_estimator_).fit(X, Y)
    gc.collect()
    runs = runs_of(store, "two")
    alone = [run.info.run_name for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert sorted(alone) == ["KerasClassifier", "RandomizedSearchCV", "RandomizedSearchCV"]
    assert len(runs) == 2 * (2 + 1) + 3


def test_folds_of_a_cross_validation_are_runs_without_a_model(store):
    cross_val_score(classifier(store, "folds"), X, Y, cv=3)
    runs = runs_of(store, "folds")
    assert [run.info.run_name for run in runs] == ["fold"] * 3


def test_recording_changes_no_bit(store, fitted):
    unrecorded = clone(fitted).set_params(tracker=None).fit(X, Y)
    np.testing.assert_array_equal(unrecorded.predict_proba(X), fitted.predict_proba(X))


def test_a_store_that_cannot_be_is_told_before_the_training():
    with pytest.raises(kf.TrackingError):
        kf.KerasClassifier(tracker="nowhere://at-all").fit(X, Y)
    with pytest.raises(
        TypeError, match=r"tracker must be None, the address of an MLflow store or a kf\.Tracking, got 7"
    ):
        kf.KerasClassifier(tracker=7).fit(X, Y)
