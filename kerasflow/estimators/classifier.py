"""`kf.KerasClassifier`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import _check_sample_weight

from kerasflow.estimators.base import KerasEstimator
from kerasflow.estimators.heads import is_margin, labels_side_by_side, losses_of, probabilities
from kerasflow.estimators.targets import ClassEncoder, side_by_side


def _all_right(y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
    return np.average(np.all(y_true == y_pred, axis=1), weights=sample_weight)


def _margins(estimator: Any) -> list[bool]:
    """Of each output, whether it gives margins, as far as that is known before the first fit."""
    if estimator._fitted is not None:
        return list(estimator._fitted.margins)
    loss = estimator.loss
    if isinstance(loss, str) and loss == "auto":
        loss = getattr(estimator.model, "loss", None)
    return [is_margin(one) for one in losses_of(loss, list(loss) if isinstance(loss, Mapping | list | tuple) else [""])]


def _has_margins(estimator: Any) -> bool:
    return all(_margins(estimator))


def _has_probabilities(estimator: Any) -> bool:
    return not any(_margins(estimator))


def _decision(outputs: Any, n_classes: int) -> Any:
    if outputs.shape[-1] == 1:
        return outputs[:, 0]
    return outputs[:, 1] - outputs[:, 0] if n_classes == 2 else outputs


def _check_same_classes(classes: Any, known: Any) -> None:
    several = isinstance(known, list)
    pairs = zip(classes, known, strict=False) if several else [(classes, known)]
    if (several and len(classes) != len(known)) or not all(np.array_equal(np.unique(a), b) for a, b in pairs):
        raise ValueError(f"`classes={classes!r}` is not the same as on last call to partial_fit, was: {known!r}")


class KerasClassifier(ClassifierMixin, KerasEstimator):
    """A Keras model as a scikit-learn classifier.

    Args:
        model: None for a perceptron with `hidden_layer_sizes`; a spec, its path, text or dict, of which the model
            counts; a callable that returns a new `keras.Model`, compiled or not, which is then trained itself: it must
            not return one model twice; or a `keras.Model`, whose weights each fit begins with, and which is never
            changed. A callable may ask for `meta`, a dict of `n_features_in_`, `X_shape_`, `X_dtype_`, `n_classes_`,
            `classes_`, `target_type_`, `n_outputs_`, `n_outputs_expected_` and more; for `compile_kwargs`, the
            arguments of `model.compile`; for `hidden_layer_sizes`; and for `params`.
        hidden_layer_sizes: units of the perceptron's layers.
        optimizer, loss, metrics: names, classes, objects; a compiled model's own unless others than the defaults are
            given, and `"adam"` alone is the default. `loss="auto"` is the cross-entropy that the target and the model's
            last layer ask for.
        learning_rate: None for the optimizer's own.
        batch_size: samples for each update.
        micro_batch_size: samples for each pass through the network; None for the whole batch.
        epochs: passes over the data, at most.
        validation_fraction: share of the samples that is held out, from 0 to below 1, classes in proportion.
        stop: rules from `kf.stop`.
        callbacks: of Keras: classes or objects, one or several.
        class_weight: weights by the user's own labels, or `balanced`: n_samples / (n_classes * count).
        random_state: of initial weights, masks, the held-out part and the order of samples; an int gives the same bits
            in every fit.
        warm_start: whether `fit` goes on from the weights that there are.
        engine: `auto`, `graph`, `xla` or `eager`; see `kf.Trainer`.
        tracker: records each fit in MLflow; see `kf.Tracking`.
        verbose: 0 or False silent, 1 or True a progress bar, 2 a line an epoch.
        **routed: what goes to the things that are made: `model__units`, `optimizer__learning_rate`,
            `loss__label_smoothing`, `metrics__threshold`, `callbacks__patience`, `fit__batch_size`,
            `predict__batch_size`; of a spec, `model__layers__0__dense__units`.

    Attributes:
        classes_: the labels `(n_classes,)`; a list of arrays for several outputs.
        model_: the trained `keras.Model`.
        history_: a `kf.History`; `history_["loss"]` is a curve.
        n_iter_: epochs completed. loss_curve_: their costs.
        n_features_in_, feature_names_in_: as scikit-learn's.

    Example:
        >>> clf = kf.KerasClassifier(hidden_layer_sizes=(64,), epochs=20, random_state=0)
        >>> clf.fit(x, y).score(x_test, y_test)
    """

    _parameter_constraints = {
        **KerasEstimator._parameter_constraints,
        "class_weight": [dict, list, StrOptions({"balanced"}), None],
    }

    def __init__(
        self,
        model: Any = None,
        *,
        hidden_layer_sizes: Any = (100,),
        optimizer: Any = "adam",
        loss: Any = "auto",
        metrics: Any = None,
        learning_rate: Any = None,
        batch_size: int = 32,
        micro_batch_size: int | None = None,
        epochs: int = 100,
        validation_fraction: float = 0.0,
        stop: Any = None,
        callbacks: Any = None,
        class_weight: Any = None,
        random_state: Any = None,
        warm_start: bool = False,
        engine: str = "auto",
        tracker: Any = None,
        verbose: Any = 0,
        **routed: Any,
    ) -> None:
        self.model = model
        self.hidden_layer_sizes = hidden_layer_sizes
        self.optimizer = optimizer
        self.loss = loss
        self.metrics = metrics
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.micro_batch_size = micro_batch_size
        self.epochs = epochs
        self.validation_fraction = validation_fraction
        self.stop = stop
        self.callbacks = callbacks
        self.class_weight = class_weight
        self.random_state = random_state
        self.warm_start = warm_start
        self.engine = engine
        self.tracker = tracker
        self.verbose = verbose
        self._route(routed)

    @property
    def target_encoder(self) -> Any:
        return ClassEncoder()

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Trains for one epoch, from where the last one ended, the optimizer's moments included.

        A `tracker` gets its curves, not its model. Weights are told by their ratios within one call.

        Args:
            X, y, sample_weight: as for `fit`.
            classes: all labels that may come in later calls, a list of such for several outputs; those of the first
                call's `y` if None.

        Raises:
            ValueError: labels that the first call did not name, or other `classes` than in the first.
        """
        if self.class_weight == "balanced":
            raise ValueError(
                "class_weight 'balanced' is not supported for partial_fit, which sees a part of the data; give the "
                "weights by class, as sklearn.utils.class_weight.compute_class_weight finds them"
            )
        if classes is not None and self._fitted is not None:
            _check_same_classes(classes, self.classes_)
        return self._partial_fit(X, y, sample_weight, classes)

    def predict(self, X: Any) -> Any:
        """The likeliest labels, in the user's own words.

        Args:
            X: samples of the shape that `fit` saw, `(n_samples, ...)`.

        Returns:
            `(n_samples,)`, or `(n_samples, n_outputs)`.

        Raises:
            NotFittedError: it is not fitted yet.
            ValueError: in scikit-learn's words, for samples that are not like those of `fit`.
        """
        return self._decoded(X, return_proba=False)

    @available_if(_has_probabilities)
    def predict_proba(self, X: Any) -> Any:
        """Probabilities in the order of `classes_`; of labels side by side, each one's.

        Args:
            X: as for `predict`.

        Returns:
            `(n_samples, n_classes)`, or `(n_samples, n_labels)`; a list of such for several outputs.

        Raises:
            NotFittedError, ValueError: as `predict` does.
        """
        return self._decoded(X, return_proba=True)

    @available_if(_has_margins)
    def decision_function(self, X: Any) -> Any:
        """Margins of a network that was trained with hinge losses, which has no probabilities.

        Where only some of several outputs have a hinge loss, there is neither this nor `predict_proba`.

        Args:
            X: as for `predict`.

        Returns:
            `(n_samples,)` for two classes, above 0 for the second; else `(n_samples, n_classes)`, and of labels side
            by side `(n_samples, n_labels)`, each there where it is above 0. A list of such for several outputs.

        Raises:
            NotFittedError, ValueError: as `predict` does.
        """
        outputs = self._outputs(X)
        if isinstance(self.n_classes_, list):
            return [_decision(part, n) for part, n in zip(outputs, self.n_classes_, strict=True)]
        if self.target_type_ == "multilabel-indicator":
            return side_by_side(outputs)
        return _decision(outputs, self.n_classes_)

    @available_if(_has_probabilities)
    def predict_log_proba(self, X: Any) -> Any:
        """Natural logarithms of `predict_proba`, in its shape; minus infinity for what cannot be.

        Args:
            X: as for `predict`.

        Returns:
            `(n_samples, n_classes)`, or `(n_samples, n_labels)`; a list of such for several outputs.

        Raises:
            NotFittedError, ValueError: as `predict` does.
        """
        found = self.predict_proba(X)
        with np.errstate(divide="ignore"):
            return [np.log(part) for part in found] if isinstance(found, list) else np.log(found)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """The share of samples whose labels are all right.

        Args:
            X, y, sample_weight: as for `fit`.

        Returns:
            0 to 1, samples counted by their weights.

        Raises:
            NotFittedError, ValueError: as `predict` does, or the labels are of another kind than the predictions.
        """
        several = getattr(self, "target_type_", "") == "multiclass-multioutput"
        return self._scored(_all_right if several else accuracy_score, X, y, sample_weight)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    def _decoded(self, X: Any, return_proba: bool) -> Any:
        outputs, heads = self._outputs(X), self._fitted.heads
        found = probabilities(heads, outputs, exclusive=self.target_type_ != "multilabel-indicator")
        decode = self.target_encoder_.inverse_transform
        if return_proba:
            return decode(found, return_proba=True)
        if self.target_type_ == "multilabel-indicator":
            found = labels_side_by_side(heads, found)
        return decode(found)

    def _weights(self, sample_weight: Any, X: Any, y: Any) -> Any:
        if self.class_weight is None:
            return super()._weights(sample_weight, X, y)
        given = _check_sample_weight(sample_weight, X, dtype=np.float64)
        return super()._weights(given * compute_sample_weight(self.class_weight, y), X, y)

    def _known(self, y: Any) -> Any:
        one_column = self.target_type_ in ("binary", "multiclass")
        if self.warm_start and one_column and not set(np.unique(y)) <= set(self.classes_):
            raise ValueError(
                "warm_start can only be used where `self.classes_` has the same classes as in the previous call to "
                f"fit. Previously got {self.classes_}, `y` has {np.unique(y)}"
            )
        return super()._known(y)

    def _strata(self, y: Any) -> Any:
        return y if y.ndim == 1 else None
