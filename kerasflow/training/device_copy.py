"""Arrays on the device, copied once."""

from __future__ import annotations

from typing import Any

import numpy as np

ALIGNMENT = 64  # bytes: TensorFlow takes no memory over that begins elsewhere


def device_copy(array: np.ndarray, n: int) -> Any:
    """A tensor `(n, ...)` of an array `(n_samples, ...)`, with zeros after its samples.

    `tf.constant` would hold an array twice that is not aligned in memory, as large ones are not. What is written to the
    array later is not seen.

    Args:
        array: numbers, or text (which has no zeros: its own length it keeps).
    """
    import tensorflow as tf

    if array.dtype.kind in "SU":
        return tf.constant(array)
    kind, shape = array.dtype.newbyteorder("="), (n, *array.shape[1:])
    size = kind.itemsize * int(np.prod(shape))
    memory = np.zeros(size + ALIGNMENT, "uint8")
    begin = -memory.ctypes.data % ALIGNMENT
    aligned = memory[begin : begin + size].view(kind).reshape(shape)
    aligned[: len(array)] = array
    return tf.identity(tf.experimental.dlpack.from_dlpack(aligned.__dlpack__()))  # to a GPU, if there is one
