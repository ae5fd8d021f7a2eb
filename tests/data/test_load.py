"""The door of the room: named sets, seeds, fingerprints, files on the way in, and what loads when."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skops import io

from kerasflow.data import Data, Preparation, load
from kerasflow.errors import DataError
from kerasflow.spec.data import DataSpec


def named(name: str, seed: int = 0, **spec: Any) -> Data:
    return load(DataSpec(source={"sklearn": name}, **spec), seed)


@pytest.mark.parametrize(
    ("name", "task", "shape", "classes"),
    [
        ("digits", "multiclass", (64,), tuple(range(10))),
        ("iris", "multiclass", (4,), ("setosa", "versicolor", "virginica")),
        ("wine", "multiclass", (13,), ("class_0", "class_1", "class_2")),
        ("breast_cancer", "binary", (30,), ("malignant", "benign")),
        ("diabetes", "regression", (10,), None),
        ("linnerud", "regression", (3,), None),
    ],
)
def test_the_sets_of_scikit_learn(name: str, task: str, shape: Any, classes: Any) -> None:
    data = named(name)
    preparation = data.preparation
    assert (preparation.task, preparation.input_shape, preparation.classes) == (task, shape, classes)
    assert data.train.x.dtype == np.float32
    assert data.train.y.dtype == (np.int32 if classes else np.float32)
    assert len(data.train.x) == len(data.train.y) == len(data.train)


def test_a_seed_is_a_split_and_the_fingerprint_is_the_content() -> None:
    first, again, other = named("iris", 1), named("iris", 1), named("iris", 2)
    assert np.array_equal(first.train.x[:], again.train.x[:])
    assert not np.array_equal(first.train.x[:], other.train.x[:])
    assert first.fingerprint == again.fingerprint == other.fingerprint != named("wine").fingerprint
    assert len(first.fingerprint) == 64


def test_the_fingerprint_is_the_same_in_another_process() -> None:
    code = (
        "from kerasflow.data import load; from kerasflow.spec.data import DataSpec;"
        "print(load(DataSpec(source={'sklearn': 'iris'}), 0).fingerprint)"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == named("iris").fingerprint


def test_the_room_opens_without_anything_heavy() -> None:
    code = "import sys, kerasflow.data; print(*{name.split('.')[0] for name in sys.modules})"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"pandas", "sklearn", "keras", "tensorflow", "PIL", "skops"}.isdisjoint(printed.stdout.split())


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"sklearn": "iriss"}, "no set 'iriss'; known are breast_cancer.*, did you mean 'iris'"),
        ({"keras": "fashion_mnst"}, "no set 'fashion_mnst'; .*, did you mean 'fashion_mnist'"),
        ({"keras": "imdb"}, "token sequences of many lengths"),
    ],
)
def test_a_name_that_is_no_set(source: dict[str, str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load(DataSpec(source=source), 0)


def test_fashion_mnist_comes_from_keras_cache(keras_home: Path) -> None:
    data = load(DataSpec(source={"keras": "fashion_mnist"}, scale="unit"), 0)
    assert data.test is not None
    assert data.validation is not None
    assert (len(data.train), len(data.validation), len(data.test)) == (54_000, 6_000, 10_000)
    assert data.preparation.input_shape == (28, 28, 1)
    assert data.summary["balance"]["test"]["Ankle boot"] == 1_000
    sample = data.train.x[:100]
    assert (sample.dtype, float(sample.min()), float(sample.max())) == (np.float32, 0.0, 1.0)


def test_a_set_that_cannot_be_downloaded_names_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    # Nothing listens on the discard port, so the download fails at once, with or without a network.
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    with pytest.raises(
        DataError, match=r"'mnist' could not be loaded: .*put its file at .*datasets/mnist\.npz"
    ) as caught:
        load(DataSpec(source={"keras": "mnist"}), 0)
    assert "\n" not in str(caught.value)


def test_a_preparation_with_foreign_types_is_not_loaded(tmp_path: Path) -> None:
    io.dump({"format": 1, "target": Path("anything")}, tmp_path / "evil.skops")
    (tmp_path / "noise.skops").write_bytes(b"noise")
    io.dump({"format": 99}, tmp_path / "later.skops")
    for name, message in (
        ("evil.skops", "types that no run writes"),
        ("noise.skops", "is not the preparation of a run"),
        ("later.skops", "is not a preparation of format 1"),
        ("absent.skops", "there is no such file"),
    ):
        with pytest.raises(DataError, match=message):
            Preparation.load(tmp_path / name)
