"""What a sweep came to: its best trial as a spec that can be run, and every trial as a row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerasflow.errors import RunError
from kerasflow.spec.experiment import ExperimentSpec
from kerasflow.spec.sweep import Chosen
from kerasflow.sweeps.space import chosen_of
from kerasflow.sweeps.tickets import ERROR, tally, ticket_of
from kerasflow.sweeps.trial import RUNS

if TYPE_CHECKING:
    import pandas as pd

_STATES = {"COMPLETE": "finished", "PRUNED": "pruned", "FAIL": "failed"}


@dataclass(frozen=True)
class Trial:
    """One trial.

    Attributes:
        number: from 1; of a finalist, of the trial that it repeats.
        state: `finished`, `pruned` or `failed`.
        chosen: its values by dotted path.
        values: of the objectives, in their order; of several seeds their means. Empty unless finished.
        stds: their standard deviations over seeds; empty of one seed.
        seeds: of each seed's training the numbers by name.
        reported: the objective by epochs, as the pruner was told; empty without one.
        error: why it failed.
        folder: the name of its run folder, beside the sweep's own.
        seconds: from its beginning to its end; `ended` is when, in seconds since 1970.
    """

    number: int
    state: str
    chosen: Chosen
    values: tuple[float, ...] = ()
    stds: tuple[float, ...] = ()
    seeds: tuple[Mapping[str, float], ...] = ()
    reported: Mapping[int, float] = field(default_factory=dict)
    error: str = ""
    folder: str = ""
    seconds: float = 0.0
    ended: float = 0.0


@dataclass(frozen=True)
class Study:
    """A sweep, as far as it has come.

    Attributes:
        spec: of the sweep, with `sweep:`.
        folder: the sweep's own, in which `best.yaml` is.
        trials: those that have ended, by number.
        finalists: the best of them, repeated with more seeds, by number; none where the spec wants none.
        judged: of which the best is the best of the sweep: the finished finalists, or else all that finished.
        interrupted: whether Ctrl-C ended it before it was whole.
        optuna: the study in Optuna's own form, for its tools.
    """

    spec: ExperimentSpec
    folder: Path
    trials: tuple[Trial, ...]
    finalists: tuple[Trial, ...]
    judged: tuple[Trial, ...]
    interrupted: bool
    optuna: Any

    @classmethod
    def of(cls, study: Any, spec: ExperimentSpec, folder: Path, interrupted: bool = False) -> Study:
        """What a study of Optuna's holds."""
        assert spec.sweep is not None
        found = tally(study, spec.sweep)
        trials, finalists, judged = (
            tuple(_trial(one, spec) for one in some) for some in (found.ended, found.finalists, found.judged)
        )
        return cls(spec, folder, trials, finalists, judged, interrupted, study)

    @property
    def objectives(self) -> tuple[tuple[str, str], ...]:
        """What trials are judged by, and `min` or `max`."""
        assert self.spec.sweep is not None
        return self.spec.sweep.objective

    @property
    def best_trials(self) -> tuple[Trial, ...]:
        """The best trial, of the finalists where there are any, by the mean over their seeds; of two objectives those
        that no other is better than in both (the Pareto front)."""
        judged = self.judged
        return tuple(one for one in judged if not any(self._better(other, one) for other in judged))[: self._at_most]

    @property
    def best_trial(self) -> Trial:
        """The best trial; of two objectives the best by the first one.

        Raises:
            RunError: no trial has finished.
        """
        found = self.best_trials
        if not found:
            raise RunError(f"{self.folder}: no trial has finished, so none is the best")
        return min(found, key=lambda trial: self._signed(trial)[0])

    @property
    def best_value(self) -> float:
        """The best trial's objective, the first of two."""
        return self.best_trial.values[0]

    @property
    def best_spec(self) -> ExperimentSpec:
        """The best trial as a plain spec, which `kf.run` trains to the same bits."""
        return self.spec.with_values(self.best_trial.chosen)

    def best_so_far(self) -> list[tuple[Trial, float]]:
        """The finished trials in the order in which they ended, each with the best value (of the first objective) of
        those so far; without finalists, whose means are no values of one training."""
        found: list[tuple[Trial, float]] = []
        way = self.objectives[0][1]
        for trial in sorted((one for one in self.trials if one.values), key=lambda one: one.ended):
            before = [found[-1][1]] if found else []
            found.append((trial, (max if way == "max" else min)([*before, trial.values[0]])))
        return found

    def to_frame(self) -> pd.DataFrame:
        """A row for each trial, by its number: state, objectives, a finalist's mean and std, values, seconds."""
        import pandas as pd

        return pd.DataFrame([dict(self._row(trial)) for trial in self.trials]).set_index("trial")

    @property
    def _at_most(self) -> int | None:
        return 1 if len(self.objectives) == 1 else None

    def _row(self, trial: Trial) -> Iterator[tuple[str, Any]]:
        yield from {"trial": trial.number, "state": trial.state}.items()
        final = next((one for one in self.finalists if one.number == trial.number and one.values), None)
        for place, (name, _) in enumerate(self.objectives):
            yield name, trial.values[place] if trial.values else None
            if trial.stds:
                yield f"{name}_std", trial.stds[place]
            if self.finalists:
                yield f"{name}_mean", final.values[place] if final else None
                yield f"{name}_std", final.stds[place] if final else None
        yield from trial.chosen.items()
        yield from {"seconds": trial.seconds, "folder": trial.folder, "error": trial.error}.items()

    def _signed(self, trial: Trial) -> tuple[float, ...]:
        """The values, so that less is better."""
        return tuple(
            -value if way == "max" else value for value, (_, way) in zip(trial.values, self.objectives, strict=True)
        )

    def _better(self, one: Trial, other: Trial) -> bool:
        a, b = self._signed(one), self._signed(other)
        return a != b and all(x <= y for x, y in zip(a, b, strict=True))


def _trial(kept: Any, spec: ExperimentSpec) -> Trial:
    assert spec.sweep is not None
    runs = kept.user_attrs.get(RUNS, {})
    names = [name for name, _ in spec.sweep.objective]
    finished = kept.state.name == "COMPLETE"
    ended = kept.datetime_complete
    return Trial(
        number=(ticket_of(kept) or ("", 0))[1] + 1,
        state=_STATES[kept.state.name],
        chosen=chosen_of(kept.params, spec.sweep),
        values=tuple(kept.values) if finished else (),
        stds=tuple(runs[f"{name}_std"] for name in names) if finished and len(runs["seeds"]) > 1 else (),
        seeds=tuple(runs.get("seeds", ())),
        reported=dict(kept.intermediate_values),
        error=kept.user_attrs.get(ERROR, ""),
        folder=runs.get("folder", ""),
        seconds=kept.duration.total_seconds() if kept.duration else 0.0,
        ended=ended.timestamp() if ended else 0.0,
    )
