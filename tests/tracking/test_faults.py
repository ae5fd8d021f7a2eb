"""Servers that fail, for real: afterwards MLflow holds what the journal holds, each point once.

Several runs share an outage, and several servers that misbehave their time: most of it is waiting.
"""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from mlflow import MlflowClient

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

OUTAGE = 20.0
SECONDS_TO_START = 5.0  # that MLflow's server takes at least
SOON = 10.0  # a probe a second, and what a busy machine takes


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    with mlflow_server(tmp_path_factory.mktemp("server")) as running:
        yield running


# --- a server that is away


@dataclass
class Outage:
    """Runs around the twenty seconds in which their server was away, and what came of them meanwhile.

    Attributes:
        through: began before and was at work when the server came back; `delivered_after` so many seconds, with
            `steps` in MLflow of at least `missed` epochs.
        before: began before, ended within.
        within: began and ended within, several of them; `out` and `err` of the first, and what `sync` said then.
    """

    root: Path
    delivered_after: float
    steps: list[int]
    missed: int
    through_err: str
    before_err: str
    out: str
    err: str
    fault: str

    def folder(self, name: str) -> Path:
        return self.root / name


@pytest.fixture(scope="module")
def outage(server: MlflowServer, tmp_path_factory: pytest.TempPathFactory) -> Outage:
    root = tmp_path_factory.mktemp("outage")
    through = begun(root / "through", server.uri, epochs=100_000, seconds=0.1)
    before = begun(root / "before", server.uri, epochs=150, seconds=0.1)
    for name, process in (("through", through), ("before", before)):
        until_epoch(process, 10)
        while not recorded_in(only_run(root / name))[1]:  # MLflow's import takes some seconds
            assert process.poll() is None
            time.sleep(0.1)
    server.kill()
    went = time.monotonic()
    out, err = finished(root / "within", server.uri)
    fault = next(iter(sync(root=root / "within"))).fault
    finished(root / "within", server.uri)
    _, before_err = before.communicate(timeout=60)
    time.sleep(max(0.0, went + OUTAGE - SECONDS_TO_START - time.monotonic()))
    server.start()
    back = time.monotonic()
    missed = len(only_run(root / "through").rows)
    assert back - went >= OUTAGE - 1
    steps: list[int] = []
    while len(steps) < missed and time.monotonic() < back + 60:
        time.sleep(0.2)
        steps = steps_of(root / "through", server.uri)
    after = time.monotonic() - back
    assert through.poll() is None, "it is at work all this while"
    through.send_signal(signal.SIGTERM)
    _, through_err = through.communicate(timeout=60)
    return Outage(root, after, steps, missed, through_err, before_err, out, err, fault)


def steps_of(root: Path, store: str) -> list[int]:
    run_id = recorded_in(only_run(root))[1]
    return [point.step for point in MlflowClient(store).get_metric_history(run_id, "train/loss")]


def test_a_server_that_comes_back_after_twenty_seconds_is_told_at_once(outage: Outage, server: MlflowServer) -> None:
    assert outage.delivered_after < SOON
    assert outage.steps[: outage.missed] == list(range(1, outage.missed + 1))
    assert outage.through_err.count("Warning") <= 1, "a fault is told once"
    assert_mirrored(only_run(outage.folder("through")), server.uri, "KILLED")


def test_a_server_that_is_dead_costs_nothing_and_is_told_later(outage: Outage, server: MlflowServer) -> None:
    assert kept(outage.out) < 1
    assert "does not answer" in outage.err
    assert f"deliver the rest by: kerasflow sync --runs {outage.folder('within')}\n" in outage.err
    assert "Traceback" not in outage.err
    assert "does not answer" in outage.fault


def test_a_server_that_dies_for_good_is_told_by_sync(outage: Outage, server: MlflowServer) -> None:
    assert "kerasflow sync" in outage.before_err
    command = [*COMMAND, "sync", "--runs", str(outage.folder("before"))]
    told = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=True, timeout=120).stdout
    assert "delivered" in told
    assert_mirrored(only_run(outage.folder("before")), server.uri)
    assert [run.delivered for run in sync(root=outage.folder("before"))] == [0]


def test_two_syncs_at_once_deliver_once(outage: Outage, server: MlflowServer) -> None:
    command = [*COMMAND, "sync", "--runs", str(outage.folder("within"))]
    both = [subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.wait(120) for process in both] == [0, 0]
    runs = every_run(outage.folder("within"))
    assert len(runs) == 2
    for run in runs:
        assert_mirrored(run, server.uri)


# --- a server that answers, but how


@dataclass
class Misbehaving:
    """Servers that misbehaved to a run each, and what those have printed."""

    between: dict[str, Between]
    said: dict[str, tuple[str, str]]
    root: Path


@pytest.fixture(scope="module")
def misbehaving(server: MlflowServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Misbehaving]:
    root = tmp_path_factory.mktemp("misbehaving")
    between = {name: Between(server.uri) for name in ("slow", "errors", "lost", "refused")}
    between["slow"].seconds = 2.0
    between["errors"].refuses = True
    between["lost"].loses = True
    between["refused"].refusals = {"note.txt": 413}
    epochs = {"refused": 200}  # that it is told of before its end, also on a busy machine
    processes = {name: begun(root / name, one.uri, epochs=epochs.get(name, 20)) for name, one in between.items()}
    said = {name: process.communicate(timeout=120) for name, process in processes.items()}
    yield Misbehaving(between, said, root)
    for one in between.values():
        one.close()


def test_a_slow_server_keeps_nobody(misbehaving: Misbehaving, server: MlflowServer) -> None:
    root = misbehaving.root / "slow"
    assert kept(misbehaving.said["slow"][0]) < 8, "five seconds at the end"
    misbehaving.between["slow"].seconds = 0.0
    synced(root)
    assert_mirrored(only_run(root), server.uri)


def test_a_server_that_answers_with_errors(misbehaving: Misbehaving, server: MlflowServer) -> None:
    root = misbehaving.root / "errors"
    assert "kerasflow sync" in misbehaving.said["errors"][1]
    misbehaving.between["errors"].refuses = False
    synced(root)
    assert_mirrored(only_run(root), server.uri)


def test_answers_that_are_lost_make_no_point_twice(misbehaving: Misbehaving, server: MlflowServer) -> None:
    root, between = misbehaving.root / "lost", misbehaving.between["lost"]
    for _ in range(8):
        assert any(run.fault for run in sync(root=root))
    between.loses = False
    synced(root)
    assert_mirrored(only_run(root), server.uri)


def test_a_server_that_refuses_a_file_for_good_gets_the_rest(misbehaving: Misbehaving, server: MlflowServer) -> None:
    root = misbehaving.root / "refused"
    out, err = misbehaving.said["refused"]
    assert "epoch 200" in out
    assert err.count("MLflow's record of the run is without note.txt, the rest is delivered") == 1
    assert "413" in err
    assert "was not told all" not in err
    run = only_run(root)
    client, run_id = MlflowClient(server.uri), recorded_in(run)[1]
    assert client.list_artifacts(run_id) == []
    assert "413" in client.get_run(run_id).data.tags["left_out"]
    assert client.get_run(run_id).info.status == "FINISHED"
    (left_out,) = json.loads((run.directory / "delivered.json").read_text())["left_out"]
    assert "note.txt" in left_out["why"]
    misbehaving.between["refused"].refusals = {}
    assert [one.delivered for one in sync(root=root)] == [0], "nobody asks a second time"
    assert [bool(one.delivered) for one in sync(run)] == [True], "but for who names the run"
    assert_mirrored(run, server.uri)
