"""`kf.explain.accumulation`: a window's gradient put together from those of its micro-batches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kerasflow.errors import TrainingError
from kerasflow.explain.landscape import check_count
from kerasflow.explain.objective import evaluated
from kerasflow.explain.samples import check_compiled, samples
from kerasflow.explain.weights import named_weights
from kerasflow.training.optimizer_internals import other_optimizer
from kerasflow.training.untouched import restored
from kerasflow.training.window import Batch, Sums, Window, rows

Gradients = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Accumulation:
    """Gradients by variable path, as kerasflow's training computes them; penalties of weights come on top, once.

    Attributes:
        sizes: samples of each micro-batch.
        micro_batches: what each adds to the gradient of the window's cost.
        total: their sum, by which the one update is made.
        whole: the gradient of all samples passed at once.
        difference: the largest between the two.
        relative: the norm of the difference over that of `whole`; some 1e-7 is rounding in float32.
        batch_norm: `micro` where BatchNormalization normalises each micro-batch by its own statistics, the one thing
            that a micro-batch cannot know of the window; else `none`.
        unchanged: whether the weights held the same bits before the window and after its last micro-batch.
    """

    sizes: tuple[int, ...]
    micro_batches: tuple[Gradients, ...]
    total: Gradients
    whole: Gradients
    difference: float
    relative: float
    batch_norm: str
    unchanged: bool


def accumulation(model: Any, x: Any, y: Any, micro_batch_size: int, *, sample_weight: Any = None) -> Accumulation:
    """Passes one window through the model in micro-batches, and once as a whole, without making the update.

    Args:
        model: compiled and built; it is not changed.
        x, y, sample_weight: the window, arrays `(n_samples, ...)`, nested as the model has them.
        micro_batch_size: samples for each pass, 1 to n_samples; the last one has what is left.

    Raises:
        BuildError, DataError, TrainingError: the model has no cost, something does not fit, or the loss is no sum over
            samples.

    Source:
        The deck's "Gradient accumulation": "The model variables must not be updated during the accumulation in order to
        ensure all mini-batches use the same model variable values to calculate their gradients."
    """
    import keras

    check_compiled(model)
    batch = Batch(*samples(model, x, y, sample_weight))
    evaluated(model, *batch)  # what does not fit is told first
    n = int(keras.tree.flatten(batch.x)[0].shape[0])
    size = check_count("micro_batch_size", micro_batch_size, 1)
    if size > n:
        raise TrainingError(f"micro_batch_size must be at most the {n} samples of the window, got {size}")
    window = Window(model, size, "micro")
    before = [variable.numpy() for variable in model.variables]
    with restored(model.metrics_variables), other_optimizer(model, keras.optimizers.SGD()):  # one without a loss scale
        whole = window.accumulate(batch, None, _seeds(window))
        parts = _parts(window, batch, n, size)
    after = [variable.numpy() for variable in model.variables]
    divisors = _summed([part.divisors for part in parts])
    micro = [_named(model, window, part._replace(divisors=divisors)) for part in parts]
    total = {path: np.sum([one[path] for one in micro], axis=0) for path in micro[0]}
    full = _named(model, window, whole)
    gaps = [np.asarray(total[path], float) - full[path] for path in full]
    norm = float(np.sqrt(sum(np.sum(np.square(g, dtype=float)) for g in full.values())))
    off = float(np.sqrt(sum(np.sum(gap**2) for gap in gaps)))
    return Accumulation(
        tuple(min(size, n - start) for start in range(0, n, size)),
        tuple(micro),
        total,
        full,
        max((float(np.abs(gap).max()) for gap in gaps), default=0.0),
        off / norm if norm else off,
        window.batch_norm,
        all(np.array_equal(a, b) for a, b in zip(before, after, strict=True)),
    )


def _seeds(window: Window) -> list[Any]:
    return [seed.value for seed in window.seeds]


def _parts(window: Window, batch: Batch, n: int, size: int) -> list[Sums]:
    """Each micro-batch for itself, the random generators going on from one to the next as in training."""
    found: list[Sums] = []
    for start in range(0, n, size):
        micro = rows(batch, start, min(size, n - start))
        found.append(window.accumulate(micro, None, found[-1].seeds if found else _seeds(window), n))
    return found


def _summed(divisors: list[Any]) -> list[Any]:
    return [None if one[0] is None else sum(one[1:], one[0]) for one in zip(*divisors, strict=True)]


def _named(model: Any, window: Window, sums: Sums) -> dict[str, np.ndarray]:
    known = named_weights(model)
    return {
        path: np.zeros(tuple(variable.shape)) if gradient is None else np.asarray(gradient)
        for (path, variable), gradient in zip(known.items(), window.combine(sums), strict=True)
    }
