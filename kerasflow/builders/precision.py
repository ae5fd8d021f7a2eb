"""The precision that layers compute in, set where they are made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

Precision = Literal["float32", "float64", "mixed_bfloat16", "mixed_float16"]


@contextmanager
def computing_in(precision: Precision | None) -> Iterator[None]:
    """Layers made inside compute in this precision, or in Keras' global one for None; outside, nothing has changed."""
    if precision is None:
        yield
        return
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def of_weights() -> str:
    """What weights are kept in: float32 under the mixed precisions, too."""
    import keras

    return str(keras.config.dtype_policy().variable_dtype)
