"""What Keras' callbacks remember, kept and given back: Keras itself has no way to ask them.

A `CSVLogger` remembers by its file, which goes on where it was.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kerasflow.errors import TrainingError
from kerasflow.training import archive
from kerasflow.training.keras_internals import decide_direction

_GIVEN_BY_KERAS = {"model", "_model", "params", "validation_data"}
_OF_A_LOG = {"append", "append_header", "csv_file", "filename", "sep", "writer"}


def kept(callbacks: Sequence[Any]) -> list[dict[str, Any]]:
    """The class and the plain attributes of each callback, such as `ReduceLROnPlateau.wait`, and the bytes that a
    `CSVLogger` has written.
    """
    return [
        {
            "class": type(callback).__name__,
            "attributes": {n: v for n, v in _own(callback) if archive.is_plain(v)},
            "written": Path(callback.filename).stat().st_size if _is_log(callback) else None,
        }
        for callback in callbacks
    ]


def not_kept(callbacks: Sequence[Any]) -> list[str]:
    """What they hold that no checkpoint can, such as an open file. Functions remember nothing."""
    return [
        f"{type(callback).__name__}.{name}"
        for callback in callbacks
        for name, value in _own(callback)
        if not (archive.is_plain(value) or callable(value) or inspect.ismodule(value))
    ]


def check(callbacks: Sequence[Any], states: Sequence[dict[str, Any]]) -> None:
    """Whether these are the callbacks that the states were kept of.

    Raises:
        TrainingError: these are others.
    """
    before = [state["class"] for state in states]
    now = [type(callback).__name__ for callback in callbacks]
    if before != now:
        raise TrainingError(
            f"the checkpoint is of a training with {_named(before)}, and this one has {_named(now)}; "
            "give the same callbacks in the same order, or begin in another folder"
        )


@contextmanager
def logs_going_on(callbacks: Sequence[Any], states: Sequence[dict[str, Any]]) -> Iterator[None]:
    """Around `on_train_begin`, in which a `CSVLogger` would begin its file anew: it goes on after what was written."""
    logs = [pair for pair in zip(callbacks, states, strict=True) if pair[1].get("written") is not None]
    appending = [callback.append for callback, _ in logs]
    for callback, state in logs:
        if Path(callback.filename).is_file():
            os.truncate(callback.filename, min(state["written"], Path(callback.filename).stat().st_size))
        callback.append = True
    yield
    for (callback, _), before in zip(logs, appending, strict=True):
        callback.append = before


def give_back(callbacks: Sequence[Any], states: Sequence[dict[str, Any]]) -> None:
    """Sets the attributes that were kept; after `on_train_begin`, in which callbacks forget."""
    check(callbacks, states)
    for callback, state in zip(callbacks, states, strict=True):
        if "monitor_op" not in state["attributes"]:  # a function by then: the one thing that Keras decides as it trains
            decide_direction(callback)
        vars(callback).update(state["attributes"])


def _is_log(callback: Any) -> bool:
    """Whether a callback writes a file of this machine that can go on."""
    import keras

    return isinstance(callback, keras.callbacks.CSVLogger) and Path(callback.filename).is_file()


def _own(callback: Any) -> list[tuple[str, Any]]:
    elsewhere = _GIVEN_BY_KERAS | (_OF_A_LOG if _is_log(callback) else set())
    return [(name, value) for name, value in vars(callback).items() if name not in elsewhere]


def _named(names: list[str]) -> str:
    return f"the callbacks {', '.join(names)}" if names else "no callbacks"
