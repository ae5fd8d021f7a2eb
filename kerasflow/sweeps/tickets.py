"""The trials that there are to be, as tickets in the storage: who draws one, runs it.

A ticket is a waiting trial with a slot, `0 ... count - 1`; a finalist's, once those have ended, with the slot of the
trial that it repeats. However often a ticket is begun, because its worker died or was interrupted, one trial of it
counts: the first that has come to an end.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from kerasflow.spec.sweep import SweepSpec
from kerasflow.sweeps.package import optuna
from kerasflow.sweeps.sampling import FINAL, SLOT
from kerasflow.sweeps.space import params_of

ERROR = "error"
"""A trial's attribute: why it failed, in one sentence; a trial that failed without one was not run to its end."""
BEGUN = "begun"
"""A trial's attribute: its worker has looked at it, and gives signs of life from now on."""
SECONDS_TO_BEGIN = 60
"""Between a ticket's drawing and that sign: whoever died in between would never be held for dead else."""
AT_ONCE = 16
"""Tickets that are added, when there are fewer than `FEW`: a storage reads all that have not ended at each look."""
FEW = 8

Ticket = tuple[str, int]
"""Of a trial: `SLOT` or `FINAL`, and the slot."""


@dataclass(frozen=True)
class Tally:
    """How far a sweep has come.

    Attributes:
        ended: the trials that count, one a slot, in the order of their slots.
        finalists: those that have ended, likewise.
        finals: the slots of the finalists that there are to be; none before all trials have ended.
        waiting, running: as many.
        count: trials that there are to be; None where minutes alone decide.
        wanted: the same, with the finalists that there are to be, as far as that is known.
    """

    ended: tuple[Any, ...]
    finalists: tuple[Any, ...]
    finals: tuple[int, ...]
    waiting: int
    running: int
    count: int | None
    wanted: int | None

    @property
    def finals_done(self) -> int:
        """Finalists, of those that there are to be, that have ended."""
        return len({trial.user_attrs[FINAL] for trial in self.finalists} & set(self.finals))

    @property
    def done(self) -> int:
        """Trials and finalists that have ended."""
        return len(self.ended) + self.finals_done

    @property
    def whole(self) -> bool:
        """Whether all that there is to be has ended; where minutes alone decide, whatever there is."""
        return self.count is None or (len(self.ended) >= self.count and self.finals_done == len(self.finals))

    @property
    def judged(self) -> tuple[Any, ...]:
        """The trials of which the best is the best of the sweep: the finished finalists, or else all that finished."""
        return _finished(self.finalists) or _finished(self.ended)

    def number(self, state: str) -> int:
        """Trials that count and ended as `COMPLETE`, `PRUNED` or `FAIL`."""
        return sum(trial.state.name == state for trial in self.ended)


def tally(study: Any, sweep: SweepSpec) -> Tally:
    """How far a sweep has come, by its storage."""
    return _tally(study.get_trials(deepcopy=False), sweep)


def _tally(trials: Sequence[Any], sweep: SweepSpec) -> Tally:
    found: dict[Ticket, Any] = {}
    for trial in trials:
        if (ticket := ticket_of(trial)) and _counts(trial):
            found.setdefault(ticket, trial)
    names = [trial.state.name for trial in trials if ticket_of(trial)]
    in_order = sorted(found, key=lambda ticket: ticket[1])
    ended, finalists = (tuple(found[ticket] for ticket in in_order if ticket[0] == kind) for kind in (SLOT, FINAL))
    finals = _finals(ended, sweep)
    wanted = None if sweep.count is None else max(sweep.count, len(ended)) + len(finals)
    if wanted is not None and len(ended) < (sweep.count or 0):
        wanted += sweep.finalists or 0
    return Tally(ended, finalists, finals, names.count("WAITING"), names.count("RUNNING"), sweep.count, wanted)


def _finals(ended: tuple[Any, ...], sweep: SweepSpec) -> tuple[int, ...]:
    """The slots of the best, once all trials have ended."""
    if not sweep.finalists or sweep.count is None or len(ended) < sweep.count:
        return ()
    sign = -1 if sweep.objective[0][1] == "max" else 1
    best = sorted(_finished(ended), key=lambda trial: sign * trial.values[0])[: sweep.finalists]
    return tuple(int(trial.user_attrs[SLOT]) for trial in best)


def _finished(trials: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(trial for trial in trials if trial.state.name == "COMPLETE")


def told(trial: Any) -> str:
    """`trial 12`, or `finalist 12` of one that repeats it."""
    kind, slot = ticket_of(trial) or (SLOT, int(trial.number))
    return f"{'finalist' if kind == FINAL else 'trial'} {slot + 1}"


def ticket_of(trial: Any) -> Ticket | None:
    """Which ticket a trial was drawn by; None of one that has none yet."""
    return next(((kind, int(trial.user_attrs[kind])) for kind in (SLOT, FINAL) if kind in trial.user_attrs), None)


def look(study: Any, sweep: SweepSpec) -> Tally:
    """How far a sweep has come, once there are tickets for what nobody has run, runs or is to run."""
    trials = study.get_trials(deepcopy=False)
    found = _tally(trials, sweep)
    if found.waiting < FEW and (added := _add_missing(study, sweep, trials, found)):
        return replace(found, waiting=found.waiting + added)
    return found


class Unbegun:
    """Trials whose worker died after it had drawn their ticket and before its first sign of life.

    A worker has a minute, by this process' own clock: those of other machines may be set otherwise.
    """

    def __init__(self) -> None:
        self.seen: dict[int, float] = {}

    def give_up(self, study: Any) -> None:
        """Ends those that have been so for too long; their tickets are added again."""
        package, now = optuna(), time.monotonic()
        running = study.get_trials(deepcopy=False, states=(package.trial.TrialState.RUNNING,))
        self.seen = {t.number: self.seen.get(t.number, now) for t in running if BEGUN not in t.user_attrs}
        for number, since in self.seen.items():
            if now - since >= SECONDS_TO_BEGIN:
                with suppress(package.exceptions.UpdateFinishedTrialError):  # another worker has seen it, too
                    study.tell(number, state=package.trial.TrialState.FAIL, skip_if_finished=True)


def _add_missing(study: Any, sweep: SweepSpec, trials: Sequence[Any], found: Tally) -> int:
    """Adds tickets, with the values that a trial of the same had, if there was one; and gives their number."""
    package = optuna()
    live = {ticket_of(t) for t in trials if _counts(t) or t.state.name in ("WAITING", "RUNNING")}
    begun = {ticket: t for t in trials if (ticket := ticket_of(t)) and t.params}
    repeated = {int(trial.user_attrs[SLOT]): trial for trial in found.ended}
    missing = [ticket for ticket in _tickets(sweep, begun, found) if ticket not in live][:AT_ONCE]
    grid = sweep.grid() if sweep.sampler == "grid" and missing else []
    for kind, slot in missing:
        if grid and kind == SLOT:
            study.enqueue_trial(params_of(grid[slot], sweep), user_attrs={SLOT: slot})
            continue
        before = repeated[slot] if kind == FINAL else begun.get((kind, slot))
        values = {} if before is None else {"params": before.params, "distributions": before.distributions}
        waiting = package.trial.TrialState.WAITING
        study.add_trial(package.create_trial(state=waiting, user_attrs={kind: slot}, **values))
    return len(missing)


def is_taken(study: Any, trial: Any, ticket: Ticket) -> bool:
    """Whether another trial of the ticket counts already, or came before this one: two workers may add it at once."""
    return any(
        _counts(other) or (other.state.name in ("WAITING", "RUNNING") and other.number < trial.number)
        for other in study.get_trials(deepcopy=False)
        if ticket_of(other) == ticket and other.number != trial.number
    )


def _counts(trial: Any) -> bool:
    return trial.state.name in ("COMPLETE", "PRUNED") or (trial.state.name == "FAIL" and ERROR in trial.user_attrs)


def _tickets(sweep: SweepSpec, begun: Iterable[Ticket], found: Tally) -> Iterator[Ticket]:
    slots = sorted(slot for kind, slot in begun if kind == SLOT) if sweep.count is None else range(sweep.count)
    yield from ((SLOT, slot) for slot in slots)
    yield from ((FINAL, slot) for slot in found.finals)
