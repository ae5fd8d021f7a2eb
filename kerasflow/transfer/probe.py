"""`kf.Probe`: how well the classes separate at each layer, epoch by epoch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from numbers import Integral
from typing import Any

import keras
import numpy as np

from kerasflow.columns import PROBE
from kerasflow.errors import TrainingError
from kerasflow.training.keras_internals import state_variables
from kerasflow.training.untouched import restored
from kerasflow.transfer.taps import Pooling, Taps


class Probe(keras.callbacks.Callback):
    """Fits a linear classifier on what layers give for some samples, and writes its accuracy on others into the logs.

    So `history.rows` and MLflow have a curve `probe/<layer>` for each layer (linear classifier probes, Alain & Bengio
    2016). The training is not changed by a bit.

    Args:
        layers: see `kf.taps`.
        data: `(x_train, y_train, x_test, y_test)`: the classifier learns from the first two, and its accuracy is of the
            last two. Inputs as the model takes them, and classes `(n_samples,)`; some hundred samples do.
        every: epochs from one measurement to the next.
        classifier: any of scikit-learn's, cloned for each; None for a linear SVM on scaled features.
        pooling: see `kf.taps`.

    Raises:
        TrainingError: data or `every` that cannot be.

    Source:
        Alain & Bengio 2016, Understanding intermediate layers using linear classifier probes, arXiv:1610.01644.
    """

    def __init__(
        self,
        layers: str | Sequence[str],
        *,
        data: tuple[Any, Any, Any, Any],
        every: int = 1,
        classifier: Any = None,
        pooling: Pooling = "avg",
    ) -> None:
        super().__init__()
        if not isinstance(every, Integral) or every < 1:
            raise TrainingError(f"every must be an integer >= 1, got {every!r}")
        self.every: int = int(every)
        self.measure: _Measure = _Measure(layers, data, classifier, pooling)

    @contextmanager
    def watching(self, model: Any) -> Iterator[None]:
        """Inside, layers are those of this model, while a part of it is what is trained."""
        self.measure.whole = model
        try:
            yield
        finally:
            self.measure.whole = None

    def on_train_begin(self, logs: Any = None) -> None:
        """Finds the layers, so that a wrong name is told before the first epoch."""
        self.measure.begin(self.model)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Measures, if this epoch is one of `every`."""
        if logs is not None and (epoch + 1) % self.every == 0:
            logs.update(self.measure())


class _Measure:
    """What a checkpoint of the training need not keep: callables remember nothing."""

    def __init__(self, layers: str | Sequence[str], data: Any, classifier: Any, pooling: Pooling) -> None:
        if not isinstance(data, tuple | list) or len(data) != 4:
            raise TrainingError("data must be (x_train, y_train, x_test, y_test), classifiers learn from the first two")
        self.layers, self.pooling, self.classifier = layers, pooling, classifier
        x_train, y_train, x_test, y_test = data
        self.x = x_train, x_test
        self.y = tuple(np.ravel(np.asarray(y)) for y in (y_train, y_test))
        for x, y, part in zip(self.x, self.y, ("train", "test"), strict=True):
            n = len(keras.tree.flatten(x)[0])
            if n != len(y):
                raise TrainingError(f"the probe has {n} samples in x_{part} and {len(y)} classes in y_{part}")
        self.taps: Taps | None = None
        self.whole: Any = None

    def begin(self, model: Any) -> None:
        self.taps = Taps(model if self.whole is None else self.whole, self.layers, self.pooling)

    def __call__(self) -> dict[str, float]:
        assert self.taps is not None  # training has begun
        with restored(state_variables(self.taps.model)):
            train, test = map(self.taps, self.x)
        return {f"{PROBE}{path}": self._accuracy(train[path], test[path]) for path in self.taps.calls}

    def _accuracy(self, train: Any, test: Any) -> float:
        from sklearn.base import clone

        classifier = _linear() if self.classifier is None else clone(self.classifier)
        train, test = (part.reshape(len(part), -1).astype("float32") for part in (train, test))
        if not (np.isfinite(train).all() and np.isfinite(test).all()):  # a training that diverges is told of by itself
            return float("nan")
        return float(classifier.fit(train, self.y[0]).score(test, self.y[1]))


def _linear() -> Any:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import LinearSVC

    return make_pipeline(StandardScaler(), LinearSVC(C=0.01, random_state=0))
