"""Every experiment that ships can be run: its spec loads, its data is there, its model can be built for it."""

from __future__ import annotations

from pathlib import Path

import pytest

import kerasflow as kf
from kerasflow.inspection import inspect

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
SPECS = sorted(EXPERIMENTS.glob("*/spec.yaml"))


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.parent.name)
def test_an_experiment_passes_inspection(path: Path, request: pytest.FixtureRequest) -> None:
    spec = kf.load_spec(path)
    if spec.data.source.chosen[0] == "keras":
        request.getfixturevalue("keras_home")  # a set that a user would download
    backbone = spec.model.backbone
    found = inspect(spec, {} if backbone is None else {"model.backbone.weights": "none"})  # which a user downloads
    assert found.updates_per_epoch >= 1
    learning = {
        "scratch": found.trainable == found.parameters,
        "transfer": 0 < found.trainable < found.parameters,
        "features": found.trainable == 0 < found.parameters,
    }
    assert learning[spec.train.route]


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.parent.name)
def test_an_experiment_says_how_it_is_run_and_what_came_of_it(path: Path) -> None:
    readme = path.with_name("README.md").read_text(encoding="utf-8")
    assert f"experiments/{path.parent.name}/" in readme
    assert ".png)" in readme
    assert f"{path.parent.name}/README.md" in (EXPERIMENTS / "README.md").read_text(encoding="utf-8")


def test_experiments_keep_their_runs_apart() -> None:
    names = [kf.load_spec(path).experiment for path in SPECS]
    assert len(set(names)) == len(names)


def test_the_stages_of_the_clothes_fit_the_weights_at_hand(assets: Path, keras_home: Path) -> None:
    weights = str(assets / "weights" / "mobilenet_v2_160_notop.weights.h5")
    few = {"model.backbone.weights": weights, "data.take": {"train": 100, "test": 40}}
    found = inspect(EXPERIMENTS / "transfer_fashion_mnist" / "spec.yaml", few)  # passes samples through each stage
    assert found.trainable == 1_694_154  # of the last stage, as the README says
    assert found.epochs == 19
