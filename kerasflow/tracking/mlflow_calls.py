"""How MLflow is called: quietly, with an end to its patience, its exceptions turned into one sentence."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from kerasflow.errors import TrackingError
from kerasflow.tracking.store_uri import shown

# Seconds for one request. It is not sent again where there is no answer: whoever repeats it asks first what arrived.
FIRST_CONTACT = 5
REQUEST = 10
UPLOAD = 60

# MLflow reads these for each request and has no argument for them; other threads must not see them half-changed.
_process = threading.RLock()
_NOISY = ("mlflow", "alembic")


@contextmanager
def calling(uri: str, action: str, seconds: int = REQUEST) -> Iterator[None]:
    """Calls to MLflow, one thread at a time; a variable that the user has set in the environment wins over ours.

    Args:
        uri: the store's address, for messages.
        action: what is done, for messages, e.g. `log metrics`.
        seconds: how long to wait for each answer.

    Raises:
        TrackingError: for whatever goes wrong.
    """
    with _process, patience(seconds), _quiet():
        try:
            yield
        except TrackingError:
            raise
        except Exception as error:  # a store may raise what its driver raises: SQLAlchemy, boto3, requests, OSError
            if _is_silence(error):
                raise TrackingError(f"the tracking server {shown(uri)} does not answer; is it running?") from error
            raise TrackingError(
                f"the tracking store {shown(uri)} refused to {action}: {shown(_first_line(error))}"
            ) from error


def _is_silence(error: BaseException | None) -> bool:
    """Whether a connection failed somewhere below; MLflow wraps it, sometimes without naming it as the cause."""
    import requests

    while error is not None:
        if isinstance(error, requests.ConnectionError | requests.Timeout):
            return True
        error = error.__cause__ or error.__context__
    return False


def _first_line(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    line = text.splitlines()[0]
    return line if len(line) <= 300 else f"{line[:300]}…"


@contextmanager
def patience(seconds: int = REQUEST) -> Iterator[None]:
    """While the block runs, MLflow waits so long for an answer, once; within another such block, as long as that says.

    The environment is the whole process': a thread beside others had better not be the one that changes it.
    """
    settings = {
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": str(seconds),
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    }
    ours = {name: value for name, value in settings.items() if name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)


@contextmanager
def _quiet() -> Iterator[None]:
    """MLflow and Alembic report each step of a new database, and log what they also raise."""
    import mlflow  # noqa: F401  # its import sets its loggers' levels, so it comes before ours

    loggers = [logging.getLogger(name) for name in _NOISY]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
