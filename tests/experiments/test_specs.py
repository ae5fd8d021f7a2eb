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


def test_the_clothes_are_learned_in_both_stages(assets: Path, keras_home: Path, tmp_path: Path) -> None:
    weights = str(assets / "weights" / "mobilenet_v2_160_notop.weights.h5")  # which a user downloads
    few = {"model.backbone.weights": weights, "data.take": {"train": 100, "test": 40}, "track.uri": "none"}
    few |= {"train.stages[0].epochs": 2, "train.stages[1].epochs": 1}
    result = kf.run(EXPERIMENTS / "transfer_fashion_mnist" / "spec.yaml", few, root=tmp_path / "runs", verbose=0)
    assert [row["epoch"] for row in result.history.rows] == [1, 2, 3]
    assert sum(weight.numpy().size for weight in result.model.trainable_weights) == 1_694_154  # as the README says
    assert result.metrics["test/accuracy"] > 0.3  # of ten classes, from 90 images
    assert (result.folder / "model.keras").is_file()
