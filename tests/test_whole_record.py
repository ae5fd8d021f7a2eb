"""What MLflow holds of a run, whole, behind a real server; and what of the user's must not be in it."""

from __future__ import annotations

import json
import re
import sqlite3
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from PIL import Image

import kerasflow as kf
from tests.servers import MlflowServer, mlflow_server

PASSWORD = "s3cret@Pass"
EPOCHS = 3


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    with mlflow_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(scope="module")
def ran(
    server: MlflowServer, tmp_path_factory: pytest.TempPathFactory, iris: Callable[..., dict[str, Any]]
) -> kf.RunResult:
    """A run that enters the server by a password; the machine's load is asked for at each epoch, however short."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kerasflow.tracking.system.SECONDS_BETWEEN", 0.0)
        address = server.uri.replace("://", f"://anna:{PASSWORD}@")
        return kf.run(iris(track={"uri": address}), root=tmp_path_factory.mktemp("runs"), verbose=0)


@pytest.fixture(scope="module")
def client(server: MlflowServer) -> MlflowClient:
    return MlflowClient(server.uri)


def artifacts(client: MlflowClient, run_id: str, path: str = "") -> Iterator[str]:
    for item in client.list_artifacts(run_id, path):
        if item.is_dir:
            yield from artifacts(client, run_id, item.path)
        else:
            yield item.path


def test_a_run_holds_all_that_the_design_lists(ran: kf.RunResult, client: MlflowClient, tmp_path: Path) -> None:
    run = client.get_run(ran.run_id)
    _check_metrics(client, run)
    _check_params_and_tags(run)
    _check_data_sets(run)
    _check_files(client, ran.run_id)
    _check_model(client, run, tmp_path)


def _check_metrics(client: MlflowClient, run: Any) -> None:
    an_epoch = {f"{part}/{name}" for part in ("train", "val") for name in ("loss", "accuracy")}
    an_epoch |= {f"optim/{name}" for name in ("lr", "updates", "grad_norm")}
    an_epoch |= {"perf/epoch_seconds", "perf/samples_per_second"}
    an_epoch |= {f"system/{name}" for name in ("cpu_utilization_percentage", "system_memory_usage_megabytes")}
    once = {"best/epoch", "best/val_loss", "best/val_accuracy", "test/loss", "test/accuracy", "data/labelled"}
    steps = {key: [point.step for point in client.get_metric_history(run.info.run_id, key)] for key in run.data.metrics}
    assert an_epoch | once <= set(steps)
    for key in steps:
        section = key.split("/")[0]
        assert section in {"train", "val", "test", "best", "optim", "perf", "system", "data"}, key
        of_epochs = key in an_epoch or section in ("train", "val", "optim", "system")
        assert steps[key] == (list(range(1, EPOCHS + 1)) if of_epochs else [0]), key


def _check_params_and_tags(run: Any) -> None:
    params, tags = run.data.params, run.data.tags
    assert 0 < len(params) <= 40
    assert (params["train/optimizer/adam/learning_rate"], params["train/batch_size"], params["seed"]) == (
        "0.05",
        "32",
        "3",
    )
    assert all(re.fullmatch(r"[A-Za-z0-9_\-. :/]{1,250}", key) for key in [*params, *tags])
    assert {"stop_reason", "engine", "spec_hash", "data_fingerprint", "kerasflow", "batch_norm"} <= set(tags)
    assert re.match(r"(epochs|plateau): ", tags["stop_reason"])
    digests = {key.removeprefix("sha256/") for key in tags if key.startswith("sha256/")}
    assert {"spec.yaml", "data.json", "environment.txt", "preparation.skops", "metrics.json", "history.csv"} <= digests
    assert all(re.fullmatch("[0-9a-f]{64}", tags[f"sha256/{name}"]) for name in digests)
    assert (run.info.status, run.info.run_name) == ("FINISHED", "tiny")


def _check_data_sets(run: Any) -> None:
    rows, balance = {}, {}
    for used in run.inputs.dataset_inputs:
        (context,) = (tag.value for tag in used.tags if tag.key == "mlflow.data.context")
        profile = json.loads(used.dataset.profile)
        assert profile["digest"] == run.data.tags["data_fingerprint"]
        assert profile["digest"].startswith(used.dataset.digest)
        rows[context], balance = profile["rows"], profile["balance"]
    assert rows == {"train": 105, "validation": 15, "test": 30}
    assert {part: sum(counts.values()) for part, counts in balance.items()} == rows


def _check_files(client: MlflowClient, run_id: str) -> None:
    files = set(artifacts(client, run_id))
    keys = {"architecture", "class_balance", "confusion_matrix", "cost_curve", "largest_errors"}
    logged = [re.match(r"images/(\w+)[+%]step[+%](\d+)[+%].*\.png$", file) for file in files]
    assert {(found[1], found[2]) for found in logged if found} == {(key, "0") for key in keys}
    assert {f"figures/{key}.png" for key in keys} <= files
    assert {
        "spec.yaml", "data.json", "environment.txt", "preparation.skops", "metrics.json",
        "history.csv", "balance.csv", "report.csv", "largest_errors.csv",
    } <= files  # fmt: skip


def _check_model(client: MlflowClient, run: Any, tmp_path: Path) -> None:
    (output,) = run.outputs.model_outputs
    model = client.get_logged_model(output.model_id)
    assert model.status.value == "READY"
    from mlflow.artifacts import download_artifacts

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", client.tracking_uri)
        place = Path(download_artifacts(f"models:/{model.model_id}", dst_path=str(tmp_path)))
    described = (place / "MLmodel").read_text()
    assert '"shape": [-1, 4]' in described
    assert "keras==" in (place / "requirements.txt").read_text()
    assert zipfile.is_zipfile(place / "data" / "model.keras")


def test_who_may_enter_is_written_nowhere(ran: kf.RunResult, server: MlflowServer, client: MlflowClient) -> None:
    """Neither in the run folder, journal and pictures' notes included, nor in the store's database, files and log."""
    assert client.get_run(ran.run_id).info.status == "FINISHED", "the password has opened the store"
    with sqlite3.connect(server.folder / "mlflow.db") as database:
        database.execute("PRAGMA wal_checkpoint")
    looked = 0
    for root in (ran.folder, server.folder):
        for file in root.rglob("*"):
            if file.is_file():
                looked += 1
                assert not leaks(file), file
    assert looked > 40
    assert '"store": "http://***@' in (ran.folder / "delivered.json").read_text()


def test_a_run_is_done_again_from_the_server(ran: kf.RunResult, client: MlflowClient, tmp_path: Path) -> None:
    again = kf.rerun(ran.run_id, uri=ran.store, root=tmp_path, verbose=0)
    assert again.same
    assert again.then["val/loss"] == ran.history.rows[-1]["val_loss"]
    assert client.get_run(again.result.run_id).data.tags["rerun_of"] == ran.run_id
    assert not any(leaks(file) for file in again.result.folder.rglob("*") if file.is_file())


def test_a_store_that_refuses_is_told_of_without_the_password(
    tmp_path: Path, iris: Callable[..., dict[str, Any]]
) -> None:
    address = f"http://anna:{PASSWORD}@127.0.0.1:9"
    with pytest.warns(UserWarning, match="MLflow was not told all") as warned:
        found = kf.run(iris(track={"uri": address}), {"train.epochs": 1}, root=tmp_path, verbose=0)
    assert "127.0.0.1:9" in "".join(str(one.message) for one in warned)
    assert not any(secret in str(one.message) for one in warned for secret in SECRETS)
    assert not any(leaks(file) for file in found.folder.rglob("*") if file.is_file())


SECRETS = (PASSWORD, "s3cret", "Pass@", "anna:")


def leaks(file: Path) -> bool:
    """Whether a file holds the password or a part of it: in its bytes, its members or a picture's notes."""
    found = [file.read_bytes()]
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            found += [archive.read(name) for name in archive.namelist()]
    if file.suffix == ".png":
        with Image.open(file) as image:
            found.append(repr(image.info).encode())
    return any(secret.encode() in content for content in found for secret in SECRETS)


def test_what_is_looked_for_would_be_found(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inside", f"http://anna:{PASSWORD}@host " * 9)
    assert leaks(tmp_path / "a.zip")
