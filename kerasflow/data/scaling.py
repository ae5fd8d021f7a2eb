"""Bringing numbers to a common scale, channel by channel, by what the training part holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from kerasflow.data.observations import Observations

Scale = Literal["none", "unit", "standard"]

ROWS_AT_ONCE = 128
"""Photographs of 224 x 224 pixels take 80 MB at this many."""


def new_scaler(scale: Scale) -> Any:
    """An unfitted scikit-learn scaler, or None for no scaling."""
    from sklearn.preprocessing import MinMaxScaler, StandardScaler

    return {"none": None, "unit": MinMaxScaler(), "standard": StandardScaler()}[scale]


def fit_scaler(scale: Scale, x: Observations, eight_bit: bool) -> Any:
    """A scikit-learn scaler of the last axis, or None.

    Args:
        scale: `unit` divides 8-bit values by 255, others go to 0..1 by their minimum and maximum; `standard` gives mean
            0 and standard deviation 1.
        x: the training observations, `(n_samples, ..., channels)`; read in slices, so that they may lie on disk.
        eight_bit: the values are whole numbers of 0..255.
    """
    scaler = new_scaler(scale)
    if scaler is None:
        return None
    channels = x.shape[-1]
    if scale == "unit" and eight_bit:
        return scaler.fit(np.stack([np.zeros(channels), np.full(channels, 255.0)]))
    for values in _slices(x):
        scaler.partial_fit(_working(values).reshape(-1, channels))
    return scaler


def apply_scaler(scaler: Any, x: NDArray[Any]) -> NDArray[np.float32]:
    """The values as float32, scaled; `x` itself is left alone."""
    if scaler is None:
        return x.astype(np.float32)
    scaled: NDArray[Any] = scaler.transform(_working(x).reshape(-1, x.shape[-1]))
    return scaled.reshape(x.shape).astype(np.float32, copy=False)


def undo_scaler(scaler: Any, x: NDArray[Any]) -> NDArray[Any]:
    """Scaled values as they were, up to rounding."""
    if scaler is None:
        return x
    values: NDArray[Any] = scaler.inverse_transform(x.reshape(-1, x.shape[-1]))
    return values.reshape(x.shape)


def _working(x: NDArray[Any]) -> NDArray[Any]:
    """Float32 if that holds the values exactly; else float64, so that a large offset is taken off before rounding."""
    return x.astype(np.result_type(x.dtype, np.float32), copy=False)


def _slices(x: Observations) -> Iterator[NDArray[Any]]:
    for start in range(0, len(x), ROWS_AT_ONCE):
        yield x[slice(start, start + ROWS_AT_ONCE)]
