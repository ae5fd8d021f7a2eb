"""A run that fails, is stopped, or whose disk or server fails: what it says, and what is left of it."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from mlflow import MlflowClient

import kerasflow as kf
from kerasflow.tracking.folder import RunFolder
from kerasflow.tracking.journal_tracker import JournalTracker


class Boom(Exception):
    pass


@pytest.fixture
def stumbling(monkeypatch):
    """Makes the third epoch's end raise something, as a fault in the middle of a training would."""

    def install(error: BaseException) -> None:
        epoch = JournalTracker.epoch

        def stumble(self, row):
            if row["epoch"] == 3:
                raise error
            epoch(self, row)

        monkeypatch.setattr(JournalTracker, "epoch", stumble)

    return install


def only_run(root: Path) -> Path:
    (status,) = root.glob("*/*/status.json")
    return status.parent


def in_mlflow(store: str, folder: Path):
    return MlflowClient(store).get_run(run_id_of(folder))


def run_id_of(folder: Path) -> str:
    return json.loads((folder / "delivered.json").read_text())["run_id"]


@pytest.mark.parametrize(
    ("error", "state", "detail"),
    [(Boom("the middle"), "FAILED", "Boom: the middle"), (KeyboardInterrupt(), "KILLED", "Ctrl-C")],
)
def test_an_end_in_the_middle_is_told_everywhere(tmp_path, store, stumbling, error, state, detail, iris) -> None:
    stumbling(error)
    with pytest.raises(type(error)):
        kf.run(iris(track={"uri": store}), root=tmp_path, verbose=0)
    folder = only_run(tmp_path)
    status = json.loads((folder / "status.json").read_text())
    assert (status["state"], status["reason"]) == (state, detail)
    found = in_mlflow(store, folder)
    assert (found.info.status, found.data.tags["status_detail"]) == (state, detail)
    assert found.data.metrics["optim/updates"] == 8
    assert [row["epoch"] for row in RunFolder.open(folder).rows] == [1, 2]
    artifacts = {item.path for item in MlflowClient(store).list_artifacts(found.info.run_id)}
    failed = state == "FAILED"
    assert (folder / "traceback.txt").exists() == ("traceback.txt" in artifacts) == failed
    if failed:
        assert "Boom: the middle" in (folder / "traceback.txt").read_text()
    assert not (folder / "model.keras").exists()


def training_process(folder: Path, like: str, spec: dict) -> subprocess.Popen[str]:
    """The command line, training without an end, with a store of its own, copied because making one takes seconds."""
    folder.mkdir()
    shutil.copy(like, folder / "mlflow.db")
    endless = {"train": spec["train"] | {"epochs": 1_000_000, "stop": []}, "track": {"uri": "sqlite:///mlflow.db"}}
    (folder / "spec.yaml").write_text(yaml.safe_dump(spec | endless))
    command = [sys.executable, "-c", "from kerasflow.cli import main; main()", "run", "spec.yaml"]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_a_process_that_is_stopped_says_so(tmp_path, store, result, iris) -> None:
    ends = {signal.SIGTERM: (143, "SIGTERM"), signal.SIGINT: (130, "Ctrl-C")}
    file = store.removeprefix("sqlite:///")
    processes = {number: training_process(tmp_path / number.name, file, iris()) for number in ends}
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
    found = MlflowClient(f"sqlite:///{place}/mlflow.db").get_run(run_id_of(folder))
    assert (found.info.status, found.data.tags["status_detail"]) == ("KILLED", detail)
    kept = {file.path for file in MlflowClient(f"sqlite:///{place}/mlflow.db").list_artifacts(run_id_of(folder))}
    assert {"spec.yaml", "environment.txt", "data.json", "preparation.skops"} <= kept
    assert found.data.tags["engine"] == "eager"


# --- disks and servers that fail


@pytest.fixture(params=["48k", "80k"])  # one is full when the run begins to write, the other when it draws
def tiny_disk(tmp_path, request):
    """A disk with a little room; root alone may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={request.param}", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no small disk could be mounted here: that needs root")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_is_one_sentence_and_the_run_failed(tiny_disk, store, iris) -> None:
    with pytest.raises(kf.RunError, match="No space left on device") as full:
        kf.run(iris(track={"uri": store}), root=tiny_disk, verbose=0)
    assert "\n" not in str(full.value)
    folder = only_run(tiny_disk)
    assert json.loads((folder / "status.json").read_text())["state"] == "FAILED"
    client = MlflowClient(store)
    iris_id = client.get_experiment_by_name("iris").experiment_id
    newest = client.search_runs([iris_id], order_by=["attributes.start_time DESC"], max_results=1)[0]
    assert newest.data.tags["run_folder"] == str(folder)
    assert newest.info.status == "FAILED"
    assert "No space left on device" in newest.data.tags["status_detail"]
    assert not list(tiny_disk.rglob(".writing*"))


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path, iris) -> None:
    (tmp_path / "runs").write_text("a file is in the way")
    with pytest.raises(kf.RunError, match="cannot be written") as refused:
        kf.run(iris(), root=tmp_path / "runs", verbose=0)
    assert "\n" not in str(refused.value)
