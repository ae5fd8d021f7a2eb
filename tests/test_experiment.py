"""One call from a spec to a run: what stands in the folder and in MLflow afterwards, however it ended."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
import yaml
from mlflow import MlflowClient
from PIL import Image

import kerasflow as kf
from kerasflow.errors import TrackingError
from kerasflow.prediction import predict_file
from kerasflow.tracking.mlflow_tracker import MLflowTracker

EPOCHS = 3


def iris(**changes) -> dict:
    spec = {
        "experiment": "iris",
        "name": "tiny",
        "seed": 3,
        "data": {"source": {"sklearn": "iris"}, "scale": "standard"},
        "model": {"layers": [{"dense": {"units": 6, "activation": "relu"}}, {"dropout": 0.2}, "head"]},
        "train": {
            "optimizer": {"adam": {"learning_rate": 0.05}},
            "batch_size": 32,
            "micro_batch_size": 12,
            "epochs": EPOCHS,
            "engine": "eager",
            "stop": [{"plateau": {"monitor": "val_loss", "patience": 2, "restore_best": True}}],
        },
        "track": {"uri": "none"},
    }
    return spec | changes


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("experiment")


@pytest.fixture(scope="module")
def store(place) -> str:
    return f"sqlite:///{place}/mlflow.db"


@pytest.fixture(scope="module")
def result(place, store) -> kf.RunResult:
    """A run that ended by itself, recorded in MLflow."""
    return kf.run(iris(track={"uri": store}), root=place / "runs", verbose=0)


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
    assert (status["state"], status["reason"], status["run_id"]) == (
        "FINISHED",
        result.history.stop_reason,
        result.run_id,
    )
    environment = (result.folder / "environment.txt").read_text()
    assert f"keras=={keras.__version__}" in environment.splitlines()


def test_the_folder_holds_every_epoch_and_the_final_numbers(result) -> None:
    lines = (result.folder / "history.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == result.history.rows
    assert json.loads((result.folder / "metrics.json").read_text()) == result.metrics
    assert set(result.metrics) == {
        "best/epoch", "best/train_loss", "best/train_accuracy", "best/val_loss", "best/val_accuracy",
        "test/loss", "test/accuracy",
    }  # fmt: skip
    best = min(result.history.rows, key=lambda row: row["val_loss"])
    assert result.metrics["best/epoch"] == best["epoch"]
    assert result.metrics["best/val_loss"] == best["val_loss"]


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
    assert pictures == {"cost_curve.png", "confusion_matrix.png", "architecture.png"}
    for name in pictures:
        with Image.open(result.folder / "figures" / name) as image:
            assert min(image.size) > 100
    assert not [path for path in result.folder.rglob("*") if path.name.startswith(".") or path.suffix == ".tmp"]


# --- MLflow


def test_mlflow_holds_one_point_an_epoch_in_sections(result, recorded, store) -> None:
    client = MlflowClient(store)
    for key, column in {"train/loss": "loss", "val/accuracy": "val_accuracy", "optim/lr": "lr"}.items():
        points = client.get_metric_history(result.run_id, key)
        assert [point.step for point in points] == list(range(1, EPOCHS + 1)), key
        assert [point.value for point in points] == pytest.approx([row[column] for row in result.history.rows])
    keys = set(recorded.data.metrics)
    assert {"optim/updates", "optim/grad_norm", "perf/epoch_seconds", "perf/samples_per_second"} <= keys
    assert {key.split("/")[0] for key in keys} == {"train", "val", "test", "best", "optim", "perf"}
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
    assert {"spec.yaml", "environment.txt", "history.jsonl", "metrics.json", "figures", "images"} <= names
    images = {re.split("[%~+]", item.path.split("/")[-1])[0] for item in client.list_artifacts(result.run_id, "images")}
    assert images >= {"cost_curve", "confusion_matrix", "architecture"}
    (model,) = client.search_logged_models([recorded.info.experiment_id])
    assert model.source_run_id == result.run_id
    assert (Path(model.artifact_location) / "data" / "model.keras").is_file()
    about = yaml.safe_load((Path(model.artifact_location) / "MLmodel").read_text())
    assert "tensor-spec" in about["signature"]["inputs"]


# --- repeated, elsewhere, without a store


def test_the_same_spec_gives_the_same_numbers_to_the_bit(result, place) -> None:
    again = kf.run(result.folder / "spec.yaml", {"track.uri": "none"}, root=place / "again", verbose=0)
    assert again.metrics == result.metrics
    assert (again.run_id, again.store) == ("", "")
    for a, b in zip(again.model.get_weights(), result.model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_auto_is_the_variable_that_mlflow_reads_else_a_file_here(tmp_path, monkeypatch, place, result) -> None:
    from kerasflow.experiment import open_tracker

    shutil.copy(place / "mlflow.db", tmp_path / "elsewhere.db")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    spec = kf.load_spec(iris(track={"uri": "auto"}))
    assert open_tracker(spec)[1] == "sqlite:///mlflow.db"
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
        ({"track.uri": "http://127.0.0.1:9"}, kf.TrackingError, "does not answer"),
        ({"track.uri": "sqlite:////proc/nowhere/mlflow.db"}, kf.TrackingError, "cannot be opened"),
    ],
)
def test_nothing_is_written_for_what_cannot_be(tmp_path, monkeypatch, changes, error, words) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=words) as refused:
        kf.run(iris(track={"uri": "auto"}), changes, verbose=0)
    assert "\n" not in str(refused.value)
    assert untouched(tmp_path)


# --- failed, killed


class Boom(Exception):
    pass


@pytest.fixture
def stumbling(monkeypatch):
    """Makes the third epoch's end raise something, as a fault in the middle of a training would."""
    from kerasflow.tracking.folder import RunFolder

    def install(error: BaseException) -> None:
        append = RunFolder.append_row

        def stumble(self, row):
            if row["epoch"] == 3:
                raise error
            append(self, row)

        monkeypatch.setattr(RunFolder, "append_row", stumble)

    return install


def only_run(root: Path) -> Path:
    (status,) = root.glob("*/*/status.json")
    return status.parent


def in_mlflow(store: str, folder: Path):
    run_id = json.loads((folder / "status.json").read_text())["run_id"]
    return MlflowClient(store).get_run(run_id)


@pytest.mark.parametrize(
    ("error", "state", "detail"),
    [(Boom("the middle"), "FAILED", "Boom: the middle"), (KeyboardInterrupt(), "KILLED", "Ctrl-C")],
)
def test_an_end_in_the_middle_is_told_everywhere(tmp_path, store, stumbling, error, state, detail) -> None:
    stumbling(error)
    with pytest.raises(type(error)):
        kf.run(iris(track={"uri": store}), root=tmp_path, verbose=0)
    folder = only_run(tmp_path)
    status = json.loads((folder / "status.json").read_text())
    assert (status["state"], status["reason"]) == (state, detail)
    found = in_mlflow(store, folder)
    assert (found.info.status, found.data.tags["status_detail"]) == (state, detail)
    assert found.data.metrics["optim/updates"] == 8
    assert len((folder / "history.jsonl").read_text().splitlines()) == 2
    artifacts = {item.path for item in MlflowClient(store).list_artifacts(found.info.run_id)}
    failed = state == "FAILED"
    assert (folder / "traceback.txt").exists() == ("traceback.txt" in artifacts) == failed
    if failed:
        assert "Boom: the middle" in (folder / "traceback.txt").read_text()
    assert not (folder / "model.keras").exists()


def training_process(folder: Path, like: Path) -> subprocess.Popen[str]:
    """The command line, training without an end, with a store of its own, copied because making one takes seconds."""
    folder.mkdir()
    shutil.copy(like, folder / "mlflow.db")
    spec = iris(track={"uri": "sqlite:///mlflow.db"})
    spec["train"] |= {"epochs": 1_000_000, "stop": []}
    (folder / "spec.yaml").write_text(yaml.safe_dump(spec))
    command = [sys.executable, "-c", "from kerasflow.cli import main; main()", "run", "spec.yaml"]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_a_process_that_is_stopped_says_so(tmp_path, place, result) -> None:
    ends = {signal.SIGTERM: (143, "SIGTERM"), signal.SIGINT: (130, "Ctrl-C")}
    processes = {number: training_process(tmp_path / number.name, place / "mlflow.db") for number in ends}
    try:
        for number, (code, detail) in ends.items():
            assert_killed(processes[number], tmp_path / number.name, number, code, detail)
    finally:
        for process in processes.values():
            process.kill()


def assert_killed(process: subprocess.Popen[str], place: Path, number: int, code: int, detail: str) -> None:
    assert process.stderr is not None
    assert any(line.startswith("epoch 2/") for line in process.stderr)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert "Traceback" not in out + err
    folder = only_run(place / "runs")
    status = json.loads((folder / "status.json").read_text())
    assert (status["state"], status["reason"]) == ("KILLED", detail)
    found = MlflowClient(f"sqlite:///{place}/mlflow.db").get_run(status["run_id"])
    assert (found.info.status, found.data.tags["status_detail"]) == ("KILLED", detail)
    kept = {file.path for file in MlflowClient(f"sqlite:///{place}/mlflow.db").list_artifacts(status["run_id"])}
    assert {"spec.yaml", "environment.txt", "data.json", "history.jsonl"} <= kept
    assert found.data.tags["engine"] == "eager"


# --- disks and servers that fail


@pytest.fixture(params=["24k", "64k"])  # one is full when the run begins to write, the other when it draws
def tiny_disk(tmp_path, request):
    """A disk with a little room; root alone may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={request.param}", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no small disk could be mounted here: that needs root")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.filterwarnings("ignore:the run's end .* could not be written")
def test_a_full_disk_is_one_sentence_and_the_run_failed(tiny_disk, store) -> None:
    with pytest.raises(kf.RunError, match="No space left on device") as full:
        kf.run(iris(track={"uri": store}), root=tiny_disk, verbose=0)
    assert "\n" not in str(full.value)
    newest = MlflowClient(store).search_runs(["1"], order_by=["attributes.start_time DESC"], max_results=1)[0]
    assert newest.info.status == "FAILED"
    assert not list(tiny_disk.rglob(".writing*"))


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path) -> None:
    (tmp_path / "runs").write_text("a file is in the way")
    with pytest.raises(kf.RunError, match="cannot be written") as refused:
        kf.run(iris(), root=tmp_path / "runs", verbose=0)
    assert "\n" not in str(refused.value)


def test_a_store_that_goes_away_does_not_stop_the_training(tmp_path, store, monkeypatch) -> None:
    def gone(*_, **__):
        raise TrackingError("the tracking server does not answer; is it running?")

    for name in ("log_metrics", "set_tags", "log_image", "log_artifact", "log_model", "log_dataset"):
        monkeypatch.setattr(MLflowTracker, name, gone)
    with pytest.warns(UserWarning, match="not all is recorded in MLflow.*does not answer") as warned:
        found = kf.run(iris(track={"uri": store}), root=tmp_path, verbose=0)
    assert len([warning for warning in warned if "recorded in MLflow" in str(warning.message)]) == 1
    assert len(found.history.rows) == EPOCHS
    assert json.loads((found.folder / "status.json").read_text())["state"] == "FINISHED"
    assert MlflowClient(store).get_run(found.run_id).info.status == "FINISHED"


# --- predictions


def test_predictions_for_csv_rows_are_the_models_own(tmp_path) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=60), "b": rng.normal(size=60), "kind": ["x", "y", "z"] * 20})
    frame.to_csv(tmp_path / "train.csv", index=False)
    source = {"csv": {"path": str(tmp_path / "train.csv"), "target": "kind"}}
    found = kf.run(iris(data={"source": source, "scale": "standard"}), root=tmp_path / "runs", verbose=0)
    new = frame[["b", "a"]].head(7)  # in another order, and without the target
    new.to_csv(tmp_path / "new.csv", index=False)
    predicted = predict_file(found.folder, tmp_path / "new.csv")

    from kerasflow.data import load

    train = load(found.spec.data, found.spec.seed).train.x
    columns = frame[["a", "b"]].to_numpy("float32")
    rows = np.array([np.flatnonzero(np.isclose(columns[:, 0], v))[0] for v in new["a"].to_numpy("float32")])
    assert len(train) < len(columns)
    x, _ = kf_preparation(found).read(tmp_path / "train.csv")
    outputs = found.model(np.asarray(x[rows])).numpy()
    np.testing.assert_allclose(predicted[[f"probability_{k}" for k in "xyz"]].to_numpy(), outputs, rtol=1e-5)
    assert predicted["prediction"].tolist() == ["xyz"[index] for index in outputs.argmax(-1)]


def kf_preparation(found):
    from kerasflow.data import Preparation

    return Preparation.load(found.folder / "preparation.skops")


def test_predictions_for_arrays_and_images_are_the_models_own(tmp_path) -> None:
    rng = np.random.default_rng(0)
    for kind in ("light", "dark"):
        (tmp_path / "images" / kind).mkdir(parents=True)
        for index in range(12):
            pixels = rng.integers(128, 256, (6, 6, 3)) if kind == "light" else rng.integers(0, 128, (6, 6, 3))
            Image.fromarray(pixels.astype("uint8")).save(tmp_path / "images" / kind / f"{index}.png")
    source = {"images": {"path": str(tmp_path / "images"), "size": [6, 6]}}
    found = kf.run(
        iris(data={"source": source, "scale": "unit"}, model={"layers": ["flatten", "head"]}),
        {"train.optimizer.adam.learning_rate": 0.1, "train.epochs": 10},
        root=tmp_path / "runs",
        verbose=0,
    )
    predicted = predict_file(found.folder, tmp_path / "images" / "light")
    assert predicted.index[0].endswith(".png")
    assert set(predicted["prediction"]) == {"light"}
    images = np.stack([np.asarray(Image.open(tmp_path / "images" / "light" / Path(n).name)) for n in predicted.index])
    outputs = found.model(images.astype("float32") / 255).numpy()[:, 0]
    np.testing.assert_allclose(predicted["probability_light"], outputs, rtol=1e-5)

    np.savez(tmp_path / "new.npz", x=images)
    from_array = predict_file(found.folder, tmp_path / "new.npz")
    np.testing.assert_allclose(from_array["probability_light"], predicted["probability_light"], rtol=1e-6)


def test_only_a_run_with_a_model_predicts(tmp_path, result) -> None:
    with pytest.raises(kf.RunError, match="is not a run folder"):
        predict_file(tmp_path, tmp_path / "x.csv")
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "status.json").write_text((result.folder / "status.json").read_text())
    with pytest.raises(kf.RunError, match="holds no model"):
        predict_file(broken, tmp_path / "x.csv")
