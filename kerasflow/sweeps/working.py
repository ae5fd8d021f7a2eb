"""A worker: draws one ticket after the other and runs its trial, until none is left or it is to stop."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kerasflow.errors import TrainingError
from kerasflow.spec.experiment import ExperimentSpec
from kerasflow.sweeps.delivering import Deliveries
from kerasflow.sweeps.package import optuna
from kerasflow.sweeps.study import key_of
from kerasflow.sweeps.tickets import ERROR, Tally, Unbegun, look, tally
from kerasflow.sweeps.trial import NotMineError, Objective, StoppedError, UnknownObjectiveError

FAILURES_AT_MOST = 3
"""That a sweep begins with: it stops then, for what is wrong is wrong with all of it."""
SECONDS_BETWEEN_LOOKS = 0.5
PARENT_VARIABLE = "KERASFLOW_SWEEP_PARENT"
"""Of a worker that another process of kerasflow has begun: the id of that one."""


def work(
    study: Any,
    spec: ExperimentSpec,
    root: Path,
    deliveries: Deliveries,
    until: float | None,
    tell: Callable[[Tally], None],
) -> bool:
    """Runs trials of a study until all there are to be have ended, others' too.

    Args:
        root: run folders are made below it.
        until: the `time.monotonic` after which no trial begins; None for none.
        tell: is told how far the sweep has come, after each trial and while others work.

    Returns:
        Whether Ctrl-C or SIGTERM ended it.

    Raises:
        TrainingError: the first trials have all failed.
    """
    assert spec.sweep is not None
    package, sweep = optuna(), spec.sweep
    objective, unbegun = Objective(spec, root, key_of(study), deliveries), Unbegun()
    try:
        while (until is None or time.monotonic() < until) and not _orphaned():
            package.storages.fail_stale_trials(study)
            unbegun.give_up(study)
            found = look(study, sweep)
            tell(found)
            check_failures(found)
            if found.waiting or found.count is None:
                _run_one(study, objective)
            elif found.running:
                time.sleep(SECONDS_BETWEEN_LOOKS)
            else:
                break
    except (KeyboardInterrupt, StoppedError, SystemExit):
        return True
    found = tally(study, sweep)
    tell(found)
    check_failures(found)
    return False


def _orphaned() -> bool:
    """Whether who began this worker is gone, as after a SIGKILL: nobody would end it then."""
    parent = os.environ.get(PARENT_VARIABLE)
    return parent is not None and os.getppid() != int(parent)


def check_failures(found: Tally) -> None:
    """Refuses to go on where every trial has failed.

    Raises:
        TrainingError: with the common cause.
    """
    failed = found.number("FAIL")
    if failed < len(found.ended) or failed < min(FAILURES_AT_MOST, found.count or FAILURES_AT_MOST):
        return
    causes = list(dict.fromkeys(trial.user_attrs[ERROR] for trial in found.ended))
    why = causes[0] if len(causes) == 1 else "; ".join(causes[:FAILURES_AT_MOST])
    raise TrainingError(
        f"all of the first {failed} trials failed{', each by' if len(causes) == 1 else ':'} {why}; each one's "
        "traceback.txt is in its run folder"
    )


def _run_one(study: Any, objective: Objective) -> None:
    package = optuna()
    try:
        study.optimize(objective, n_trials=1)
    except (StoppedError, UnknownObjectiveError):
        raise
    except NotMineError:
        return
    except package.exceptions.UpdateFinishedTrialError:  # this process slept, was held for dead, and another ran it
        return
    except Exception as error:
        last = study.get_trials(deepcopy=False)
        if not any(ERROR in trial.user_attrs for trial in last):  # then it is no trial's, but the storage's
            raise error
