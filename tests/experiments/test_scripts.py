"""An experiment's script runs from the command line, and leaves what its README shows."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kerasflow as kf

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


def script(monkeypatch: pytest.MonkeyPatch, experiment: str, *arguments: str) -> dict[str, Any]:
    """Runs an experiment's script as the command line does, and gives what it has computed."""
    path = EXPERIMENTS / experiment / "run.py"
    monkeypatch.setattr(sys, "argv", [str(path), *arguments])
    return runpy.run_path(str(path), run_name="__main__")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_what_low_digits_have_taught_helps_with_high_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    left = script(monkeypatch, "digits_low_to_high", "--held-out", "0.98", "0.8")
    runs = kf.compare("digits-low-to-high").runs
    assert len(runs) == 7
    assert {run.status for run in runs} == {"FINISHED"}
    assert (tmp_path / "accuracy.png").stat().st_size > 0
    for points in left["curves"].values():
        assert [labelled for labelled, _ in points] == [18, 179]
        assert points[0][1] > 0.6
        assert points[-1][1] > 0.9


def test_three_routes_run_quickly_with_few_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, assets: Path, keras_home: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    weights = assets / "weights" / "efficientnet-lite0-57934424.pth"
    script(monkeypatch, "three_routes", str(weights), "--images", "40", "--quick", "--routes", "transfer", "features")
    runs = kf.compare("three-routes").to_frame()
    assert [name.split()[0] for name in runs.index] == ["transfer", "features"]
    assert set(runs["status"]) == {"FINISHED"}
    assert set(runs["data/labelled"]) == {40}
    assert runs["test/accuracy"].between(0, 1).all()
    assert (runs["perf/train_seconds"] > 0).all()
    assert (tmp_path / "comparison.png").stat().st_size > 0


def test_an_svm_on_each_layer_runs_with_few_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, assets: Path, keras_home: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    weights = assets / "weights" / "mobilenet_v2_160_notop.weights.h5"
    left = script(monkeypatch, "svm_features_fashion_mnist", str(weights), "--images", "100")
    assert list(left["found"]) == ["raw pixels", *left["LAYERS"]]
    assert left["found"][left["best"]] > 0.5  # of ten classes
    assert (tmp_path / "layers.png").stat().st_size > 0


def test_five_steps_by_hand_and_in_kerasflow_end_in_the_same_weights() -> None:
    left = runpy.run_path(str(EXPERIMENTS / "five_steps" / "kerasflow_network.py"))
    by_hand = left["by_hand"]
    assert by_hand["costs"][-1] < 0.01 * by_hand["costs"][0]
    np.testing.assert_allclose(left["weights"], by_hand["weights"], rtol=1e-12)
    np.testing.assert_allclose(left["bias"], by_hand["bias"], rtol=1e-12)
    np.testing.assert_allclose([row["loss"] for row in left["history"].rows], by_hand["costs"], rtol=1e-10)
    lines = (EXPERIMENTS / "five_steps" / "numpy_network.py").read_text(encoding="utf-8").splitlines()
    assert len(lines) < 60
