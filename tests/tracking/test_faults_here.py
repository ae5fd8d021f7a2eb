"""Disks and processes that fail, for real: afterwards MLflow holds what the journal holds, each point once."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from kerasflow.tracking.delivery import recorded_in
from kerasflow.tracking.folder import every_run
from tests.recorded_runs import ENVIRONMENT, assert_mirrored, begun, finished, only_run, synced, until_epoch

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]


def test_two_runs_write_one_store(tmp_path: Path, made: Path) -> None:
    store = f"sqlite:///{shutil.copy(made, tmp_path / 'mlflow.db')}"
    assert begun(tmp_path / "runs", store, name="one,other", epochs=30).wait(120) == 0
    for run in every_run(tmp_path / "runs"):
        assert_mirrored(run, store)


# --- disks


@pytest.fixture
def small_disk(tmp_path: Path, made: Path) -> Iterator[Path]:
    """A disk with little more room than a store takes; root alone may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    size = made.stat().st_size // 1024 + 256
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no small disk could be mounted here: that needs root")
    shutil.copy(made, folder / "mlflow.db")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_store_whose_disk_is_full_is_told_later(tmp_path: Path, small_disk: Path) -> None:
    store = f"sqlite:///{small_disk}/mlflow.db"
    filler = small_disk / "filler"
    filler.write_bytes(bytes(shutil.disk_usage(small_disk).free))
    assert shutil.disk_usage(small_disk).free == 0
    _, err = finished(tmp_path / "runs", store)
    assert "kerasflow sync" in err
    filler.unlink()
    synced(tmp_path / "runs")
    assert_mirrored(only_run(tmp_path / "runs"), store)


def test_a_store_that_becomes_read_only_is_told_later(tmp_path: Path, small_disk: Path) -> None:
    store = f"sqlite:///{small_disk}/mlflow.db"
    process = begun(tmp_path / "runs", store, epochs=40)
    until_epoch(process, 5)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    out, err = process.communicate(timeout=120)
    assert "epoch 40" in out
    assert "kerasflow sync" in err
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    synced(tmp_path / "runs")
    assert_mirrored(only_run(tmp_path / "runs"), store)


# --- processes


def test_a_process_that_is_stopped_says_so_itself(tmp_path: Path, made: Path) -> None:
    store = f"sqlite:///{shutil.copy(made, tmp_path / 'mlflow.db')}"
    numbers = (signal.SIGTERM, signal.SIGINT)
    processes = {number: begun(tmp_path / number.name, store, epochs=10_000) for number in numbers}
    for number, process in processes.items():
        until_epoch(process, 20)
        process.send_signal(number)
    for number, process in processes.items():
        process.communicate(timeout=120)
        assert process.returncode in (143, -signal.SIGINT)
        assert_mirrored(only_run(tmp_path / number.name), store, "KILLED")


def test_a_process_that_is_killed_at_any_instant_is_closed_by_sync(tmp_path: Path, made: Path) -> None:
    store = f"sqlite:///{shutil.copy(made, tmp_path / 'mlflow.db')}"
    seed = int.from_bytes(os.urandom(4))
    program = Path(__file__).with_name("killed_program.py")
    subprocess.run([sys.executable, program, tmp_path / "runs", store, str(seed)], env=ENVIRONMENT, check=True)
    runs = every_run(tmp_path / "runs")
    assert len(runs) == 20
    assert {run.status.state for run in runs} == {"RUNNING"}, seed
    assert any(recorded_in(run)[1] for run in runs), "some of them after their first delivery"
    synced(tmp_path / "runs")
    for run in runs:
        assert run.status.reason.startswith("its process is gone; last heard of at "), seed
        assert_mirrored(run, store, "KILLED")
        heard = [event.at for event in run.journal.read() if event.kind == "epoch"][-1]
        ended = MlflowClient(store).get_run(recorded_in(run)[1]).info.end_time
        assert math.isclose(ended, heard, abs_tol=20_000), seed
    synced(tmp_path / "runs")


def test_a_journal_that_lost_its_end_with_the_power_goes_on(tmp_path: Path, made: Path) -> None:
    store = f"sqlite:///{shutil.copy(made, tmp_path / 'mlflow.db')}"
    process = begun(tmp_path / "runs", store, epochs=10_000)
    until_epoch(process, 60)
    time.sleep(3)  # much of it is in MLflow
    process.kill()
    process.communicate()
    run = only_run(tmp_path / "runs")
    events = [event for event in run.journal.read() if event.kind == "epoch"]
    with run.journal.path.open("r+b") as file:
        file.truncate(events[30].end + 40)
    assert len(run.rows) == 31
    known = json.loads((run.directory / "delivered.json").read_text())
    (run.directory / "delivered.json").write_text(json.dumps(known | {"offset": events[-1].end}))  # all was told
    synced(tmp_path / "runs")
    client, run_id = MlflowClient(store), recorded_in(run)[1]
    steps = [point.step for point in client.get_metric_history(run_id, "train/loss")]
    assert steps == list(range(1, len(steps) + 1)), "what MLflow has heard of stays, once"
    assert len(steps) >= 31
    assert client.get_run(run_id).info.status == "KILLED"
