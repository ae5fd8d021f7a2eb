"""An experiment's script runs from the command line, and leaves what its README shows."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

import kerasflow as kf

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_what_low_digits_have_taught_helps_with_high_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    left = runpy.run_path(str(EXPERIMENTS / "digits_low_to_high" / "run.py"), run_name="__main__")
    runs = kf.compare("digits-low-to-high").runs
    assert len(runs) == 10
    assert {run.status for run in runs} == {"FINISHED"}
    assert (tmp_path / "accuracy.png").stat().st_size > 0
    for points in left["curves"].values():
        assert [labelled for labelled, _ in points] == [18, 45, 179]
        assert points[0][1] > 0.6
        assert points[-1][1] > 0.9
