"""How MLflow is called: quietly, with an end to its patience, its exceptions turned into one sentence."""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from functools import cache
from typing import Any

from kerasflow.errors import RefusedError, TrackingError
from kerasflow.tracking.store_uri import shown

# Seconds for one request. It is not sent again where there is no answer: whoever repeats it asks first what arrived.
FIRST_CONTACT = 5
REQUEST = 10
UPLOAD = 60

# Of what MLflow or a server before it says, that which it will say again of the same request. Not who may enter (a
# password is renewed), nor a conflict, nor a limit; and not BAD_REQUEST, as which MLflow tells most faults of its
# database.
_FINAL_CODES = frozenset(
    {
        "ALREADY_EXISTS",
        "ENDPOINT_NOT_FOUND",
        "INVALID_PARAMETER_VALUE",
        "MALFORMED_REQUEST",
        "MAX_BLOCK_SIZE_EXCEEDED",
        "MAX_LIST_SIZE_EXCEEDED",
        "NOT_FOUND",
        "NOT_IMPLEMENTED",
        "RESOURCE_ALREADY_EXISTS",
        "RESOURCE_DOES_NOT_EXIST",
    }
)
_MAY_CHANGE = frozenset({401, 402, 403, 407, 408, 409, 421, 423, 425, 429, 499})  # HTTP status, likewise

_process = threading.RLock()
_NOISY = ("mlflow", "alembic")

_ours: ContextVar[Mapping[str, Any] | None] = ContextVar("kerasflow_calls", default=None)
"""What MLflow's settings are for the calls of this thread, by the names of its environment variables."""


@contextmanager
def calling(uri: str, action: str, seconds: int = REQUEST) -> Iterator[None]:
    """Calls to MLflow, one thread at a time; a variable that the user has set in the environment wins over ours.

    Args:
        uri: the store's address, for messages.
        action: what is done, for messages, e.g. `log metrics`.
        seconds: how long to wait for each answer.

    Raises:
        RefusedError: the store will refuse this however often it is asked.
        TrackingError: for whatever else goes wrong.
    """
    with _process, _quiet(), _patience(seconds):
        try:
            yield
        except TrackingError:
            raise
        except Exception as error:  # a store may raise what its driver raises: SQLAlchemy, boto3, requests, OSError
            if _is_silence(error):
                raise TrackingError(f"the tracking server {shown(uri)} does not answer; is it running?") from error
            kind = RefusedError if _is_final(error) else TrackingError
            raise kind(f"the tracking store {shown(uri)} refused to {action}: {shown(_first_line(error))}") from error


@contextmanager
def garbage_kept() -> Iterator[None]:
    """While the block runs, the garbage collector rests; for blocks that take a fraction of a second.

    A batch for a file makes and lets go so many objects that every few batches Python looks for garbage among all that
    there are: beside TensorFlow's that takes half a second, for which a training waits.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


class InContext(ThreadPoolExecutor):
    """Threads that call as the one does that gave them the work: those of MLflow's own downloads."""

    def submit(self, call: Callable[..., Any], /, *args: Any, **options: Any) -> Future[Any]:
        return super().submit(copy_context().run, call, *args, **options)


def _is_silence(error: BaseException | None) -> bool:
    """Whether a connection failed somewhere below; MLflow wraps it, sometimes without naming it as the cause."""
    import requests

    while error is not None:
        if isinstance(error, requests.ConnectionError | requests.Timeout):
            return True
        error = error.__cause__ or error.__context__
    return False


def _is_final(error: Exception) -> bool:
    import requests
    from mlflow.exceptions import MlflowException

    if isinstance(error, requests.HTTPError) and error.response is not None:  # as artifacts are refused
        status = error.response.status_code
        return 400 <= status < 500 and status not in _MAY_CHANGE
    return isinstance(error, MlflowException) and error.error_code in _FINAL_CODES


def _first_line(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    line = text.splitlines()[0]
    return line if len(line) <= 300 else f"{line[:300]}…"


@contextmanager
def _patience(seconds: int) -> Iterator[None]:
    """While the block runs, MLflow asks once and waits so long for each answer to this thread, and to no other."""
    _settings_by_context()
    token = _ours.set(
        {
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": 0,
            "MLFLOW_HTTP_REQUEST_TIMEOUT": seconds,
            "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": True,
        }
    )
    try:
        yield
    finally:
        _ours.reset(token)


@cache
def _settings_by_context() -> None:
    """MLflow asks these settings for each request, of the environment alone, which is all threads': here of `_ours`."""
    from mlflow import environment_variables as settings

    def by_context(setting: Any) -> Callable[[], Any]:
        of_environment = setting.get

        def get() -> Any:
            ours = _ours.get()
            return of_environment() if ours is None or setting.is_set() else ours[setting.name]

        return get

    for setting in (
        settings.MLFLOW_HTTP_REQUEST_MAX_RETRIES,
        settings.MLFLOW_HTTP_REQUEST_TIMEOUT,
        settings.MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT,
    ):
        setting.get = by_context(setting)  # type: ignore[method-assign]


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
