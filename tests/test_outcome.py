"""How right a model is on the part that is held out, observation by observation, as tables and pictures of a run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits
from sklearn.metrics import classification_report

import kerasflow as kf
from kerasflow.data import load
from kerasflow.data.dataset import Data, Part
from kerasflow.data.inputs import ArrayInput
from kerasflow.data.preparation import Preparation
from kerasflow.data.target import Target
from kerasflow.outcome import Outcome, tables
from kerasflow.tracking.folder import RunFolder, digest_of
from kerasflow.tracking.journal_tracker import told_by
from kerasflow.training.evaluate import Judged


def of_test(result: kf.RunResult) -> tuple[Any, Any, Any]:
    data = load(result.spec.data, result.spec.seed)
    assert data.test is not None
    return data, data.test.y, result.model.predict(data.test.x, verbose=0)


def test_the_errors_of_classes_are_the_loss_of_each_observation(result: kf.RunResult) -> None:
    data, true, predicted = of_test(result)
    table = pd.read_csv(result.folder / "largest_errors.csv", index_col="index")
    errors = -np.log(predicted[np.arange(len(true)), true])
    assert len(table) == len(true) == 30
    assert table["error"].is_monotonic_decreasing
    np.testing.assert_allclose(table["error"], errors[table.index], rtol=1e-4, atol=1e-6)
    assert table["error"].mean() == pytest.approx(result.metrics["test/loss"], rel=1e-5)
    classes = np.array(data.preparation.classes)
    assert list(table["target"]) == list(classes[true[table.index]])
    assert list(table["prediction"]) == list(classes[predicted.argmax(1)[table.index]])


def test_the_report_is_scikit_learns(result: kf.RunResult) -> None:
    data, true, predicted = of_test(result)
    names = list(data.preparation.classes)
    wanted = classification_report(true, predicted.argmax(1), target_names=names, output_dict=True, zero_division=0)
    table = pd.read_csv(result.folder / "report.csv", index_col="class")
    assert list(table.index) == [*names, "macro avg", "weighted avg"]
    for name, row in table.iterrows():
        expected = wanted[name]
        assert list(row) == pytest.approx([expected[k] for k in ("precision", "recall", "f1-score", "support")])


def test_the_balance_is_of_every_part(result: kf.RunResult) -> None:
    table = pd.read_csv(result.folder / "balance.csv", index_col="class")
    assert dict(table.sum()) == {"train": 105, "validation": 15, "test": 30}
    assert dict(table.loc["setosa"]) == {"train": 35, "validation": 5, "test": 10}


def test_what_is_logged_has_its_digest_among_the_tags(result: kf.RunResult) -> None:
    tags = told_by(RunFolder.open(result.folder)).tags
    names = {key.removeprefix("sha256/") for key in tags if key.startswith("sha256/")}
    assert {"spec.yaml", "data.json", "environment.txt", "report.csv", "largest_errors.csv", "balance.csv"} <= names
    for name in names:
        assert tags[f"sha256/{name}"] == digest_of(result.folder / name), name


def test_the_errors_of_numbers(tmp_path: Any) -> None:
    """Of regression with a penalty, which is part of the cost and of no observation's error."""
    spec = {
        "experiment": "diabetes",
        "data": {"source": {"sklearn": "diabetes"}, "scale": "standard", "split": {"test": 0, "validation": 0.2}},
        "model": {"layers": [{"dense": {"units": 4, "kernel_regularizer": "l2"}}, "head"]},
        "train": {"epochs": 1, "engine": "eager"},
        "track": {"uri": "none"},
    }
    found = kf.run(spec, root=tmp_path, verbose=0)
    held = load(found.spec.data, found.spec.seed).validation
    assert held is not None
    errors = (held.y - found.model.predict(held.x, verbose=0)[:, 0]) ** 2
    table = pd.read_csv(found.folder / "largest_errors.csv", index_col="index")
    assert list(table.index) == list(np.argsort(-errors)[: len(table)])
    np.testing.assert_allclose(table["error"], errors[table.index], rtol=1e-4)
    assert not (found.folder / "report.csv").exists()
    assert (found.folder / "figures" / "largest_errors.png").exists()


def test_the_errors_of_a_classifier_on_features(tmp_path: Any) -> None:
    """A linear SVM has no probabilities: an observation's error is 1 where its class is wrong."""
    digits = load_digits()
    np.savez(tmp_path / "images.npz", x=digits.images[:300].astype(np.float32), y=digits.target[:300])
    spec = {
        "experiment": "features",
        "data": {"source": {"npz": {"path": str(tmp_path / "images.npz")}}, "task": "classification"},
        "model": {"backbone": {"model": str(_backbone(tmp_path))}},
        "train": {"route": "features"},
        "track": {"uri": "none"},
    }
    found = kf.run(spec, root=tmp_path / "runs", verbose=0)
    table = pd.read_csv(found.folder / "largest_errors.csv", index_col="index")
    assert list(table["error"] == 1) == list(table["target"] != table["prediction"])
    wrong = round(60 * (1 - found.metrics["test/accuracy"]))
    assert table["error"].sum() == wrong


def test_labels_are_reported_one_by_one() -> None:
    y = np.array([[1, 0], [1, 1], [0, 0]], np.float32)
    judged = Judged(np.array([[0.9, 0.2], [0.8, 0.1], [0.1, 0.3]]), np.array([0.1, 2.0, 0.2]), "loss")
    prep = Preparation(Target("multilabel", ("red", "blue")), ArrayInput((4,), "float32", "x", None))
    outcome = Outcome("test", Part(np.zeros((3, 4), np.float32), y), judged, prep)
    data = Data(outcome.part, None, outcome.part, prep, "", {})
    found = tables(outcome, data)
    assert found["report.csv"].loc["red", "recall"] == 1
    assert found["report.csv"].loc["blue", "recall"] == 0
    assert list(found["largest_errors.csv"].index) == [1, 2, 0]
    assert dict(found["largest_errors.csv"].loc[1]) == {
        "target_red": 1, "target_blue": 1, "prediction_red": 1, "prediction_blue": 0, "error": 2.0
    }  # fmt: skip
    assert outcome.words(y) == ["red", "red, blue", "none"]


def _backbone(folder: Any) -> Any:
    import keras

    model = keras.Sequential(
        [keras.Input((8, 8)), keras.layers.Flatten(), keras.layers.Dense(12), keras.layers.Dense(1)]
    )
    model.save(folder / "backbone.keras")
    return folder / "backbone.keras"


@pytest.mark.parametrize("scale", ["none", "unit", "standard"])
def test_digits_are_seen_as_they_were_before_they_were_scaled(scale: str) -> None:
    spec = kf.load_spec(
        {
            "experiment": "digits",
            "data": {"source": {"sklearn": "digits"}, "scale": scale},
            "model": {"layers": ["head"]},
        }
    )
    part = load(spec.data, 0)
    assert part.test is not None
    pixels = part.preparation.input.unscaled(np.asarray(part.test.x))
    np.testing.assert_allclose(pixels, np.round(pixels), atol=1e-4)
    assert (pixels.min(), pixels.max()) == pytest.approx((0, 16), abs=1e-4)
