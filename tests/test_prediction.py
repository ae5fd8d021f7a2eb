"""Predictions of a finished run for new rows, arrays and images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import kerasflow as kf
from kerasflow.prediction import predict_file


def test_predictions_for_csv_rows_are_the_models_own(tmp_path, iris) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=60), "b": rng.normal(size=60), "kind": ["x", "y", "z"] * 20})
    frame.to_csv(tmp_path / "train.csv", index=False)
    source = {"csv": {"path": str(tmp_path / "train.csv"), "target": "kind"}}
    found = kf.run(iris(data={"source": source, "scale": "standard"}), root=tmp_path / "runs", verbose=0)
    new = frame[["b", "a"]].head(7)  # in another order, and without the target
    new.to_csv(tmp_path / "new.csv", index=False)
    predicted = predict_file(found.folder, tmp_path / "new.csv")

    from kerasflow.data import load

    train = load(found.spec.data, found.spec.seed).train.x
    columns = frame[["a", "b"]].to_numpy("float32")
    rows = np.array([np.flatnonzero(np.isclose(columns[:, 0], v))[0] for v in new["a"].to_numpy("float32")])
    assert len(train) < len(columns)
    x, _ = kf_preparation(found).read(tmp_path / "train.csv")
    outputs = found.model(np.asarray(x[rows])).numpy()
    np.testing.assert_allclose(predicted[[f"probability_{k}" for k in "xyz"]].to_numpy(), outputs, rtol=1e-5)
    assert predicted["prediction"].tolist() == ["xyz"[index] for index in outputs.argmax(-1)]


def kf_preparation(found):
    from kerasflow.data import Preparation

    return Preparation.load(found.folder / "preparation.skops")


def test_predictions_for_arrays_and_images_are_the_models_own(tmp_path, iris) -> None:
    rng = np.random.default_rng(0)
    for kind in ("light", "dark"):
        (tmp_path / "images" / kind).mkdir(parents=True)
        for index in range(12):
            pixels = rng.integers(128, 256, (6, 6, 3)) if kind == "light" else rng.integers(0, 128, (6, 6, 3))
            Image.fromarray(pixels.astype("uint8")).save(tmp_path / "images" / kind / f"{index}.png")
    source = {"images": {"path": str(tmp_path / "images"), "size": [6, 6]}}
    found = kf.run(
        iris(data={"source": source, "scale": "unit"}, model={"layers": ["flatten", "head"]}),
        {"train.optimizer.adam.learning_rate": 0.1, "train.epochs": 10},
        root=tmp_path / "runs",
        verbose=0,
    )
    predicted = predict_file(found.folder, tmp_path / "images" / "light")
    assert predicted.index[0].endswith(".png")
    assert set(predicted["prediction"]) == {"light"}
    images = np.stack([np.asarray(Image.open(tmp_path / "images" / "light" / Path(n).name)) for n in predicted.index])
    outputs = found.model(images.astype("float32") / 255).numpy()[:, 0]
    np.testing.assert_allclose(predicted["probability_light"], outputs, rtol=1e-5)

    np.savez(tmp_path / "new.npz", x=images)
    from_array = predict_file(found.folder, tmp_path / "new.npz")
    np.testing.assert_allclose(from_array["probability_light"], predicted["probability_light"], rtol=1e-6)


def test_a_backbone_is_given_images_to_predict_in_the_range_that_it_learned_from(tmp_path) -> None:
    x = np.random.default_rng(0).integers(0, 256, (30, 32, 32, 1)).astype("float32")
    np.savez(tmp_path / "images.npz", x=x, y=np.arange(30) % 3)
    spec = {
        "experiment": "range",
        "data": {"source": {"npz": str(tmp_path / "images.npz")}, "task": "classification"},
        "model": {"backbone": {"name": "lenet5", "weights": "none"}},
        "train": {"route": "features"},
        "track": {"uri": "none"},
    }
    found = kf.run(spec, root=tmp_path / "runs", verbose=0)
    assert len(predict_file(found.folder, tmp_path / "images.npz")) == 30
    np.savez(tmp_path / "scaled.npz", x=x / 255)
    with pytest.raises(kf.DataError, match=r"scaled\.npz: lenet5 takes .* looks like 0\.\.1"):
        predict_file(found.folder, tmp_path / "scaled.npz")


def test_only_a_run_with_a_model_predicts(tmp_path, result) -> None:
    with pytest.raises(kf.RunError, match="is not a run folder"):
        predict_file(tmp_path, tmp_path / "x.csv")
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "status.json").write_text((result.folder / "status.json").read_text())
    with pytest.raises(kf.RunError, match="holds no model"):
        predict_file(broken, tmp_path / "x.csv")
