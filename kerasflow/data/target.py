"""What is learned: the kind of task, the user's labels as numbers, and a model's output as labels again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from kerasflow.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

Task = Literal["binary", "multiclass", "multilabel", "regression"]
Wanted = Literal["auto", "classification", "multilabel", "regression"]
Label = str | int | float | bool

MOST_INTEGER_CLASSES = 50


@dataclass(frozen=True)
class Target:
    """A task, and the labels or the names of its outputs.

    Attributes:
        names: one a target column.
        classes: the user's own labels by index, for binary and multiclass; else None.
    """

    task: Task
    names: tuple[str, ...]
    classes: tuple[Label, ...] | None = None

    @property
    def n_outputs(self) -> int:
        """The units that the last layer needs: 1 for binary, one a class, or one a target column."""
        if self.task == "binary":
            return 1
        return len(self.classes) if self.classes is not None else len(self.names)

    def encode(self, y: NDArray[Any], where: str) -> NDArray[Any]:
        """The user's targets as numbers; see `Part.y`.

        Raises:
            DataError: labels that are not among the classes.
        """
        if self.classes is None:
            return y.astype(np.float32)
        found, position = np.unique(y, return_inverse=True)
        index_of = {label: index for index, label in enumerate(self.classes)}
        unseen = [label for label in found.tolist() if label not in index_of]
        if unseen:
            known = listed(self.classes)
            raise DataError(f"{where}: holds labels that the training rows do not: {listed(unseen)}; known are {known}")
        return np.array([index_of[label] for label in found.tolist()], dtype=np.int32)[position.reshape(-1)]

    def chosen(self, y_pred: NDArray[Any]) -> NDArray[np.integer[Any]]:
        """Class indices `(n_samples,)` of outputs, which are probabilities or class indices already."""
        if y_pred.dtype.kind in "iu":
            return y_pred
        # The same threshold as keras' BinaryAccuracy: exactly 0.5 is the first class.
        binary = self.task == "binary"
        return (y_pred.reshape(-1) > 0.5).astype(np.intp) if binary else y_pred.argmax(axis=1)

    def decode(self, y_pred: NDArray[Any]) -> pd.DataFrame:
        """A model's output, or class indices `(n_samples,)`, one row a sample in the user's words.

        See `Preparation.decode`.

        Raises:
            DataError: an output of another width.
        """
        import pandas as pd

        if self.classes is not None and y_pred.dtype.kind in "iu":
            return pd.DataFrame({"prediction": [self.classes[index] for index in y_pred]})
        values = np.asarray(y_pred, dtype=np.float64)
        values = values.reshape(len(values), -1)
        if values.shape[1] != self.n_outputs:
            raise DataError(f"a {self.task} task has {self.n_outputs} output(s) a sample, got {values.shape[1]}")
        if self.task == "regression":
            return pd.DataFrame(values, columns=["prediction"] if len(self.names) == 1 else list(self.names))
        if self.classes is None:
            labels = pd.DataFrame((values > 0.5).astype(np.int64), columns=list(self.names))
            return pd.concat([labels, _probabilities(values, self.names)], axis=1)
        prediction = pd.Series([self.classes[index] for index in self.chosen(values)], name="prediction")
        if self.task == "binary":
            values = np.concatenate([1.0 - values, values], axis=1)
        return pd.concat([prediction, _probabilities(values, self.classes)], axis=1)


def infer(
    y: NDArray[Any], names: tuple[str, ...], wanted: Wanted, where: str, order: tuple[Label, ...] | None = None
) -> Target:
    """What the targets of the training rows ask for.

    `auto`: text and booleans are classes; so are integers with at most 50 different values, each seen ten times on
    average, or with only two; every other number is a quantity. Several columns are labels if all hold 0 and 1 only.

    Args:
        y: the user's targets, `(n_samples,)` or `(n_samples, n_targets)`.
        names: the target columns.
        wanted: the spec's `task`.
        where: how messages name the data.
        order: the classes by index, where the source knows it; else they are sorted.

    Raises:
        DataError: targets that the task cannot use.
    """
    numeric = y.dtype.kind in "biuf"
    if y.ndim == 2:
        return _several(y, names, wanted, numeric, where)
    if wanted == "multilabel":
        raise DataError(f"{where}: a multilabel task needs several target columns of 0 and 1, got one: {names[0]!r}")
    if wanted == "classification" or (wanted == "auto" and (not numeric or _few_values(y))):
        return _classes(y, names, where, order)
    if not numeric:
        raise DataError(f"{where}: regression needs numbers, but target {names[0]!r} holds {str(y[0])!r}")
    return Target("regression", names)


def _several(y: NDArray[Any], names: tuple[str, ...], wanted: Wanted, numeric: bool, where: str) -> Target:
    if wanted == "classification":
        raise DataError(f"{where}: classification learns one column of labels, got {len(names)}: {listed(names)}")
    if not numeric:
        raise DataError(f"{where}: several target columns must hold numbers, one of {listed(names)} holds text")
    labels = bool(np.isin(y, (0, 1)).all())
    if wanted == "multilabel" and not labels:
        raise DataError(f"{where}: a multilabel task needs 0 and 1 alone, but a column of {listed(names)} holds more")
    return Target("multilabel" if labels and wanted != "regression" else "regression", names)


def _few_values(y: NDArray[Any]) -> bool:
    if y.dtype.kind == "f":
        return False
    return len(np.unique(y)) <= max(2, min(MOST_INTEGER_CLASSES, len(y) // 10))


def _classes(y: NDArray[Any], names: tuple[str, ...], where: str, order: tuple[Label, ...] | None) -> Target:
    if y.dtype.kind == "f" and not np.array_equal(y, np.round(y)):
        fraction = float(y[y != np.round(y)][0])
        raise DataError(f"{where}: classification needs labels, but target {names[0]!r} holds {fraction}")
    present = tuple(np.unique(y).tolist())
    classes = present if order is None else order
    if len(present) < 2:
        raise DataError(f"{where}: target {names[0]!r} holds only one class, {present[0]!r}; classification needs two")
    return Target("binary" if len(classes) == 2 else "multiclass", names, classes)


def _probabilities(values: NDArray[Any], labels: tuple[Any, ...]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(values, columns=[f"probability_{label}" for label in labels])


def listed(values: Any, most: int = 8) -> str:
    """`'a', 'b', 'c' and 12 more`: values for a message that stays one sentence."""
    values = list(values)
    shown = ", ".join(repr(value) for value in values[:most])
    return shown if len(values) <= most else f"{shown} and {len(values) - most} more"
