"""Every exception that kerasflow raises on purpose.

    KerasflowError
     ├─ SpecError        (ValueError)    a spec says something that cannot be; holds every fault at once
     ├─ BuildError       (ValueError)    the layers of a spec do not fit together
     ├─ DataError        (ValueError)    the data is not what the spec says, or cannot be learned from
     ├─ TrainingError    (RuntimeError)  the loop cannot go on, or was asked for what it cannot do
     ├─ TrackingError    (RuntimeError)  the tracking store does not answer, or refuses
     │   ├─ RefusedError                 it will refuse this one thing however often it is asked
     │   ├─ RunGoneError                 it has the run no more
     │   └─ NotYetError                  something else has to come first, which is on its way
     ├─ EstimatorError   (ValueError)    an estimator cannot be saved, or a file holds none that may be loaded
     ├─ RunError         (RuntimeError)  a run folder is missing, incomplete or cannot be written
     │   └─ FileChangedError             a file is not what the run has logged
     └─ MissingExtra     (ImportError)   an optional package is not installed

Each message is for the person at the keyboard: where, what was expected, what came, what to do. The command line prints
it without a traceback and exits with code 2.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


class KerasflowError(Exception):
    """The root: `except kf.KerasflowError` catches whatever kerasflow refuses."""


@dataclass(frozen=True)
class Fault:
    """One thing wrong in a spec.

    Attributes:
        path: the dotted path into the document, e.g. `model.layers[3].dense.units`; empty for the whole.
        message: what was expected, what came, and the near name if there is one.
        where: `file:line`, the file alone, or empty for a spec made in Python.
    """

    path: str
    message: str
    where: str = ""

    def __str__(self) -> str:
        return ": ".join(part for part in (self.where, self.path, self.message) if part)


class SpecError(KerasflowError, ValueError):
    """A spec with faults; `faults` lists them all, in the order of the document."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


class BuildError(KerasflowError, ValueError):
    """Layers that do not fit together, by the layer's path in the spec."""


class DataError(KerasflowError, ValueError):
    """Data that is missing, malformed, or that nothing can be learned from."""


class TrainingError(KerasflowError, RuntimeError):
    """A training that cannot begin or go on."""


class TrackingError(KerasflowError, RuntimeError):
    """A tracking store that does not answer, or that refuses what it is given."""


class RefusedError(TrackingError):
    """A tracking store that answers, and will not take this one thing however often it is asked."""


class RunGoneError(TrackingError):
    """A tracking store that has a run no more: somebody has deleted it there."""


class NotYetError(TrackingError):
    """What a tracking store cannot be told before it knows something else, which is on its way."""


class EstimatorError(KerasflowError, ValueError):
    """An estimator that cannot be saved, or a file that holds none or one that is not trusted."""


class RunError(KerasflowError, RuntimeError):
    """A run folder that is missing, incomplete or cannot be written."""


class FileChangedError(RunError):
    """A file of a run folder that is not what the run has logged: somebody has changed or removed it since."""


class MissingExtra(KerasflowError, ImportError):
    """An optional package that is not installed; the message names the extra that brings it."""


def sentence(error: BaseException) -> str:
    """The first sentence of a foreign error, on one line and without its library's preamble, to end one of ours."""
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    if len(lines) > 1 and lines[0].startswith("Exception encountered when calling"):
        lines = lines[1:]
    text = lines[0] if lines else type(error).__name__
    text = re.sub(r"<class '(?:\w+\.)*(\w+)'>|<KerasTensor shape=(\([^)]*\))[^>]*>", r"\1\2", text)
    return re.sub(r"\x1b\[\d+m| with name 'None'|\{\{.*?\}\} ?| \[Op:.*", "", text).rstrip(".")


def did_you_mean(word: str, known: Iterable[object]) -> str:
    """`, did you mean 'x'?` where one of the known words is close to the given one, else nothing."""
    close = difflib.get_close_matches(str(word), [str(item) for item in known], n=3, cutoff=0.6)
    return f", did you mean {min(close, key=lambda other: _slips(str(word), other))!r}?" if close else ""


def _slips(word: str, other: str) -> int:
    """Letters left out, put in, mistaken or swapped with their neighbour between two words (Damerau 1964)."""
    above: list[int] = []
    row = list(range(len(other) + 1))
    for i, a in enumerate(word):
        before, above, row = above, row, [i + 1]
        for j, b in enumerate(other):
            row.append(min(above[j + 1] + 1, row[j] + 1, above[j] + (a != b)))
            if i and j and a == other[j - 1] and b == word[i - 1]:
                row[-1] = min(row[-1], before[j - 1] + 1)
    return row[-1]
