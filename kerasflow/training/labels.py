"""Whether targets that are labels count outputs of the model: TensorFlow tells late, and XLA only by a cost of NaN."""

from __future__ import annotations

from typing import Any

import numpy as np

from kerasflow.errors import TrainingError


def counts_labels(loss: Any) -> bool:
    """Whether the loss of a model with one output is Keras' sparse cross-entropy, by name or as an object."""
    import keras

    if isinstance(loss, str):
        return loss in ("sparse_categorical_crossentropy", "SparseCategoricalCrossentropy")
    return getattr(loss, "fn", loss) is keras.losses.sparse_categorical_crossentropy


def check_labels(loss: Any, y: Any, y_pred: Any, where: str = "") -> None:
    """Holds the labels of a sparse cross-entropy to 0 ... outputs - 1, whichever samples they belong to.

    Args:
        loss: as it was given to `compile`; of several outputs nothing is known here.
        y: targets of all samples, a NumPy array.
        y_pred: the output for some, `(n, ..., n_classes)`.
        where: begins the message, such as `validation data: `.

    Raises:
        TrainingError: with the first label that is none, and its row.
    """
    if not counts_labels(loss) or type(y) is not np.ndarray or y.dtype.kind not in "biuf" or not y.size:
        return
    classes, lowest, highest = getattr(y_pred, "shape", [None])[-1], y.min(), y.max()
    if classes is None or (lowest > -1 and highest < classes):
        return
    wrong = (y <= -1) | (y >= classes)  # NaN is neither
    ignored = getattr(loss, "ignore_class", None) or getattr(loss, "_fn_kwargs", {}).get("ignore_class")
    if ignored is not None:
        wrong &= y != ignored
    if not wrong.any():
        return
    row = int(np.argmax(wrong.reshape(len(y), -1).any(axis=1)))
    label = y[row][wrong[row]].flat[0] if y.ndim > 1 else y[row]
    if (lowest, highest) == (1, classes):
        advice = "they begin at 1, so subtract 1"
    else:
        advice = "give the model as many outputs as there are classes, or number the classes from 0"
    raise TrainingError(
        f"{where}row {row} of y (counted from 0) has the label {label}, but the model has {classes} outputs, so labels "
        f"are 0 to {classes - 1}; {advice}"
    )
