"""Arrays: shapes, dtypes, scaling by channel, an archive's own test set, and new arrays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kerasflow.data import Data, load
from kerasflow.errors import DataError
from kerasflow.spec.data import DataSpec

Load = Callable[..., Data]
WHOLE = {"split": {"test": 0, "validation": 0}}
Y = np.tile([0, 1], 20)


@pytest.fixture
def pixels() -> Any:
    return np.random.default_rng(0).integers(0, 256, (40, 5, 6), dtype=np.uint8)


def test_eight_bit_images_get_a_channel_and_unit_is_by_255(load_npz: Load, pixels: Any) -> None:
    data = load_npz(x=pixels, y=Y, spec=WHOLE | {"scale": "unit"})
    assert data.preparation.input_shape == (5, 6, 1)
    assert data.train.x.dtype == np.float32
    np.testing.assert_allclose(data.train.x[:][..., 0], pixels / 255.0, rtol=1e-6)


def test_unit_by_255_does_not_depend_on_the_values(load_npz: Load) -> None:
    dim = np.full((40, 5, 6), 51, np.uint8)
    assert load_npz(x=dim, y=Y, spec={"scale": "unit"}).train.x[:].max() == pytest.approx(0.2)


def test_each_channel_is_scaled_on_its_own(load_npz: Load) -> None:
    x = np.random.default_rng(0).normal([1e6, -3.0], [1.0, 20.0], (40, 7, 2))
    scaled = load_npz(x=x, y=Y, spec=WHOLE | {"scale": "standard"}).train.x[:]
    np.testing.assert_allclose(scaled.mean(axis=(0, 1)), 0.0, atol=1e-5)
    # Float32 could not hold a deviation of 1 at an offset of a million to six digits.
    np.testing.assert_allclose(scaled.std(axis=(0, 1)), 1.0, rtol=1e-5)


def test_loading_leaves_a_constant_channel_finite(load_npz: Load) -> None:
    x = np.ones((40, 3))
    for scale in ("unit", "standard"):
        assert np.isfinite(load_npz(x=x, y=Y, spec={"scale": scale}).train.x[:]).all()


def test_an_archive_keeps_its_own_test_set(load_npz: Load) -> None:
    x = np.arange(40.0)
    data = load_npz(x=x, y=Y, x_test=x[:4] + 100, y_test=Y[:4])
    assert data.test is not None
    assert data.test.x[:].ravel().tolist() == [100.0, 101.0, 102.0, 103.0]
    assert data.validation is not None
    assert (len(data.train), len(data.validation)) == (36, 4)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"X": np.ones((4, 2)), "y": [0, 1] * 2}, "has no key 'x'; its keys are 'X', 'y'"),
        ({"x": np.ones((4, 2)), "y": [0, 1]}, "4 observations but 2 targets"),
        ({"x": np.array(["a", "b"]), "y": [0, 1]}, "must be real numbers, got dtype <U1"),
        ({"x": np.array([[1.0], [np.nan], [np.inf]]), "y": [0, 1, 0]}, "2 NaN or infinite values in 2 row.*row 1, 2"),
        ({"x": np.array([1e300, 1.0]), "y": [0, 1]}, "1 NaN or infinite values in 1 row"),
        ({"x": np.ones(4), "y": [0.0, 1.0, np.nan, 2.0]}, "y: 1 NaN or infinite"),
        ({"x": np.ones((0, 2)), "y": np.ones(0)}, "holds no rows"),
        ({"x": np.ones(40), "y": Y, "x_test": np.ones(2), "y_test": [0, 7]}, "test: holds labels .* 7; known are 0, 1"),
        ({"x": np.ones(40), "y": Y, "x_test": np.ones(2)}, "has no key 'y_test'"),
    ],
)
def test_arrays_that_cannot_be_learned_from(load_npz: Load, arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_npz(**arrays)


def test_python_objects_are_never_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.array([{}, {}], dtype=object), y=[0, 1])
    (tmp_path / "b.npz").write_bytes(b"nothing of NumPy's")
    for name in ("a.npz", "b.npz"):
        with pytest.raises(DataError, match="is not a NumPy file of plain numbers"):
            load(DataSpec(source={"npz": str(tmp_path / name)}), 0)


def test_new_arrays_and_images_are_treated_alike(load_npz: Load, tmp_path: Path, pixels: Any) -> None:
    data = load_npz(x=pixels, y=Y, spec=WHOLE | {"scale": "standard"})
    np.save(tmp_path / "new.npy", pixels[:3])
    np.savez(tmp_path / "new.npz", x=pixels[:3])
    for name in ("new.npy", "new.npz"):
        assert np.array_equal(data.preparation.read(tmp_path / name)[0][:], data.train.x[:3])
    Image.fromarray(pixels[2]).save(tmp_path / "one.png")
    x, index = data.preparation.read(tmp_path / "one.png")
    assert np.array_equal(x[:], data.train.x[2:3])
    assert (index.name, index.tolist()) == ("file", ["one.png"])


def test_new_arrays_that_do_not_fit(load_npz: Load, tmp_path: Path, pixels: Any) -> None:
    preparation = load_npz(x=pixels, y=Y).preparation
    np.save(tmp_path / "scaled.npy", pixels[..., None] / 255.0)
    np.save(tmp_path / "small.npy", pixels[:, 1:])
    (tmp_path / "table.csv").write_text("a\n1\n")
    for name, message in (
        ("scaled.npy", "expected 8-bit values .*, got float64"),
        ("small.npy", r"expected observations of shape \(n, 5, 6, 1\), got \(40, 4, 6, 1\)"),
        ("table.csv", "expected .npy, .npz, an image"),
        ("absent.npy", "there is no such file"),
        ("absent.png", "there is no such file"),
    ):
        with pytest.raises(DataError, match=message):
            preparation.read(tmp_path / name)
