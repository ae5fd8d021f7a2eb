"""What is learned, between the user's words and the network's: labels to numbers, outputs to labels.

An encoder has `fit(y)`, `transform(y)`, `inverse_transform(y_pred, return_proba=False)` and `get_metadata()`, which
gives what the estimator and the callable that makes the model are told about the target.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import column_or_1d

FACTS = ("classes_", "n_classes_", "n_outputs_", "n_outputs_expected_", "target_type_", "y_dtype_", "y_ndim_")


class _Encoder(BaseEstimator):
    classes_: Any
    n_classes_: Any

    def get_metadata(self) -> dict[str, Any]:
        """What is known of the target, by names with an underscore behind."""
        return {name: getattr(self, name) for name in FACTS if hasattr(self, name)}

    def fit_transform(self, y: Any) -> Any:
        return self.fit(y).transform(y)


class ClassEncoder(_Encoder):
    """Labels, as text, numbers or booleans, to the numbers that a network learns.

    Attributes:
        target_type_: `binary`, `multiclass`, `multilabel-indicator` or `multiclass-multioutput`, as scikit-learn's
            `type_of_target` tells.
        classes_: the user's labels, sorted; a list of arrays for several outputs.
        n_classes_: how many; a list for several outputs.
    """

    def fit(self, y: Any, classes: Any = None) -> ClassEncoder:
        """Learns the labels.

        Args:
            y: `(n_samples,)`, or `(n_samples, n_outputs)`.
            classes: all labels that may come, where y may hold fewer; a list of such for several outputs.

        Raises:
            ValueError: y holds no labels, or one class alone.
        """
        check_classification_targets(y)
        self.target_type_ = str(type_of_target(y, input_name="y"))
        self.y_dtype_, self.y_ndim_ = y.dtype, y.ndim
        self.n_outputs_ = 1 if y.ndim == 1 else y.shape[1]
        if y.ndim == 2 and classes is not None:
            self.target_type_ = "multiclass-multioutput"  # this part of the data may not show it
        several = self.target_type_ == "multiclass-multioutput"
        self.n_outputs_expected_ = self.n_outputs_ if several else 1
        if several:
            _check_lists(classes, self.n_outputs_)
            self.classes_ = [np.unique(labels) for labels in (y.T if classes is None else classes)]
            self.n_classes_ = [len(labels) for labels in self.classes_]
        elif self.target_type_ == "multilabel-indicator":
            self.classes_ = np.arange(self.n_outputs_)
            self.n_classes_ = self.n_outputs_
        else:
            self.classes_ = np.unique(y if classes is None else classes)
            self.n_classes_ = len(self.classes_)
            self.target_type_ = "binary" if self.n_classes_ == 2 else "multiclass"
            if self.n_classes_ < 2:
                only = self.classes_.tolist()
                raise ValueError(f"The number of classes has to be greater than one; got {len(only)} class: {only}")
            if classes is not None:
                self._index(y, self.classes_)
        return self

    def transform(self, y: Any) -> Any:
        """Indices of labels `(n_samples,)`, a list of such for several outputs; 0 and 1 for labels side by side.

        Raises:
            ValueError: labels that were not there before.
        """
        if self.target_type_ == "multilabel-indicator":
            if y.ndim != 2 or y.shape[1] != self.n_outputs_:
                raise ValueError(f"y has shape {y.shape}, but was fitted with {self.n_outputs_} labels")
            return y.astype("float32")
        if self.target_type_ == "multiclass-multioutput":
            if y.ndim != 2 or y.shape[1] != self.n_outputs_:
                raise ValueError(f"y has shape {y.shape}, but was fitted with {self.n_outputs_} outputs")
            return [self._index(column, labels) for column, labels in zip(y.T, self.classes_, strict=True)]
        return self._index(column_or_1d(y), self.classes_)

    def _index(self, y: Any, classes: Any) -> Any:
        present, position = np.unique(y, return_inverse=True)
        unseen = np.setdiff1d(present, classes)
        if len(unseen):
            raise ValueError(
                f"`y` has classes not in `self.classes_`. `self.classes_` has {classes}. 'y' has {unseen}."
            )
        return np.searchsorted(classes, present)[position.reshape(-1)].astype("int64")

    def inverse_transform(self, y_pred: Any, return_proba: bool = False) -> Any:
        """A network's outputs as labels, or as probabilities by class.

        Args:
            y_pred: probabilities `(n_samples, n_classes)`, `(n_samples, 1)` of the second of two classes, or
                `(n_samples, n_labels)`; a list for several outputs.
            return_proba: `(n_samples, n_classes)` instead, a list for several outputs.
        """
        if self.target_type_ == "multilabel-indicator":
            y_pred = side_by_side(y_pred)
            return y_pred if return_proba else (y_pred > 0.5).astype(self.y_dtype_)
        if self.target_type_ == "multiclass-multioutput":
            parts = [_by_class(part) for part in y_pred]
            if return_proba:
                return parts
            chosen = [labels[part.argmax(1)] for part, labels in zip(parts, self.classes_, strict=True)]
            return np.stack(chosen, axis=1)
        probabilities = _by_class(y_pred)
        return probabilities if return_proba else self.classes_[probabilities.argmax(1)]


class NumberEncoder(_Encoder):
    """Quantities, which a network gives as they are.

    Attributes:
        target_type_: `continuous` or `continuous-multioutput`, whole numbers, too.
    """

    def fit(self, y: Any) -> NumberEncoder:
        """Learns how many there are for each sample.

        Args:
            y: `(n_samples,)`, or `(n_samples, n_outputs)`.

        Raises:
            ValueError: y holds no numbers.
        """
        if y.dtype.kind not in "biuf":
            raise ValueError(f"y must hold numbers for a regressor, got {y.flat[0]!r}; KerasClassifier learns labels")
        self.target_type_ = "continuous" if y.ndim == 1 else "continuous-multioutput"
        self.y_dtype_, self.y_ndim_ = y.dtype, y.ndim
        self.n_outputs_ = 1 if y.ndim == 1 else y.shape[1]
        self.n_outputs_expected_ = 1
        return self

    def transform(self, y: Any) -> Any:
        """The same.

        Raises:
            ValueError: as many as there were when it was fitted are wanted, and there are others.
        """
        n_outputs = 1 if y.ndim == 1 else y.shape[1]
        if n_outputs != self.n_outputs_:
            raise ValueError(f"y has {n_outputs} targets, but was fitted with {self.n_outputs_}")
        return y

    def inverse_transform(self, y_pred: Any, return_proba: bool = False) -> Any:
        """A network's outputs, `(n_samples, n_outputs)` or a list of such, in the shape of the targets."""
        y_pred = side_by_side(y_pred)
        return y_pred.reshape(len(y_pred), -1)[:, 0] if self.y_ndim_ == 1 else y_pred


def _check_lists(classes: Any, n_outputs: int) -> None:
    if classes is not None and (len(classes) != n_outputs or any(np.ndim(labels) != 1 for labels in classes)):
        raise ValueError(
            f"classes must be a list with the labels of each of the {n_outputs} outputs, such as "
            f"{[[0, 1]] * n_outputs}, got {classes!r}"
        )


def side_by_side(outputs: Any) -> Any:
    """`(n_samples, n_outputs)`, also of a list of several outputs that share the targets."""
    if not isinstance(outputs, list | tuple):
        return outputs
    return np.hstack([part.reshape(len(part), -1) for part in outputs])


def _by_class(y_pred: Any) -> Any:
    """`(n_samples, n_classes)`, also of one number for two classes."""
    y_pred = y_pred.reshape(len(y_pred), -1)
    return np.hstack([1 - y_pred, y_pred]) if y_pred.shape[1] == 1 else y_pred
