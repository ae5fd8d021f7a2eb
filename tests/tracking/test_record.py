from __future__ import annotations

from kerasflow.tracking.record import PARAMS_AT_MOST, metrics_of, params_of

DOCUMENT = {
    "experiment": "fashion-mnist",
    "name": "small-cnn",
    "seed": 7,
    "data": {
        "source": {"sklearn": None, "keras": {"name": "fashion_mnist"}},
        "split": {"test": 0.2, "validation": 0.1},
        "scale": "unit",
    },
    "model": {
        "layers": [
            {"conv2d": {"filters": 32, "kernel_size": [3, 3], "activation": "relu"}},
            "max_pooling2d",
            {"flatten": {}},
            {"dropout": 0.3},
            {"dense": {"units": 128, "kernel_regularizer": {"l2": 0.001}}, "name": "features", "inputs": ["x"]},
            {"dense": {"units": 64}},
            {"dense": {"units": 64}},
            "head",
        ],
        "blocks": {},
    },
    "train": {
        "optimizer": {"adam": {"learning_rate": 0.001}},
        "loss": "auto",
        "metrics": ["accuracy", "f1_score"],
        "batch_size": 256,
        "micro_batch_size": None,
        "stop": [{"plateau": {"monitor": "val_loss", "patience": 3, "restore_best": True}, "deadline": None}],
    },
    "track": {"uri": "sqlite:///mlflow.db"},
}


def test_an_epoch_in_sections() -> None:
    row = {
        "epoch": 3, "updates": 36, "loss": 0.5, "accuracy": 0.9, "val_loss": 0.6, "val_accuracy": 0.8, "lr": 1e-3,
        "grad_norm": 1.2, "seconds": 0.8, "samples_per_second": 1234.0, "note": "text",
    }  # fmt: skip
    assert metrics_of(row) == {
        "optim/updates": 36.0, "train/loss": 0.5, "train/accuracy": 0.9, "val/loss": 0.6, "val/accuracy": 0.8,
        "optim/lr": 1e-3, "optim/grad_norm": 1.2, "perf/epoch_seconds": 0.8, "perf/samples_per_second": 1234.0,
    }  # fmt: skip


def test_a_spec_as_flat_params() -> None:
    assert params_of(DOCUMENT) == {
        "seed": 7,
        "data/source/keras/name": "fashion_mnist",
        "data/split/test": 0.2,
        "data/split/validation": 0.1,
        "data/scale": "unit",
        "model/layers": "conv2d(32, 3×3, relu) · max_pooling2d · flatten · dropout(0.3) · dense(128, l2(0.001))"
        " · dense(64) ×2 · head",
        "train/optimizer/adam/learning_rate": 0.001,
        "train/loss": "auto",
        "train/metrics": "accuracy · f1_score",
        "train/batch_size": 256,
        "train/stop": "plateau(val_loss, 3, True)",
    }


def test_numbers_stay_numbers() -> None:
    params = params_of(DOCUMENT)
    assert type(params["train/optimizer/adam/learning_rate"]) is float
    assert type(params["seed"]) is int


def test_a_large_spec_stays_short() -> None:
    blocks = {f"block{index}": {"parameters": {f"p{p}": p for p in range(5)}} for index in range(20)}
    params = params_of({"seed": 1, "model": {"blocks": blocks}, "train": {"epochs": 3}})
    assert len(params) <= PARAMS_AT_MOST
    assert params["seed"] == 1
    assert params["train/epochs"] == 3
    assert params["model/blocks/block3/parameters"] if len(blocks) > 40 else "block3" in str(params)
