"""What is measured of a contender, inside a process of its own."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from contenders import Counting, Fit, Job, Prepare


@dataclass(frozen=True)
class Contender:
    """Who trains what, and for how long each time that it is measured.

    Attributes:
        name: as the table has it.
        prepare: makes network and data ready.
        epochs: that count in one measurement.
        needs: a module that has to be installed.
    """

    name: str
    prepare: Prepare
    job: Job
    epochs: int
    needs: str = ""


@dataclass(frozen=True)
class Reading:
    """One measurement.

    Attributes:
        values: by quantity: `wall` and `cpu` in seconds (of all threads), `memory` in bytes, `updates`, `cost`.
        engine: how kerasflow ran; empty for others.
    """

    values: dict[str, float]
    engine: str = ""


Measure = Callable[[Contender, int], Reading]


def per_update(contender: Contender, turn: int) -> Reading:
    """Seconds for each update once everything is compiled: of the epochs after a fit's first one."""
    fit = _same(contender)
    marks: list[_Instant] = []
    engine = fit(1 + contender.epochs, lambda: marks.append(_now()))
    return Reading(_elapsed(marks[0], marks[-1], contender.epochs * contender.job.updates), engine)


def per_epoch(contender: Contender, turn: int) -> Reading:
    """Seconds for each epoch after a fit's first one, with whatever else happens until all of it is done."""
    fit = _same(contender)
    marks: list[_Instant] = []
    engine = fit(1 + contender.epochs, lambda: marks.append(_now()))
    return Reading(_elapsed(marks[0], marks[-1], contender.epochs), engine)


def whole_fit(contender: Contender, turn: int) -> Reading:
    """Seconds of a whole fit of a network that this process has not trained: other weights, rate and data each turn.

    `build` are the seconds before it that made the network and the data; they are part of neither of the others.
    """
    started = _now()
    fit = contender.prepare(contender.job, turn)
    ready = _now()
    engine = fit(contender.epochs)
    done = _now()
    return Reading(_elapsed(ready, done, 1) | {"build": ready.wall - started.wall}, engine)


def per_call(contender: Contender, turn: int) -> Reading:
    """Seconds of a call, of as many in a row as there are epochs."""
    fit = _same(contender)
    started = _now()
    engine = fit(contender.epochs)
    return Reading(_elapsed(started, _now(), contender.epochs), engine)


def counts(contender: Contender, turn: int) -> Reading:
    """What a fit says of itself: updates and the best cost of a sweep, with another seed each turn."""
    fit = contender.prepare(contender.job, turn)
    assert isinstance(fit, Counting)
    engine = fit(contender.epochs)
    return Reading(dict(fit.numbers), engine)


def peak_memory(contender: Contender, turn: int) -> Reading:
    """Bytes at the highest point of a fit over what the process held before, with network and data ready."""
    fit = contender.prepare(contender.job, turn)
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the highest point so far is forgotten, see proc(5)
    idle = _status("VmRSS")
    engine = fit(contender.epochs)
    return Reading({"memory": _status("VmHWM") - idle}, engine)


@cache
def _same(contender: Contender) -> Fit:
    """One network for all of a process' measurements."""
    return contender.prepare(contender.job, 0)


@dataclass(frozen=True)
class _Instant:
    wall: float
    cpu: float


def _now() -> _Instant:
    return _Instant(time.perf_counter(), time.process_time())


def _elapsed(start: _Instant, end: _Instant, parts: int) -> dict[str, float]:
    return {"wall": (end.wall - start.wall) / parts, "cpu": (end.cpu - start.cpu) / parts}


def _status(field: str) -> int:
    """A size from this process' status, in bytes."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))
