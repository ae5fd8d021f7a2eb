"""The trials that there are to be, as tickets in the storage: who draws one, runs it.

A ticket is a waiting trial with a slot, `0 ... count - 1`; a finalist's, once those have ended, with the slot of the
trial that it repeats. However often a ticket is begun, because its worker died or was interrupted, one trial of it
counts: the first that has come to an end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
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
"""After a ticket was drawn: a worker that died before its first sign of life would never be held for dead else."""

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
        waiting, running: as many.
        count: trials that there are to be; None where minutes alone decide.
        wanted: the same, with the finalists that there are to be.
    """

    ended: tuple[Any, ...]
    finalists: tuple[Any, ...]
    waiting: int
    running: int
    count: int | None
    wanted: int | None

    @property
    def done(self) -> int:
        """Trials and finalists that have ended."""
        return len(self.ended) + len(self.finalists)

    def number(self, state: str) -> int:
        """Trials that count and ended as `COMPLETE`, `PRUNED` or `FAIL`."""
        return sum(trial.state.name == state for trial in self.ended)


def tally(study: Any, sweep: SweepSpec) -> Tally:
    """How far a sweep has come, by its storage."""
    return _tally(study.get_trials(deepcopy=False), sweep)


def _tally(trials: Sequence[Any], sweep: SweepSpec) -> Tally:
    ended: dict[Ticket, Any] = {}
    for trial in trials:
        if (ticket := ticket_of(trial)) and _counts(trial):
            ended.setdefault(ticket, trial)
    names = [trial.state.name for trial in trials if ticket_of(trial)]
    in_order = [ended[ticket] for ticket in sorted(ended, key=lambda ticket: ticket[1])]
    return Tally(
        tuple(trial for trial in in_order if SLOT in trial.user_attrs),
        tuple(trial for trial in in_order if FINAL in trial.user_attrs),
        names.count("WAITING"),
        names.count("RUNNING"),
        sweep.count,
        None if sweep.count is None else sweep.count + (sweep.finalists or 0),
    )


def ticket_of(trial: Any) -> Ticket | None:
    """Which ticket a trial was drawn by; None of one that has none yet."""
    return next(((kind, int(trial.user_attrs[kind])) for kind in (SLOT, FINAL) if kind in trial.user_attrs), None)


def look(study: Any, sweep: SweepSpec) -> Tally:
    """How far a sweep has come, once there are tickets for what nobody has run, runs or is to run."""
    _give_up_unbegun(study)
    trials = study.get_trials(deepcopy=False)
    found = _tally(trials, sweep)
    if found.waiting < FEW and (added := _add_missing(study, sweep, trials, found)):
        return replace(found, waiting=found.waiting + added)
    return found


def _give_up_unbegun(study: Any) -> None:
    """Ends trials whose worker died after it had drawn their ticket and before its first sign of life."""
    state = optuna().trial.TrialState
    since = datetime.now() - timedelta(seconds=SECONDS_TO_BEGIN)  # in local time, as Optuna has it
    for trial in study.get_trials(deepcopy=False, states=(state.RUNNING,)):
        if BEGUN not in trial.user_attrs and trial.datetime_start < since:
            study.tell(trial.number, state=state.FAIL, skip_if_finished=True)


def _add_missing(study: Any, sweep: SweepSpec, trials: Sequence[Any], found: Tally) -> int:
    """Adds tickets, with the values that a trial of the same had, if there was one; and gives their number."""
    package = optuna()
    live = {ticket_of(t) for t in trials if _counts(t) or t.state.name in ("WAITING", "RUNNING")}
    begun = {ticket: t for t in trials if (ticket := ticket_of(t))}
    missing = [ticket for ticket in _tickets(sweep, begun, found) if ticket not in live][:AT_ONCE]
    grid = sweep.grid() if sweep.sampler == "grid" and missing else []
    for kind, slot in missing:
        if grid and kind == SLOT:
            study.enqueue_trial(params_of(grid[slot], sweep), user_attrs={SLOT: slot})
            continue
        before = begun.get((kind, slot)) or (begun[SLOT, slot] if kind == FINAL else None)
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
    if sweep.finalists and len(found.ended) == sweep.count:
        sign = -1 if sweep.objective[0][1] == "max" else 1
        finished = [trial for trial in found.ended if trial.state.name == "COMPLETE"]
        best = sorted(finished, key=lambda trial: sign * trial.values[0])[: sweep.finalists]
        yield from ((FINAL, int(trial.user_attrs[SLOT])) for trial in best)
