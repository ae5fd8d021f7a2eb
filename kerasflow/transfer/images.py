"""Images wherever they are, arrays, folders or datasets, read batch by batch in their order."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from kerasflow.data.fingerprint import fingerprint
from kerasflow.data.images import ImageFiles, check_images, image_files
from kerasflow.data.observations import Observations
from kerasflow.errors import DataError

Item = TypeVar("Item")
Result = TypeVar("Result")
Shape = tuple[int | None, int | None, int]
"""Height, width and channels of an image; None where they vary."""


class Images(Protocol):
    """Images that can be read again and again.

    Attributes:
        n: how many; None where only the end tells.
        shape: of each.
    """

    n: int | None
    shape: Shape

    def batches(self, size: int) -> Iterator[Any]:
        """Arrays or tensors `(n, height, width, channels)`, of `size` images but for the last."""

    def digest(self) -> str:
        """SHA-256 (hex) of the content."""


def as_images(given: Any, size: tuple[int, int] | None, channels: int, skip_broken: bool = False) -> Images:
    """The images of whatever a user has.

    Args:
        given: an array `(n, height, width, channels)`, or `(n, height, width)` of gray ones; a folder's path, whose
            images come by name; or a `tf.data.Dataset` of images or batches of them, alone or first of a tuple.
        size: height and width that files are decoded to.
        channels: that files are decoded to: 1 or 3.
        skip_broken: leaves out files that are empty or corrupt, and warns of them.

    Raises:
        DataError: none of these; no images, or a folder with files that are not.
    """
    if isinstance(given, str | os.PathLike):
        if size is None:
            raise DataError(f"{given}: images of a folder must have one size; give image_size=(height, width)")
        return FileImages(Path(given), size, channels, skip_broken)
    if hasattr(given, "element_spec"):
        return DatasetImages(given)
    return ArrayImages(given)


class ArrayImages:
    """Images in memory, or a memory-mapped file."""

    def __init__(self, given: Any) -> None:
        array = np.asarray(given)
        expected = "expected images of shape (n, height, width, channels) or, of gray ones, (n, height, width)"
        if array.dtype.kind not in "uif":
            raise DataError(f"{expected} with numbers, got values of type {array.dtype}")
        if array.ndim == 4 and array.shape[1] in (1, 3) and array.shape[-1] > 4:
            raise DataError(f"{expected}, got shape {array.shape}; channels come last: np.moveaxis(images, 1, -1)")
        if array.ndim == 3 and array.shape[-1] == 3:
            raise DataError(f"{expected}, got shape {array.shape}; one image needs a batch axis: image[None]")
        if array.ndim not in (3, 4):
            raise DataError(f"{expected}, got shape {array.shape}")
        if len(array) == 0:
            raise DataError(f"there are no images (shape {array.shape})")
        self.array: NDArray[Any] = array if array.ndim == 4 else array[..., np.newaxis]
        self.n: int | None = len(array)
        self.shape: Shape = self.array.shape[1:]

    def batches(self, size: int) -> Iterator[Any]:
        for start in range(0, len(self.array), size):
            yield self.array[start : start + size]

    def digest(self) -> str:
        return fingerprint([("images", self.array)])


class Observed:
    """What an experiment learns from, arrays or files: samples of any shape, images as well."""

    def __init__(self, samples: Observations) -> None:
        self.samples = samples
        self.n: int | None = len(samples)
        self.shape: Any = tuple(samples.shape[1:])

    def batches(self, size: int) -> Iterator[Any]:
        for start in range(0, len(self.samples), size):
            yield self.samples[slice(start, start + size)]

    def digest(self) -> str:
        return fingerprint(("samples", batch) for batch in self.batches(256))


class FileImages:
    """Images of a folder, in the order of their names, decoded as they are asked for."""

    def __init__(self, folder: Path, size: tuple[int, int], channels: int, skip_broken: bool) -> None:
        if not folder.is_dir():
            raise DataError(f"{folder}: there is no such folder of images")
        good = check_images(image_files(folder, skip_broken), skip_broken)
        if not good:
            raise DataError(f"{folder}: holds no image that can be read")
        self.files = ImageFiles(tuple(good), size, "grayscale" if channels == 1 else "rgb")
        self._digests = " ".join(good.values())
        self.n: int | None = len(good)
        self.shape: Shape = (*size, 1 if channels == 1 else 3)

    def batches(self, size: int) -> Iterator[Any]:
        for start in range(0, len(self.files), size):
            yield self.files[slice(start, start + size)]

    def digest(self) -> str:
        return fingerprint([("files", self._digests), ("shape", str(self.shape))])


class DatasetImages:
    """Images of a `tf.data.Dataset`, read from its beginning for each pass."""

    def __init__(self, dataset: Any) -> None:
        import tensorflow as tf

        images = dataset.map(lambda *parts: parts[0]) if isinstance(dataset.element_spec, tuple) else dataset
        spec = images.element_spec
        if not isinstance(spec, tf.TensorSpec) or spec.shape.rank not in (3, 4) or spec.shape[-1] is None:
            raise DataError(
                "expected a dataset of images (height, width, channels) or of batches of them, alone or first of a "
                f"tuple, got {dataset.element_spec}"
            )
        count = int(dataset.cardinality())
        if count == tf.data.INFINITE_CARDINALITY:
            raise DataError("the dataset never ends; give it without repeat(), or with take(n)")
        batched = spec.shape.rank == 4
        self.images, self.batched = images, batched
        self.n: int | None = None if batched or count < 0 else count
        self.shape: Shape = tuple(spec.shape[1:] if batched else spec.shape)
        self._content = ""  # of the first whole pass

    def batches(self, size: int) -> Iterator[Any]:
        """Raises DataError in a second pass whose images are not the first one's."""
        import tensorflow as tf

        batches = self.images.rebatch(size) if self.batched else self.images.batch(size)
        content, n = hashlib.sha256(), 0
        for batch in batches.prefetch(tf.data.AUTOTUNE):
            for image in batch.numpy():
                content.update(fingerprint([("image", image)]).encode())
            n += len(batch)
            yield batch
        if self._content not in ("", content.hexdigest()):
            raise DataError(
                "the dataset gives other images, or another order of them, each time that it is read; features are "
                "kept only of one that does not: leave out its shuffle, or the cache"
            )
        if n == 0:
            raise DataError("the dataset gives no images")
        self._content, self.n = content.hexdigest(), n

    def digest(self) -> str:
        """Reads all of it once."""
        for _ in self.batches(1):
            pass
        return self._content


def in_order(function: Callable[[Item], Result], items: Iterator[Item], at_once: int) -> Iterator[Result]:
    """What a function gives for each item, in their order, while the next items are read.

    Args:
        at_once: items that are worked on at the same time, each in a thread of its own.
    """
    with ThreadPoolExecutor(at_once) as pool:
        waiting: deque[Future[Result]] = deque()
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > at_once:  # so that nobody has to wait for one to be read
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
