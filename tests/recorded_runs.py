"""Runs in processes of their own that record themselves and train nothing, and what is to be true of them then."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

from mlflow import MlflowClient

from kerasflow.synchronizing import sync
from kerasflow.tracking.delivery import recorded_in
from kerasflow.tracking.folder import RunFolder, digest_of, every_run
from kerasflow.tracking.record import metrics_of

PROGRAM = Path(__file__).with_name("tracking") / "recorded_program.py"
COMMAND = [sys.executable, "-c", "from kerasflow.cli import main; main()"]
ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}


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
        assert found.data.tags["sha256/note.txt"] == digest_of(run.directory / "note.txt")
    key = found.data.tags["kerasflow.key"]
    assert len(client.search_runs([found.info.experiment_id], f"tags.`kerasflow.key` = '{key}'")) == 1


def kept(out: str) -> float:
    """Seconds that the record kept the run."""
    return next(float(line.split()[1]) for line in out.splitlines() if line.startswith("kept "))
