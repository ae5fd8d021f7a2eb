"""A model's numbers without training it: its cost and metrics on a set, and its outputs."""

from __future__ import annotations

from typing import Any

import numpy as np

from kerasflow.errors import TrainingError
from kerasflow.training.checks import logs_of_metrics
from kerasflow.training.feed import Feed, feed
from kerasflow.training.refusal import explained
from kerasflow.training.window import Batch, Window, compiled


class Evaluation:
    """The cost and the metrics of a compiled, built model over a feed, in inference."""

    def __init__(self, model: Any, window: Window, data: Feed, engine: str) -> None:
        self.model, self.data, self.engine = model, data, engine
        self.step = compiled(window.evaluate, engine, data.many_shapes)

    def __call__(self, callbacks: Any = None, each_batch: bool = False) -> dict[str, float]:
        """`loss` (the mean over samples of each batch's cost, as Keras reports it) and every metric.

        Args:
            callbacks: a `keras.callbacks.CallbackList` to tell of every batch.
            each_batch: whether they are told the numbers so far, too.
        """
        self.model.reset_metrics()
        costs, sizes = [], []
        for number, batch in enumerate(self.data.epoch(0)):
            if callbacks is not None:
                callbacks.on_test_batch_begin(number)
            with explained(self.engine, batch.x):
                costs.append(self.step(batch))
            sizes.append(samples_in(batch))
            if callbacks is not None:
                callbacks.on_test_batch_end(number, logs_of(self.model, costs, sizes) if each_batch else None)
        if not costs:
            raise TrainingError(
                "there is no batch to evaluate; a generator passes only once, so give a tf.data.Dataset or a "
                "keras.utils.PyDataset instead"
            )
        return logs_of(self.model, costs, sizes)


def evaluate(model: Any, x: Any, y: Any, batch_size: int, engine: str = "graph") -> dict[str, float]:
    """`loss` and metrics of a compiled, trained model on arrays `(n_samples, ...)`, in their order."""
    window = Window(model, None, "micro")
    return Evaluation(model, window, feed(x, y, batch_size=batch_size, seed=None), engine)()


def predict(model: Any, x: Any, batch_size: int) -> np.ndarray:
    """The model's outputs for arrays or lazy images `(n_samples, ...)`, in their order: `(n_samples, n_outputs)`."""
    import tensorflow as tf

    forward = tf.function(lambda batch: model(batch, training=False), reduce_retracing=True, autograph=False)
    return np.concatenate([forward(batch.x).numpy() for batch in feed(x, batch_size=batch_size, seed=None).epoch(0)])


def logs_of(model: Any, costs: list[Any], sizes: list[int]) -> dict[str, float]:
    """Keras' logs: the mean of the costs over samples, and the metrics as they stand."""
    cost = sum(float(c) * n for c, n in zip(costs, sizes, strict=True)) / sum(sizes)
    return {"loss": cost} | logs_of_metrics(model)


def samples_in(batch: Batch) -> int:
    """How many samples a batch holds."""
    import keras

    return int(next(leaf for leaf in keras.tree.flatten(batch.x) if leaf is not None).shape[0])
