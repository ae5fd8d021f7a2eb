"""What classifier and regressor share: check, encode, make the model, train it, and give its outputs."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Self

import numpy as np
from scipy.sparse import issparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, column_or_1d, validate_data

from kerasflow.estimators.arguments import arguments_of, listed
from kerasflow.estimators.continuation import joined, with_weights_of
from kerasflow.estimators.features import as_features, batch_for_prediction, precision_of
from kerasflow.estimators.fitted import Fitted
from kerasflow.estimators.parameters import RoutedParameters
from kerasflow.estimators.portable import as_data, from_data, is_portable
from kerasflow.estimators.recipe import Recipe, resolved, targets_for
from kerasflow.estimators.targets import ClassEncoder
from kerasflow.estimators.training_data import at, without_held_out, zeros
from kerasflow.training.history import History, Row
from kerasflow.training.trainer import fit as train

LARGEST_SEED = 2**31 - 1
LOOKED_AT = 32  # samples whose outputs tell whether a model gives probabilities

# joblib tells its workers by this variable how many threads each may have, so that together they fill the machine once;
# TensorFlow listens to others, and to them only before its first operation.
if "OMP_NUM_THREADS" in os.environ:
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ.setdefault(name, os.environ["OMP_NUM_THREADS"])


class KerasEstimator(RoutedParameters):
    """See `kf.KerasClassifier` and `kf.KerasRegressor`."""

    _parameter_constraints: dict[str, Any] = {
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "optimizer": [str, callable, HasMethods("apply_gradients")],
        "loss": [str, callable, list, tuple, dict, None],
        "metrics": [str, callable, list, tuple, dict, None],
        "learning_rate": [Interval(Real, 0, None, closed="neither"), callable, None],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "micro_batch_size": [Interval(Integral, 1, None, closed="left"), None],
        "epochs": [Interval(Integral, 1, None, closed="left")],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "random_state": ["random_state"],
        "warm_start": ["boolean"],
        "engine": [StrOptions({"auto", "graph", "xla", "eager"})],
        "verbose": ["verbose", StrOptions({"auto"})],
    }

    # ---- what subclasses may replace -------------------------------------------------------------------------------

    @property
    def target_encoder(self) -> Any:
        """A new encoder of targets; see `kerasflow.estimators.targets`."""
        raise NotImplementedError

    @property
    def feature_encoder(self) -> Any:
        """A new transformer of checked samples into what the model takes, such as a list of several inputs; or None."""
        return None

    _fitted: Any = None
    _search_run: Any = None
    _recorded_in: tuple[Any, str] = (None, "")
    scorer: Any = None
    """A static method `(y_true, y_pred, **kwargs)` that `score` asks instead of accuracy or R²."""

    # ---- scikit-learn's methods ------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Trains a new model; with `warm_start`, from the weights that there are.

        Args:
            X: `(n_samples, n_features)`, or samples of any shape `(n_samples, ...)`; an array, a frame, or a sparse
                table. Computed in float64 if it is float64, else in float32.
            y: `(n_samples,)` or `(n_samples, n_outputs)`.
            sample_weight: `(n_samples,)`; only the ratios count: their mean is made 1.

        Returns:
            The estimator itself.

        Raises:
            ValueError: in scikit-learn's words, for data or parameters that cannot be.
            KerasflowError: the model, the loss and the data do not fit together.

        Warns:
            ConvergenceWarning: the cost was no finite number any more; `history_.stop_reason` says when.
        """
        self._check_parameters()
        goes_on = bool(self.warm_start) and self._fitted is not None
        X, y = self._checked(X, y, reset=not goes_on)
        return self._train(X, y, sample_weight, goes_on, new_optimizer=True, epochs=self._fit_argument("epochs"))

    fit.__qualname__ = "fit"  # by which Python names it where it is given another keyword

    def _partial_fit(self, X: Any, y: Any, sample_weight: Any, classes: Any = None) -> Self:
        self._check_parameters()
        goes_on = self._fitted is not None
        X, y = self._checked(X, y, reset=not goes_on)
        return self._train(X, y, sample_weight, goes_on, new_optimizer=False, epochs=1, classes=classes)

    def initialize(self, X: Any, y: Any) -> Self:
        """Makes the model, and trains nothing: so that a `keras.Model` that is trained already can predict.

        Args:
            X, y: as for `fit`.

        Returns:
            The estimator itself, with a history of no epochs.

        Raises:
            ValueError, KerasflowError: as `fit` does.
        """
        self._check_parameters()
        X, y = self._checked(X, y, reset=True)
        self._begin(X, y, None)
        self._fitted.build()
        self.history_ = History()
        return self

    @property
    def model_(self) -> Any:
        """The trained `keras.Model`, from now on yours as well: what is done to it is done to the estimator.

        Until somebody asks for it, a perceptron's or a spec's model may serve a later fit once its estimator is gone;
        after that it is never used for another.

        Raises:
            NotFittedError: it is not fitted yet.
        """
        check_is_fitted(self)
        return self._fitted.give()

    @property
    def loss_curve_(self) -> list[float]:
        """The cost of each epoch.

        Raises:
            NotFittedError: it is not fitted yet.
        """
        check_is_fitted(self)
        return list(self.history_.history.get("loss", []))

    @property
    def n_iter_(self) -> int:
        """Epochs completed.

        Raises:
            NotFittedError: it is not fitted yet.
        """
        check_is_fitted(self)
        return int(self.history_.rows[-1]["epoch"]) if self.history_.rows else 0

    def __sklearn_is_fitted__(self) -> bool:
        return self._fitted is not None

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.target_tags.required = True
        return tags

    def __sklearn_clone__(self) -> Any:
        copy = super().__sklearn_clone__()
        if self.tracker is not None:
            from kerasflow.estimators.searches import search_run_for

            copy._search_run = search_run_for(copy, self._search_run)
        return copy

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        names = self.get_params(deep=False) if is_portable() else ()
        return state | {name: as_data(state[name]) for name in names if name in state}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__({name: from_data(value) for name, value in state.items()})

    # ---- how -------------------------------------------------------------------------------------------------------

    def _check_parameters(self) -> None:
        self._validate_params()
        self._check_routed()

    def _checked(self, X: Any, y: Any, reset: bool) -> tuple[Any, Any]:
        if not reset:
            self._check_sample_shape(X)
        X, y = validate_data(
            self, X, y, reset=reset, accept_sparse="csr", allow_nd=True, multi_output=True, y_numeric=self._y_numeric
        )
        y = y.toarray() if issparse(y) else y
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        return X, y

    _y_numeric = False

    def _check_sample_shape(self, X: Any) -> None:
        """Of samples that are no rows of a table, scikit-learn compares the first axis alone, as if it were columns."""
        shape, known = tuple(X.shape if hasattr(X, "shape") else np.asarray(X).shape), self.X_shape_
        if max(len(shape), len(known)) > 2 and shape[1:] != known[1:]:
            raise ValueError(
                f"X has samples of shape {shape[1:]}, but {type(self).__name__} is expecting samples of shape "
                f"{known[1:]} as input."
            )

    def _weights(self, sample_weight: Any, X: Any, y: Any) -> Any:
        """Weights whose mean is 1, so that learning rates mean what they do without any; None without."""
        if sample_weight is None:
            return None
        weight = _check_sample_weight(sample_weight, X, dtype=np.float64)
        if weight.sum() <= 0:
            raise ValueError("sample_weight must hold a positive weight, got none above 0")
        return weight / weight.mean()

    def _begin(self, X: Any, y: Any, classes: Any) -> tuple[Any, Any]:
        """Learns what is known of the data, and makes the model; gives the data as the model takes them."""
        features, targets = self.feature_encoder, self.target_encoder
        seed = int(check_random_state(self.random_state).randint(LARGEST_SEED))
        encoded = X = as_features(X)
        if features is not None:
            encoded = features.fit_transform(X)
        self._fitted = None  # what was learned before is gone from here on
        if hasattr(self, "run_id_"):
            del self.run_id_
        targets.fit(y, **({} if classes is None or not isinstance(targets, ClassEncoder) else {"classes": classes}))
        labels = targets.transform(y)
        facts = {"X_shape_": tuple(X.shape), "X_dtype_": X.dtype, "y_dtype_": y.dtype, "y_ndim_": y.ndim}
        facts |= {"target_type_": str(type_of_target(y, input_name="y")), **_facts(features), **_facts(targets)}
        self.feature_encoder_, self.target_encoder_ = features, targets
        for name, fact in facts.items():
            setattr(self, name, fact)
        given = {name: getattr(self, name) for name in ("n_features_in_", "feature_names_in_") if hasattr(self, name)}
        recipe = self._recipe(facts | given, precision_of(X), seed, zeros(encoded))
        fitted = Fitted(recipe)
        wanted = targets_for(fitted.heads, recipe, labels)
        fitted.check_outputs(at(encoded, slice(LOOKED_AT)))
        self._fitted = fitted
        return encoded, wanted

    def _recipe(self, meta: dict[str, Any], precision: Any, seed: int, sample: Any) -> Recipe:
        return Recipe(
            *resolved(self._maker, self.routed("model")),
            self.hidden_layer_sizes,
            (self.optimizer, self.routed("optimizer")),
            (self.loss, self.routed("loss")),
            (self.metrics, self.routed("metrics")),
            self.routed("compile"),
            self.learning_rate,
            meta,
            precision,
            seed,
            sample,
            self.get_params(deep=False),
        )

    def _train(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        goes_on: bool,
        new_optimizer: bool,
        epochs: int,
        classes: Any = None,
    ) -> Self:
        weight = self._weights(sample_weight, X, y)
        before, fitted = History(), self._fitted
        if goes_on:
            x, targets = self._going_on(X, y, new_optimizer)
            before = self.history_
        else:
            x, targets = self._begin(X, y, classes)
        put_back = fitted.snapshot() if goes_on and not new_optimizer else None
        rows: list[Row] = []
        try:
            arguments = self._arguments(x, targets, weight, y, before, epochs)
            self.history_ = self._run(arguments, X, y, before, rows, in_parts=not new_optimizer)
        except KeyboardInterrupt:  # what was trained until then is of use
            self.history_ = joined(before, History(rows, "interrupted: Ctrl-C"), listed(self.stop))
            raise
        except BaseException:
            self._fitted = fitted if goes_on else None  # what is half trained must not pass for a fit
            if put_back is not None:
                put_back()
            raise
        if self.history_.stop.get("rule") == "divergence":
            warnings.warn(f"{type(self).__name__}: {self.history_.stop_reason}", ConvergenceWarning, stacklevel=3)
        return self

    def _arguments(self, x: Any, y: Any, weight: Any, labels: Any, before: History, epochs: int) -> dict[str, Any]:
        """Of `kf.fit`, on the model's own data."""
        done = int(before.rows[-1]["epoch"]) if before.rows else 0
        seed, given = self._fitted.recipe.seed, arguments_of(self)
        if not all(type(callback).__module__.startswith("keras.") for callback in given["callbacks"]):
            self._fitted.give()  # one of the user's own may keep the model
        return {
            "seed": seed,
            **without_held_out(x, y, weight, self.validation_fraction, seed, self._strata(labels)),
            **given,
            **self._given_validation(given),
            "epochs": done + int(epochs),
            "initial_epoch": done,
        }

    def _run(
        self, arguments: dict[str, Any], X: Any, y: Any, before: History, rows: list[Row], in_parts: bool
    ) -> History:
        """Trains, and gives the history with what was before; rows are added as they come."""
        model = self._fitted.model
        if self.tracker is None:
            return joined(before, self._trained(model, arguments, rows.append), arguments["stop"])
        from kerasflow.estimators.recording import as_tracking, recording

        tracking = as_tracking(self.tracker)
        known, place = self._recorded_in
        folder = Path(place) if before.rows and known == tracking else None
        search, self._search_run = self._search_run, None
        with recording(self, search, X, y, folder, before.updates) as record:
            self._recorded_in = tracking, str(record.folder)

            def told(row: Row) -> None:
                rows.append(row)
                record.epoch(row)

            history = joined(before, self._trained(model, arguments, told), arguments["stop"])
            record.end(history, None if in_parts else (model, at(arguments["x"], slice(1))))
        self.run_id_ = record.run_id
        return history

    def _trained(self, model: Any, arguments: dict[str, Any], on_epoch: Callable[[Row], None]) -> History:
        """Trains a compiled model in place by the arguments of `kf.fit`."""
        return train(model, **arguments, on_epoch=on_epoch)

    def _going_on(self, X: Any, y: Any, new_optimizer: bool) -> tuple[Any, Any]:
        """From the weights that there are; `fit` compiles anew, as it was told now, and `partial_fit` does not."""
        X = as_features(X)
        x = X if self.feature_encoder_ is None else self.feature_encoder_.transform(X)
        labels = self._known(y)
        if new_optimizer:
            known = self._fitted.recipe
            recipe = self._recipe(known.meta, known.precision, known.seed, known.sample)
            self._fitted = with_weights_of(self._fitted, recipe)
        return x, targets_for(self._fitted.heads, self._fitted.recipe, labels)

    def _known(self, y: Any) -> Any:
        return self.target_encoder_.transform(y)

    def _given_validation(self, routed: dict[str, Any]) -> dict[str, Any]:
        """What the user holds out, `(X, y)` or `(X, y, sample_weight)`, as the model takes it."""
        given = routed.get("validation_data")
        if not isinstance(given, list | tuple):
            return {}
        X, y = self._checked(given[0], given[1], reset=False)
        X = as_features(X)
        x = X if self.feature_encoder_ is None else self.feature_encoder_.transform(X)
        labels = self.target_encoder_.transform(y)
        return {"validation_data": (x, targets_for(self._fitted.heads, self._fitted.recipe, labels), *given[2:])}

    def _strata(self, y: Any) -> Any:
        return None

    def _fit_argument(self, name: str) -> Any:
        return self.routed("fit").get(name, getattr(self, name))

    def _scored(self, metric: Any, X: Any, y: Any, sample_weight: Any) -> float:
        more = self.routed("score") | ({} if sample_weight is None else {"sample_weight": sample_weight})
        y = y.toarray() if issparse(y) else np.asarray(y)
        return float((self.scorer or metric)(y, self.predict(X), **more))

    def _outputs(self, X: Any) -> Any:
        """The model's outputs, as arrays."""
        X = self._samples(X)
        x = X if self.feature_encoder_ is None else self.feature_encoder_.transform(X)
        batch = self.routed("predict").get("batch_size") or batch_for_prediction(X, int(self.batch_size))
        return self._fitted.inference(x, batch)

    def _samples(self, X: Any) -> Any:
        """Samples to predict, checked to be like those that were learned from."""
        check_is_fitted(self)
        self._check_sample_shape(X)
        return as_features(validate_data(self, X, reset=False, accept_sparse="csr", allow_nd=True))


def _facts(encoder: Any) -> dict[str, Any]:
    return dict(encoder.get_metadata()) if hasattr(encoder, "get_metadata") else {}
