"""Servers, disks and processes that fail, for real: afterwards MLflow holds what the journal holds, each point once."""

from __future__ import annotations

import math
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from kerasflow.synchronizing import sync
from kerasflow.tracking.delivery import recorded_in
from kerasflow.tracking.folder import RunFolder, every_run
from kerasflow.tracking.record import metrics_of
from tests.servers import Between, MlflowServer, mlflow_server

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

PROGRAM = Path(__file__).with_name("recorded_program.py")
COMMAND = [sys.executable, "-c", "from kerasflow.cli import main; main()"]
ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    with mlflow_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def alive(server: MlflowServer) -> Iterator[MlflowServer]:
    """The server, which a test may kill."""
    yield server
    if not server.runs:
        server.start()


@pytest.fixture
def between(server: MlflowServer) -> Iterator[Between]:
    standing = Between(server.uri)
    yield standing
    standing.close()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store's file, to be copied: MLflow takes seconds to make one."""
    place = tmp_path_factory.mktemp("made")
    finished(place / "runs", f"sqlite:///{place}/mlflow.db", epochs=1)
    return place / "mlflow.db"


def begun(
    root: Path, store: str, *, name: str = "run", epochs: int = 5, seconds: float = 0.05
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), str(root), store, name, str(epochs), str(seconds)],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(root: Path, store: str, *, epochs: int = 5, seconds: float = 0.05) -> tuple[str, str]:
    """What a whole run prints and warns of."""
    out, err = begun(root, store, epochs=epochs, seconds=seconds).communicate(timeout=300)
    assert f"epoch {epochs}" in out, err
    return out, err


def until_epoch(process: subprocess.Popen[str], epoch: int) -> None:
    assert process.stdout is not None
    assert any(line == f"epoch {epoch}\n" for line in process.stdout)


def synced(root: Path, *, store: str = "") -> None:
    faults = [run.fault for run in sync(root=root, store=store) if run.fault]
    assert faults == []


def only_run(root: Path) -> RunFolder:
    (run,) = every_run(root)
    return run


def assert_mirrored(run: RunFolder, store: str, status: str = "FINISHED") -> None:
    """MLflow holds the journal's points, each once, and a status that is true."""
    client, run_id = MlflowClient(store), recorded_in(run)[1]
    found = client.get_run(run_id)
    expected: Counter[tuple[str, int, float]] = Counter()
    for row in run.rows:
        expected.update((key, row["epoch"], value) for key, value in metrics_of(row).items())
    for event in run.journal.read():
        if event.kind == "log_curves":
            expected.update((key, event.facts["step"], value) for key, value in event.facts["metrics"].items())
    points = [(key, p.step, p.value) for key in found.data.metrics for p in client.get_metric_history(run_id, key)]
    assert Counter(points) == expected
    assert (found.info.status, run.status.state) == (status, status)
    assert found.info.end_time is not None
    if status == "FINISHED":
        assert [item.path for item in client.list_artifacts(run_id)] == ["note.txt"]
    key = found.data.tags["kerasflow.key"]
    assert len(client.search_runs([found.info.experiment_id], f"tags.`kerasflow.key` = '{key}'")) == 1


def kept(out: str) -> float:
    """Seconds that the record kept the run."""
    return next(float(line.split()[1]) for line in out.splitlines() if line.startswith("kept "))


# --- servers


def test_a_server_that_is_dead_costs_nothing_and_is_told_later(tmp_path: Path, alive: MlflowServer) -> None:
    alive.kill()
    out, err = finished(tmp_path, alive.uri)
    assert kept(out) < 1
    assert "does not answer" in err
    assert f"deliver the rest by: kerasflow sync --runs {tmp_path}\n" in err
    assert "Traceback" not in err
    assert recorded_in(only_run(tmp_path))[1] == ""
    (fault,) = [run.fault for run in sync(root=tmp_path)]
    assert "does not answer" in fault
    alive.start()
    synced(tmp_path)
    assert_mirrored(only_run(tmp_path), alive.uri)


def test_a_server_that_dies_and_comes_back_after_twenty_seconds(tmp_path: Path, alive: MlflowServer) -> None:
    process = begun(tmp_path, alive.uri, epochs=400, seconds=0.1)
    until_epoch(process, 60)
    alive.kill()
    time.sleep(20)
    alive.start()
    out, err = process.communicate(timeout=300)
    assert "epoch 400" in out
    assert err.count("warning") + err.count("Warning") <= 2, "a fault is told once, and what is left at the end"
    synced(tmp_path)
    assert_mirrored(only_run(tmp_path), alive.uri)


def test_a_server_that_dies_for_good_is_told_by_sync(tmp_path: Path, alive: MlflowServer) -> None:
    process = begun(tmp_path, alive.uri, epochs=100, seconds=0.1)
    until_epoch(process, 40)
    alive.kill()
    out, err = process.communicate(timeout=300)
    assert "epoch 100" in out
    assert "kerasflow sync" in err
    alive.start()
    command = [*COMMAND, "sync", "--runs", str(tmp_path)]
    told = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=True, timeout=120).stdout
    assert "delivered" in told
    again = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=True, timeout=120).stdout
    assert "delivered" not in again
    assert_mirrored(only_run(tmp_path), alive.uri)


def test_a_slow_server_keeps_nobody(tmp_path: Path, server: MlflowServer, between: Between) -> None:
    between.seconds = 2.0
    out, _ = finished(tmp_path, between.uri, epochs=20)
    assert kept(out) < 8, "five seconds at the end"
    between.seconds = 0.0
    synced(tmp_path)
    assert_mirrored(only_run(tmp_path), server.uri)


def test_a_server_that_answers_with_errors(tmp_path: Path, server: MlflowServer, between: Between) -> None:
    between.refuses = True
    _, err = finished(tmp_path, between.uri)
    assert "kerasflow sync" in err
    between.refuses = False
    synced(tmp_path)
    assert_mirrored(only_run(tmp_path), server.uri)


def test_answers_that_are_lost_make_no_point_twice(tmp_path: Path, server: MlflowServer, between: Between) -> None:
    between.loses = True  # the server does what it is asked, and nobody hears of it
    finished(tmp_path, between.uri)
    for _ in range(8):
        assert any(run.fault for run in sync(root=tmp_path))
    between.loses = False
    synced(tmp_path)
    assert_mirrored(only_run(tmp_path), server.uri)


def test_two_syncs_at_once_deliver_once(tmp_path: Path, alive: MlflowServer) -> None:
    alive.kill()
    for _ in range(3):
        finished(tmp_path, alive.uri)
    alive.start()
    command = [*COMMAND, "sync", "--runs", str(tmp_path)]
    both = [subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.wait(120) for process in both] == [0, 0]
    for run in every_run(tmp_path):
        assert_mirrored(run, alive.uri)


def test_two_runs_write_one_store(tmp_path: Path, made: Path) -> None:
    store = f"sqlite:///{shutil.copy(made, tmp_path / 'mlflow.db')}"
    both = [begun(tmp_path / "runs", store, name=name, epochs=30) for name in ("one", "other")]
    assert [process.wait(120) for process in both] == [0, 0]
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
    process = begun(tmp_path / "runs", store, epochs=60, seconds=0.1)
    until_epoch(process, 5)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    out, err = process.communicate(timeout=120)
    assert "epoch 60" in out
    assert "kerasflow sync" in err
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    synced(tmp_path / "runs")
    assert_mirrored(only_run(tmp_path / "runs"), store)


# --- processes


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_process_that_is_stopped_says_so_itself(tmp_path: Path, made: Path, number: signal.Signals) -> None:
    store = f"sqlite:///{shutil.copy(made, tmp_path / 'mlflow.db')}"
    process = begun(tmp_path / "runs", store, epochs=10_000)
    until_epoch(process, 20)
    process.send_signal(number)
    process.communicate(timeout=120)
    assert process.returncode in (143, -signal.SIGINT)
    assert_mirrored(only_run(tmp_path / "runs"), store, "KILLED")


def test_a_process_that_is_killed_at_any_instant_is_closed_by_sync(tmp_path: Path, made: Path) -> None:
    store = f"sqlite:///{shutil.copy(made, tmp_path / 'mlflow.db')}"
    seed = int.from_bytes(os.urandom(4))
    instants = random.Random(seed)
    for number in range(20):
        process = begun(tmp_path / "runs", store, name=f"run-{number}", epochs=10_000, seconds=0.02)
        until_epoch(process, 1)
        time.sleep(instants.uniform(0, 3))
        process.kill()
        process.communicate()
    runs = every_run(tmp_path / "runs")
    assert len(runs) == 20
    assert {run.status.state for run in runs} == {"RUNNING"}, seed
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
    synced(tmp_path / "runs")
    client, run_id = MlflowClient(store), recorded_in(run)[1]
    steps = [point.step for point in client.get_metric_history(run_id, "train/loss")]
    assert steps == list(range(1, len(steps) + 1)), "what MLflow has heard of stays, once"
    assert len(steps) >= 31
    assert client.get_run(run_id).info.status == "KILLED"
