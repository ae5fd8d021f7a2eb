"""Eight runs that start at once in a store that nobody has used before, each with processes of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from kerasflow.tracking.folder import every_run
from tests.recorded_runs import assert_mirrored, begun, synced
from tests.servers import mlflow_server, postgresql, postgresql_binaries

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]


def eight_at_once(root: Path, store: str) -> None:
    processes = begun(root, store, name=",".join(f"run-{number}" for number in range(8)))
    out, err = processes.communicate(timeout=300)
    assert processes.returncode == 0, err
    assert "secret" not in out + err
    synced(root)  # who had to wait for the others for more than five seconds has left something
    runs = every_run(root)
    assert len(runs) == 8
    for run in runs:
        assert_mirrored(run, store)
        assert "secret" not in "".join(file.read_text() for file in run.directory.glob("*.json*"))


def test_a_new_postgresql(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    binaries = postgresql_binaries()
    if binaries is None:
        pytest.skip("PostgreSQL is not installed here: Debian's package is postgresql")
    with postgresql(binaries) as store:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", store)  # the journal knows the address without its password
        monkeypatch.chdir(tmp_path)  # where MLflow puts the artifacts of a database that is asked directly
        eight_at_once(tmp_path / "runs", store)


def test_a_new_server(tmp_path: Path) -> None:
    with mlflow_server(tmp_path) as server:
        eight_at_once(tmp_path / "runs", server.uri)
