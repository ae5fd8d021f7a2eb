"""A model's numbers without training it: its cost and metrics on a set, and its outputs."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from kerasflow.errors import TrainingError
from kerasflow.training.checks import logs_of_metrics
from kerasflow.training.feed import Feed, feed
from kerasflow.training.refusal import explained
from kerasflow.training.window import Batch, Window, compiled


class Evaluation:
    """The cost and the metrics of a compiled, built model over a feed, in inference.

    The cost is the set's: how it is cut into batches does not matter. Of a loss that is a sum, it is the mean window's.
    """

    def __init__(self, model: Any, window: Window, data: Feed, engine: str, window_size: int | None) -> None:
        self.model, self.data, self.engine = model, data, engine
        self.step = compiled(partial(window.evaluate, window_size=window_size), engine, data.many_shapes)

    def __call__(self, callbacks: Any = None, each_batch: bool = False) -> dict[str, float]:
        """`loss` and every metric.

        Args:
            callbacks: a `keras.callbacks.CallbackList` to tell of every batch.
            each_batch: whether they are told the numbers so far, too.
        """
        self.model.reset_metrics()
        sums: Any = None
        for number, batch in enumerate(self.data.epoch(0)):
            if callbacks is not None:
                callbacks.on_test_batch_begin(number)
            with explained(self.engine, batch.x):
                parts = np.asarray(self.step(batch))
            sums = parts if sums is None else sums + parts
            if callbacks is not None:
                callbacks.on_test_batch_end(number, self._logs(sums) if each_batch else None)
        if sums is None:
            raise TrainingError(
                "there is no batch to evaluate; a generator passes only once, so give a tf.data.Dataset or a "
                "keras.utils.PyDataset instead"
            )
        return self._logs(sums)

    def _logs(self, sums: np.ndarray) -> dict[str, float]:
        numerators, divisors = sums
        quotients = np.divide(numerators, divisors, out=np.zeros_like(numerators), where=divisors != 0)
        return {"loss": float(quotients.sum())} | logs_of_metrics(self.model)


def evaluate(
    model: Any, x: Any, y: Any, batch_size: int, engine: str = "graph", window_size: int | None = None
) -> dict[str, float]:
    """`loss` and metrics of a compiled, trained model on arrays `(n_samples, ...)`, in their order.

    Args:
        batch_size: samples for each forward pass.
        window_size: samples of the windows that losses which are sums are reported for; `batch_size` if None.
    """
    window = Window(model, None, "micro")
    data = feed(x, y, batch_size=batch_size, seed=None)
    return Evaluation(model, window, data, engine, window_size or batch_size)()


def predict(model: Any, x: Any, batch_size: int) -> np.ndarray:
    """The model's outputs for arrays or lazy images `(n_samples, ...)`, in their order: `(n_samples, n_outputs)`."""
    import tensorflow as tf

    forward = tf.function(lambda batch: model(batch, training=False), reduce_retracing=True, autograph=False)
    return np.concatenate([forward(batch.x).numpy() for batch in feed(x, batch_size=batch_size, seed=None).epoch(0)])


class Mean:
    """The mean of costs over samples so far, as Keras reports it; costs stay on the device until it is asked for."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Any, int]] = []
        self.total, self.samples = 0.0, 0

    def add(self, cost: Any, samples: int) -> None:
        self.waiting.append((cost, samples))

    def result(self) -> float:
        for cost, samples in self.waiting:
            self.total += float(cost) * samples
            self.samples += samples
        self.waiting = []
        return self.total / self.samples


def samples_in(batch: Batch) -> int:
    """How many samples a batch holds."""
    import keras

    return int(next(leaf for leaf in keras.tree.flatten(batch.x) if leaf is not None).shape[0])
