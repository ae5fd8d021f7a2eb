"""Arrays as windows, in an order that follows from (seed, epoch)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from kerasflow.errors import TrainingError
from kerasflow.training.refusal import reason
from kerasflow.training.window import Batch


class Segment(NamedTuple):
    """Windows in a row, of one pass over the data.

    Attributes:
        rows: the samples' indices, `(n_samples,)` int32.
        size: samples for each window, but for the last, which has what is left.
    """

    rows: np.ndarray
    size: int

    @property
    def windows(self) -> int:
        return -(-len(self.rows) // self.size)


class Arrays:
    """Arrays, gathered in an order that follows from (seed, epoch).

    Attributes:
        batch: the whole of the data, as NumPy arrays or what can be indexed like them.
        n: samples.
        resident: whether all of it is in memory, and may be copied once.
    """

    many_shapes = False

    def __init__(
        self,
        x: Any,
        y: Any,
        weight: Any,
        batch_size: int,
        seed: int | None,
        class_weight: Mapping[int, float] | None = None,
        steps: int | None = None,
        go_on: bool = True,
    ) -> None:
        x, y, weight = as_arrays(x), as_arrays(y), as_arrays(weight)
        self.n = _same_length(x, y, weight)
        self.batch = Batch(x, y, with_class_weight(y, weight, class_weight))
        self.batch_size, self.seed, self.steps, self.go_on = batch_size, seed, steps, go_on
        self.in_a_pass = -(-self.n // batch_size)
        self.windows: int | None = self.in_a_pass if steps is None else steps
        self.resident = _resident(self.batch)

    def epoch(self, index: int, window: int = 0) -> Iterator[Batch]:
        for rows, size in self.segments(index, window):
            for start in range(0, len(rows), size):
                yield self._take(rows[start : start + size])

    def segments(self, index: int, window: int = 0) -> Iterator[Segment]:
        """The windows of epoch `index` from window `window` on, as their samples' indices."""
        per_epoch = self.in_a_pass if self.steps is None else self.steps
        first = index * per_epoch if self.go_on else 0
        at, end = first + window, first + per_epoch
        while at < end:
            in_pass, within = divmod(at, self.in_a_pass)
            count = min(end - at, self.in_a_pass - within)
            order = np.arange(self.n) if self.seed is None else permutation(self.seed, in_pass, self.n)
            chosen = order[within * self.batch_size : (within + count) * self.batch_size]
            yield Segment(chosen.astype("int32"), self.batch_size)
            at += count

    def example(self) -> Batch:
        return self._take(np.arange(min(2, self.n)))

    def _take(self, rows: np.ndarray) -> Batch:
        import keras
        import tensorflow as tf

        def gather(leaf: Any) -> Any:
            return None if leaf is None else tf.convert_to_tensor(leaf[rows])

        try:
            return Batch(*(keras.tree.map_structure(gather, part) for part in self.batch))
        except (ValueError, TypeError) as error:
            raise TrainingError(
                f"the data must be numbers or text of one kind in each array: {reason(error)}"
            ) from error


def _resident(batch: Batch) -> bool:
    """Whether these are arrays of numbers or text in memory, of which a second copy leaves half of it free."""
    import keras

    leaves = [leaf for leaf in keras.tree.flatten(tuple(batch)) if leaf is not None]
    plain = all(type(leaf) is np.ndarray and leaf.dtype.kind in "biufSU" for leaf in leaves)
    return plain and sum(leaf.nbytes for leaf in leaves) < _memory() / 4


def _memory() -> int:
    """Bytes of the machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def permutation(seed: int, epoch: int, n: int) -> np.ndarray:
    """The permutation of an epoch, a function of (seed, epoch) alone."""
    return np.random.default_rng([seed, epoch]).permutation(n)


def as_arrays(given: Any) -> Any:
    """Leaves as arrays; what is already indexable by an array of integers, such as images on disk, stays as it is."""
    import keras

    def array(leaf: Any) -> Any:
        if leaf is None or (
            hasattr(leaf, "shape")
            and hasattr(leaf, "dtype")
            and not hasattr(leaf, "iloc")
            and not hasattr(leaf, "numpy")
        ):
            return leaf
        return leaf.to_numpy() if hasattr(leaf, "to_numpy") else np.asarray(leaf)

    if isinstance(given, list) and given and not hasattr(given[0], "shape"):
        return np.asarray(given)  # a plain list of numbers, not a list of inputs
    return array(given) if hasattr(given, "shape") else keras.tree.map_structure(array, given)


def _same_length(x: Any, y: Any, weight: Any) -> int:
    import keras

    named = zip(("x", "y", "weights"), (x, y, weight), strict=True)
    found = [(name, _samples(leaf)) for name, part in named for leaf in keras.tree.flatten(part) if leaf is not None]
    lengths = [length for _, length in found]
    if len(set(lengths)) > 1:
        told = ", ".join(f"{length} in {name}" for name, length in found)
        raise TrainingError(f"x, y and weights must have as many samples each, got {told}")
    if not lengths or lengths[0] == 0:
        raise TrainingError("there are no samples to train on")
    return lengths[0]


def _samples(leaf: Any) -> int:
    try:
        return len(leaf)
    except TypeError:
        raise TrainingError(
            f"expected an array of shape (n_samples, ...), got {type(leaf).__name__} of shape {tuple(leaf.shape)}"
        ) from None


def with_class_weight(y: Any, weight: Any, class_weight: Mapping[int, float] | None) -> Any:
    """Each sample's weight times its class', by index or one-hot row; a class that is not named weighs 1.

    Of arrays an array, of tensors a tensor.
    """
    import tensorflow as tf

    if class_weight is None:
        return weight
    if not hasattr(y, "shape"):
        raise TrainingError("class_weight needs one output with classes; use sample_weight for several outputs")
    rank = len(y.shape)
    if rank > 2:
        raise TrainingError(
            f"class_weight needs one class a sample, got targets of shape {tuple(y.shape[1:])}; use sample_weight"
        )
    classes = tf.argmax(y, -1) if rank > 1 and y.shape[-1] > 1 else tf.reshape(y, [-1])
    factors = tf.ones_like(classes, "float32")
    for label, factor in class_weight.items():
        factors = tf.where(classes == tf.cast(label, classes.dtype), tf.cast(factor, "float32"), factors)
    if not tf.is_tensor(y):
        factors = factors.numpy()
    return factors if weight is None else weight * factors
