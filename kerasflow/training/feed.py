"""Data as windows: arrays and lazy images in an order that follows from (seed, epoch), datasets as they come."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

import numpy as np

from kerasflow.errors import TrainingError
from kerasflow.training.refusal import reason
from kerasflow.training.window import Batch


class Feed(Protocol):
    """Windows for each epoch.

    Attributes:
        windows: how many an epoch has; None if only its end tells.
        many_shapes: whether windows may differ in shape by more than a smaller last one.
    """

    windows: int | None
    many_shapes: bool

    def epoch(self, index: int) -> Iterator[Batch]:
        """The windows of epoch `index`, from 0."""

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
    whole: _Arrays | _Dataset
    if is_dataset(x):
        if y is not None or sample_weight is not None:
            raise TrainingError("y and sample_weight come out of the dataset with x; pass the dataset alone")
        whole = _Dataset(x, seed, class_weight)
    else:
        whole = _Arrays(x, y, sample_weight, batch_size, seed, class_weight)
    if steps is None and whole.endless:
        raise TrainingError(
            "the dataset never ends; give steps_per_epoch (validation_steps where it is for validation)"
        )
    return whole if steps is None else _Steps(whole, steps, go_on)


class _Arrays:
    many_shapes = False
    endless = False

    def __init__(
        self, x: Any, y: Any, weight: Any, batch_size: int, seed: int | None, class_weight: Mapping[int, float] | None
    ) -> None:
        self.x, self.y, weight = as_arrays(x), as_arrays(y), as_arrays(weight)
        self.n = _same_length(self.x, self.y, weight)
        self.weight = _with_class_weight(self.y, weight, class_weight)
        self.batch_size, self.seed = batch_size, seed
        self.windows: int | None = -(-self.n // batch_size)

    def epoch(self, index: int) -> Iterator[Batch]:
        order = np.arange(self.n) if self.seed is None else _order(self.seed, index, self.n)
        for start in range(0, self.n, self.batch_size):
            yield self._take(order[start : start + self.batch_size])

    def example(self) -> Batch:
        return self._take(np.arange(min(2, self.n)))

    def _take(self, rows: np.ndarray) -> Batch:
        import keras
        import tensorflow as tf

        def gather(leaf: Any) -> Any:
            return None if leaf is None else tf.convert_to_tensor(leaf[rows])

        try:
            return Batch(*(keras.tree.map_structure(gather, part) for part in (self.x, self.y, self.weight)))
        except (ValueError, TypeError) as error:
            raise TrainingError(
                f"the data must be numbers or text of one kind in each array: {reason(error)}"
            ) from error


class _Dataset:
    many_shapes = True

    def __init__(self, source: Any, seed: int | None, class_weight: Mapping[int, float] | None) -> None:
        self.source, self.seed, self.class_weight = source, seed, class_weight
        self.windows, self.endless = _length_of(source)

    def epoch(self, index: int) -> Iterator[Batch]:
        yield from map(self._batch, self._pass(index))

    def example(self) -> Batch:
        import keras

        if isinstance(self.source, Iterator):
            first = self._peek()
        else:
            first = next(iter(self.source if self.windows != 0 else ()), None)
        if first is None:
            raise TrainingError("the dataset has no batch")
        batch = self._batch(first)
        return Batch(
            *(keras.tree.map_structure(lambda leaf: None if leaf is None else leaf[:2], part) for part in batch)
        )

    def _pass(self, index: int) -> Iterable[Any]:
        if not hasattr(self.source, "__getitem__"):
            batches: Iterator[Any] = iter(self.source)
            return batches
        if self.windows is None:
            return self._indexed(itertools.count())
        rows = range(self.windows)
        return self._indexed(rows if self.seed is None else _order(self.seed, index, self.windows))

    def _indexed(self, rows: Iterable[Any]) -> Iterator[Any]:
        self.source.on_epoch_begin()
        for row in rows:
            yield self.source[int(row)]
        self.source.on_epoch_end()

    def _peek(self) -> Any:
        """The first batch of a generator, put back in front of the rest."""
        first = next(self.source, None)
        if first is not None:
            self.source = itertools.chain([first], self.source)
        return first

    def _batch(self, item: Any) -> Batch:
        import keras
        import tensorflow as tf

        x, y, weight = (*item, None, None)[:3] if isinstance(item, tuple) else (item, None, None)

        def tensor(leaf: Any) -> Any:
            return leaf if leaf is None else tf.convert_to_tensor(leaf)

        x, y, weight = (keras.tree.map_structure(tensor, part) for part in (x, y, weight))
        if self.class_weight is not None:
            y_host = keras.tree.map_structure(lambda leaf: None if leaf is None else leaf.numpy(), y)
            weight = tensor(_with_class_weight(y_host, None if weight is None else weight.numpy(), self.class_weight))
        return Batch(x, y, weight)


class _Steps:
    """Epochs of so many windows of another feed."""

    def __init__(self, whole: _Arrays | _Dataset, steps: int, go_on: bool) -> None:
        self.whole, self.steps, self.go_on = whole, steps, go_on
        self.windows: int | None = steps
        self.many_shapes, self.example = whole.many_shapes, whole.example
        self.running: Iterator[Batch] = iter(())

    def epoch(self, index: int) -> Iterator[Batch]:
        if not self.go_on:
            yield from itertools.islice(self.whole.epoch(index), self.steps)
            return
        for _ in range(self.steps):
            yield self._next(index)

    def _next(self, index: int) -> Batch:
        """The next window of a long pass that epochs cut, begun again at its end."""
        window = next(self.running, None)
        if window is None:
            self.running = self.whole.epoch(index)
            window = next(self.running, None)
        if window is None:
            raise TrainingError(
                f"the generator ended within epoch {index + 1}, which needs {self.steps} batches; give a smaller "
                "steps_per_epoch, or a tf.data.Dataset or keras.utils.PyDataset, which can begin again"
            )
        return window


def _order(seed: int, epoch: int, n: int) -> np.ndarray:
    """The permutation of an epoch, a function of (seed, epoch) alone."""
    return np.random.default_rng([seed, epoch]).permutation(n)


def is_dataset(x: Any) -> bool:
    import keras
    import tensorflow as tf

    return isinstance(x, tf.data.Dataset | keras.utils.PyDataset | Iterator)


def _length_of(source: Any) -> tuple[int | None, bool]:
    """Batches of a pass, None where only its end tells; and whether it is known to have no end."""
    import keras
    import tensorflow as tf

    if isinstance(source, tf.data.Dataset):
        cardinality = int(source.cardinality())
        return (cardinality if cardinality >= 0 else None), cardinality == tf.data.INFINITE_CARDINALITY
    if isinstance(source, keras.utils.PyDataset):
        return source.num_batches, source.num_batches is None
    return None, False


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


def _same_length(*parts: Any) -> int:
    import keras

    lengths = [_samples(leaf) for part in parts for leaf in keras.tree.flatten(part) if leaf is not None]
    if len(set(lengths)) > 1:
        raise TrainingError(f"x, y and weights must have as many samples each, got {', '.join(map(str, lengths))}")
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


def _with_class_weight(y: Any, weight: Any, class_weight: Mapping[int, float] | None) -> Any:
    """Each sample's weight times its class', by index or one-hot row; a class that is not named weighs 1."""
    if class_weight is None:
        return weight
    if not hasattr(y, "shape"):
        raise TrainingError("class_weight needs one output with classes; use sample_weight for several outputs")
    if y.ndim > 2:
        raise TrainingError(
            f"class_weight needs one class a sample, got targets of shape {tuple(y.shape[1:])}; use sample_weight"
        )
    classes = y.argmax(-1) if y.ndim > 1 and y.shape[-1] > 1 else y.reshape(len(y))
    factors = np.fromiter((class_weight.get(int(label), 1.0) for label in classes), "float32", len(classes))
    return factors if weight is None else weight * factors
