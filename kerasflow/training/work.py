"""What is done with the windows of an epoch: trained on, or evaluated.

All of it that has to do with the device is here, to be compiled into the same call as the windows themselves: variable
by variable, a small model's epoch would wait longer for its numbers than for its arithmetic.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np

from kerasflow.training.checks import all_numbers
from kerasflow.training.optimizer_internals import last_learning_rate
from kerasflow.training.own_step import OwnStep
from kerasflow.training.window import Batch, Window, length


class Work(Protocol):
    """What to do with windows.

    Attributes:
        window: what a window is stepped by.
        zero: the totals of no windows, a float64 array.
    """

    window: Any
    zero: np.ndarray

    def begin(self) -> None:
        """Before an epoch's first window."""

    def step(self, batch: Batch, totals: Any) -> Any:
        """A window; gives the totals with it, a float64 tensor."""

    def goes_on(self, totals: Any) -> Any:
        """Whether there is sense in another window after these totals, a boolean tensor."""

    def end(self) -> Any:
        """After windows: what the host may want to read, a nest of tensors."""


class Trained(NamedTuple):
    """What there is to read after windows were trained on.

    Attributes:
        metrics: by Keras' names, without the cost.
        learning_rate: that the latest update was made with.
        weights: copies, in the order of `model.weights`.
        finite: whether all of them are.
    """

    metrics: dict[str, Any]
    learning_rate: Any
    weights: list[Any]
    finite: Any


class Totals(NamedTuple):
    """What a training sums over an epoch's windows.

    Attributes:
        cost: times samples.
        samples: of all windows.
        norms: of the gradients.
        norms_known: updates that had one: loss scaling leaves out an update whose gradient overflows.
        windows: so far.
    """

    cost: Any
    samples: Any
    norms: Any
    norms_known: Any
    windows: Any


class Training:
    """Updates the weights, until a cost is not finite; totals are those of `Totals`."""

    def __init__(self, model: Any, window: Window | OwnStep) -> None:
        self.model, self.window, self.zero = model, window, np.zeros(len(Totals._fields))

    def begin(self) -> None:
        self.model.reset_metrics()

    def step(self, batch: Batch, totals: Any) -> Any:
        import tensorflow as tf

        cost, norm = self.window.train(batch)
        n = tf.cast(length(batch.x), tf.float64)
        norm, one = tf.cast(norm, tf.float64), tf.constant(1.0, tf.float64)
        made = one
        if hasattr(self.model.optimizer, "inner_optimizer"):  # scales losses, and leaves updates out that overflow
            finite = tf.math.is_finite(norm)
            norm, made = tf.where(finite, norm, 0.0), tf.cast(finite, tf.float64)
        return totals + tf.stack(Totals(tf.cast(cost, tf.float64) * n, n, norm, made, one))

    def goes_on(self, totals: Any) -> Any:
        import tensorflow as tf

        if isinstance(self.window, OwnStep):  # may log no cost, or one that is to be NaN at times
            return tf.constant(True)
        return tf.math.is_finite(Totals(*tf.unstack(totals)).cost)

    def end(self) -> Trained:
        import tensorflow as tf

        copies = [tf.identity(variable.value) for variable in self.model.weights]
        finite = [tf.reduce_all(tf.math.is_finite(copy)) for copy in copies if copy.dtype.is_floating]
        metrics, rate = _metrics(self.model, self.window, "train_step"), last_learning_rate(self.model.optimizer)
        return Trained(metrics, rate, copies, tf.reduce_all(finite))


class Evaluating:
    """Leaves the weights alone; totals are numerators and divisors of the parts of the cost, `(2, n_parts)`.

    Args:
        window_size: samples of the windows that losses which are sums are reported for; each batch's own if None.
    """

    def __init__(self, model: Any, window: Window | OwnStep, window_size: int | None) -> None:
        self.model, self.window, self.window_size = model, window, window_size
        self.zero = np.zeros((2, window.n_parts))

    def begin(self) -> None:
        self.model.reset_metrics()

    def step(self, batch: Batch, totals: Any) -> Any:
        return totals + self.window.evaluate(batch, self.window_size)

    def goes_on(self, totals: Any) -> Any:
        import tensorflow as tf

        return tf.constant(True)

    def end(self) -> dict[str, Any]:
        return _metrics(self.model, self.window, "test_step")


def told(metrics: dict[str, Any]) -> dict[str, float]:
    """Metrics as numbers; one that gives an array has its numbers named `f1_score_0`, ..."""
    return all_numbers(metrics)


def _metrics(model: Any, window: Window | OwnStep, step: str) -> dict[str, Any]:
    if isinstance(window, OwnStep):
        return window.logs(step)
    return {name: value for name, value in model.get_metrics_result().items() if name != "loss"}
