"""Optuna, loaded where a sweep begins, and silent: what is to be said is said by the sweep."""

from __future__ import annotations

import warnings
from typing import Any

from kerasflow.errors import MissingExtra


def optuna() -> Any:
    """The package.

    Raises:
        MissingExtra: there is none.
    """
    try:
        import optuna as package
    except ImportError:
        raise MissingExtra("a sweep needs a package: pip install 'kerasflow[sweep]'") from None
    package.logging.set_verbosity(package.logging.CRITICAL)
    warnings.filterwarnings("ignore", category=package.exceptions.ExperimentalWarning)
    return package
