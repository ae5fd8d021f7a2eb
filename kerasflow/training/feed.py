"""Data as windows: arrays and lazy images in an order that follows from (seed, epoch), datasets as they come."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

import numpy as np

from kerasflow.errors import TrainingError
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
) -> Feed:
    """The feed for whatever `keras.Model.fit` takes.

    Args:
        x: an array `(n_samples, ...)`, a list or dict of them, anything indexable by an array of integers; or a
            `tf.data.Dataset`, a `keras.utils.PyDataset` or a generator that gives batches `(x, y)` or `(x, y,
            weights)`.
        batch_size: samples for each window of arrays; a dataset's own batches are its windows.
        seed: of the order of samples; None keeps the order.
        steps: windows for each epoch of a dataset; its own length if None.

    Raises:
        TrainingError: lengths that differ, no samples, or targets given twice.
    """
    if _is_dataset(x):
        if y is not None or sample_weight is not None:
            raise TrainingError("y and sample_weight come out of the dataset with x; pass the dataset alone")
        return _Dataset(x, seed, class_weight, steps)
    return _Arrays(x, y, sample_weight, batch_size, seed, class_weight)


class _Arrays:
    many_shapes = False

    def __init__(
        self, x: Any, y: Any, weight: Any, batch_size: int, seed: int | None, class_weight: Mapping[int, float] | None
    ) -> None:
        self.x, self.y, weight = _arrays(x), _arrays(y), _arrays(weight)
        self.n = _same_length(self.x, self.y, weight)
        self.weight = _with_class_weight(self.y, weight, class_weight)
        self.batch_size, self.seed = batch_size, seed
        self.windows: int | None = -(-self.n // batch_size)

    def epoch(self, index: int) -> Iterator[Batch]:
        order = (
            np.arange(self.n) if self.seed is None else np.random.default_rng([self.seed, index]).permutation(self.n)
        )
        for start in range(0, self.n, self.batch_size):
            yield self._take(order[start : start + self.batch_size])

    def example(self) -> Batch:
        return self._take(np.arange(min(2, self.n)))

    def _take(self, rows: np.ndarray) -> Batch:
        import keras
        import tensorflow as tf

        def gather(leaf: Any) -> Any:
            return None if leaf is None else tf.convert_to_tensor(leaf[rows])

        return Batch(*(keras.tree.map_structure(gather, part) for part in (self.x, self.y, self.weight)))


class _Dataset:
    many_shapes = True

    def __init__(
        self, source: Any, seed: int | None, class_weight: Mapping[int, float] | None, steps: int | None
    ) -> None:
        self.source, self.seed, self.class_weight = source, seed, class_weight
        self.windows = steps if steps is not None else _length_of(source)
        self.stepped = steps is not None
        self.running: Iterator[Any] | None = None

    def epoch(self, index: int) -> Iterator[Batch]:
        if not self.stepped:
            yield from map(self._batch, self._pass(index))
            return
        assert self.windows is not None
        for _ in range(self.windows):  # steps an epoch: one long pass that epochs cut, begun again at its end
            yield self._batch(self._next(index))

    def example(self) -> Batch:
        import keras

        first = next(iter(self._pass(0)), None) if not isinstance(self.source, Iterator) else self._peek()
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
        rows = np.arange(len(self.source))
        if self.seed is not None:
            rows = np.random.default_rng([self.seed, index]).permutation(rows)
        return self._indexed(rows)

    def _indexed(self, rows: np.ndarray) -> Iterator[Any]:
        for row in rows:
            yield self.source[int(row)]
        if hasattr(self.source, "on_epoch_end"):
            self.source.on_epoch_end()

    def _next(self, index: int) -> Any:
        for _ in range(2):
            if self.running is None:
                self.running = iter(self._pass(index))
            item = next(self.running, None)
            if item is not None:
                return item
            self.running = None
        raise TrainingError(
            f"the dataset ended before {self.windows} batches of an epoch; give fewer steps_per_epoch, or repeat it"
        )

    def _peek(self) -> Any:
        """The first batch of a generator, put back in front of the rest."""
        import itertools

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


def _is_dataset(x: Any) -> bool:
    import keras
    import tensorflow as tf

    return isinstance(x, tf.data.Dataset | keras.utils.PyDataset | Iterator)


def _length_of(source: Any) -> int | None:
    import tensorflow as tf

    if isinstance(source, tf.data.Dataset):
        cardinality = int(source.cardinality())
        if cardinality == tf.data.INFINITE_CARDINALITY:
            raise TrainingError("the dataset never ends; give steps_per_epoch")
        return cardinality if cardinality >= 0 else None
    return len(source) if hasattr(source, "__len__") else None


def _arrays(given: Any) -> Any:
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

    lengths = [len(leaf) for part in parts for leaf in keras.tree.flatten(part) if leaf is not None]
    if len(set(lengths)) > 1:
        raise TrainingError(f"x, y and weights must have as many samples each, got {', '.join(map(str, lengths))}")
    if not lengths or lengths[0] == 0:
        raise TrainingError("there are no samples to train on")
    return lengths[0]


def _with_class_weight(y: Any, weight: Any, class_weight: Mapping[int, float] | None) -> Any:
    """Each sample's weight times its class', by index or one-hot row; a class that is not named weighs 1."""
    if class_weight is None:
        return weight
    if not hasattr(y, "shape"):
        raise TrainingError("class_weight needs one output with classes; use sample_weight for several outputs")
    classes = y.argmax(-1) if y.ndim > 1 and y.shape[-1] > 1 else y.reshape(len(y))
    by_class: Callable[[Any], float] = lambda label: class_weight.get(int(label), 1.0)  # noqa: E731
    factors = np.fromiter(map(by_class, classes), "float32", len(classes))
    return factors if weight is None else weight * factors
