"""What a tracking store can hold, and how a value beyond that is made to fit: visibly, never in silence.

MLflow cuts long values, refuses whole batches for one bad key, and stores an infinite metric as ±1.8e308, which
flattens every chart that it is in. The limits are those of MLflow 3.17.
"""

from __future__ import annotations

import logging
import math
import posixpath
import re
from collections.abc import Mapping
from typing import Any

KEY_LENGTH = 250
PARAM_LENGTH = 6000
TAG_LENGTH = 8000
DIGEST_LENGTH = 36

_log = logging.getLogger(__name__)


def fit_key(key: str) -> str:
    """The key with what MLflow refuses replaced by `_`, cut to 250 characters; it also is a tidy relative path."""
    fitted = re.sub(r"[^A-Za-z0-9_\-. :/]", "_", key)[:KEY_LENGTH]
    tidy = posixpath.normpath(fitted).lstrip("/")
    fitted = "_" if tidy in ("", ".") or tidy.startswith("..") else tidy
    if fitted != key:
        _log.warning("the tracking store cannot hold the key %.80r; it is kept as %.80r", key, fitted)
    return fitted


def fit_value(key: str, value: Any, length: int) -> str:
    """The value as text of at most `length` characters; a longer one ends by saying how long it was."""
    text = str(value)
    if len(text) <= length:
        return text
    _log.warning("the tracking store cannot hold the %d characters of %r; they are cut at %d", len(text), key, length)
    note = f"… ({len(text)} characters, cut)"
    return text[: length - len(note)] + note


def fit_texts(values: Mapping[str, Any], length: int) -> dict[str, str]:
    """Params or tags that the store takes; keys that become the same are told apart by `_2`, `_3`, ..."""
    fitted: dict[str, str] = {}
    for key, value in values.items():
        fitted[_unused(fit_key(key), fitted)] = fit_value(key, value, length)
    return fitted


def fit_metrics(values: Mapping[str, float]) -> tuple[dict[str, float], dict[str, float]]:
    """The metrics that the store takes, and those among the given ones that are not finite.

    An infinity becomes NaN, which a chart leaves out; the second result lets the caller record what it was.
    """
    fitted: dict[str, float] = {}
    strange: dict[str, float] = {}
    for key, value in values.items():
        number = float(value)
        if not math.isfinite(number):
            strange[key] = number
        fitted[_unused(fit_key(key), fitted)] = math.nan if math.isinf(number) else number
    return fitted, strange


def _unused(key: str, taken: Mapping[str, Any]) -> str:
    candidate, count = key, 1
    while candidate in taken:
        count += 1
        suffix = f"_{count}"
        candidate = key[: KEY_LENGTH - len(suffix)] + suffix
    return candidate
