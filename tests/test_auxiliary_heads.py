"""GoogLeNet learns from scratch by a spec, with two auxiliary heads weighted 0.3; all else is of the main one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import kerasflow as kf
from kerasflow.prediction import predict_file
from kerasflow.training.window import Auxiliary
from kerasflow.transfer.joining import auxiliary_of

RNG = np.random.default_rng(0)
BACKBONE = {"name": "googlenet", "weights": "none", "aux_heads": True}


def spec(images: Path, backbone: dict[str, Any], **train: Any) -> dict[str, Any]:
    return {
        "experiment": "auxiliary",
        "data": {"source": {"npz": str(images)}, "task": "classification", "split": {"test": 0.25, "validation": 0.25}},
        "model": {"backbone": backbone},
        "train": {"batch_size": 8, "epochs": 1, "engine": "eager", "metrics": ["accuracy"], **train},
        "track": {"uri": "none"},
    }


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen small images of two classes."""
    path = tmp_path_factory.mktemp("auxiliary") / "images.npz"
    np.savez(path, x=RNG.integers(0, 256, (16, 32, 32, 3), dtype="uint8"), y=np.arange(16) % 3)
    return path


def test_googlenet_learns_with_three_heads_and_is_judged_by_one(images: Path, tmp_path: Path) -> None:
    result = kf.run(spec(images, BACKBONE), root=tmp_path, verbose=0)
    for name in ("aux1", "aux2"):
        head = result.model.get_layer("backbone").get_layer(name)
        assert head.units == 3  # the classes of the data
        assert np.all(head.bias != 0)  # as it begins
    heads = auxiliary_of(result.spec.model, result.model)
    assert heads is not None
    assert heads.weights == (0.3, 0.3)
    (row,) = result.history.rows
    assert {"loss", "accuracy", "val_loss", "val_accuracy"} <= set(row)
    assert not any("aux" in name for name in row)
    assert row["loss"] > 1.2 * row["val_loss"]  # three heads that know nothing yet: 1 + 0.3 + 0.3 times log 3
    assert result.metrics["test/loss"] == pytest.approx(np.log(3), rel=0.3)
    np.save(tmp_path / "new.npy", np.load(images)["x"][:2])
    assert predict_file(result.folder, tmp_path / "new.npy").shape == (2, 4)


def test_an_update_is_that_of_three_weighted_outputs() -> None:
    x, y = RNG.normal(size=(10, 6)).astype("float32"), np.arange(10) % 3

    def network() -> tuple[Any, Any]:
        """One that gives its own head's output, and one that gives its auxiliary head's, too."""
        keras.utils.set_random_seed(0)
        inputs, seen = keras.Input((6,)), keras.Input((6,))
        hidden = keras.layers.Dense(5, activation="tanh", kernel_regularizer="l2")(seen)
        trunk = keras.Model(seen, [hidden, keras.layers.Dense(3, activation="softmax")(hidden)])
        hidden, aux = trunk(inputs)
        main = keras.layers.Dense(3, activation="softmax")(hidden)
        return keras.Model(inputs, main), keras.Model(inputs, [main, aux])

    _, expected = network()
    expected.compile("sgd", ["sparse_categorical_crossentropy"] * 2, loss_weights=[1.0, 0.3])
    cost = expected.fit(x, [y, y], batch_size=10, verbose=0).history["loss"][0]
    model, both = network()
    trainer = kf.Trainer(
        "sgd", "sparse_categorical_crossentropy", batch_size=10, micro_batch_size=4, epochs=1, verbose=0,
        auxiliary=Auxiliary(both, (0.3,)),
    )  # fmt: skip
    history = trainer.fit(model, x, y)
    assert history.rows[0]["loss"] == pytest.approx(cost, rel=1e-5)
    for ours, keras_own in zip(both.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_allclose(ours, keras_own, atol=1e-6)


def test_a_spec_without_them_has_none(images: Path) -> None:
    wanted = kf.load_spec(spec(images, {"name": "lenet5", "weights": "none"}))
    assert "aux_heads" not in wanted.to_document()["model"]["backbone"]
    assert auxiliary_of(wanted.model, None) is None


@pytest.mark.parametrize(
    ("backbone", "train", "said"),
    [
        (
            {**BACKBONE, "name": "alexnet", "size": 64},
            {},
            "alexnet has no auxiliary heads; networks that have: googlenet",
        ),
        ({**BACKBONE, "weights": "imagenet"}, {}, "weights: none, and leave layer out"),
        ({**BACKBONE, "layer": "inception4a"}, {}, "weights: none, and leave layer out"),
        (BACKBONE, {"route": "transfer"}, "got route transfer, set scratch or leave them out"),
    ],
)
def test_bad_use_is_one_sentence(images: Path, backbone: Any, train: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises((kf.SpecError, kf.BuildError)) as caught:
        kf.run(spec(images, backbone, **train), root=tmp_path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_estimator_says_where_they_learn(images: Path) -> None:
    x, y = np.load(images)["x"], np.load(images)["y"]
    with pytest.raises(kf.BuildError, match=r"aux_heads: learn in an experiment, by kf.run"):
        kf.KerasClassifier({"backbone": BACKBONE}).fit(x, y)
