"""Work over the windows of an epoch, in as few calls of the device as may be.

Arrays in memory are resident: the order of samples goes in, and one call gathers and steps as many windows as it is
asked for. Datasets of TensorFlow give their windows inside such a call, too. What only Python can read goes window by
window. All three sum in the same order, however many windows a call has, so that the host may ask when it likes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from kerasflow.training.arrays import Arrays, Segment
from kerasflow.training.device_copy import device_copy
from kerasflow.training.feed import Feed
from kerasflow.training.program import Compiler, spec_of
from kerasflow.training.refusal import called_back, explained
from kerasflow.training.streamed import Streamed
from kerasflow.training.window import Batch
from kerasflow.training.work import Work

LEAST_SECONDS, MOST_SECONDS = 0.05, 0.5  # of a call
WORTH_TWO_TRACES = (
    64  # windows of a pass: a size that is known saves up to a quarter of an update, and costs 0.3 s once
)


class Passes(Protocol):
    """Epochs of some work.

    Attributes:
        call: has the totals of the windows so far, and what there is to read.
    """

    call: _Call

    def begin(self, epoch: int, window: int = 0, totals: np.ndarray | None = None) -> None:
        """Goes to window `window` of epoch `epoch`, both from 0.

        Args:
            totals: of the windows before it, which were stepped when metrics were as they are now; None at an epoch's
                beginning.
        """

    def finished(self) -> bool:
        """Whether the epoch is known to have no window left."""

    def advance(self, most: int) -> int:
        """Goes on by up to `most` windows; gives by how many, which is 0 only at the epoch's end.

        Where the work does not go on, fewer have been stepped, and the totals tell.
        """


def passes(work: Work, data: Feed, compiler: Compiler, name: Hashable, one_by_one: bool = False) -> Passes:
    """The way through this feed that asks least of the host.

    Args:
        name: tells the work from others of the same model.
        one_by_one: whether the host wants to know before each window that there is one.
    """
    if isinstance(data, Arrays) and data.resident:
        return _Resident(work, data, compiler, name)
    if isinstance(data, Streamed) and data.in_graph and compiler.engine == "graph" and not one_by_one:
        return _Pulled(work, data, compiler, name)
    return _Handed(work, data, compiler, name)


class Pace:
    """How many windows to ask for at a time: so many that a call takes long beside its overhead, and not so long that
    a person waits for the bar to move, or for Ctrl-C.

    Args:
        fixed: windows for each call; None finds it out.
        agreed: of a number of seconds, what all workers of a cluster take it for: they must ask for as many windows
            each, because a sum over workers knows its turn by the window's place in the call.
    """

    def __init__(self, fixed: int | None, agreed: Callable[[float], tuple[float, ...]]) -> None:
        self.fixed, self.most, self.agreed = fixed, fixed or 1, agreed

    def advance(self, passes: Passes) -> int:
        """One call."""
        started = time.perf_counter()
        stepped = passes.advance(self.most)
        if self.fixed is None and stepped == self.most:
            np.asarray(passes.call.totals)  # wait until it is done
            (seconds,) = self.agreed(time.perf_counter() - started)
            if seconds < LEAST_SECONDS:
                self.most *= 8
            elif seconds > MOST_SECONDS:
                self.most = max(1, self.most // 2)
        return stepped


class _Call:
    """One call of the device: windows, after the work's beginning where an epoch begins, and before its end.

    Metrics that are not Keras' own may do what no program can, so a model that has any begins and ends in Python.
    """

    def __init__(self, work: Work, compiler: Compiler) -> None:
        import tensorflow as tf

        self.work, self.compiler = work, compiler
        self.flags = {flag: tf.constant(flag) for flag in (False, True)}
        self.zero = tf.constant(work.zero)
        self.foreign = compiler.making is None
        self.fresh = False
        self.totals: Any = None
        self.found: Any = None

    def begin(self, totals: np.ndarray | None) -> None:
        """The next call goes on with these totals; it begins an epoch where there are none."""
        self.fresh = totals is None
        self.totals = self.zero if totals is None else totals
        if self.fresh and self.foreign:
            self.work.begin()

    def program(self, name: Hashable, windows: Callable[..., Any], specs: Sequence[Any], x: Any) -> Callable[..., Any]:
        """`windows(totals, *arguments)`, which gives what it likes and the new totals, compiled.

        Args:
            specs: of the arguments.
            x: inputs, to name their shape if they are refused.
        """
        import tensorflow as tf

        def call(fresh: Any, totals: Any, *arguments: Any) -> Any:
            if not self.foreign:
                tf.cond(fresh, self._begin, lambda: 0)
            other, totals = windows(totals, *arguments)
            return other, totals, () if self.foreign else self.work.end()

        kinds = (tf.TensorSpec([], tf.bool), tf.TensorSpec(self.work.zero.shape, tf.float64), *specs)
        with explained(self.compiler.engine, x):
            return self.compiler(name, call, kinds)

    def __call__(self, program: Callable[..., Any], x: Any, *arguments: Any) -> Any:
        """Runs the program; gives what its windows gave beside totals.

        Args:
            x: inputs, to name their shape if they are refused.
        """
        with explained(self.compiler.engine, x):
            other, self.totals, self.found = program(self.flags[self.fresh], self.totals, *arguments)
        self.fresh = False
        return other

    def read(self) -> Any:
        """What the work has to read after the windows so far."""
        return self.work.end() if self.foreign else self.found

    def _begin(self) -> int:
        self.work.begin()
        return 0


class _Resident:
    """Windows gathered from arrays that are copied to the device once.

    Each call is given the order of a whole pass, and which of its windows to step. Windows of one size are compiled for
    it, and a pass's smaller last window is compiled again. A graph takes that one for one of any size, if the window
    can, so that folds share a program whose lengths differ a little; and where windows are few, all of them: a search
    whose batch sizes leave a smaller last window then shares one program.
    """

    def __init__(self, work: Work, data: Arrays, compiler: Compiler, name: Hashable) -> None:
        import keras

        self.data, self.call, self.xla = data, _Call(work, compiler), compiler.engine == "xla"
        self.size = min(data.batch_size, data.n)
        self.tail = data.n % self.size
        self.any_size = bool(self.tail) and not self.xla and not work.window.needs_size(self.size)
        self.capacity = _capacity(data.n) if self.xla else data.n
        self.rows = keras.tree.map_structure(self._on_device, tuple(data.batch))
        self.segments: list[Segment] = []
        self.done = 0
        self.order: Any = None
        kinds = keras.tree.map_structure(lambda leaf: spec_of(leaf, not self.xla), self.rows)
        specs = (kinds, _integers(self.capacity if self.xla else None), _integers(4))
        few = self.any_size and data.in_a_pass < WORTH_TWO_TRACES
        sizes = ("any",) if few else (self.size, "any" if self.any_size else self.tail)
        windows = self._windows_of_any_size if few else self._windows
        self.program = self.call.program((name, *sizes), windows, specs, data.batch.x)

    def begin(self, epoch: int, window: int = 0, totals: np.ndarray | None = None) -> None:
        self.call.begin(totals)
        self.segments = list(self.data.segments(epoch, window))
        self._next()

    def finished(self) -> bool:
        return not self.segments

    def advance(self, most: int) -> int:
        if not self.segments:
            return 0
        rows, windows = self.segments[0].rows, self.segments[0].windows
        start, stop = self.done, min(windows, self.done + most)
        cut = np.array([start, stop, len(rows), self.size], "int32")
        self.call(self.program, self.data.batch.x, self.rows, self.order, cut)
        self.done = stop
        if stop == windows:
            self.segments.pop(0)
            self._next()
        return stop - start

    def _next(self) -> None:
        import tensorflow as tf

        self.done, self.order = 0, None
        if self.segments:
            rows = self.segments[0].rows
            self.order = tf.constant(np.pad(rows, (0, self.capacity - len(rows))) if self.xla else rows)

    def _windows(self, totals: Any, rows: Any, order: Any, cut: Any) -> tuple[tuple[()], Any]:
        """Windows `start` to `stop` of the first `n` samples in this order, by `cut`: `(start, stop, n, size)`."""
        import tensorflow as tf

        start, stop, n, _ = tf.unstack(cut)
        whole = n // self.size
        totals = self._stepped(totals, rows, order, start, tf.minimum(stop, whole), self.size, self.size)
        if self.tail:  # a shape of its own: padding would enter BatchNorm's statistics
            tail = n - whole * self.size if self.any_size else self.tail
            totals = self._stepped(totals, rows, order, tf.maximum(start, whole), stop, self.size, tail)
        return (), totals

    def _windows_of_any_size(self, totals: Any, rows: Any, order: Any, cut: Any) -> tuple[tuple[()], Any]:
        """The same, as one loop over windows of whatever size the cut says."""
        import tensorflow as tf

        start, stop, n, size = tf.unstack(cut)
        return (), self._stepped(
            totals, rows, order, start, stop, size, lambda index: tf.minimum(size, n - index * size)
        )

    def _stepped(self, totals: Any, rows: Any, order: Any, start: Any, stop: Any, size: Any, samples: Any) -> Any:
        """Windows `start` to `stop`, each of which begins `size` samples after the one before.

        Args:
            samples: of each window: an integer where that is known, a tensor, or what gives it by the window's index.
        """
        import keras
        import tensorflow as tf

        def step(index: Any, totals: Any) -> Any:
            count = samples(index) if callable(samples) else samples
            chosen = tf.slice(order, [index * size], [count])
            if isinstance(count, int):
                chosen = tf.ensure_shape(chosen, (count,))
            batch = keras.tree.map_structure(lambda leaf: None if leaf is None else tf.gather(leaf, chosen), rows)
            return self.call.work.step(Batch(*batch), totals)

        return _repeat(start, stop, step, totals, self.call.work.goes_on)

    def _on_device(self, leaf: Any) -> Any:
        """With as many rows as the program is compiled for."""
        return None if leaf is None else device_copy(leaf, self.capacity if self.xla else len(leaf))


class _Pulled:
    """Windows that a `tf.data.Dataset` gives inside of the call."""

    def __init__(self, work: Work, data: Streamed, compiler: Compiler, name: Hashable) -> None:
        import tensorflow as tf

        self.data, self.call = data, _Call(work, compiler)
        spec = data.source.element_spec
        self.inputs = spec[0] if isinstance(spec, tuple) else spec
        kinds = (tf.data.IteratorSpec(spec), _integers())
        self.program = self.call.program((name, repr(data.class_weight)), self._windows, kinds, self.inputs)
        self.iterator: Any = None

    def begin(self, epoch: int, window: int = 0, totals: np.ndarray | None = None) -> None:
        self.call.begin(totals)
        self.epoch, self.ended = epoch, False
        self.left = None if self.data.steps is None else self.data.steps - window
        if not self.data.cut_by_epochs:
            self.iterator = iter(self.data.source.skip(window))
        elif self.iterator is None:
            self.iterator = iter(self.data.source.repeat().skip(self.data.taken))

    def finished(self) -> bool:
        return self.ended or self.left == 0

    def advance(self, most: int) -> int:
        wanted = most if self.left is None else min(most, self.left)
        stepped = int(self.call(self.program, self.inputs, self.iterator, wanted)) if wanted else 0
        if wanted and not stepped and self.data.cut_by_epochs:
            raise self.data.no_more(self.epoch)
        self.ended = not stepped
        if self.left is not None:
            self.left -= stepped
        return stepped

    def _windows(self, totals: Any, iterator: Any, most: Any) -> tuple[Any, Any]:
        """Up to `most` windows; how many there were, and the totals."""
        import tensorflow as tf

        def another(index: Any) -> Any:
            none = tf.experimental.Optional.empty(self.data.source.element_spec)
            return tf.cond(index < most, iterator.get_next_as_optional, lambda: none)

        def body(index: Any, drawn: Any, totals: Any) -> tuple[Any, Any, Any]:
            totals = self.call.work.step(self.data.batch(drawn.get_value()), totals)
            return index + 1, another(index + 1), totals

        start = tf.constant(0)
        index, _, totals = tf.while_loop(
            lambda index, drawn, totals: drawn.has_value() & self.call.work.goes_on(totals),
            body,
            (start, another(start), totals),
            parallel_iterations=1,
        )
        return index, totals


class _Handed:
    """Windows one by one, each made by Python."""

    def __init__(self, work: Work, data: Feed, compiler: Compiler, name: Hashable) -> None:
        self.data, self.call, self.name = data, _Call(work, compiler), name
        self.programs: dict[str, Callable[..., Any]] = {}
        self.windows: Iterator[Batch] = iter(())
        self.drawn: Batch | None = None

    def begin(self, epoch: int, window: int = 0, totals: np.ndarray | None = None) -> None:
        self.call.begin(totals)
        self.windows, self.drawn = self.data.epoch(epoch, window), None

    def finished(self) -> bool:
        with called_back():
            self.drawn = self.drawn or next(self.windows, None)
        return self.drawn is None

    def advance(self, most: int) -> int:
        if not most or self.finished():
            return 0
        assert self.drawn is not None
        batch, self.drawn = self.drawn, None
        self.call(self._program(batch), batch.x, tuple(batch))
        return 1

    def _program(self, batch: Batch) -> Callable[..., Any]:
        """The program for a batch of this kind. From its second on, a dataset's are made for any number of samples."""
        import keras

        def kind(any_length: bool) -> Any:
            return keras.tree.map_structure(lambda leaf: spec_of(leaf, any_length), tuple(batch))

        for known in map(kind, (False, True)):
            if repr(known) in self.programs:
                return self.programs[repr(known)]
        new = kind(self.data.many_shapes and bool(self.programs))

        def window(totals: Any, batch: Any) -> tuple[tuple[()], Any]:
            return (), self.call.work.step(Batch(*batch), totals)

        self.programs[repr(new)] = self.call.program(self.name, window, (new,), batch.x)
        return self.programs[repr(new)]


def _repeat(start: Any, stop: Any, step: Callable[[Any, Any], Any], totals: Any, goes_on: Callable[[Any], Any]) -> Any:
    """`totals = step(index, totals)` for indices from `start` to `stop`, for as long as the totals let it go on; as a
    loop of the graph if there is one.
    """
    import tensorflow as tf

    if not tf.inside_function():
        for index in range(int(start), int(stop)):
            if not goes_on(totals):
                break
            totals = step(index, totals)
        return totals
    return tf.while_loop(
        lambda index, totals: (index < stop) & goes_on(totals),
        lambda index, totals: (index + 1, step(index, totals)),
        (start, totals),
        parallel_iterations=1,
    )[1]


def _integers(*shape: int | None) -> Any:
    import tensorflow as tf

    return tf.TensorSpec(shape, tf.int32)


def _capacity(n: int) -> int:
    """At least `n`, in steps of about an eighth: XLA compiles for a length, and folds differ a little."""
    step = max(1, 1 << max(n.bit_length() - 4, 0))
    return -(-n // step) * step
