"""One training on several devices and machines, by `tf.distribute`.

A window's micro-batches are dealt to the replicas in their order. Each replica sums over its own, one sum over the
replicas makes the window's, and one update is written to every replica's copy of the variables. So R replicas train as
one device does that takes the same micro-batches: BatchNorm normalises by the same statistics, dropout draws the same
masks, penalties count once, and a gradient is clipped when it is the window's.

The processes of a cluster run the same program on the same data. What a clock or a person decides in one of them
(rates, deadlines, an end) is the chief's word; only the chief writes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, NamedTuple, Protocol

from kerasflow.errors import TrainingError, did_you_mean, sentence
from kerasflow.training.keras_internals import flatten_layers
from kerasflow.training.optimizer_internals import on_replicas
from kerasflow.training.program import Compiler, compiler_for
from kerasflow.training.window import Batch, Sums, Window, length, rows

STRATEGIES = ("mirrored", "multi_worker")


class Devices(Protocol):
    """Where a training runs.

    Attributes:
        is_chief: whether this process writes what a run leaves: always, but for one of a cluster's workers.
    """

    is_chief: bool

    def window(self, window: Any, example: Batch) -> Any:
        """What trains and evaluates there; `example` is a batch of a few samples."""

    def engine(self, asked: str, chosen: tuple[str, str]) -> tuple[str, str]:
        """The engine and why, of what was asked for and what was chosen for one device."""

    def compiler(self, model: Any, engine: str) -> Compiler:
        """What compiles there."""

    def holding(self, model: Any) -> AbstractContextManager[None]:
        """Around a training: the model's variables are there."""

    def of_chief(self, *numbers: float) -> tuple[float, ...]:
        """The numbers as the chief has them; every worker must ask for them at the same point."""

    def any(self, flag: bool) -> bool:
        """Whether it holds for any worker; every worker must ask at the same point."""

    def check_same(self, name: str, numbers: Sequence[float]) -> None:
        """Whether every worker has the numbers of the chief; every worker must ask at the same point.

        Raises:
            TrainingError: this worker has others.
        """


def joined(strategy: Any) -> Any:
    """The strategy of a name, or as it is; None of None. A cluster is joined before TensorFlow does anything else.

    Args:
        strategy: None for one device; `mirrored` for every GPU of this machine; `multi_worker` for the cluster of
            `TF_CONFIG`; a `tf.distribute.MirroredStrategy` or `MultiWorkerMirroredStrategy`.

    Raises:
        TrainingError: the strategy is none of these, or its cluster cannot be joined.
    """
    if strategy is None:
        return None
    import tensorflow as tf

    if isinstance(strategy, str):
        strategy = _named(strategy)
    if not isinstance(strategy, tf.distribute.MirroredStrategy | tf.distribute.MultiWorkerMirroredStrategy):
        raise TrainingError(
            "strategy must be 'mirrored', 'multi_worker', a tf.distribute.MirroredStrategy or a "
            f"tf.distribute.MultiWorkerMirroredStrategy, got {strategy!r}"
        )
    return strategy


def devices_for(strategy: Any) -> Devices:
    """The devices of what `joined` gave."""
    return ONE_DEVICE if strategy is None else Replicas(strategy)


class OneDevice:
    """The process alone, with TensorFlow's default device."""

    is_chief = True

    def window(self, window: Any, example: Batch) -> Any:
        return window

    def engine(self, asked: str, chosen: tuple[str, str]) -> tuple[str, str]:
        return chosen

    def compiler(self, model: Any, engine: str) -> Compiler:
        return compiler_for(model, engine)

    def holding(self, model: Any) -> AbstractContextManager[None]:
        return nullcontext()

    def of_chief(self, *numbers: float) -> tuple[float, ...]:
        return numbers

    def any(self, flag: bool) -> bool:
        return flag

    def check_same(self, name: str, numbers: Sequence[float]) -> None:
        pass


ONE_DEVICE = OneDevice()


class Replicas:
    """The replicas of a `tf.distribute` strategy, of which this process has `n_local`."""

    def __init__(self, strategy: Any) -> None:
        self.strategy = strategy
        self.n_local = len(strategy.extended.worker_devices)
        self.n_workers = strategy.num_replicas_in_sync // self.n_local
        self.is_chief = self.n_workers == 1 or _leads(strategy.cluster_resolver)

    def window(self, window: Any, example: Batch) -> ReplicatedWindow:
        return ReplicatedWindow(window, self.strategy, example)

    def engine(self, asked: str, chosen: tuple[str, str]) -> tuple[str, str]:
        if asked not in ("auto", "graph"):
            raise TrainingError(f"engine {asked!r} runs on one device; give 'graph' or 'auto' with a strategy")
        return ("graph", "auto: replicas run as a TensorFlow graph") if asked == "auto" else chosen

    def compiler(self, model: Any, engine: str) -> Compiler:
        return Compiler((), engine, None)  # a program holds the copies of this training, and nobody else can use it

    @contextmanager
    def holding(self, model: Any) -> Iterator[None]:
        """Around a training: the model's variables are on every replica.

        Raises:
            TrainingError: a worker no longer answers.
        """
        import tensorflow as tf

        gone = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError)
        try:
            with on_replicas(model, self.strategy):
                yield
        except (*gone, tf.errors.DeadlineExceededError, tf.errors.InternalError) as error:
            if self.n_workers == 1:
                raise
            raise TrainingError(
                f"another of the {self.n_workers} workers no longer answers, so this one stops, too; start all of them "
                f"again to go on from the last checkpoint: {sentence(error)}"
            ) from error

    def of_chief(self, *numbers: float) -> tuple[float, ...]:
        return self._sum(numbers if self.is_chief else [0.0] * len(numbers))

    def any(self, flag: bool) -> bool:
        return self._sum([float(flag)])[0] > 0

    def check_same(self, name: str, numbers: Sequence[float]) -> None:
        theirs = self.of_chief(*numbers)
        if theirs != tuple(numbers):
            raise TrainingError(
                f"this worker's {name} is {_told(numbers)}, the chief's is {_told(theirs)}; all workers need the same "
                "spec, the same data, and a folder of runs that they share"
            )

    def _sum(self, numbers: Sequence[float]) -> tuple[float, ...]:
        """Over workers; the first replica of each stands for its worker."""
        import tensorflow as tf

        if self.n_workers == 1:
            return tuple(numbers)
        each = iter([numbers] + [[0.0] * len(numbers)] * (self.n_local - 1))
        values = self.strategy.experimental_distribute_values_from_function(
            lambda _: tf.constant(next(each), tf.float64)
        )
        return tuple(map(float, self.strategy.reduce(tf.distribute.ReduceOp.SUM, values, axis=None)))


class Hand(NamedTuple):
    """A replica's share of a window: its samples `begin` to `end`, before which there are `ahead` micro-batches.

    Attributes:
        size: samples of a micro-batch.
        total: micro-batches of the whole window.
    """

    begin: Any
    end: Any
    ahead: Any
    size: Any
    total: Any


def dealt(n: Any, size: int | None, replica: int, n_replicas: int) -> Hand:
    """The hand of a replica, of a window of `n` samples in micro-batches of `size`; one for each replica if None.

    The last replica always has some; the first ones have none where there are fewer micro-batches than replicas.
    """
    import tensorflow as tf

    least = min if isinstance(n, int) else tf.minimum
    each = -(-n // n_replicas) if size is None else size
    total = -(-n // each)
    ahead, after = replica * total // n_replicas, (replica + 1) * total // n_replicas
    return Hand(ahead * each, least(after * each, n), ahead, each, total)


class ReplicatedWindow:
    """A window whose samples several replicas share; takes and gives what a `Window` does.

    Args:
        window: of the whole model; what each replica runs on its part.
        example: a batch of a few samples, to learn how many random states a pass takes.

    Raises:
        TrainingError: the window is not ours, or a layer sums over replicas by itself.
    """

    def __init__(self, window: Any, strategy: Any, example: Batch) -> None:
        if not isinstance(window, Window):
            raise TrainingError("a model's own train_step runs on one device; leave strategy out")
        synchronized = [layer.name for layer in flatten_layers(window.model) if getattr(layer, "synchronized", False)]
        if synchronized:
            raise TrainingError(
                f"{', '.join(synchronized)}: BatchNormalization(synchronized=True) speaks to other replicas in the "
                "middle of a pass, and replicas take different numbers of passes here; leave synchronized out"
            )
        self.inner, self.strategy = window, strategy
        self.n_replicas = strategy.num_replicas_in_sync
        self.kind, self.batch_norm, self.n_parts = window.kind, window.batch_norm, window.n_parts
        self.draws = _draws(window, example)

    def needs_size(self, n: int) -> bool:
        """As `Window.needs_size`."""
        return bool(self.inner.needs_size(n))

    def train(self, batch: Batch) -> tuple[Any, Any]:
        """As `Window.train`; the batch is the whole window."""
        n = length(batch.x)
        structure: list[Sums] = []

        def part(replica: int) -> list[Any]:
            hand = dealt(n, self.inner.micro_batch_size, replica, self.n_replicas)

            def some(mine: Batch) -> list[Any]:
                sums = self.inner.accumulate(mine, hand.size, self._seeds(hand.ahead), n)
                # The last micro-batch's state is the window's, as on one device, and the last replica has it.
                others = sums.others if replica == self.n_replicas - 1 else list(map(_zeros, sums.others))
                structure.append(sums._replace(seeds=[], others=others))
                return structure[-1].tensors()

            return _where_some(batch, hand.begin, hand.end, some)

        sums = self._summed(part)
        total = dealt(n, self.inner.micro_batch_size, 0, self.n_replicas).total
        return self.inner.update(structure[-1].filled(sums)._replace(seeds=self._seeds(total)), n)

    def evaluate(self, batch: Batch, window_size: int | None) -> Any:
        """As `Window.evaluate`; the batch is the whole one."""
        n = length(batch.x)

        def part(replica: int) -> list[Any]:
            hand = dealt(n, None, replica, self.n_replicas)
            size = n if window_size is None else window_size
            return _where_some(batch, hand.begin, hand.end, lambda mine: [self.inner.evaluate(mine, size)])

        return self._summed(part)[0]

    def _summed(self, part: Callable[[int], list[Any]]) -> list[Any]:
        """Each replica's tensors, by its number, summed over replicas.

        What costs time between machines is the number of messages: tensors of one kind go in one piece.
        """
        import tensorflow as tf

        shapes: list[Any] = []

        def packed() -> list[Any]:
            replica = tf.distribute.get_replica_context().replica_id_in_sync_group
            tensors = part(int(tf.get_static_value(replica)))
            shapes[:] = [(tensor.dtype, tensor.shape) for tensor in tensors]
            kinds = dict.fromkeys(kind for kind, _ in shapes)
            return [tf.concat([tf.reshape(t, [-1]) for t in tensors if t.dtype == kind], 0) for kind in kinds]

        with tf.device(self.strategy.extended.worker_devices[0]):
            each = self.strategy.run(packed)
            pieces = [self.strategy.reduce(tf.distribute.ReduceOp.SUM, piece, axis=None) for piece in each]
        rest = {piece.dtype: piece for piece in pieces}
        found = []
        for kind, shape in shapes:
            size = shape.num_elements()
            found.append(tf.reshape(rest[kind][:size], shape))
            rest[kind] = rest[kind][size:]
        return found

    def _seeds(self, passes: Any) -> list[Any]:
        """States of the random generators after so many passes of this window."""
        import tensorflow as tf

        return [
            seed.value + tf.cast(passes, seed.value.dtype) * tf.cast(drawn, seed.value.dtype)
            for seed, drawn in zip(self.inner.seeds, self.draws, strict=True)
        ]


def _where_some(batch: Batch, begin: Any, end: Any, function: Callable[[Batch], list[Any]]) -> list[Any]:
    """The function's tensors for rows `begin` to `end`; zeros of their shapes where there is no row."""
    import tensorflow as tf

    if isinstance(begin, int) and begin < end:
        return function(rows(batch, begin, end - begin))
    if isinstance(begin, int) and isinstance(end, int):  # a row is traced for the shapes, and never computed with
        shapes = tf.function(lambda: function(rows(batch, 0, 1)), autograph=False).get_concrete_function()
        return [tf.zeros(tensor.shape, tensor.dtype) for tensor in tf.nest.flatten(shapes.structured_outputs)]
    found: list[Any] = []

    def some() -> list[Any]:
        found[:] = function(rows(batch, begin, end - begin))
        return list(found)

    return list(tf.cond(begin < end, some, lambda: [tf.zeros(tensor.shape, tensor.dtype) for tensor in found]))


def _draws(window: Window, example: Batch) -> list[Any]:
    """By how much a pass through the network moves on the state of each random generator."""
    import keras
    import numpy as np

    with keras.StatelessScope() as scope:
        window.model(example.x, training=True)
    after = [scope.get_current_value(seed) for seed in window.seeds]
    return [
        np.zeros(seed.shape, "int64") if value is None else np.asarray(value, "int64") - seed.numpy()
        for seed, value in zip(window.seeds, after, strict=True)
    ]


def _told(numbers: Sequence[float]) -> str:
    return ", ".join(f"{number:g}" for number in numbers)


def _zeros(tensor: Any) -> Any:
    import tensorflow as tf

    return None if tensor is None else tf.zeros_like(tensor)


def _leads(resolver: Any) -> bool:
    """Whether this process is its cluster's chief: the one of that name, or else the first worker."""
    if resolver.task_type == "chief":
        return True
    return "chief" not in resolver.cluster_spec().jobs and resolver.task_id == 0


def _named(name: str) -> Any:
    import tensorflow as tf

    if name not in STRATEGIES:
        raise TrainingError(f"strategy must be {' or '.join(STRATEGIES)}, got {name!r}{did_you_mean(name, STRATEGIES)}")
    if name == "mirrored":
        return tf.distribute.MirroredStrategy()
    _check_cluster()
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except RuntimeError as error:
        if "startup" not in str(error):
            raise TrainingError(f"the cluster of TF_CONFIG cannot be joined: {sentence(error)}") from error
        raise TrainingError(
            "TensorFlow joins a cluster before anything else: make tf.distribute.MultiWorkerMirroredStrategy() at the "
            "program's start, before the model, and give that as strategy"
        ) from error
    except (tf.errors.OpError, ValueError) as error:
        raise TrainingError(f"the cluster of TF_CONFIG cannot be joined: {sentence(error)}") from error


def _check_cluster() -> None:
    """TF_CONFIG, which TensorFlow takes as it is, or leaves out in silence."""
    text = os.environ.get("TF_CONFIG", "")
    example = """{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}"""
    try:
        found = json.loads(text)
        whole = isinstance(found, dict) and found["cluster"]["worker"] and "type" in found["task"]
    except (ValueError, KeyError, TypeError):
        whole = False
    if not whole:
        raise TrainingError(
            f"strategy multi_worker needs this process's place in the environment variable TF_CONFIG, like {example}, "
            f"got {text!r}"
        )
