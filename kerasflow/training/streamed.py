"""Datasets as windows: batches as they come."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from kerasflow.errors import TrainingError
from kerasflow.training.arrays import permutation, with_class_weight
from kerasflow.training.window import Batch


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
        return Batch(x, y, with_class_weight(y, weight, self.class_weight))

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
        rows = range(self.in_a_pass) if self.seed is None else permutation(self.seed, number, self.in_a_pass)
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
