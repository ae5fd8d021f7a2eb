"""The third way to train: a network gives features, and a classifier of scikit-learn learns from them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from kerasflow.errors import RunError, TrainingError, did_you_mean, sentence
from kerasflow.spec.catalogue import snake_case
from kerasflow.training.evaluate import Judged
from kerasflow.training.history import History, Row
from kerasflow.training.progress import Progress, Verbose
from kerasflow.transfer.acceleration import accelerated, scikit_learns_own
from kerasflow.transfer.cache import FeatureCache, Features, gigabytes
from kerasflow.transfer.extraction import Extraction
from kerasflow.transfer.freezing import count
from kerasflow.transfer.images import Observed
from kerasflow.trust import SCIKIT_LEARN

FILE = "classifier.skops"
FOLDS = 5  # of a search over a grid
_OF_KERNELS = {"kernel", "gamma", "degree", "coef0"}


def make_classifier(
    name: str, arguments: Mapping[str, Any], grid: Mapping[str, Sequence[Any]], task: str, seed: int
) -> Any:
    """A pipeline that scales features to mean 0 and variance 1 and learns from them.

    Args:
        name: `svm` (linear unless `kernel`, `gamma`, `degree` or `coef0` is given or searched), or an estimator of
            scikit-learn's in snake case, such as `logistic_regression`.
        arguments: of its constructor.
        grid: values to try by argument, by cross-validation in `FOLDS` folds; by scikit-learn-intelex if that is
            installed.
        task: `binary`, `multiclass` or `regression`.
        seed: of whatever it draws.

    Raises:
        TrainingError: there is no such estimator, or it does not take these arguments.
    """
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    made = _kind(name, {*arguments, *grid}, task)
    try:
        known = made().get_params()
    except TypeError as error:
        raise TrainingError(f"classifier: {name} is made of other estimators, which a spec cannot name") from error
    for argument in [*arguments, *grid]:
        if argument not in known:
            raise TrainingError(f"classifier: {name} has no argument {argument!r}{did_you_mean(argument, known)}")
    seeded = {"random_state": seed} if "random_state" in known else {}
    if not grid:
        return make_pipeline(StandardScaler(), made(**seeded | dict(arguments)))
    estimator = make_pipeline(StandardScaler(), accelerated(made)(**seeded | dict(arguments)))
    step = estimator.steps[-1][0]
    return GridSearchCV(estimator, {f"{step}__{name}": list(values) for name, values in grid.items()}, cv=FOLDS)


def _kind(name: str, wanted: set[str], task: str) -> Any:
    """What makes an estimator of this name that takes these arguments, as far as there is one."""
    from sklearn.svm import SVC, SVR, LinearSVC, LinearSVR
    from sklearn.utils import all_estimators

    regression = task == "regression"
    if name == "svm":
        linear, general = (LinearSVR, SVR) if regression else (LinearSVC, SVC)
        if not wanted & (set(general().get_params()) - set(linear().get_params())):
            return linear
        return general if wanted & _OF_KERNELS else partial(general, kernel="linear")
    estimators = {
        snake_case(found): kind for found, kind in all_estimators("regressor" if regression else "classifier")
    }
    if name not in estimators:
        raise TrainingError(
            f"classifier: scikit-learn has no {'regressor' if regression else 'classifier'} {name!r}"
            f"{did_you_mean(name, ['svm', *estimators])}"
        )
    return estimators[name]


def features_of(model: Any, batch_size: int | None = None) -> Extraction:
    """What computes a model's own outputs, one vector a sample."""
    return Extraction(model, None, batch_size=batch_size)


class FeatureTrainer:
    """Computes a model's outputs once, and fits a classifier to them; the model itself does not change.

    Args:
        classifier: of scikit-learn, not fitted.
        batch_size: samples for each forward pass; None for what suits the network and the machine.
        cache: where features are kept; None if they are not.
        verbose: 0 is silent.
    """

    is_chief = True

    def __init__(
        self,
        classifier: Any,
        batch_size: int | None = None,
        cache: FeatureCache | None = None,
        verbose: Verbose = 0,
    ) -> None:
        self.classifier, self.batch_size, self.cache, self.verbose = classifier, batch_size, cache, verbose
        self.fitted: Any = None
        self._extraction: Extraction | None = None

    @property
    def cost(self) -> str:
        """What the cost is called: there is none."""
        return ""

    def check(self, model: Any, x: Any, y: Any = None, *, validation: Any = None) -> None:
        """Whether the model gives one vector a sample.

        Raises:
            TrainingError: it does not.
        """
        model.trainable = False
        if len(model.output_shape) != 2:
            raise TrainingError(
                f"a classifier takes one vector a sample, but the model gives shape {model.output_shape[1:]}; set the "
                "backbone's pooling to avg or max, or flatten it"
            )

    def engine_for(self, model: Any, x: Any, y: Any = None) -> tuple[str, str]:
        """Features are computed by a graph."""
        return "graph", "features are computed once"

    def fit(
        self,
        model: Any,
        x: Any,
        y: Any = None,
        *,
        validation: Any = None,
        on_epoch: Callable[[Row], None] | None = None,
        on_update: Any = None,
        checkpoints: Any = None,
    ) -> History:
        """Fits the classifier.

        Args:
            model: gives `(n_samples, n_features)`.
            x, y: arrays; y are class indices, or numbers.
            validation: `(x, y)`, scored.
            on_epoch: called with the one row that there is.
            on_update: not called; nothing is updated.
            checkpoints: not needed; what was interrupted begins again.

        Raises:
            TrainingError: scikit-learn refuses.
        """
        began = time.perf_counter()
        shown = Progress(self.verbose, 1)
        frozen = count(model).frozen
        width = sum(self._extraction_of(model).sizes(x.shape[1:]).values())
        shown.say(
            f"Computing {width:,} features of {len(x):,} samples ({gigabytes(4 * width * len(x))}) with a network of "
            f"{frozen:,} weights, none of which learns."
        )
        features = self._features(model, x)
        computed = time.perf_counter() - began
        shown.say(f"They are there after {computed:.3g} s; now fitting {_title(self.classifier)}.")
        with _refusals_of(self.classifier):
            fitted = self.classifier.fit(features, y)
            self.fitted = scikit_learns_own(getattr(fitted, "best_estimator_", fitted), features, y)
        row: Row = {"epoch": 1, self._score: self._scored(features, y)}
        if validation is not None:
            row[f"val_{self._score}"] = self.evaluate(model, *validation)[self._score]
        row |= {"features": features.shape[1], "updates": 0, "lr": 0.0}
        row |= {"feature_seconds": computed, "seconds": time.perf_counter() - began}
        row["samples_per_second"] = len(x) / max(computed, 1e-9)
        shown.line(row)
        if on_epoch is not None:
            on_epoch(row)
        reason = f"features: {_title(self.classifier)} is fitted{_chosen(fitted)}"
        return History([row], reason, {"rule": "features", "epoch": 1}, best_epoch=1, engine="graph")

    @property
    def _score(self) -> str:
        from sklearn.base import is_classifier

        return "accuracy" if is_classifier(self.classifier) else "r2"

    def evaluate(self, model: Any, x: Any, y: Any, engine: str = "graph") -> dict[str, float]:
        """Accuracy, or the coefficient of determination, on arrays."""
        return {self._score: self._scored(self._features(model, x), y)}

    def _scored(self, features: np.ndarray, y: Any) -> float:
        with _refusals_of(self.fitted):
            return float(self.fitted.score(features, y))

    def predict(self, model: Any, x: Any) -> np.ndarray:
        """See `outputs`."""
        return outputs(self.fitted, self._features(model, x))

    def judge(self, model: Any, x: Any, y: Any) -> Judged:
        """See `outputs`; the error is the classifier's answer's, for it has no cost that Keras knows."""
        return _judged(self.predict(model, x), np.asarray(y), self._score == "accuracy")

    def _features(self, model: Any, x: Any) -> Features:
        return self._extraction_of(model)(Observed(x), self.cache)

    def _extraction_of(self, model: Any) -> Extraction:
        if self._extraction is None or self._extraction.taps.model is not model:
            self._extraction = features_of(model, self.batch_size)
        return self._extraction

    def keep(self, folder: Path) -> tuple[str, ...]:
        """Writes the classifier beside the model, aside and then renamed; gives the file's name.

        Raises:
            RunError: the disk refuses, or the classifier could not be read back.
        """
        from skops import io

        content = io.dumps(self.fitted)
        strange = set(io.get_untrusted_types(data=content)) - set(SCIKIT_LEARN)
        if strange:
            raise RunError(
                f"{_title(self.fitted)} cannot be kept: it is made of {', '.join(sorted(strange))}, which no file may "
                "name; choose another classifier"
            )
        try:
            aside = folder / f"{FILE}.tmp"
            aside.write_bytes(content)
            os.replace(aside, folder / FILE)
        except OSError as error:
            raise RunError(f"{folder / FILE}: cannot be written: {error.strerror or error}") from error
        return (FILE,)


def outputs(classifier: Any, features: np.ndarray) -> np.ndarray:
    """A fitted classifier's answers as a network would give them.

    Returns:
        Probabilities `(n_samples, n_classes)`, of two classes that of the second `(n_samples, 1)`; class indices
        `(n_samples,)` int64 of a classifier without probabilities; numbers `(n_samples,)` of a regressor.

    Raises:
        TrainingError: scikit-learn refuses.
    """
    with _refusals_of(classifier):
        if not hasattr(classifier, "predict_proba"):
            return np.asarray(classifier.predict(features))
        found = np.asarray(classifier.predict_proba(features))
    return found[:, 1:] if found.shape[1] == 2 else found


def _judged(answers: np.ndarray, y: np.ndarray, of_classes: bool) -> Judged:
    """Squared errors of numbers; of classes the cross-entropy of their probabilities, or without those 1 a slip."""
    if not of_classes:
        squares = (answers - y.reshape(answers.shape)).astype(np.float64) ** 2
        return Judged(answers, squares.reshape(len(y), -1).mean(axis=1), "squared error")
    if answers.ndim == 1:
        return Judged(answers, (answers != y).astype(np.float64), "1 for a wrong class")
    both = np.concatenate([1.0 - answers, answers], axis=1) if answers.shape[1] == 1 else answers
    right = np.take_along_axis(both, y.astype(np.intp).reshape(-1, 1), axis=1)[:, 0].astype(np.float64)
    return Judged(answers, -np.log(np.maximum(right, np.finfo(np.float64).tiny)), "crossentropy")


def load_classifier(file: Path) -> Any:
    """Reads what `FeatureTrainer.keep` wrote; nothing but scikit-learn's own types is constructed.

    Raises:
        RunError: it cannot be read.
    """
    from skops import io

    try:
        return io.load(file, trusted=list(SCIKIT_LEARN))
    except Exception as error:  # skops meets bytes of any kind
        raise RunError(f"{file}: cannot be read: {sentence(error)}") from error


@contextmanager
def _refusals_of(classifier: Any) -> Iterator[None]:
    """What scikit-learn says in the block, in one sentence."""
    try:
        yield
    except ValueError as error:
        told = str(error).strip()
        if "fits failed" in told:  # of a search; behind them comes the first one's error, its message last
            told = told.splitlines()[-1].rpartition("Error: ")[2]
        raise TrainingError(f"{_title(classifier)} refuses: {sentence(ValueError(told))}") from error


def _chosen(fitted: Any) -> str:
    """What a search has chosen."""
    best = getattr(fitted, "best_params_", {})
    told = ", ".join(f"{name.partition('__')[2]}={value}" for name, value in best.items())
    return f" with {told}" if told else ""


def _title(classifier: Any) -> str:
    inner = getattr(classifier, "estimator", classifier)
    name = type(inner.steps[-1][1]).__name__
    return name if inner is classifier else f"{name}, by a grid of {len(classifier.param_grid)} arguments"
