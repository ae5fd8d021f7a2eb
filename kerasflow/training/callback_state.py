"""What Keras' callbacks remember, kept and given back: Keras itself has no way to ask them.

A `CSVLogger` remembers by its file, which goes on.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kerasflow.errors import TrainingError
from kerasflow.training import archive
from kerasflow.training.keras_internals import decide_direction

_GIVEN_BY_KERAS = {"model", "_model", "params", "validation_data"}
_OF_AN_OPEN_FILE = {"append", "append_header", "csv_file", "writer"}


def kept(callbacks: Sequence[Any]) -> list[dict[str, Any]]:
    """The class and the plain attributes of each callback, such as `ReduceLROnPlateau.wait`."""
    return [
        {"class": type(callback).__name__, "attributes": {n: v for n, v in _own(callback) if archive.is_plain(v)}}
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


def give_back(callbacks: Sequence[Any], states: Sequence[dict[str, Any]]) -> None:
    """Sets the attributes that were kept; after `on_train_begin`, in which callbacks forget.

    Raises:
        TrainingError: these are other callbacks.
    """
    before = [state["class"] for state in states]
    now = [type(callback).__name__ for callback in callbacks]
    if before != now:
        raise TrainingError(
            f"the checkpoint is of a training with {_named(before)}, and this one has {_named(now)}; "
            "give the same callbacks in the same order, or begin in another folder"
        )
    for callback, state in zip(callbacks, states, strict=True):
        if "monitor_op" not in state["attributes"]:  # a function by then: the one thing that Keras decides as it trains
            decide_direction(callback)
        vars(callback).update(state["attributes"])


def cut_files(callbacks: Sequence[Any], epoch: int) -> None:
    """Lets each `CSVLogger` go on after its rows of the epochs before `epoch`, from 0; before `on_train_begin`, which
    would begin its file anew.
    """
    import keras

    for callback in callbacks:
        if not isinstance(callback, keras.callbacks.CSVLogger) or not (file := Path(callback.filename)).is_file():
            continue
        lines = file.read_bytes().decode("utf-8").splitlines(keepends=True)
        while len(lines) > 1 and not _is_whole_before(lines[-1], callback.sep, epoch):
            lines.pop()
        aside = file.with_name(f".{file.name}.cut")
        aside.write_text("".join(lines), encoding="utf-8", newline="")
        aside.replace(file)
        callback.append = True


def _is_whole_before(line: str, sep: str, epoch: int) -> bool:
    number = line.partition(sep)[0]
    return line.endswith("\n") and number.isdigit() and int(number) < epoch


def _own(callback: Any) -> list[tuple[str, Any]]:
    import keras

    elsewhere = _GIVEN_BY_KERAS | (_OF_AN_OPEN_FILE if isinstance(callback, keras.callbacks.CSVLogger) else set())
    return [(name, value) for name, value in vars(callback).items() if name not in elsewhere]


def _named(names: list[str]) -> str:
    return f"the callbacks {', '.join(names)}" if names else "no callbacks"
