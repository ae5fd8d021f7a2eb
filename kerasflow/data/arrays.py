"""Arrays in memory and in NumPy's files, checked before anything learns from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kerasflow.data.target import listed
from kerasflow.errors import DataError, did_you_mean

FLOAT32_MAX = float(np.finfo(np.float32).max)


def read_archive(path: Path) -> dict[str, NDArray[Any]]:
    """Every array of an `.npz` by its key, or an `.npy` under the key `x`; read without pickle.

    Raises:
        DataError: no such file, or one that is not NumPy's or holds Python objects.
    """
    try:
        opened = np.load(path, allow_pickle=False)
        if isinstance(opened, np.ndarray):
            return {"x": opened}
        with opened as archive:
            return {key: archive[key] for key in archive.files}
    except FileNotFoundError as error:
        raise DataError(f"{path}: there is no such file") from error
    # Broken bytes fail in as many ways as there are layers: zip, zlib, NumPy's header, memory for an absurd shape.
    except Exception as error:
        raise DataError(f"{path}: is not a NumPy file of plain numbers and texts: {error}") from error


def pick(arrays: dict[str, NDArray[Any]], key: str, path: Path) -> NDArray[Any]:
    """One array of an archive.

    Raises:
        DataError: no such key; the message lists those that there are.
    """
    if key not in arrays:
        raise DataError(f"{path}: has no key {key!r}; its keys are {listed(arrays)}{did_you_mean(key, arrays)}")
    return arrays[key]


def as_observations(x: NDArray[Any], where: str) -> NDArray[Any]:
    """`(n_samples, ..., channels)`: 8-bit images without a channel axis and single numbers get one.

    Raises:
        DataError: no rows, anything but real numbers, NaN or infinity.
    """
    if x.ndim == 0 or len(x) == 0:
        raise DataError(f"{where}: holds no rows (shape {x.shape})")
    if x.dtype.kind not in "biuf":
        raise DataError(f"{where}: observations must be real numbers, got dtype {x.dtype}")
    check_finite(x, where, "drop or replace them before")
    if x.ndim == 1 or (x.ndim == 3 and x.dtype == np.uint8):
        return x[..., np.newaxis]
    return x


def as_targets(y: NDArray[Any], n_rows: int, where: str) -> NDArray[Any]:
    """`(n_samples,)`, or `(n_samples, n_targets)` for several columns.

    Raises:
        DataError: not one target a row, a dtype that is no label or number, NaN or infinity.
    """
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim not in (1, 2) or 0 in y.shape:
        raise DataError(f"{where}: targets must be of shape (n_samples,) or (n_samples, n_targets), got {y.shape}")
    if len(y) != n_rows:
        raise DataError(f"{where}: {n_rows} observations but {len(y)} targets")
    if y.dtype.kind not in "biufUS":
        raise DataError(f"{where}: targets must be numbers, booleans or text, got dtype {y.dtype}")
    check_finite(y, where, "a row without a target teaches nothing: leave it out")
    return y.astype(np.str_) if y.dtype.kind == "S" else y


def check_finite(values: NDArray[Any], where: str, remedy: str) -> None:
    """Raises DataError with the count and first rows of NaN or infinity, which huge numbers become in float32."""
    if values.dtype.kind != "f":
        return
    rows = values.reshape(len(values), -1)
    broken = ~(np.isfinite(rows) & (np.abs(rows, dtype=np.result_type(rows, np.float32)) <= FLOAT32_MAX))
    if broken.any():
        found = np.flatnonzero(broken.any(axis=1))
        raise DataError(
            f"{where}: {int(broken.sum())} NaN or infinite values in {len(found)} row(s), "
            f"the first in row {listed(found[:3].tolist())}; {remedy}"
        )
