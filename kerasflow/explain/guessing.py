"""What a model costs that has learned nothing of its inputs: the line that learning is to get below."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Guess:
    """Two models that do not look at their inputs.

    Attributes:
        cost: of the best answer that is the same for every sample; without weights or penalties.
        silent: of a network whose last layer gives 0 for every sample: about where a scaled network begins.
        knows: what the best answer is made of, in words.
    """

    cost: float
    silent: float
    knows: str


def guess_of(loss: str, y: np.ndarray) -> Guess | None:
    """What guessing costs, of the losses of which it is known.

    Args:
        loss: `binary_crossentropy`, `sparse_categorical_crossentropy`, `mean_squared_error` or `mean_absolute_error`;
            None is given of others, and of targets that are all the same.
        y: targets of the training part, `(n,)` or `(n, outputs)`; classes by index.
    """
    columns = y.reshape(len(y), -1).astype(float)
    if (columns == columns[0]).all():
        return None
    if loss == "binary_crossentropy":
        return Guess(float(np.mean([entropy(column) for column in columns.T])), float(np.log(2)), _CLASSES)
    if loss == "sparse_categorical_crossentropy":
        return Guess(entropy(columns), float(np.log(columns.max() + 1)), _CLASSES)
    if loss == "mean_squared_error":
        return Guess(float(columns.var(axis=0).mean()), float((columns**2).mean()), "the mean of the targets")
    if loss == "mean_absolute_error":
        off = np.abs(columns - np.median(columns, axis=0))
        return Guess(float(off.mean()), float(np.abs(columns).mean()), "the median of the targets")
    return None


_CLASSES = "how frequent each class is"


def entropy(labels: np.ndarray) -> float:
    """Of the labels' distribution, in nats: the cross-entropy of who knows how frequent each is."""
    shares = np.unique(labels, return_counts=True)[1] / labels.size
    return float(-(shares * np.log(shares)).sum())
