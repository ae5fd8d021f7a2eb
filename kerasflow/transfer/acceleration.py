"""scikit-learn-intelex, where it is installed: for the many fits of a search, never for the one that is kept.

What its estimators hold cannot be kept in a file that loads without it, so the best candidate is fitted once more by
scikit-learn itself. Nothing of scikit-learn is patched.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

_INTELS = "sklearnex"


def accelerated(make: Callable[..., Any]) -> Callable[..., Any]:
    """What makes the same estimator by scikit-learn-intelex, if it is installed and has one.

    Args:
        make: a class of scikit-learn's, or a `functools.partial` of one.
    """
    kind, given = (make.func, make.keywords) if isinstance(make, partial) else (make, {})
    package, _, rest = kind.__module__.partition("._")[0].partition(".")
    if package != "sklearn" or find_spec(_INTELS) is None:
        return make
    try:
        twin = getattr(import_module(f"{_INTELS}.{rest}"), kind.__name__, None)
    except ImportError:  # it has none of that kind; or OpenVINO, loaded before it, has brought an older TBB
        twin = None
    return make if twin is None else partial(twin, **given)


def scikit_learns_own(fitted: Any, X: np.ndarray, y: np.ndarray) -> Any:
    """The same pipeline with scikit-learn's own estimator at its end, fitted anew if it was not that already.

    Args:
        fitted: a pipeline.
        X, y: `(n_samples, n_features)` and `(n_samples,)`.
    """
    from sklearn.base import clone
    from sklearn.pipeline import make_pipeline

    last = fitted[-1]
    module, _, name = type(last).__module__.partition(".")
    if module != _INTELS:
        return fitted
    own = getattr(import_module(f"sklearn.{name.partition('.')[0]}"), type(last).__name__)
    params = {key: value for key, value in last.get_params(deep=False).items() if key in own().get_params()}
    return make_pipeline(clone(fitted[0]), own(**params)).fit(X, y)
