"""`kf.save` and `kf.load`: estimators as files that hold no pickle, and whose loading runs no code of theirs."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kerasflow.errors import EstimatorError, sentence
from kerasflow.estimators.portable import portable, trusting
from kerasflow.trust import SCIKIT_LEARN

# What an estimator of kerasflow's is made of, beside scikit-learn's and NumPy's own types.
TRUSTED = [
    *SCIKIT_LEARN,
    "kerasflow.estimators.classifier.KerasClassifier",
    "kerasflow.estimators.extractor.FeatureExtractor",
    "kerasflow.estimators.fitted.Fitted",
    "kerasflow.estimators.portable.SavedName",
    "kerasflow.estimators.portable.SavedModel",
    "kerasflow.estimators.portable.SavedObject",
    "kerasflow.estimators.recipe.Recipe",
    "kerasflow.estimators.recording.Tracking",
    "kerasflow.estimators.regressor.KerasRegressor",
    "kerasflow.estimators.targets.ClassEncoder",
    "kerasflow.estimators.transfer.TransferClassifier",
    "kerasflow.transfer.stages.Stage",
    "kerasflow.estimators.targets.NumberEncoder",
    "kerasflow.training.history.History",
    "kerasflow.training.stop.AllOf",
    "kerasflow.training.stop.AnyOf",
    "kerasflow.training.stop.Deadline",
    "kerasflow.training.stop.Divergence",
    "kerasflow.training.stop.Plateau",
    "kerasflow.training.stop.Threshold",
]


def save(estimator: Any, path: str | os.PathLike[str]) -> None:
    """Writes an estimator, fitted or not, alone or within a pipeline or a search, to one file.

    The file is in the format of skops; networks in it are `.keras` files. It is written aside and then renamed.

    Args:
        estimator: any of scikit-learn's rules. A callable that makes a model is kept by its name; a fitted model needs
            it no more to predict. Callbacks are kept as classes, `callbacks=keras.callbacks.EarlyStopping,
            callbacks__patience=3`; of objects, `kf.load` wants to be told that they are trusted.
        path: of the file, such as `model.skops`.

    Raises:
        EstimatorError: it holds something that no file can, such as a lambda.
    """
    from skops import io

    file = Path(path)
    with portable():
        try:
            content = io.dumps(estimator, compression=zipfile.ZIP_DEFLATED)
        except EstimatorError:
            raise
        except Exception as error:  # skops meets whatever an estimator may hold
            raise EstimatorError(f"{type(estimator).__name__} cannot be saved: {sentence(error)}") from error
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_name(file.name + ".tmp")
    aside.write_bytes(content)
    os.replace(aside, file)


def load(path: str | os.PathLike[str], trusted: Sequence[Any] = ()) -> Any:
    """Reads what `kf.save` wrote.

    Args:
        path: of the file.
        trusted: classes and functions that the file names beside scikit-learn's estimators, NumPy's arrays and
            kerasflow's own, or their full names; anything else is refused.

    Returns:
        The estimator as it was saved, fitted or not.

    Raises:
        EstimatorError: there is no such file, it is not one of these, or it names what is not trusted.
    """
    from skops import io
    from skops.io.exceptions import UntrustedTypesFoundException

    file = Path(path)
    names = [one if isinstance(one, str) else f"{one.__module__}.{one.__qualname__}" for one in trusted]
    own = {one.__name__: one for one in trusted if not isinstance(one, str)}
    try:
        with trusting(own):
            return io.load(file, trusted=[*TRUSTED, *names])
    except EstimatorError as error:
        raise EstimatorError(f"{file}: {error}") from error
    except FileNotFoundError as error:
        raise EstimatorError(f"{file}: there is no such file") from error
    except UntrustedTypesFoundException:
        unknown = [name for name in io.get_untrusted_types(file=file) if name not in (*TRUSTED, *names)]
        raise EstimatorError(
            f"{file}: names {', '.join(unknown)}, which loading would import; if you trust the file, "
            f"kf.load(path, trusted={unknown!r})"
        ) from None
    except Exception as error:  # bytes that skops did not write fail in many ways
        raise EstimatorError(f"{file}: is no estimator that kf.save wrote: {sentence(error)}") from error
