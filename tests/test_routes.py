"""One field moves an experiment between the ways to train: scratch, transfer, features."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest
from mlflow import MlflowClient

import kerasflow as kf
from kerasflow.inspection import inspect
from kerasflow.prediction import predict_file
from kerasflow.tracking.folder import RunFolder
from kerasflow.transfer.extraction import Extraction

RNG = np.random.default_rng(0)
LAYERS = keras.layers


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Images whose class is where they are bright, and a small network that takes them."""
    folder = tmp_path_factory.mktemp("routes")
    y = np.arange(90) % 3
    x = RNG.normal(0, 1, (90, 8, 8, 1)).astype("float32")
    for place, label in enumerate(y):
        x[place, 2 * label : 2 * label + 3] += 4.0
    np.savez(folder / "images.npz", x=x, y=y)
    keras.utils.set_random_seed(0)
    layers = [LAYERS.Conv2D(4, 3, activation="relu", name="conv"), LAYERS.Flatten(), LAYERS.Dense(16, name="dense")]
    keras.Sequential([keras.Input((8, 8, 1)), *layers, LAYERS.Dense(5, name="old_head")]).save(folder / "low.keras")
    return folder


def spec(folder, route, **train):
    return kf.load_spec(
        {
            "experiment": "routes",
            "name": route,
            "data": {"source": {"npz": str(folder / "images.npz")}, "task": "classification"},
            "model": {"backbone": {"model": str(folder / "low.keras")}},
            "train": {"route": route, "batch_size": 16, "metrics": ["accuracy"], **train},
            "track": {"uri": "none"},
        }
    )


STAGES = [{"epochs": 3, "learning_rate": 0.01}, {"epochs": 2, "learning_rate": 0.001, "unfreeze_from": "dense"}]


@pytest.fixture(scope="module")
def transferred(folder):
    probe = {"layers": ["backbone.conv", "backbone.dense"], "every": 2, "samples": 40}
    wanted = spec(folder, "transfer", stages=STAGES, probe=probe)
    store = f"sqlite:///{folder / 'mlflow.db'}"
    return kf.run(wanted, {"track.uri": store}, root=folder / "runs", verbose=0), store


def test_a_transfer_freezes_what_its_stages_do_not_unfreeze(transferred, folder):
    result, _ = transferred
    low = keras.models.load_model(folder / "low.keras")
    backbone = result.model.get_layer("backbone")
    np.testing.assert_array_equal(backbone.get_layer("conv").kernel, low.get_layer("conv").kernel)
    assert np.abs(backbone.get_layer("dense").kernel - low.get_layer("dense").kernel).max() > 0
    assert [layer.name for layer in backbone.layers][-1] == "dense"  # without the old head


def test_its_stages_are_curves_in_one_run(transferred):
    result, store = transferred
    client = MlflowClient(store)
    stages = [(p.step, p.value) for p in client.get_metric_history(result.run_id, "optim/stage")]
    assert stages == [(1, 1), (2, 1), (3, 1), (4, 2), (5, 2)]
    trainable = [p.value for p in client.get_metric_history(result.run_id, "optim/trainable")]
    assert trainable == [16 * 3 + 3] * 3 + [144 * 16 + 16 + 51] * 2
    frozen = [p.value for p in client.get_metric_history(result.run_id, "optim/frozen")]
    assert frozen == [result.model.count_params() - learning for learning in trainable]
    tags = client.get_run(result.run_id).data.tags
    assert tags["stop_reason"] == "stage 1: epochs: all 3 are completed; stage 2: epochs: all 5 are completed"


def test_its_probe_draws_a_curve_for_each_layer(transferred):
    result, store = transferred
    client = MlflowClient(store)
    curves = {
        layer: [(p.step, p.value) for p in client.get_metric_history(result.run_id, f"probe/backbone.{layer}")]
        for layer in ("conv", "dense")
    }
    assert all([step for step, _ in curve] == [2, 4] for curve in curves.values())
    assert all(0.5 < accuracy <= 1 for curve in curves.values() for _, accuracy in curve)
    assert curves["conv"][0][1] == curves["conv"][1][1]  # which is frozen


def test_its_folder_predicts(transferred, folder):
    result, _ = transferred
    found = predict_file(result.folder, folder / "images.npz")
    truth = np.load(folder / "images.npz")["y"]
    assert (found["prediction"] == truth).mean() > 0.9
    assert "kerasflow" not in json.dumps(keras.models.load_model(result.folder / "model.keras").get_config())


def test_features_into_a_classifier_leave_one_folder_that_predicts(folder):
    wanted = spec(folder, "features", classifier={"svm": {"C": 0.5}})
    result = kf.run(wanted, root=folder / "runs", verbose=0)
    assert result.metrics["test/accuracy"] > 0.8
    assert result.metrics["data/labelled"] == 90 - 18
    assert result.metrics["perf/train_seconds"] > 0
    assert (result.folder / "classifier.skops").is_file()
    assert not (result.folder / "figures" / "cost_curve.png").exists()  # there is no cost
    assert (result.folder / "figures" / "confusion_matrix.png").is_file()
    low = keras.models.load_model(folder / "low.keras")
    kept = keras.models.load_model(result.folder / "model.keras").get_layer("backbone")
    for mine, theirs in zip(kept.get_weights(), low.get_weights(), strict=False):
        np.testing.assert_array_equal(mine, theirs)
    found = predict_file(result.folder, folder / "images.npz")
    assert list(found.columns) == ["prediction"]  # an SVM has no probabilities
    assert (found["prediction"] == np.load(folder / "images.npz")["y"]).mean() > 0.9


def test_features_of_several_layers_are_kept_and_found_again(folder, monkeypatch):
    layers = {"model.backbone.layer": ["conv", "dense"], "train.cache": str(folder / "kept")}
    first = kf.run(spec(folder, "features"), layers, root=folder / "runs", verbose=0)
    assert [row["features"] for row in first.history.rows] == [4 + 16]
    assert len(list((folder / "kept").glob("*.npy"))) == 3  # of each part of the data
    monkeypatch.setattr(Extraction, "_rows", None)  # nothing may be computed
    second = kf.run(spec(folder, "features"), layers, root=folder / "runs", verbose=0)
    assert second.metrics["test/accuracy"] == first.metrics["test/accuracy"] > 0.8
    monkeypatch.undo()
    found = predict_file(first.folder, folder / "images.npz")
    assert (found["prediction"] == np.load(folder / "images.npz")["y"]).mean() > 0.9


def test_from_scratch_every_layer_of_a_backbone_learns(folder):
    result = kf.run(spec(folder, "scratch", epochs=1), root=folder / "runs", verbose=0)
    low = keras.models.load_model(folder / "low.keras").get_layer("conv").kernel
    assert np.abs(result.model.get_layer("backbone").get_layer("conv").kernel - low).max() > 0


def test_a_transfer_that_was_killed_goes_on_in_the_same_bits(folder, transferred, monkeypatch):
    from kerasflow.recording import Record

    tell = Record.epoch

    def killed(self, row):
        tell(self, row)
        if row["epoch"] == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(Record, "epoch", killed)
    with pytest.raises(KeyboardInterrupt) as stopped:
        kf.run(spec(folder, "transfer", stages=STAGES), root=folder / "killed", verbose=0)
    monkeypatch.undo()
    (run,) = (folder / "killed" / "routes").iterdir()
    assert stopped.value is not None
    resumed = kf.resume(run, verbose=0)
    for mine, theirs in zip(resumed.model.get_weights(), transferred[0].model.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    rows = RunFolder.open(run).rows
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4, 5]
    assert not (run / "checkpoints").exists()


def test_check_counts_the_layers_and_epochs_of_each_route(folder):
    found = inspect(spec(folder, "transfer", stages=STAGES))
    assert ([row.name for row in found.layers], found.epochs) == (["backbone", "head"], 5)
    found = inspect(spec(folder, "features"))
    assert ([row.name for row in found.layers], found.epochs, found.trainable) == (["backbone"], 0, 0)


@pytest.mark.parametrize(
    ("route", "changes", "idle"),
    [
        ("features", {"train.epochs": 7}, "train.epochs"),
        ("features", {"train.stop": [{"plateau": "loss"}]}, "train.stop"),
        ("features", {"model.augmentation": [{"random_flip": "horizontal"}]}, "model.augmentation"),
        ("transfer", {"train.epochs": 7, "train.stages": STAGES}, "train.epochs"),
    ],
)
def test_what_does_nothing_on_its_route_is_told(folder, route, changes, idle):
    with pytest.warns(UserWarning, match=f"{idle}: does nothing"):
        inspect(kf.load_spec(spec(folder, route), changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train.stages": []}, None),
        ({"train.route": "scratch"}, r"train\.stages: belongs to route: transfer"),
        ({"model": {"layers": ["flatten", "head"]}}, r"train\.route: transfer needs a backbone"),
        ({"model.backbone.layer": "conf"}, r"model\.backbone\.layer: .* has no layer 'conf', did you mean 'conv'"),
        ({"model.backbone.model": "/nowhere.keras"}, r"model\.backbone\.model: /nowhere\.keras cannot be loaded"),
        ({"train.stages": [{"epochs": 1, "unfreeze": ["conf"]}]}, r"no layer is named 'conf', did you mean 'conv'"),
        (
            {"train.probe": {"layers": ["backbone.conf"]}},
            r"train\.probe\.layers: .*no layer 'backbone\.conf', did you mean",
        ),
        ({"train.probe": {"layers": []}}, r"train\.probe\.layers"),
        (
            {"train.probe": {"layers": ["head"]}, "data.split": {"validation": 0}},
            r"train\.probe: needs classes and a val",
        ),
        (
            {"train.stages": [], "train.route": "features", "train.probe": {"layers": ["backbone"]}},
            r"train\.probe: belongs to the routes scratch and transfer",
        ),
        ({"train.stages": [{"epochs": 0}]}, r"train\.stages\[0\]\.epochs"),
        ({"train.cache": "kept"}, r"train\.cache: belongs to route: features"),
        ({"train.classifier": {"svm": {}}}, r"train\.classifier: belongs to route: features"),
        ({"model.backbone": {"name": "x", "model": "y"}}, "needs either name, of a network of the zoo, or model"),
        ({"train.stages": [], "train.route": "features", "train.classifier": "swm"}, "no classifier 'swm', did you"),
        ({"train.stages": [], "train.route": "features", "train.grid": {"C": []}}, "must have at least 1 of them"),
        ({"train.stages": [], "train.route": "features", "train.strategy": "mirrored"}, "computed on one device"),
    ],
)
def test_what_does_not_fit_is_told_with_its_place(folder, changes, message):
    def assembled():
        return inspect(kf.load_spec(spec(folder, "transfer", stages=STAGES), changes))

    if message is None:
        assembled()
        return
    with pytest.raises(kf.KerasflowError, match=message):
        assembled()


@pytest.mark.filterwarnings("ignore:.*train.epochs. does nothing on route")
def test_a_sweep_searches_the_route_and_the_layer_that_is_tapped(folder):
    wanted = spec(folder, "transfer", epochs=2).to_document()
    wanted["data"]["split"] = {"test": 0.3, "validation": 0.2}
    wanted["sweep"] = {
        "space": {
            "train.route": {"choice": ["transfer", "features"]},
            "model.backbone.layer": {"choice": ["conv", "dense"]},
        },
        "objective": "test/accuracy",
        "sampler": "grid",
    }
    found = kf.sweep(wanted, root=folder / "swept", verbose=0)
    assert [trial.state for trial in found.trials] == ["finished"] * 4
    assert {(trial.chosen["train.route"], trial.chosen["model.backbone.layer"]) for trial in found.trials} == {
        (route, layer) for route in ("transfer", "features") for layer in ("conv", "dense")
    }
    again = kf.run(found.best_spec, root=folder / "again", verbose=0)
    assert again.metrics["test/accuracy"] == found.best_value
