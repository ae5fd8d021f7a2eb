"""A training that can go on after its process was killed: its whole state as plain data, and the folder that keeps it.

Nothing has to be saved often. The order of samples is a function of (seed, epoch) and every mask one of a state that is
kept, so what comes after a checkpoint is computed again and ends in the same bits.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
import warnings
import zipfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from kerasflow.errors import RunError, TrainingError
from kerasflow.training import archive
from kerasflow.training.history import Row
from kerasflow.training.keras_internals import all_variables

FORMAT = 2
"""Counts up when the state's fields change."""

_DIGITS = 16  # of the SHA-256, in hex
_NAME = re.compile(rf"\d{{6,}}-[0-9a-f]{{{_DIGITS}}}\.npz")
_ASIDE = ".writing-"

Saved = list[tuple[str, np.ndarray]]


@dataclass(frozen=True)
class TrainingState:
    """A training between two windows.

    Attributes:
        epoch, window: the window that comes next: its epoch's index, and its own within the epoch, both from 0.
        updates: made so far.
        rows: the history's, one for each epoch that is complete.
        running: of the epoch that is not: whatever its sums are, as plain data; empty between two epochs.
        stop_reason: why the training has ended, if a rule or a callback has ended it; `stop`: the same as plain data.
        settings: what must not change for the bits to be the same (engine, batch size, ...), as plain data.
        weights: those that may be wanted again, such as the best epoch's, and whatever else is kept about them.
        callbacks: what `callback_state.kept` gave.
        optimizer: the optimizer's class.
        variables: path and value of every variable, by `model` (weights, moving statistics, random generators),
            `optimizer` and `metrics`.
    """

    epoch: int
    window: int
    updates: int
    rows: list[Row]
    optimizer: str
    variables: dict[str, Saved]
    running: dict[str, Any] = field(default_factory=dict)
    stop_reason: str = ""
    stop: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    weights: dict[str, Any] = field(default_factory=dict)
    callbacks: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def capture(
        cls, model: Any, *, epoch: int, window: int, updates: int, rows: list[Row], **more: Any
    ) -> TrainingState:
        """The state of a compiled and built model, and of its training as given.

        Args:
            model: a `keras.Model`, all of whose variables exist.
            epoch, window, updates, rows, more: the attributes of those names.
        """
        values = {
            group: [(variable.path, np.asarray(variable.value.numpy())) for variable in variables]
            for group, variables in _variables(model).items()
        }
        optimizer = type(model.optimizer).__name__
        return cls(epoch, window, updates, [dict(row) for row in rows], optimizer, values, **more)

    def check(self, model: Any, settings: Mapping[str, Any] | None = None) -> None:
        """Whether the model and the settings are those that the state was captured from.

        Raises:
            TrainingError: with the first thing that differs.
        """
        for name, value in (settings or {}).items():
            if name in self.settings and self.settings[name] != value:
                raise _foreign(f"{name} was {self.settings[name]!r} and is {value!r} now")
        for group, found in _variables(model).items():
            _compare(group, self.variables[group], found)
        optimizer = type(model.optimizer).__name__
        if self.optimizer != optimizer:
            raise _foreign(f"the optimizer was {self.optimizer} and is {optimizer} now")

    def apply(self, model: Any) -> None:
        """Gives every variable of the model, its optimizer and its metrics the value that it had.

        Keras' callbacks write variables, too: apply after the last of them that had been called before the capture,
        which is `on_train_begin` between two epochs and `on_epoch_begin` within one.

        Raises:
            TrainingError: the model is another; nothing has been changed then.
        """
        self.check(model)
        for group, found in _variables(model).items():
            for variable, (_, value) in zip(found, self.variables[group], strict=True):
                variable.assign(value)


class Checkpoints:
    """The checkpoints of one training in a folder of their own.

    A checkpoint is written aside, settled on the disk, renamed, and known by the digest that is part of its name. The
    one before it is kept, so that there is a whole one at every instant, and another should the disk spoil the newest.

    Args:
        directory: made if it is not there; nothing else may be kept in it.
        every: seconds between checkpoints within an epoch.
        apart: seconds between checkpoints at the end of epochs.
        share: of the time that may be spent on saving, above 0; where it takes long, checkpoints are further apart.
        clock: seconds that only go forward.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        every: float = 60.0,
        apart: float = 5.0,
        share: float = 0.02,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.directory = Path(directory)
        self.every, self.apart, self.share, self.clock = every, apart, share, clock
        self.saved_at, self.cost = clock(), 0.0
        self.whole: Path | None = None  # the newest that is known to be

    def due(self, *, within_epoch: bool = False) -> bool:
        """Whether so much time has passed since the last one that the next is worth its cost."""
        seconds = self.every if within_epoch else self.apart
        return self.clock() - self.saved_at >= max(seconds, self.cost / self.share)

    def save(self, state: TrainingState) -> None:
        """Keeps a state; it is on the disk when this returns.

        Raises:
            RunError: the disk refuses.
        """
        began = self.clock()
        data = {"format": FORMAT} | {each.name: getattr(state, each.name) for each in fields(state)}
        aside = self.directory / f"{_ASIDE}{os.getpid()}"
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            files = self._newest_first()
            archive.write(aside, data)
            number = 1 + max((_number(file) for file in files), default=0)
            newest = self.directory / f"{number:06d}-{_digest(aside)}.npz"
            _settle(aside)
            aside.replace(newest)
            _settle(self.directory)
            self._remove_all_but(newest, self.whole)
        except OSError as error:
            with suppress(OSError):
                aside.unlink()
            raise RunError(f"{self.directory}: a checkpoint cannot be written: {error.strerror or error}") from error
        self.whole = newest
        self.saved_at = self.clock()
        self.cost = self.saved_at - began

    def load(self) -> TrainingState | None:
        """The newest state that is whole, with a warning where a newer one is not; None where there is no checkpoint.

        Raises:
            RunError: there are checkpoints, and none is whole.
            TrainingError: it was written by a version of kerasflow that keeps other things.
        """
        files = self._newest_first()
        for file in files:
            data = _read(file)
            if data is None:
                continue
            if data.pop("format", None) != FORMAT:
                raise TrainingError(f"{file}: was written by another version of kerasflow; go on with that one")
            if file != files[0]:
                warnings.warn(f"{files[0]} is damaged; going on from the checkpoint before it", stacklevel=2)
            self.whole = file
            return TrainingState(**data)
        if files:
            raise RunError(f"{self.directory}: every checkpoint is damaged; remove the folder to begin from the start")
        return None

    def part(self, name: str) -> Checkpoints:
        """Those of a part of the training, in a folder below."""
        return Checkpoints(
            self.directory / name, every=self.every, apart=self.apart, share=self.share, clock=self.clock
        )

    def rows(self) -> list[Row] | None:
        """The history's rows that are saved, of all parts in the order of their names; None if nothing is."""
        states = [each.load() for each in (self, *self._parts())]
        found = [state.rows for state in states if state is not None]
        return [row for rows in found for row in rows] if found else None

    def _parts(self) -> list[Checkpoints]:
        folders = self.directory.iterdir() if self.directory.is_dir() else ()
        return [self.part(folder.name) for folder in sorted(folders) if folder.is_dir()]

    def clear(self) -> None:
        """Removes every checkpoint, and the folder: a training that has ended needs none.

        Raises:
            RunError: the disk refuses.
        """
        for part in self._parts():
            part.clear()
        try:
            self._remove_all_but(None)
            if self.directory.is_dir() and not any(self.directory.iterdir()):
                self.directory.rmdir()
        except OSError as error:
            raise RunError(f"{self.directory}: cannot be removed: {error.strerror or error}") from error
        self.whole = None

    def _newest_first(self) -> list[Path]:
        files = self.directory.iterdir() if self.directory.is_dir() else ()
        return sorted((file for file in files if _NAME.fullmatch(file.name)), key=_number, reverse=True)

    def _remove_all_but(self, *kept: Path | None) -> None:
        left = self.directory.glob(f"{_ASIDE}*")  # by a process that was killed as it wrote
        for file in [*self._newest_first(), *left]:
            if file not in kept:
                file.unlink(missing_ok=True)


def as_checkpoints(given: str | os.PathLike[str] | Checkpoints | None) -> Checkpoints | None:
    """A folder's name as checkpoints; None stays None."""
    return given if given is None or isinstance(given, Checkpoints) else Checkpoints(given)


def _number(file: Path) -> int:
    return int(file.name.partition("-")[0])


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()[:_DIGITS]


def _settle(path: Path) -> None:
    """A file's bytes, or a folder's names, reach the disk before anything that comes later does."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(file: Path) -> dict[str, Any] | None:
    """What a checkpoint holds; None if it is damaged."""
    try:
        if _digest(file) != file.stem.partition("-")[2]:
            return None
        data = archive.read(file)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None
    return data if isinstance(data, dict) else None


def _variables(model: Any) -> dict[str, list[Any]]:
    """Every variable that decides how a training goes on, each of them once."""
    optimizer, metrics = list(model.optimizer.variables), list(model.metrics_variables)
    others = {id(variable) for variable in [*optimizer, *metrics]}
    own = [variable for variable in all_variables(model) if id(variable) not in others]
    return {"model": own, "optimizer": optimizer, "metrics": metrics}


def _compare(group: str, saved: Saved, found: Sequence[Any]) -> None:
    if len(saved) != len(found):
        raise _foreign(f"the {group} had {len(saved)} variables and has {len(found)} now")
    for (path, value), variable in zip(saved, found, strict=True):
        shape, kind = tuple(variable.shape), str(variable.dtype)
        if value.shape != shape:
            raise _foreign(f"{path} of the {group} had shape {value.shape}, and {variable.path} has {shape} now")
        if value.dtype.name != kind:
            raise _foreign(f"{path} of the {group} was {value.dtype.name}, and {variable.path} is {kind} now")


def _foreign(difference: str) -> TrainingError:
    return TrainingError(
        f"the checkpoint is of another training: {difference}; give what it was made with, or begin in another folder"
    )
