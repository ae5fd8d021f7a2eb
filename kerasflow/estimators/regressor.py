"""`kf.KerasRegressor`."""

from __future__ import annotations

from typing import Any, Self

from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score

from kerasflow.estimators.base import KerasEstimator
from kerasflow.estimators.targets import NumberEncoder


class KerasRegressor(RegressorMixin, KerasEstimator):
    """A Keras model as a scikit-learn regressor.

    Args:
        model: as for `kf.KerasClassifier`; so are the others. `loss="auto"` is the mean squared error.

    Attributes:
        model_: the trained `keras.Model`.
        history_: a `kf.History`; `history_["loss"]` is a curve.
        n_iter_: epochs completed. loss_curve_: their costs.
        n_features_in_, feature_names_in_: as scikit-learn's.

    Example:
        >>> model = make_pipeline(StandardScaler(), kf.KerasRegressor(epochs=50, random_state=0))
        >>> model.fit(x, y).score(x_test, y_test)
    """

    _y_numeric = True

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
        self.random_state = random_state
        self.warm_start = warm_start
        self.engine = engine
        self.tracker = tracker
        self.verbose = verbose
        self._route(routed)

    @property
    def target_encoder(self) -> Any:
        return NumberEncoder()

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Trains for one epoch, from where the last one ended, the optimizer's moments included.

        A `tracker` gets its curves, not its model. Weights are told by their ratios within one call.

        Args:
            X, y, sample_weight: as for `fit`.

        Returns:
            The estimator itself.

        Raises:
            ValueError: another number of features or targets than in the first call.
            KerasflowError: as `fit` does.
        """
        return self._partial_fit(X, y, sample_weight)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """The coefficient of determination, R²; the mean of them for several targets.

        Args:
            X, y, sample_weight: as for `fit`.

        Returns:
            1 at best; 0 for whoever always says the mean.

        Raises:
            NotFittedError, ValueError: as `predict` does.
        """
        return self._scored(r2_score, X, y, sample_weight)

    def predict(self, X: Any) -> Any:
        """The model's outputs, in the shape of the targets.

        Args:
            X: samples of the shape that `fit` saw, `(n_samples, ...)`.

        Returns:
            `(n_samples,)`, or `(n_samples, n_outputs)`.

        Raises:
            NotFittedError: it is not fitted yet.
            ValueError: in scikit-learn's words, for samples that are not like those of `fit`.
        """
        outputs = self._outputs(X)
        return self.target_encoder_.inverse_transform(outputs)
