"""Whether targets that are labels count outputs of the model: TensorFlow tells late, and XLA only by a cost of NaN."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kerasflow.errors import TrainingError
from kerasflow.training.keras_internals import Observed


def check_labels(parts: Sequence[Observed], y: Any, where: str = "") -> None:
    """Holds the labels of a sparse cross-entropy to 0 ... outputs - 1, whichever samples they belong to.

    Args:
        parts: the losses, observed on a few samples.
        y: targets of all samples, a NumPy array; of several outputs nothing is known here.
        where: begins the message, such as `validation data: `.

    Raises:
        TrainingError: with the first label that is none, and its row.
    """
    if len(parts) != 1 or type(y) is not np.ndarray or y.dtype.kind not in "biuf" or not y.size:
        return
    (part,) = parts
    function = getattr(part.loss, "fn", None)
    classes = part.y_pred.shape[-1]
    if getattr(function, "__name__", "") != "sparse_categorical_crossentropy" or classes is None:
        return
    wrong = ~((y >= 0) & (y < classes))
    if (ignored := getattr(part.loss, "ignore_class", None)) is not None:
        wrong &= y != ignored
    if not wrong.any():
        return
    row = int(np.argmax(wrong.reshape(len(y), -1).any(axis=1)))
    label = y[row][wrong[row]].flat[0] if y.ndim > 1 else y[row]
    if y.min() == 1 and y.max() == classes:
        advice = "they begin at 1, so subtract 1"
    else:
        advice = "give the model as many outputs as there are classes, or number the classes from 0"
    raise TrainingError(
        f"{where}row {row} of y (counted from 0) has the label {label}, but the model has {classes} outputs, so labels "
        f"are 0 to {classes - 1}; {advice}"
    )
