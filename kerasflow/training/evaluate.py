"""A model's numbers without training it: its cost and metrics on a set, and its outputs."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from kerasflow.errors import TrainingError
from kerasflow.training.arrays import as_arrays
from kerasflow.training.callbacks import overridden
from kerasflow.training.distribution import ONE_DEVICE, Devices
from kerasflow.training.feed import Feed, feed
from kerasflow.training.keras_internals import observe_losses
from kerasflow.training.own_step import OwnStep, own_methods
from kerasflow.training.passes import Pace, passes
from kerasflow.training.program import Compiler, compiler_for, spec_of
from kerasflow.training.refusal import explained
from kerasflow.training.window import Window
from kerasflow.training.work import Evaluating, told


class Judged(NamedTuple):
    """A model's answers, and how wrong each of them is.

    Attributes:
        outputs: `(n_samples, ...)`, as the model gives them.
        errors: of one observation each, `(n_samples,)` float64; their mean is the cost of the set without penalties.
            None where the loss has no value for one observation alone.
        error: what it is, such as `mean_squared_error`.
    """

    outputs: np.ndarray
    errors: np.ndarray | None
    error: str


class Evaluation:
    """The cost and the metrics of a compiled, built model over a feed, in inference.

    The cost is the set's: how it is cut into batches does not matter. Of a loss that is a sum, it is the mean window's.

    Args:
        window_size: samples of the windows that losses which are sums are reported for; each batch's own if None.
        callbacks: a `keras.callbacks.CallbackList`, told of every batch if any of them wants to know.
    """

    def __init__(
        self,
        model: Any,
        window: Window | OwnStep,
        data: Feed,
        compiler: Compiler,
        window_size: int | None,
        callbacks: Any = None,
        devices: Devices = ONE_DEVICE,
    ) -> None:
        self.own = isinstance(window, OwnStep)
        work = Evaluating(model, window, window_size)
        self.callbacks, self.devices = callbacks, devices
        self.one_by_one = callbacks is not None and overridden(callbacks, "on_test_batch_begin", "on_test_batch_end")
        self.passes = passes(work, data, compiler, ("evaluate", window_size), self.one_by_one)

    def __call__(self) -> dict[str, float]:
        """`loss` and every metric."""
        self.passes.begin(0)
        windows, pace = 0, Pace(1 if self.one_by_one else None, self.devices.of_chief)
        while not self.passes.finished():
            if self.one_by_one:
                self.callbacks.on_test_batch_begin(windows)
            windows += pace.advance(self.passes)
            if self.one_by_one:
                self.callbacks.on_test_batch_end(windows - 1, self._logs())
        if not windows:
            raise TrainingError(
                "there is no batch to evaluate; a generator passes only once, so give a tf.data.Dataset or a "
                "keras.utils.PyDataset instead"
            )
        return self._logs()

    def _logs(self) -> dict[str, float]:
        if self.own:
            return told(self.passes.call.read())
        numerators, divisors = np.asarray(self.passes.call.totals)
        quotients = np.divide(numerators, divisors, out=np.zeros_like(numerators), where=divisors != 0)
        return {"loss": float(quotients.sum())} | told(self.passes.call.read())


def evaluate(
    model: Any, x: Any, y: Any, batch_size: int, engine: str = "graph", window_size: int | None = None
) -> dict[str, float]:
    """`loss` and metrics of a compiled, trained model on arrays `(n_samples, ...)`, in their order.

    Args:
        batch_size: samples for each forward pass.
        window_size: samples of the windows that losses which are sums are reported for; `batch_size` if None.
    """
    window = (OwnStep if own_methods(model) else Window)(model, None, "micro")
    data = feed(x, y, batch_size=batch_size, seed=None)
    return Evaluation(model, window, data, compiler_for(model, engine), window_size or batch_size)()


def predict(model: Any, x: Any, batch_size: int) -> np.ndarray:
    """The model's outputs for arrays or lazy images `(n_samples, ...)`, in their order: `(n_samples, n_outputs)`."""
    import tensorflow as tf

    forward = tf.function(lambda batch: model(batch, training=False), reduce_retracing=True, autograph=False)
    return np.concatenate([forward(batch.x).numpy() for batch in feed(x, batch_size=batch_size, seed=None).epoch(0)])


def judge(model: Any, x: Any, y: Any, batch_size: int, error: str) -> Judged:
    """The outputs of a compiled model of one output, and the loss of each observation, by one pass over the data.

    Args:
        x, y: arrays or lazy images `(n_samples, ...)`.
        batch_size: samples for each forward pass.
        error: what the loss is called.
    """
    import tensorflow as tf

    def forward(batch: Any, targets: Any) -> tuple[Any, Any]:
        outputs = model(batch, training=False)
        return outputs, [part.unreduced for part in observe_losses(model, targets, outputs, None)]

    data = feed(x, y, batch_size=batch_size, seed=None)
    batches = ([tf.convert_to_tensor(part) for part in (batch.x, batch.y)] for batch in data.epoch(0))
    first = [tf.convert_to_tensor(part[:1]) for part in (x, y)]
    signature = [spec_of(part, any_length=True) for part in first]
    program = tf.function(forward, input_signature=signature, autograph=False)
    found = [program(*batch) for batch in batches]
    outputs = np.concatenate([one.numpy() for one, _ in found])
    if any(len(losses) != 1 or not losses[0].shape.rank for _, losses in found):
        return Judged(outputs, None, error)
    errors = np.concatenate([losses[0].numpy() for _, losses in found]).astype(np.float64)
    return Judged(outputs, errors.reshape(len(errors), -1).mean(axis=1), error)


class Inference:
    """The outputs of a built model for arrays in memory, by a program that is compiled once for any number of samples.

    Args:
        model: compiled ones of one making share their programs.
    """

    def __init__(self, model: Any) -> None:
        compiled = getattr(model, "optimizer", None) is not None
        self.model = model
        self.compiler = compiler_for(model, "graph") if compiled else Compiler(model.variables, "graph", None)
        self.programs: dict[str, Any] = {}

    def __call__(self, x: Any, batch_size: int) -> Any:
        """Outputs `(n_samples, ...)` as arrays, nested as the model gives them.

        Args:
            x: arrays `(n_samples, ...)`, nested as the model takes them, or what can be indexed like them.
            batch_size: samples for each forward pass.

        Raises:
            TrainingError: the model cannot take such samples.
        """
        import keras

        x = as_arrays(x)
        n = len(next(leaf for leaf in keras.tree.flatten(x) if leaf is not None))
        parts = [self._batch(x, slice(start, start + batch_size)) for start in range(0, n, batch_size)]
        if len(parts) == 1:
            return parts[0]
        return keras.tree.map_structure(lambda *leaves: np.concatenate(leaves), *parts)

    def _batch(self, x: Any, rows: slice) -> Any:
        import keras
        import tensorflow as tf

        batch = keras.tree.map_structure(lambda leaf: tf.convert_to_tensor(leaf[rows]), x)
        specs = keras.tree.map_structure(lambda leaf: spec_of(leaf, any_length=True), batch)
        with explained("graph", batch):
            program = self.programs.get(repr(specs))
            if program is None:
                program = self.compiler("predict", lambda batch: self.model(batch, training=False), (specs,))
                self.programs[repr(specs)] = program
            return keras.tree.map_structure(lambda leaf: leaf.numpy(), program(batch))
