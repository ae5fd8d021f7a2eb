"""`kf.explain.histograms`: how a model's weights are distributed, before training and after each epoch of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from kerasflow.errors import BuildError
from kerasflow.explain.landscape import check_count
from kerasflow.explain.samples import check_compiled, samples
from kerasflow.explain.twin import twin_of
from kerasflow.explain.weights import named_weights
from kerasflow.training.trainer import fit

BINS = 40
_ALIKE = 1e-9


@dataclass(frozen=True)
class Histogram:
    """The numbers of one variable at one time.

    Attributes:
        path: of the variable, as Keras has it: `model/dense_1/kernel`.
        epoch: after which they are these, 0 before the first.
        edges: of the bins, from the smallest number to the largest, `(bins + 1,)`; twice the number if all are
            the same, and NaN if none is finite.
        counts: of the numbers in each bin, `(bins,)`.
        not_finite: how many numbers are NaN or infinite, and so in no bin.
    """

    path: str
    epoch: int
    edges: np.ndarray
    counts: np.ndarray
    not_finite: int


def histograms(model: Any, x: Any = None, y: Any = None, *, epochs: int = 0, bins: int = BINS) -> tuple[Histogram, ...]:
    """The distribution of the weights that learn: as they are now and, with samples, after each of some epochs.

    Args:
        model: built; it is not changed. With `epochs` a copy of it is trained, as it is compiled, by the whole set at
            once.
        x, y: arrays `(n_samples, ...)`; needed for `epochs` alone.
        epochs: that the copy is trained for. `WeightHistograms` watches a training of your own.
        bins: of each histogram at most, at least 1; a variable of n numbers has no more than the root of n.

    Returns:
        By epoch, then by layer; epoch 0 is the model as it is.

    Raises:
        BuildError: the model has no weights yet, or cannot be copied.
        TrainingError: there is less than one bin.
        DataError: samples and model do not fit.
    """
    check_count("bins", bins, 1)
    if not model.built:
        raise BuildError(f"the model {model.name!r} has no weights yet; begin it with a keras.Input, or call it once")
    if not epochs:
        return tuple(Histogram(**row) for row in _rows(model, 0, bins))
    check_compiled(model)
    tensors = samples(model, x, y)
    inputs, targets = (keras.tree.map_structure(np.asarray, part) for part in tensors[:2])
    optimizer = keras.optimizers.deserialize(keras.optimizers.serialize(model.optimizer))
    twin, watching = twin_of(model, tensors[0], optimizer), WeightHistograms(bins)
    n = len(keras.tree.flatten(inputs)[0])
    fit(twin, inputs, targets, n, epochs, 0, shuffle=False, seed=0, callbacks=[watching])
    return watching.histograms


class WeightHistograms(keras.callbacks.Callback):
    """Collects the histograms of the weights that learn, before the first epoch and after each, for any `fit`.

    It keeps the counts, not the weights, and keeps them in checkpoints. Another `fit` begins anew.

    Args:
        bins: of each histogram at most, at least 1; a variable of n numbers has no more than the root of n.

    Attributes:
        histograms: by epoch, then by layer.

    Raises:
        TrainingError: there is less than one bin.

    Example:
        >>> weights = kf.explain.WeightHistograms()
        >>> kf.fit(model, x, y, epochs=5, callbacks=[weights])
        >>> kf.viz.explained.histograms(weights.histograms)
    """

    def __init__(self, bins: int = BINS) -> None:
        super().__init__()
        check_count("bins", bins, 1)
        self.bins = bins
        self.rows: list[dict[str, Any]] = []  # plain, which is what a checkpoint holds of a callback

    @property
    def histograms(self) -> tuple[Histogram, ...]:
        return tuple(Histogram(**row) for row in self.rows)

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        self.rows = _rows(self.model, 0, self.bins) if self.model.built else []

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self.rows += _rows(self.model, epoch + 1, self.bins)


def _rows(model: Any, epoch: int, bins: int) -> list[dict[str, Any]]:
    return [
        {"path": path, "epoch": epoch, **_counted(np.asarray(variable.numpy(), dtype=np.float64), bins)}
        for path, variable in named_weights(model).items()
    ]


def _counted(numbers: np.ndarray, most: int) -> dict[str, Any]:
    finite = numbers[np.isfinite(numbers)]
    lost = int(numbers.size - finite.size)
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (np.nan, np.nan)
    if not high - low > _ALIKE * max(abs(low), abs(high)):  # bins of no width cannot be told apart
        return {"edges": np.array([low, high]), "counts": np.array([finite.size]), "not_finite": lost}
    counts, edges = np.histogram(finite, min(most, math.ceil(math.sqrt(finite.size))))
    return {"edges": edges, "counts": counts, "not_finite": lost}
