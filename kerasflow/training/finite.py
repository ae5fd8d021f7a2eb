"""Numbers in the data that are not finite: which array, which samples."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from kerasflow.errors import TrainingError
from kerasflow.training.keras_internals import observe_losses
from kerasflow.training.window import Batch

_NUMBERS_AT_ONCE = 1 << 18  # few enough that what is looked at stays in the processor's cache
_SHOWN = 3


class NotFinite(NamedTuple):
    """An array with NaN or an infinite number in it.

    Attributes:
        name: `x`, `y` or `sample_weight`, with the key of an input or output: `x['age']`.
        rows: the samples, from 0, ascending.
        samples: how many the array has.
    """

    name: str
    rows: np.ndarray
    samples: int

    def __str__(self) -> str:
        shown = ", ".join(map(str, self.rows[:_SHOWN])) + (", ..." if len(self.rows) > _SHOWN else "")
        return (
            f"{self.name} has NaN or infinite numbers in {len(self.rows)} of {self.samples} samples: "
            f"{'row' if len(self.rows) == 1 else 'rows'} {shown} (counted from 0)"
        )


def not_finite(batch: Batch) -> Iterator[NotFinite]:
    """Every array of floating-point numbers in memory that holds NaN or an infinite number, in one pass over each."""
    for name, leaf in _named(batch):
        if isinstance(leaf, np.ndarray) and not isinstance(leaf, np.memmap) and np.issubdtype(leaf.dtype, np.floating):
            rows = _rows(leaf)
            if len(rows):
                yield NotFinite(name, rows, len(leaf))


def check_finite(model: Any, batch: Batch, where: str = "") -> None:
    """Refuses arrays that hold numbers from which no finite cost, or no finite gradient, comes.

    A loss that leaves out targets which are NaN, or a layer that mends them, is what some of them are there for: so
    what is found is passed through the model and its loss.

    Args:
        model: compiled and built.
        batch: all samples, `(n_samples, ...)`.
        where: begins the message, such as `validation data: `.

    Raises:
        TrainingError: names the array and the samples.
    """
    for found in not_finite(batch):
        if not _copes(model, _take(batch, found.rows[:_SHOWN])):
            raise TrainingError(f"{where}{found}; fill them in, or leave those samples out")


def culprit(batches: Iterable[Batch]) -> str:
    """What in a stream is not finite, in words: the first batch that holds such a number; empty if none does."""
    import keras

    for number, batch in enumerate(batches, 1):
        on_host = (keras.tree.map_structure(lambda leaf: None if leaf is None else np.asarray(leaf), p) for p in batch)
        found = next(not_finite(Batch(*on_host)), None)
        if found is not None:
            return f"batch {number}: {found}"
    return ""


def _named(batch: Batch) -> Iterator[tuple[str, Any]]:
    import keras

    for name, part in zip(("x", "y", "sample_weight"), batch, strict=True):
        for path, leaf in keras.tree.flatten_with_path(part):
            yield name + "".join(f"[{key!r}]" for key in path), leaf


def _rows(array: np.ndarray) -> np.ndarray:
    per_row = max(1, array[:1].size)
    step = max(1, _NUMBERS_AT_ONCE // per_row)
    found = []
    for start in range(0, len(array), step):
        finite = np.isfinite(array[start : start + step])
        if not finite.all():
            found.append(start + np.flatnonzero(~finite.reshape(len(finite), -1).all(axis=1)))
    return np.concatenate(found) if found else np.empty(0, int)


def _take(batch: Batch, rows: np.ndarray) -> Batch:
    import keras
    import tensorflow as tf

    def gather(leaf: Any) -> Any:
        return None if leaf is None else tf.convert_to_tensor(leaf[rows])

    return Batch(*(keras.tree.map_structure(gather, part) for part in batch))


def _copes(model: Any, batch: Batch) -> bool:
    """Whether cost and gradient of these samples are finite."""
    import tensorflow as tf

    try:
        with tf.GradientTape() as tape:
            y_pred = model(batch.x, training=False)
            parts = observe_losses(model, batch.y, y_pred, batch.weight)
            cost = tf.add_n([tf.cast(tf.reduce_sum(part.value), tf.float32) for part in parts]) if parts else None
    except tf.errors.InvalidArgumentError:  # such as NaN for a label
        return False
    if cost is None:
        return True
    gradients = tape.gradient(cost, [v.value for v in model.trainable_variables])
    leaves = itertools.chain([cost], (tf.convert_to_tensor(g) for g in gradients if g is not None))
    return all(bool(tf.reduce_all(tf.math.is_finite(leaf))) for leaf in leaves)
