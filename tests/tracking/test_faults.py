"""Servers that fail, for real: afterwards MLflow holds what the journal holds, each point once."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kerasflow.synchronizing import sync
from kerasflow.tracking.delivery import recorded_in
from kerasflow.tracking.folder import every_run
from tests.recorded_runs import (
    COMMAND,
    ENVIRONMENT,
    assert_mirrored,
    begun,
    finished,
    kept,
    only_run,
    synced,
    until_epoch,
)
from tests.servers import Between, MlflowServer, mlflow_server

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]


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
