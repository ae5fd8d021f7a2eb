"""Data as windows: arrays and lazy images in an order that follows from (seed, epoch), datasets as they come."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from kerasflow.errors import TrainingError
from kerasflow.training.arrays import Arrays
from kerasflow.training.streamed import Streamed, is_dataset
from kerasflow.training.window import Batch


class Feed(Protocol):
    """Windows for each epoch.

    Attributes:
        windows: how many an epoch has; None if only its end tells.
        many_shapes: whether windows may differ in shape by more than a smaller last one.
    """

    windows: int | None
    many_shapes: bool

    def epoch(self, index: int, window: int = 0) -> Iterator[Batch]:
        """The windows of epoch `index` from window `window` on, both from 0."""

    def example(self) -> Batch:
        """A few samples, to build and check the model with."""


def feed(
    x: Any,
    y: Any = None,
    sample_weight: Any = None,
    *,
    batch_size: int,
    seed: int | None,
    class_weight: Mapping[int, float] | None = None,
    steps: int | None = None,
    go_on: bool = True,
) -> Feed:
    """The feed for whatever `keras.Model.fit` takes.

    Args:
        x: an array `(n_samples, ...)`, a list or dict of them, anything indexable by an array of integers; or a
            `tf.data.Dataset`, a `keras.utils.PyDataset` or a generator that gives batches `(x, y)` or `(x, y,
            weights)`.
        batch_size: samples for each window of arrays; a dataset's own batches are its windows.
        seed: of the order of samples; None keeps the order.
        steps: windows for each epoch; as many as there are if None.
        go_on: whether an epoch of `steps` windows begins where the last one ended, or at the first window again.

    Raises:
        TrainingError: lengths that differ, no samples, targets given twice, or a dataset without an end.
    """
    if not is_dataset(x):
        return Arrays(x, y, sample_weight, batch_size, seed, class_weight, steps, go_on)
    if y is not None or sample_weight is not None:
        raise TrainingError("y and sample_weight come out of the dataset with x; pass the dataset alone")
    return Streamed(x, seed, class_weight, steps, go_on)


def as_validation(given: Any, batch_size: int, steps: int | None = None) -> Feed | None:
    """Validation data as it is given to a training: `(x, y)`, `(x, y, sample_weight)` or a dataset."""
    if given is None:
        return None
    parts = given if isinstance(given, tuple | list) else (given,)
    try:
        return feed(*parts, batch_size=batch_size, seed=None, steps=steps, go_on=False)
    except TrainingError as error:
        raise TrainingError(f"validation data: {error}") from error
