"""A tensor holds an array's numbers, zeros after them, and none of its memory."""

from __future__ import annotations

import numpy as np
import pytest

from kerasflow.training.device_copy import device_copy

KINDS = "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 >f4 >i8"


@pytest.mark.parametrize("kind", KINDS.split())
def test_a_tensor_of_any_kind_of_numbers(kind: str) -> None:
    array = np.arange(24).reshape(4, 6).astype(kind)
    found = device_copy(array, 6)
    assert found.dtype == array.dtype.newbyteorder("=")
    np.testing.assert_array_equal(found, np.pad(array, [(0, 2), (0, 0)]))


@pytest.mark.parametrize("array", [np.arange(60)[::3], np.arange(60).reshape(6, 10).T, np.empty((3, 0))])
def test_however_the_array_lies_in_memory(array: np.ndarray) -> None:
    np.testing.assert_array_equal(device_copy(array, len(array)), array)


def test_text() -> None:
    assert device_copy(np.array(["a", "bc"]), 2).numpy().tolist() == [b"a", b"bc"]


def test_the_array_may_be_written_to_or_be_read_only() -> None:
    array = np.arange(100_000.0)
    array.flags.writeable = False
    found = device_copy(array, len(array))
    array.flags.writeable = True
    array[:] = 7
    np.testing.assert_array_equal(found, np.arange(100_000.0))
