"""Data as windows: arrays and lazy images in an order that follows from (seed, epoch), datasets as they come."""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

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

    def epoch(self, index: int, window: int = 0) -> Iterator[Batch]:
        """The windows of epoch `index` from window `window` on, both from 0."""

    def example(self) -> Batch:
        """A few samples, to build and check the model with."""


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
        self.batch = Batch(x, y, _with_class_weight(y, weight, class_weight))
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
            order = np.arange(self.n) if self.seed is None else _order(self.seed, in_pass, self.n)
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


class Streamed:
    """A dataset that gives batches, each of them a window.

    Attributes:
        source: a `tf.data.Dataset`, a `keras.utils.PyDataset` or a generator.
        in_graph: whether a compiled call can draw the batches by itself.
        steps: see `feed`.
        cut_by_epochs: whether epochs cut one long row of passes, each going on where the one before it ended.
        taken: batches of that row that were taken before this process began.
    """

    many_shapes = True

    def __init__(
        self, source: Any, seed: int | None, class_weight: Mapping[int, float] | None, steps: int | None, go_on: bool
    ) -> None:
        import tensorflow as tf

        self.source, self.seed, self.class_weight, self.steps = source, seed, class_weight, steps
        self.in_a_pass, endless = _length_of(source)
        if steps is None and endless:
            raise TrainingError(
                "the dataset never ends; give steps_per_epoch (validation_steps where it is for validation)"
            )
        self.windows = self.in_a_pass if steps is None else steps
        self.in_graph = isinstance(source, tf.data.Dataset) and all(
            isinstance(spec, tf.TensorSpec) and spec.shape.rank is not None
            for spec in tf.nest.flatten(source.element_spec)
        )
        self.cut_by_epochs = steps is not None and go_on
        self.taken = 0
        self.endless: Iterator[Any] | None = None

    def go_on_after(self, passes: int, taken: int) -> None:
        """Makes what comes next what would have come, had this process not begun anew.

        A `tf.data.Dataset` that shuffles by a seed draws another order for each pass that is begun, and a
        `keras.utils.PyDataset` may change between passes. A generator's batches are drawn again.

        Args:
            passes: that epochs have begun and completed.
            taken: batches that they, and the epoch that comes next, have taken.
        """
        if self.cut_by_epochs:
            self.taken = taken
        elif self._by_index:
            self._turn(passes)
        elif hasattr(self.source, "element_spec"):
            for _ in range(passes):
                iter(self.source)
        else:
            deque(itertools.islice(self.source, passes * (self.steps or 0)), maxlen=0)

    def epoch(self, index: int, window: int = 0) -> Iterator[Batch]:
        if self.cut_by_epochs:
            return map(self.batch, self._part_of_many_passes(index, window))
        return map(self.batch, itertools.islice(self._pass(index, window), self.steps and self.steps - window))

    def example(self) -> Batch:
        import keras

        if isinstance(self.source, Iterator):
            first = self._peek()
        else:
            first = next(iter(self.source if self.in_a_pass != 0 else ()), None)
        if first is None:
            raise TrainingError("the dataset has no batch")
        batch = self.batch(first)
        if any(leaf is not None and leaf.shape.rank == 0 for leaf in keras.tree.flatten(tuple(batch))):
            raise TrainingError("the dataset gives single samples, not batches; call its .batch(32) first")
        return Batch(
            *(keras.tree.map_structure(lambda leaf: None if leaf is None else leaf[:2], part) for part in batch)
        )

    def anew(self) -> Iterator[Batch]:
        """As many batches as an epoch has, in the dataset's own order; none of a generator, which passes only once."""
        if isinstance(self.source, Iterator):
            return iter(())
        items = map(self.source.__getitem__, range(self.windows or 0)) if self._by_index else iter(self.source)
        return map(self.batch, itertools.islice(items, self.windows))

    def batch(self, item: Any) -> Batch:
        """A batch as the dataset gives it, as tensors: `(x, y, weights)`."""
        import keras
        import tensorflow as tf

        x, y, weight = (*item, None, None)[:3] if isinstance(item, tuple) else (item, None, None)

        def tensor(leaf: Any) -> Any:
            return leaf if leaf is None else tf.convert_to_tensor(leaf)

        x, y, weight = (keras.tree.map_structure(tensor, part) for part in (x, y, weight))
        return Batch(x, y, _with_class_weight(y, weight, self.class_weight))

    def no_more(self, index: int) -> TrainingError:
        """What to say when a dataset that is to go on cannot begin again."""
        return TrainingError(
            f"the generator ended within epoch {index + 1}, which needs {self.steps} batches; give a smaller "
            "steps_per_epoch, or a tf.data.Dataset or keras.utils.PyDataset, which can begin again"
        )

    def _part_of_many_passes(self, index: int, window: int) -> Iterator[Any]:
        """What is left of an epoch that cuts the row of passes; of the first one, after what was taken before."""
        if self.endless is None:
            whole, rest = divmod(self.taken, self.in_a_pass) if self._by_index and self.in_a_pass else (0, self.taken)
            self._turn(whole)
            self.endless = itertools.islice(self._passes(whole), rest, None)
        for _ in range(window, self.steps or 0):
            item = next(self.endless, None)
            if item is None:
                raise self.no_more(index)
            yield item

    def _passes(self, first: int) -> Iterator[Any]:
        for number in itertools.count(first):
            item = None
            for item in self._pass(number):
                yield item
            if item is None:  # what passes only once has passed
                return

    def _pass(self, number: int, start: int = 0) -> Iterator[Any]:
        """The batches of a pass, from batch `start` on."""
        if not self._by_index:
            return itertools.islice(iter(self.source), start, None)
        if self.in_a_pass is None:
            return self._indexed(itertools.count(start))
        rows = range(self.in_a_pass) if self.seed is None else _order(self.seed, number, self.in_a_pass)
        return self._indexed(rows[start:])

    @property
    def _by_index(self) -> bool:
        return hasattr(self.source, "__getitem__")

    def _turn(self, passes: int) -> None:
        """What so many passes do to a `PyDataset` besides reading it."""
        for _ in range(passes):
            self.source.on_epoch_begin()
            self.source.on_epoch_end()

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


def _resident(batch: Batch) -> bool:
    """Whether these are arrays of numbers or text in memory, of which a second copy leaves half of it free."""
    import keras

    leaves = [leaf for leaf in keras.tree.flatten(tuple(batch)) if leaf is not None]
    plain = all(type(leaf) is np.ndarray and leaf.dtype.kind in "biufSU" for leaf in leaves)
    return plain and sum(leaf.nbytes for leaf in leaves) < _memory() / 4


def _memory() -> int:
    """Bytes of the machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


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


def _with_class_weight(y: Any, weight: Any, class_weight: Mapping[int, float] | None) -> Any:
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


def as_validation(given: Any, batch_size: int, steps: int | None = None) -> Feed | None:
    """Validation data as it is given to a training: `(x, y)`, `(x, y, sample_weight)` or a dataset."""
    if given is None:
        return None
    parts = given if isinstance(given, tuple | list) else (given,)
    try:
        return feed(*parts, batch_size=batch_size, seed=None, steps=steps, go_on=False)
    except TrainingError as error:
        raise TrainingError(f"validation data: {error}") from error
