"""The trials that there are to be, as tickets in the storage: who draws one, runs it.

A ticket is a waiting trial with a slot, `0 ... count - 1`. However often a slot is begun, because its worker died or
was interrupted, one trial of it counts: the first that has come to an end.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kerasflow.spec.sweep import SweepSpec
from kerasflow.sweeps.package import optuna
from kerasflow.sweeps.sampling import SLOT
from kerasflow.sweeps.space import params_of

ERROR = "error"
"""A trial's attribute: why it failed, in one sentence; a trial that failed without one was not run to its end."""


AT_ONCE = 16
"""Tickets that are added, when there are fewer than `FEW`: a storage reads all that have not ended at each look."""
FEW = 8


@dataclass(frozen=True)
class Tally:
    """How far a sweep has come.

    Attributes:
        ended: the trials that count, one a slot, in the order of their slots.
        waiting, running: as many.
        count: trials that there are to be; None where minutes alone decide.
    """

    ended: tuple[Any, ...]
    waiting: int
    running: int
    count: int | None

    def number(self, state: str) -> int:
        """Trials that count and ended as `COMPLETE`, `PRUNED` or `FAIL`."""
        return sum(trial.state.name == state for trial in self.ended)


def tally(study: Any, sweep: SweepSpec) -> Tally:
    """How far a sweep has come, by its storage."""
    return _tally(study.get_trials(deepcopy=False), sweep)


def _tally(trials: Sequence[Any], sweep: SweepSpec) -> Tally:
    ended: dict[int, Any] = {}
    for trial in trials:
        if SLOT in trial.user_attrs and _counts(trial):
            ended.setdefault(trial.user_attrs[SLOT], trial)
    names = [trial.state.name for trial in trials if SLOT in trial.user_attrs]
    in_order = tuple(ended[slot] for slot in sorted(ended))
    return Tally(in_order, names.count("WAITING"), names.count("RUNNING"), sweep.count)


def look(study: Any, sweep: SweepSpec) -> Tally:
    """How far a sweep has come, once there are tickets for what nobody has run, runs or is to run."""
    trials = study.get_trials(deepcopy=False)
    found = _tally(trials, sweep)
    if found.waiting < FEW and (added := _add_missing(study, sweep, trials)):
        return replace(found, waiting=found.waiting + added)
    return found


def _add_missing(study: Any, sweep: SweepSpec, trials: Sequence[Any]) -> int:
    """Adds tickets, with the values that a trial of the slot had, if there was one; and gives their number."""
    package = optuna()
    live = {t.user_attrs.get(SLOT) for t in trials if _counts(t) or t.state.name in ("WAITING", "RUNNING")}
    begun = {t.user_attrs[SLOT]: t for t in trials if SLOT in t.user_attrs}
    missing = [slot for slot in _slots(sweep.count, begun) if slot not in live][:AT_ONCE]
    grid = sweep.grid() if sweep.sampler == "grid" and missing else []
    for slot in missing:
        if grid:
            study.enqueue_trial(params_of(grid[slot], sweep), user_attrs={SLOT: slot})
            continue
        before = begun.get(slot)
        values = {} if before is None else {"params": before.params, "distributions": before.distributions}
        waiting = package.trial.TrialState.WAITING
        study.add_trial(package.create_trial(state=waiting, user_attrs={SLOT: slot}, **values))
    return len(missing)


def is_taken(study: Any, trial: Any, slot: int) -> bool:
    """Whether another trial of the slot counts already, or came before this one: two workers may add one ticket."""
    return any(
        _counts(other) or (other.state.name in ("WAITING", "RUNNING") and other.number < trial.number)
        for other in study.get_trials(deepcopy=False)
        if other.user_attrs.get(SLOT) == slot and other.number != trial.number
    )


def _counts(trial: Any) -> bool:
    return trial.state.name in ("COMPLETE", "PRUNED") or (trial.state.name == "FAIL" and ERROR in trial.user_attrs)


def _slots(count: int | None, begun: Iterable[int]) -> Iterable[int]:
    return sorted(begun) if count is None else range(count)
