"""`kf.lr_find`: the learning rate range test, which leaves the model as it was."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from numbers import Integral, Real
from typing import Any

import numpy as np

from kerasflow.errors import TrainingError
from kerasflow.training.checks import check_window, prepare
from kerasflow.training.engine import Engine
from kerasflow.training.feed import Feed, feed
from kerasflow.training.keras_internals import state_variables
from kerasflow.training.loop import BatchNorm, Settings
from kerasflow.training.program import check_no_text
from kerasflow.training.progress import Progress, Verbose
from kerasflow.training.rate_curve import MovingAverage, RateCurve
from kerasflow.training.refusal import explained
from kerasflow.training.streamed import is_dataset
from kerasflow.training.untouched import restored, twin_optimizer
from kerasflow.training.window import Batch, Window

Step = Callable[[Batch], Any]

FEWEST_UPDATES = 10


def lr_find(
    model: Any,
    x: Any,
    y: Any = None,
    *,
    min_lr: float = 1e-7,
    max_lr: float = 10.0,
    updates: int = 100,
    smoothing: float = 0.9,
    divergence: float | None = 4.0,
    batch_size: int = 32,
    micro_batch_size: int | None = None,
    batch_norm: BatchNorm = "micro",
    sample_weight: Any = None,
    class_weight: Mapping[int, float] | None = None,
    engine: Engine = "auto",
    seed: int | None = 0,
    verbose: Verbose = "auto",
) -> RateCurve:
    """The learning rate range test: one short training, in which the rate grows with every update.

    Update k of n is made with the rate min_lr (max_lr / min_lr)^(k / (n - 1)), by the model's own optimizer, loss and
    windows, until the cost runs away. A good rate to begin with is where the cost falls most steeply with the
    logarithm of the rate; one where it has begun to rise is too high.

    Afterwards everything is as it was, to the bit, also when the sweep fails or is interrupted: weights, moving
    statistics, random generators, metrics, and the optimizer, whose place a twin takes for the sweep. The twin begins
    with the optimizer's moments and count of updates. A schedule or a function as learning rate gives way to the
    sweep; weight decay, clipping, EMA and loss scaling act as in training. A model that is not built yet is built.

    Args:
        model: a compiled `keras.Model`.
        x: inputs `(n_samples, ...)`: an array, a list or dict of arrays, a `tf.data.Dataset` or
            `keras.utils.PyDataset`, as for `kf.fit`. What is shorter than the sweep begins again, arrays in another
            order; an incomplete last window of arrays is left out, for its cost would scatter more than the others'.
        y: targets, as the loss wants them.
        min_lr, max_lr: the first and the last rate, 0 < min_lr < max_lr.
        updates: how many rates are tried, at least 10.
        smoothing: β of the moving average of the costs, 0 (none) to below 1; it looks back on 1 / (1 - β) updates.
        divergence: the sweep stops where the moving average exceeds its lowest value by more than this, as a multiple
            of that value, above 1; None goes on to max_lr. A cost that is not finite always stops it.
        batch_size, micro_batch_size, batch_norm, seed, engine: as for `kf.Trainer`; take those of the training to
            come, for the batch decides which rates are good.
        sample_weight: weight of each sample's loss, `(n_samples,)`.
        class_weight: weight by class index.
        verbose: 0 silent, 1 a progress bar, 2 a line at the end; `auto` is 1 on a terminal and 2 elsewhere.

    Returns:
        `.rates`, `.costs`, `.smoothed`, `.suggestion` (None where the cost does not clearly fall), `.stop_reason` and
        `.plot()`.

    Raises:
        TrainingError: the model is not compiled, its optimizer has no single learning rate, an argument or the data
            does not fit, or the cost is not finite before the first update.

    Example:
        >>> found = kf.lr_find(model, x, y, batch_size=256, micro_batch_size=32)
        >>> model.optimizer.learning_rate = found.suggestion

    Source:
        Smith 2017, "Cyclical Learning Rates for Training Neural Networks", section 3.3, raises the rate linearly and
        reads accuracies. Growing exponentially and reading costs is fastai's (`Learner.lr_find`), whose first and last
        rate, number of updates and bound are the defaults here. What differs:

        - The suggestion. fastai's `steep` and Lightning's `lr_find` take differences of neighbouring points of a
          moving average, which lags and scatters; Lightning moreover divides by the difference of the rates, not of
          their logarithms, so that the smallest rates win. fastai's default, `valley`, a point in the longest falling
          subsequence, is steadier but low. Here a straight line is laid through the costs of every decade, and
          the steepest one's middle is taken, before the curve is at its lowest.
        - β is 0.9, not 0.98, which of 100 updates looks back on half.
        - The bound of a negative cost is above it, too: fastai and Lightning stop at four times the lowest cost, which
          a negative one exceeds at once.
        - A window of micro-batches is one update with the gradient of the whole window.
    """
    import keras

    if not isinstance(model, keras.Model):
        raise TrainingError(f"expected a keras.Model, got {type(model).__name__}")
    if not getattr(model, "compiled", False) or model.optimizer is None:
        raise TrainingError("the model is not compiled; call model.compile(...) with the optimizer to be swept")
    sweep = Sweep(min_lr, max_lr, updates, smoothing, divergence)
    check_window(batch_size, micro_batch_size)
    settings = Settings(1, micro_batch_size, batch_norm, engine, verbose=verbose)
    steps = updates if is_dataset(x) and not isinstance(x, Iterator) else None
    data = feed(x, y, sample_weight, batch_size=batch_size, seed=seed, class_weight=class_weight, steps=steps)
    with twin_optimizer(model) as rate, restored(model.metrics_variables):
        prepare(model, data, None, ())
        with restored([*model.trainable_variables, *model.metrics_variables, *state_variables(model)]):
            step = _compiled(model, settings, data.many_shapes)
            return _run(sweep, step, _windows(data, is_dataset(x)), rate, settings.verbose)


@dataclass(frozen=True)
class Sweep:
    """Which rates are tried, and when to stop; see `lr_find`."""

    min_lr: float
    max_lr: float
    updates: int
    smoothing: float
    divergence: float | None

    def __post_init__(self) -> None:
        numbers = (self.min_lr, self.max_lr)
        if not all(isinstance(v, Real) and math.isfinite(v) for v in numbers) or not 0 < self.min_lr < self.max_lr:
            raise TrainingError(f"expected 0 < min_lr < max_lr, got min_lr={self.min_lr!r}, max_lr={self.max_lr!r}")
        if not isinstance(self.updates, Integral) or self.updates < FEWEST_UPDATES:
            raise TrainingError(f"updates must be an integer >= {FEWEST_UPDATES}, got {self.updates!r}")
        if not isinstance(self.smoothing, Real) or not 0 <= self.smoothing < 1:
            raise TrainingError(f"smoothing must be a number from 0 to below 1, got {self.smoothing!r}")
        if self.divergence is not None and not (isinstance(self.divergence, Real) and self.divergence > 1):
            raise TrainingError(f"divergence must be a number above 1, or None, got {self.divergence!r}")

    @property
    def rates(self) -> np.ndarray:
        """`(updates,)` float64, growing by the same factor with each update."""
        return np.geomspace(self.min_lr, self.max_lr, self.updates)


def _run(sweep: Sweep, step: Step, windows: Iterator[Batch], rate: Any, verbose: Verbose) -> RateCurve:
    """Makes the updates; `rate` is the optimizer's variable."""
    rates, costs = sweep.rates, []
    average, lowest = MovingAverage(sweep.smoothing), math.inf
    reason = f"updates: all {sweep.updates} are made"
    with Progress(verbose, 1) as progress, progress.task("learning rates", len(rates)) as advance:
        for value, batch in zip(rates, windows, strict=False):
            rate.assign(value)
            costs.append(float(step(batch)))
            smoothed = average.add(costs[-1])
            lowest = min(lowest, smoothed)
            advance(1)
            if not math.isfinite(smoothed):
                reason = f"divergence: the cost is {costs[-1]} at a learning rate of {value:.2g}"
                break
            if sweep.divergence is not None and smoothed - lowest > (sweep.divergence - 1) * abs(lowest):
                reason = f"divergence: the cost runs away at a learning rate of {value:.2g}"
                break
        if not math.isfinite(costs[0]):
            raise TrainingError(f"the cost is {costs[0]} before the first update; look at the data and the loss")
        found = RateCurve(rates[: len(costs)], np.array(costs), sweep.smoothing, reason)
        progress.say(found.summary)
    return found


def _compiled(model: Any, settings: Settings, many_shapes: bool) -> Step:
    """One update by a window, as the engine runs it; gives the window's cost before the update."""
    import tensorflow as tf

    engine = "graph" if settings.engine == "auto" else settings.engine
    window = Window(model, settings.micro_batch_size, settings.batch_norm)
    train: Step = partial(lambda batch: window.train(batch)[0])
    if engine != "eager":
        train = tf.function(train, jit_compile=engine == "xla", reduce_retracing=many_shapes, autograph=False)

    def step(batch: Batch) -> Any:
        check_no_text(engine, tuple(batch))
        with explained(engine, batch.x):
            return train(batch)

    return step


def _windows(data: Feed, ragged: bool) -> Iterator[Batch]:
    """Windows without end, pass after pass; unless ragged, without an incomplete last one of a pass."""
    made, whole = 0, 0
    for index in itertools.count():
        before = made
        for batch in data.epoch(index):
            whole = max(whole, _samples(batch))
            if ragged or _samples(batch) == whole:
                made += 1
                yield batch
        if made == before:
            raise TrainingError(
                f"the generator ended after {made} batches; give fewer updates, or a tf.data.Dataset or "
                "keras.utils.PyDataset, which can begin again"
            )


def _samples(batch: Batch) -> int:
    import keras

    return int(next(leaf for leaf in keras.tree.flatten(batch.x) if leaf is not None).shape[0])
