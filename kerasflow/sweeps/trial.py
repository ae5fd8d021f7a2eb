"""One trial: its values, one training or several, and the number that it is judged by."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kerasflow.assembly import assemble, held_out
from kerasflow.ending import truthful_status
from kerasflow.errors import TrainingError, did_you_mean, sentence
from kerasflow.spec.experiment import ExperimentSpec
from kerasflow.spec.sweep import Chosen
from kerasflow.sweeps.delivering import Deliveries
from kerasflow.sweeps.package import optuna
from kerasflow.sweeps.sampling import SLOT
from kerasflow.sweeps.space import slashed, suggest
from kerasflow.sweeps.tickets import BEGUN, ERROR, is_taken, tally, ticket_of, told
from kerasflow.tracking.folder import RunFolder
from kerasflow.tracking.journal_tracker import JournalTracker
from kerasflow.tracking.record import params_of
from kerasflow.training.history import Row

if TYPE_CHECKING:
    from kerasflow.data import Data
    from kerasflow.spec.train import StopSpec

RUNS = "runs"
"""A trial's attribute: its run folder's name, and what each seed came to."""

Numbers = dict[str, float]


class NotMineError(Exception):
    """A trial that another worker runs, or has run."""


class StoppedError(Exception):
    """Ctrl-C or SIGTERM came; the trial is run again when the sweep goes on."""


class UnknownObjectiveError(TrainingError):
    """The objective is no number that a training has: no trial could do better."""


class Pruned(Exception):
    """A training that ends early, and why."""


class Objective:
    """Runs a trial of Optuna's and gives what it is judged by.

    Args:
        spec: of the sweep, with `sweep:`.
        root: run folders are made below it.
        parent: the key of the sweep's run.
        deliveries: that bring each run to the tracking store.
    """

    def __init__(self, spec: ExperimentSpec, root: Path, parent: str, deliveries: Deliveries) -> None:
        assert spec.sweep is not None
        self.spec, self.sweep, self.root, self.parent = spec, spec.sweep, root, parent
        self.deliveries = deliveries
        self._data: OrderedDict[str, Data] = OrderedDict()

    def __call__(self, trial: Any) -> tuple[float, ...]:
        self._draw(trial)
        chosen = suggest(trial, self.sweep)
        folder = RunFolder.create(self.root, self.spec.experiment, f"{self.spec.name} {told(trial)}")
        try:
            return self._recorded(trial, chosen, folder)
        except (optuna().TrialPruned, UnknownObjectiveError):
            raise
        except Exception as error:
            trial.set_user_attr(RUNS, {"folder": folder.directory.name, "seeds": []})
            trial.set_user_attr(ERROR, f"{type(error).__name__}: {sentence(error)}")
            raise
        except BaseException as error:
            raise StoppedError from error
        finally:
            self.deliveries.put(folder)

    def _draw(self, trial: Any) -> None:
        """Takes the trial's ticket.

        Raises:
            NotMineError: another has it.
        """
        trial.set_user_attr(BEGUN, True)
        if ticket_of(trial) is None and self.sweep.count is None:
            trial.set_user_attr(SLOT, trial.number)
        ticket = ticket_of(trial)
        if ticket is None or is_taken(trial.study, trial, ticket):
            raise NotMineError

    def _recorded(self, trial: Any, chosen: Chosen, folder: RunFolder) -> tuple[float, ...]:
        """The trial's own run: of one seed its training, of several their mean, with a run for each below it."""
        tracker = JournalTracker(folder)
        with closing(folder.journal), folder.locked(), truthful_status(tracker):
            values = {slashed(path): value for path, value in chosen.items()}
            word, number = told(trial).split()
            tags, name = {word: number, "sweep": self.spec.name}, folder.status.name
            try:
                spec = self.spec.with_values(chosen)
            except Exception:
                tracker.start(self.spec.experiment, name, params_of(values), tags, self.parent)
                raise
            params = params_of(spec.to_document()) | params_of(values)
            tracker.start(spec.experiment, name, params, tags | {"spec_hash": spec.content_hash()}, self.parent)
            folder.write_text("spec.yaml", spec.without_password().to_yaml())
            reason, seeds = "", self._known(trial)
            repeats = self.sweep.repeats if seeds else self.sweep.repeats_of_all
            try:
                for more in range(len(seeds), repeats):
                    watch = self._silent if more else self._watch(trial)
                    seeds.append(self._trained_with(spec, more, tracker, watch, None if repeats == 1 else values))
            except Pruned as pruned:
                reason = str(pruned)
            numbers = _mean(seeds)
            trial.set_user_attr(RUNS, {"folder": folder.directory.name, "seeds": seeds, **numbers})
            tracker.log_metrics(numbers, 0)
            folder.write_json("metrics.json", numbers)
            tracker.set_tags({"stop_reason": reason} if reason else {})
            tracker.end("FINISHED")
            folder.set_status("FINISHED", reason or "the trial has come to its end")
        if reason:
            raise optuna().TrialPruned(reason)
        return tuple(numbers[name] for name, _ in self.sweep.objective)

    def _known(self, trial: Any) -> list[Numbers]:
        """What the first seed came to, if the trial is a finalist: the trial that it repeats has trained with it."""
        kind, slot = ticket_of(trial) or (SLOT, 0)
        if kind == SLOT:
            return []
        first = next(one for one in tally(trial.study, self.sweep).ended if one.user_attrs[SLOT] == slot)
        return list(first.user_attrs[RUNS]["seeds"])

    def _trained_with(
        self,
        spec: ExperimentSpec,
        more: int,
        trial: JournalTracker,
        watch: Callable[[Row], None],
        values: dict[str, Any] | None,
    ) -> Numbers:
        """A training with one of the trial's seeds; in a run of its own, with these values, if there are several."""
        if values is None:
            return self._trained(spec, trial, watch)
        seeded = spec.model_copy(update={"seed": spec.seed + more})
        folder = RunFolder.create(self.root, spec.experiment, f"{trial.folder.status.name} seed {seeded.seed}")
        tracker = JournalTracker(folder)
        try:
            with closing(folder.journal), folder.locked(), truthful_status(tracker):
                tags = {"spec_hash": seeded.content_hash(), "sweep": self.spec.name}
                params = params_of(seeded.to_document()) | params_of(values)
                tracker.start(spec.experiment, folder.status.name, params, tags, trial.run_id)
                reason = ""
                try:
                    found = self._trained(seeded, tracker, watch)
                except Pruned as pruned:
                    reason = str(pruned)
                    tracker.set_tags({"stop_reason": reason})
                else:
                    tracker.log_metrics(found, 0)
                tracker.end("FINISHED")
                folder.set_status("FINISHED", reason or "the training has come to its end")
            if reason:
                raise Pruned(reason)
            return found
        finally:
            self.deliveries.put(folder)

    def _trained(self, spec: ExperimentSpec, tracker: JournalTracker, watch: Callable[[Row], None]) -> Numbers:
        from kerasflow.training.distribution import joined

        data = self._loaded(spec)
        model, trainer = assemble(spec, data, 0, joined(spec.train.strategy), check=False)

        def after(row: Row) -> None:
            tracker.epoch(row)
            self._check_known(row)
            watch(row)

        began = time.perf_counter()
        history = trainer.fit(model, data.train.x, data.train.y, validation=held_out(data), on_epoch=after)
        found = {"perf/train_seconds": time.perf_counter() - began, "model/parameters": float(model.count_params())}
        tags = {"stop_reason": history.stop_reason, "engine": history.engine, "data_fingerprint": data.fingerprint}
        tracker.set_tags(tags)
        rows = history.rows
        row = history.best if rows and restores_best(spec.train.stop) and history.best else rows[-1] if rows else {}
        if any(name.startswith("test/") for name, _ in self.sweep.objective) and data.test is not None:
            tested = trainer.evaluate(model, data.test.x, data.test.y, history.engine)
            found |= {f"test/{name}": value for name, value in tested.items()}
        for name, _ in self.sweep.objective:
            if name not in found:
                if name not in row:
                    raise _unknown(name, [*row, *found])
                found[name] = float(row[name])
            if not math.isfinite(found[name]):
                raise Pruned(f"{name} is {found[name]}: {history.stop_reason}")
        return found

    def _loaded(self, spec: ExperimentSpec) -> Data:
        """The data, which trials share where nothing of it is searched."""
        from kerasflow.data import load

        key = f"{spec.seed} {spec.data.model_dump_json()}"
        data = self._data.pop(key, None) or load(spec.data, spec.seed)
        self._data[key] = data
        while len(self._data) > self.sweep.repeats:
            self._data.popitem(last=False)
        return data

    def _check_known(self, row: Row) -> None:
        for name, _ in self.sweep.objective:
            if "/" not in name and name not in row:
                raise _unknown(name, list(row))

    @staticmethod
    def _silent(row: Row) -> None:
        """Seeds after the first: nobody looks at their epochs."""

    def _watch(self, trial: Any) -> Callable[[Row], None]:
        """What tells the pruner of each epoch, and asks it."""
        if self.sweep.pruner == "none":
            return self._silent
        name = self.sweep.objective[0][0]

        def look(row: Row) -> None:
            trial.report(float(row[name]), row["epoch"])
            if trial.should_prune():
                raise Pruned(f"pruned: {name} {row[name]:.4g} after epoch {row['epoch']} is behind other trials'")

        return look


def restores_best(stop: tuple[StopSpec, ...]) -> bool:
    """Whether a training ends with the weights of its best epoch."""
    chosen = [rule.chosen[1] for rule in stop]
    return any(
        restores_best(part) if isinstance(part, tuple) else getattr(part, "restore_best", False) for part in chosen
    )


def _mean(seeds: list[Numbers]) -> Numbers:
    """Of each number the mean over seeds, and of several its standard deviation, as `NAME (std)`."""
    if not seeds:
        return {}
    found = {name: float(np.mean([one[name] for one in seeds])) for name in seeds[0]}
    if len(seeds) > 1:
        found |= {f"{name}_std": float(np.std([one[name] for one in seeds], ddof=1)) for name in seeds[0]}
    return found


def _unknown(name: str, known: list[str]) -> UnknownObjectiveError:
    return UnknownObjectiveError(
        f"sweep.objective: a training has no number {name!r}{did_you_mean(name, known)}; it has {', '.join(known)}"
    )
