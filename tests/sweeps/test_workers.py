"""Several processes on one sweep, with the database that is for many machines, and one of them killed outright."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import kerasflow as kf
from kerasflow.sweeps.result import Study
from kerasflow.sweeps.study import open_study
from kerasflow.sweeps.workers import _share
from kerasflow.tracking.folder import every_run
from tests.recorded_runs import ENVIRONMENT
from tests.servers import postgresql, postgresql_binaries

PARENT = """
import sys
import kerasflow as kf
study = kf.sweep(sys.argv[1], workers=4, storage=sys.argv[2], root=sys.argv[3], verbose=0)
assert "tensorflow" not in sys.modules
print(len(study.trials), study.best_value)
"""


def spec_of(iris: Callable[..., dict[str, Any]], trials: int) -> kf.ExperimentSpec:
    made = iris(name="many")
    made["train"] = {"optimizer": {"adam": {"learning_rate": 0.05}}, "epochs": 40, "engine": "graph"}
    space = {"train.optimizer.adam.learning_rate": {"log": [0.001, 0.1]}}
    return kf.load_spec(made | {"sweep": {"space": space, "trials": trials}})


def running(root: Path) -> list[int]:
    """Process ids of the workers that hold a trial's run at this moment, by their open files."""
    found = []
    for run in every_run(root):
        if run.status.state == "RUNNING" and " trial " in run.status.name:
            for fds in Path("/proc").glob("[0-9]*/fd/*"):
                try:
                    if os.readlink(fds) == str(run.directory / "journal.jsonl"):
                        found.append(int(fds.parts[2]))
                except OSError:
                    continue
    return found


def test_each_worker_has_its_share_of_the_cores_unless_the_user_says_otherwise(monkeypatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(8))
    for name in _share(1):  # another test, or the machine, may have set some
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    share = _share(2)
    assert share.pop("OMP_NUM_THREADS") == "3"
    assert set(share.values()) == {"4"}
    assert set(_share(20).values()) == {"1", "3"}


@pytest.mark.slow
@pytest.mark.faults
def test_of_four_workers_one_is_killed_and_no_trial_is_lost_or_counted_twice(iris: Any, tmp_path: Path) -> None:
    binaries = postgresql_binaries()
    if binaries is None:
        pytest.skip("PostgreSQL is not installed: Debian's package is postgresql")
    spec = spec_of(iris, 16)
    (tmp_path / "spec.yaml").write_text(spec.to_yaml())
    with postgresql(binaries) as url:
        plain = url.replace("+psycopg2", "")
        arguments = [str(tmp_path / "spec.yaml"), plain, str(tmp_path / "runs")]
        parent = subprocess.Popen(
            [sys.executable, "-c", PARENT, *arguments], env=ENVIRONMENT, stdout=subprocess.PIPE, text=True
        )
        killed = 0
        deadline = time.monotonic() + 60
        while not killed and time.monotonic() < deadline:
            if (tmp_path / "runs").is_dir():
                for pid in running(tmp_path / "runs")[:1]:
                    os.kill(pid, signal.SIGKILL)
                    killed = pid
            time.sleep(0.05)
        assert killed
        out, _ = parent.communicate(timeout=120)
        assert parent.returncode == 0
        assert out.split()[0] == "16"
        assert spec.sweep is not None
        kept = open_study(spec, spec.sweep, plain)
        found = Study.of(kept, spec, tmp_path)
        assert [trial.number for trial in found.trials] == list(range(1, 17))
        assert {trial.state for trial in found.trials} == {"finished"}
        complete = Counter(t.user_attrs["slot"] for t in kept.get_trials() if t.state.name == "COMPLETE")
        assert complete == dict.fromkeys(range(16), 1)
        lost = [t for t in kept.get_trials() if t.state.name == "FAIL" and "slot" in t.user_attrs]
        again = {t.user_attrs["slot"]: t for t in kept.get_trials() if t.state.name == "COMPLETE"}
        assert lost
        assert all(again[t.user_attrs["slot"]].params == t.params for t in lost)
