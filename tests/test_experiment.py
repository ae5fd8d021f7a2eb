"""One call from a spec to a run: what stands in the folder and in MLflow afterwards."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import keras
import numpy as np
import pytest
import yaml
from mlflow import MlflowClient
from PIL import Image

import kerasflow as kf
from kerasflow.tracking.folder import RunFolder


@pytest.fixture(scope="module")
def recorded(result, store):
    """What MLflow's own client says of that run."""
    return MlflowClient(store).get_run(result.run_id)


def untouched(folder: Path) -> bool:
    return not any(folder.iterdir())


# --- the folder


def test_the_folder_says_what_was_wanted_and_that_it_ended(result) -> None:
    assert kf.load_spec(result.folder / "spec.yaml") == result.spec
    status = json.loads((result.folder / "status.json").read_text())
    assert (status["state"], status["reason"]) == ("FINISHED", result.history.stop_reason)
    environment = (result.folder / "environment.txt").read_text()
    assert f"keras=={keras.__version__}" in environment.splitlines()


def test_the_folder_holds_every_epoch_and_the_final_numbers(result) -> None:
    assert RunFolder.open(result.folder).rows == result.history.rows
    assert (result.folder / "history.csv").read_text().splitlines()[0].startswith("epoch,loss,accuracy,val_loss")
    assert json.loads((result.folder / "metrics.json").read_text()) == result.metrics
    assert set(result.metrics) == {
        "best/epoch", "best/train_loss", "best/train_accuracy", "best/val_loss", "best/val_accuracy",
        "test/loss", "test/accuracy", "data/labelled", "perf/train_seconds",
    }  # fmt: skip
    best = min(result.history.rows, key=lambda row: row["val_loss"])
    assert result.metrics["best/epoch"] == best["epoch"]
    assert result.metrics["best/val_loss"] == best["val_loss"]
    assert result.metrics["data/labelled"] == 150 - 30  # but for the test part
    assert result.metrics["perf/train_seconds"] >= sum(row["seconds"] for row in result.history.rows)


def test_the_saved_model_is_the_one_that_the_numbers_are_about(result) -> None:
    from kerasflow.data import load

    model = keras.models.load_model(result.folder / "model.keras")
    data = load(result.spec.data, result.spec.seed)
    chosen = model.predict(data.test.x, verbose=0).argmax(-1)
    assert np.mean(chosen == data.test.y) == pytest.approx(result.metrics["test/accuracy"])
    for a, b in zip(model.get_weights(), result.model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_folder_holds_pictures_and_nothing_half_written(result) -> None:
    pictures = {path.name for path in (result.folder / "figures").iterdir()}
    assert pictures == {
        "architecture.png", "class_balance.png", "confusion_matrix.png", "cost_curve.png", "largest_errors.png"
    }  # fmt: skip
    for name in pictures:
        with Image.open(result.folder / "figures" / name) as image:
            assert min(image.size) > 100
    assert not [path for path in result.folder.rglob("*") if path.name.startswith(".") or path.suffix == ".tmp"]


# --- MLflow


def test_mlflow_holds_one_point_an_epoch_in_sections(result, recorded, store) -> None:
    client = MlflowClient(store)
    for key, column in {"train/loss": "loss", "val/accuracy": "val_accuracy", "optim/lr": "lr"}.items():
        points = client.get_metric_history(result.run_id, key)
        assert [point.step for point in points] == [1, 2, 3], key
        assert [point.value for point in points] == pytest.approx([row[column] for row in result.history.rows])
    keys = set(recorded.data.metrics)
    assert {"optim/updates", "optim/grad_norm", "perf/epoch_seconds", "perf/samples_per_second"} <= keys
    sections = {key.split("/")[0] for key in keys} - {"system"}  # which a run of seconds has, too
    assert sections == {"train", "val", "test", "best", "optim", "perf", "data"}
    for key, value in result.metrics.items():
        assert recorded.data.metrics[key] == pytest.approx(value)


def test_mlflow_holds_params_tags_and_the_end(result, recorded) -> None:
    params = recorded.data.params
    assert params["train/optimizer/adam/learning_rate"] == "0.05"
    assert (params["train/batch_size"], params["seed"]) == ("32", "3")
    assert len(params) <= 40
    tags = recorded.data.tags
    assert (tags["stop_reason"], tags["engine"]) == (result.history.stop_reason, "eager")
    assert tags["spec_hash"] == result.spec.content_hash()
    assert tags["run_folder"] == str(result.folder)
    assert {"git_commit", "git_dirty"} <= set(tags) or not _in_a_repository()
    assert (recorded.info.status, recorded.info.run_name) == ("FINISHED", "tiny")


def _in_a_repository() -> bool:
    return subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, check=False).returncode == 0


def test_mlflow_holds_the_data_that_each_part_was(recorded) -> None:
    contexts = {
        tag.value for used in recorded.inputs.dataset_inputs for tag in used.tags if tag.key.endswith("context")
    }
    assert contexts == {"train", "validation", "test"}
    assert len({used.dataset.digest for used in recorded.inputs.dataset_inputs}) == 1
    rows = sorted(json.loads(used.dataset.profile)["rows"] for used in recorded.inputs.dataset_inputs)
    assert rows == [15, 30, 105]


def test_mlflow_holds_the_pictures_the_files_and_a_model_that_predicts(result, recorded, store) -> None:
    client = MlflowClient(store)
    names = {item.path for item in client.list_artifacts(result.run_id)}
    assert {"spec.yaml", "environment.txt", "history.csv", "metrics.json", "figures", "images"} <= names
    images = {re.split("[%~+]", item.path.split("/")[-1])[0] for item in client.list_artifacts(result.run_id, "images")}
    assert images >= {"cost_curve", "confusion_matrix", "architecture"}
    (model,) = client.search_logged_models([recorded.info.experiment_id])
    assert model.source_run_id == result.run_id
    assert (Path(model.artifact_location) / "data" / "model.keras").is_file()
    about = yaml.safe_load((Path(model.artifact_location) / "MLmodel").read_text())
    assert "tensor-spec" in about["signature"]["inputs"]


# --- repeated, elsewhere, without a store


def timeless(metrics):
    return {name: value for name, value in metrics.items() if not name.startswith("perf/")}


def test_the_same_spec_gives_the_same_numbers_to_the_bit(result, tmp_path) -> None:
    again = kf.run(result.folder / "spec.yaml", {"track.uri": "none"}, root=tmp_path, verbose=0)
    assert timeless(again.metrics) == timeless(result.metrics)
    assert (again.run_id, again.store) == ("", "")
    for a, b in zip(again.model.get_weights(), result.model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_auto_is_the_variable_that_mlflow_reads_else_a_file_here(tmp_path, monkeypatch, store, result, iris) -> None:
    from kerasflow.recording import store_for

    shutil.copy(store.removeprefix("sqlite:///"), tmp_path / "elsewhere.db")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    spec = kf.load_spec(iris(track={"uri": "auto"}))
    assert store_for(spec.track.uri) == "sqlite:///mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/elsewhere.db")
    found = kf.run(spec, {"train.epochs": 1}, verbose=0)
    assert found.store == f"sqlite:///{tmp_path}/elsewhere.db"
    assert MlflowClient(found.store).get_run(found.run_id).info.status == "FINISHED"
    assert found.folder.is_relative_to(tmp_path / "runs" / "iris")


# --- refused before anything is written


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"train.epochs": 0}, kf.SpecError, "train.epochs"),
        ({"data.source": {"csv": {"path": "no.csv", "target": "y"}}}, kf.DataError, "no.csv"),
        ({"data.source": {"sklearn": "irises"}}, kf.KerasflowError, "iris"),
        ({"model.layers": [{"conv2d": {"filters": 2, "kernel_size": 3}}, "head"]}, kf.BuildError, "conv2d"),
        ({"train.loss": "mean_squared_error"}, kf.TrainingError, "the loss or a metric does not fit"),
        ({"train.stop": [{"plateau": {"monitor": "val_los"}}]}, kf.TrainingError, "did you mean 'val_loss'"),
        ({"track.uri": "ftp://127.0.0.1"}, kf.TrackingError, "track.uri: expected"),
        ({"track.uri": "sqlite:////proc/nowhere/mlflow.db"}, kf.TrackingError, "cannot be opened"),
    ],
)
def test_nothing_is_written_for_what_cannot_be(tmp_path, monkeypatch, changes, error, words, iris) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=words) as refused:
        kf.run(iris(track={"uri": "auto"}), changes, verbose=0)
    assert "\n" not in str(refused.value)
    assert untouched(tmp_path)


def test_every_update_is_a_point_where_that_is_asked_for(tmp_path) -> None:
    spec = {
        "experiment": "updates",
        "data": {"source": {"sklearn": "iris"}, "split": {"test": 0.2, "validation": 0}},
        "model": {"layers": [{"dense": 4}, "head"]},
        "train": {"epochs": 3, "batch_size": 32, "metrics": []},
        "track": {"uri": f"sqlite:///{tmp_path / 'mlflow.db'}", "updates": True},
    }
    result = kf.run(spec, root=tmp_path / "runs", verbose=0)
    points = MlflowClient(result.store).get_metric_history(result.run_id, "update/loss")
    points.sort(key=lambda point: point.step)
    assert [point.step for point in points] == list(range(1, result.history.updates + 1))
    sizes = [32, 32, 32, 24]  # of 120 samples
    costs = np.reshape([point.value for point in points], (3, 4))
    np.testing.assert_allclose(costs @ sizes / 120, [row["loss"] for row in result.history.rows], rtol=1e-6)
    plain = kf.run(spec | {"track": {"uri": "none"}}, root=tmp_path / "plain", verbose=0)
    for a, b in zip(result.model.get_weights(), plain.model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
