"""Features on disk, found again by the content of all that they were computed from."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kerasflow.errors import DataError, sentence

FORMAT = 1
"""Counts up when the same content comes to mean other features."""

Features = NDArray[np.float32]


class FeatureCache:
    """A folder of features, one file `<key>.npy` a network, its settings and its images.

    Args:
        folder: made if it is not there; whoever removes it loses time and nothing else.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)

    def key(self, facts: Mapping[str, Any]) -> str:
        """SHA-256 (hex) of JSON-ready facts."""
        return hashlib.sha256(json.dumps([FORMAT, facts], sort_keys=True).encode()).hexdigest()

    def read(self, key: str) -> Features | None:
        """The features as a memory-mapped array `(n, n_features)`, read-only; None if there are none."""
        try:
            return np.load(self._file(key), mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]  # NumPy
        except (OSError, ValueError, EOFError):  # or cut off, by a copy of the folder that was interrupted
            return None

    @contextmanager
    def taking_turns(self, key: str) -> Iterator[None]:
        """Inside, no other process makes the features of this key."""
        from filelock import FileLock

        lock = FileLock(self.folder / f".{key}.lock")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except OSError as error:
            raise DataError(f"{self.folder}: features cannot be kept there: {sentence(error)}") from error
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def writing(self, key: str, shape: tuple[int, int]) -> Iterator[Features]:
        """Gives an array on disk to be filled, which is found by its key once all of it is written.

        Raises:
            DataError: the disk has no room for it.
        """
        wanted, free = shape[0] * shape[1] * 4, shutil.disk_usage(self.folder).free
        if wanted > free:
            raise DataError(
                f"{self.folder}: {shape[0]} × {shape[1]} features take {gigabytes(wanted)}, and the disk has "
                f"{gigabytes(free)}; pool them, tap fewer layers, or name another folder"
            )
        aside = self._file(key).with_suffix(f".{os.getpid()}.tmp")
        try:
            features = np.lib.format.open_memmap(aside, mode="w+", dtype=np.float32, shape=shape)
            yield features
            features.flush()
            os.replace(aside, self._file(key))
        finally:
            aside.unlink(missing_ok=True)

    def _file(self, key: str) -> Path:
        return self.folder / f"{key}.npy"


def gigabytes(size: int) -> str:
    """`1.5 GB`, or in a smaller unit what is less than one."""
    for unit, one in (("GB", 1e9), ("MB", 1e6)):
        if size >= one:
            return f"{size / one:.1f} {unit}"
    return f"{size / 1e3:.1f} kB"
