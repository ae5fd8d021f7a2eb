"""Counts epochs: windows in, rows out, until the last epoch or a rule says stop."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from kerasflow.errors import TrainingError, did_you_mean
from kerasflow.training import callback_state
from kerasflow.training import stop as rules
from kerasflow.training.arrays import Arrays
from kerasflow.training.callbacks import overridden
from kerasflow.training.checkpoint import Checkpoints, TrainingState
from kerasflow.training.checks import numbers, prepare
from kerasflow.training.distribution import Devices, devices_for
from kerasflow.training.engine import Engine, choose_engine
from kerasflow.training.evaluate import Evaluation
from kerasflow.training.feed import Feed
from kerasflow.training.finite import culprit
from kerasflow.training.history import History, Row
from kerasflow.training.interruption import Interruption
from kerasflow.training.kept_weights import KeptWeights
from kerasflow.training.keras_internals import forget_restored_epoch, restored_epoch
from kerasflow.training.own_step import OwnStep, own_methods
from kerasflow.training.passes import Pace, passes
from kerasflow.training.progress import Progress, Verbose
from kerasflow.training.streamed import Streamed
from kerasflow.training.window import Auxiliary, Window
from kerasflow.training.work import Totals, Training, told

BatchNorm = Literal["micro", "frozen"]


@dataclass(frozen=True)
class Settings:
    """How to run a training; see `kerasflow.Trainer` for the meaning of each."""

    epochs: int
    micro_batch_size: int | None = None
    batch_norm: BatchNorm = "micro"
    engine: Engine = "auto"
    stop: Sequence[rules.Rule] = ()
    callbacks: Sequence[Any] = ()
    verbose: Verbose = "auto"
    initial_epoch: int = 0
    validation_freq: int = 1
    strategy: Any = None
    checkpoints: Checkpoints | None = None
    initial_updates: int = 0
    facts: Mapping[str, float] = field(default_factory=dict)  # columns of every row, the same in each
    auxiliary: Auxiliary | None = None
    constant_cost: float = 0.0  # a part of the cost that this training cannot change and its model does not hold

    def __post_init__(self) -> None:
        for name, kind in (("engine", Engine), ("batch_norm", BatchNorm), ("verbose", Verbose)):
            value, known = getattr(self, name), get_args(kind)
            if value not in known:
                hint = did_you_mean(value, known)
                raise TrainingError(f"{name} must be one of {', '.join(map(str, known))}, got {value!r}{hint}")
        rules.check_rules(self.stop)
        for name, count in (("epochs", self.epochs), ("validation_freq", self.validation_freq)):
            if not isinstance(count, Integral) or count < 1:
                raise TrainingError(f"{name} must be an integer >= 1, got {count!r}")


class Running(NamedTuple):
    """How far an epoch is.

    Attributes:
        windows: that are done.
        totals: of these windows.
        seconds: that they took.
    """

    windows: int = 0
    totals: Any = None
    seconds: float = 0.0


def train(
    model: Any,
    data: Feed,
    validation: Feed | None,
    settings: Settings,
    on_epoch: Callable[[Row], None] | None = None,
    on_update: Callable[[int, float], None] | None = None,
) -> History:
    """Trains a compiled model.

    Args:
        on_epoch: called with each row as it is finished.
        on_update: called after each update with its number, from 1, and its window's cost.

    Raises:
        TrainingError: the model, its loss and the data do not fit together, or a rule watches what is not there.
    """
    devices = devices_for(settings.strategy)
    prepare(model, data, validation, settings.stop, settings.callbacks)
    with devices.holding(model):
        return _Loop(model, data, validation, settings, on_epoch, on_update, devices).run()


class _Loop:
    def __init__(
        self,
        model: Any,
        data: Feed,
        validation: Feed | None,
        settings: Settings,
        on_epoch: Callable[[Row], None] | None,
        on_update: Callable[[int, float], None] | None,
        devices: Devices,
    ) -> None:
        import keras

        self.model, self.data, self.validation, self.settings = model, data, validation, settings
        self.on_epoch, self.on_update, self.devices = on_epoch, on_update, devices
        self.stop_rules = [*settings.stop, rules.Divergence()]
        accumulation = settings.micro_batch_size, settings.batch_norm
        window = (
            OwnStep(model, *accumulation) if own_methods(model) else Window(model, *accumulation, settings.auxiliary)
        )
        self.window = devices.window(window, data.example())
        self.history = History(batch_norm=self.window.batch_norm)
        last = keras.callbacks.LambdaCallback(on_epoch_end=lambda _, logs: setattr(self, "told", logs))
        self.callbacks = keras.callbacks.CallbackList(
            [*settings.callbacks, last], model=model, epochs=settings.epochs, steps=data.windows, verbose=0
        )
        wanted = "on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end"
        self.one_by_one = devices.any(on_update is not None) or overridden(self.callbacks, *wanted)
        devices.check_same("windows, samples, seed and epochs", (data.windows or 0, *_size(data), settings.epochs))
        self.saved = devices.any(settings.checkpoints is not None)
        self.state = settings.checkpoints.load() if settings.checkpoints else None
        devices.check_same("checkpoint", (self.state.epoch, self.state.window) if self.state else (0, 0))
        chosen = choose_engine(settings.engine, model, data, settings.epochs, settings.micro_batch_size)
        if self.state is not None and settings.engine == "auto":  # another engine would end in other bits
            chosen = self.state.settings["engine"], self.state.settings["engine_reason"]
        self._compile(*devices.engine(settings.engine, chosen))
        self.pace = Pace(1 if self.one_by_one else None, devices.of_chief)
        self.keep = KeptWeights(model, settings.stop, self.monitor)
        self.decisive = _decisive(data, settings, self.history)
        if self.state is not None:
            self.state.check(model, self.decisive)
            callback_state.check(settings.callbacks, self.state.callbacks)
            if self.state.window and settings.epochs <= self.state.epoch:
                raise TrainingError(
                    f"the checkpoint is within epoch {self.state.epoch + 1}, and epochs={settings.epochs} ends before "
                    "it; give more epochs, or begin in another folder"
                )
        self.interruption = Interruption(held=self.saved)
        self.running = Running()
        self.reason: rules.Reason | None = None
        self.updates = 0
        self.told: dict[str, Any] = {}  # the epoch's logs as the callbacks left them

    def _compile(self, engine: str, reason: str) -> None:
        """Makes what the engine is to run. What XLA cannot compile becomes a graph, if the choice is ours."""
        model, window, data = self.model, self.window, self.data
        compiler = self.devices.compiler(model, engine)
        size = data.batch_size if isinstance(data, Arrays) else None
        try:
            self.passes = passes(Training(model, window), data, compiler, ("train", window.kind), self.one_by_one)
            self.evaluation = (
                Evaluation(model, window, self.validation, compiler, size, self.callbacks, self.devices)
                if self.validation
                else None
            )
            if engine == "xla" and self.settings.engine == "auto":
                self.passes.begin(0)
                self.passes.advance(0)  # compiles, and steps nothing
        except TrainingError as error:
            if engine != "xla" or self.settings.engine != "auto":
                raise
            self._compile("graph", f"auto: compiled as a TensorFlow graph, for {error}")
            return
        self.history.engine, self.history.engine_reason = engine, reason

    @property
    def monitor(self) -> rules.Plateau:
        """What "best" means in this training."""
        return rules.monitored(self.settings.stop, bool(self.validation))

    def run(self) -> History:
        settings, history, callbacks, state = self.settings, self.history, self.callbacks, self.state
        self.model.stop_training = False
        forget_restored_epoch(self.model)
        with callback_state.logs_going_on(settings.callbacks, state.callbacks) if state else nullcontext():
            callbacks.on_train_begin()
        logs: dict[str, float] = {}
        first = restored_epoch(self.model) or settings.initial_epoch
        if settings.checkpoints and (lost := callback_state.not_kept(settings.callbacks)):
            warnings.warn(f"no checkpoint can keep {', '.join(lost)}; they begin anew after a resume", stacklevel=4)
        if state is not None:
            first = state.epoch
            self._reposition(state)
            if not state.window:
                self._take_up(state)
        verbose = settings.verbose if self.devices.is_chief else 0
        with Progress(verbose, settings.epochs) as progress, self.interruption:
            for index in range(first, settings.epochs if self.reason is None else first):
                callbacks.on_epoch_begin(index)
                if state is not None and state.window and index == first:  # callbacks have begun it a second time
                    self._take_up(state)
                row, logs = self._epoch(index, callbacks, progress)
                history.rows.append(row)
                callbacks.on_epoch_end(index, logs)
                self.model.stop_training = self.devices.any(self.model.stop_training)
                for name in self.told.keys() - row.keys():  # what a callback has added
                    row |= numbers(name, self.told[name])
                self.reason = self._reason()
                if not self.keep.after(history.rows, self.passes.call.read()) and self.reason is None:
                    text = f"divergence: weights are not finite after epoch {index + 1}"
                    self.reason = rules.Reason(text, rule="divergence", epoch=index + 1, monitor="weights")
                progress.line(row)
                if self.on_epoch is not None and self.devices.is_chief:
                    self.on_epoch(row)
                self._save_if_due(index + 1)
                if self.reason is not None:
                    break
        self._save(history.rows[-1]["epoch"] if history.rows else first)
        done = settings.epochs
        reason = self.reason or rules.Reason(
            f"epochs: all {done} are completed", rule="epochs", epoch=done, epochs=done
        )
        history.stop_reason, history.stop = str(reason), reason.data
        history.best_epoch = self.monitor.best_epoch(history.rows)
        if history.rows:
            self.model.optimizer.finalize_variable_values(self.model.trainable_variables)
        self.keep.restore()
        callbacks.on_train_end(logs)
        return history

    def _epoch(self, index: int, callbacks: Any, progress: Progress) -> tuple[Row, dict[str, float]]:
        windows, before, seconds = self.running
        started = time.perf_counter() - seconds
        self.passes.begin(index, windows, before)
        totals = Totals(*(np.zeros(len(Totals._fields)) if before is None else np.asarray(before)))
        goes_on = True
        with progress.epoch(index + 1, self.data.windows) as moved:
            while goes_on and not self.passes.finished() and not self.model.stop_training:
                if self.one_by_one:
                    callbacks.on_train_batch_begin(windows)
                self.pace.advance(self.passes)
                last, totals = totals, self._totals()
                stepped, windows = int(totals.windows) - windows, int(totals.windows)
                goes_on = bool(np.isfinite(totals.cost)) or isinstance(self.window, OwnStep)
                self.updates += stepped
                if self.on_update is not None and stepped and self.devices.is_chief:
                    cost = (totals.cost - last.cost) / (totals.samples - last.samples)
                    self.on_update(self.settings.initial_updates + self.updates, float(cost))
                if self.one_by_one and stepped:
                    callbacks.on_train_batch_end(windows - 1, self._logs())
                moved(stepped)
                self.running = Running(windows, self.passes.call.totals, time.perf_counter() - started)
                if goes_on:
                    self._save_if_due(index)
        self.running = Running()
        if not windows:
            raise TrainingError(
                f"the data gave no batch in epoch {index + 1}; a generator passes only once, so give "
                "steps_per_epoch, or a tf.data.Dataset or keras.utils.PyDataset, which can begin again"
            )
        logs = self._logs()
        _, samples, norms, norms_known, _ = self._totals()
        trained = time.perf_counter() - started
        if self.evaluation is not None and (index + 1) % self.settings.validation_freq == 0:
            logs |= {f"val_{name}": value for name, value in self._validate(callbacks).items()}
        lr = float(self.passes.call.read().learning_rate)
        updates = self.settings.initial_updates + self.updates
        row: Row = {"epoch": index + 1, **logs, **self.settings.facts, "updates": updates, "lr": lr}
        if not isinstance(self.window, OwnStep):
            row["grad_norm"] = float(norms / norms_known) if norms_known else 0.0
        row["seconds"], row["samples_per_second"] = self.devices.of_chief(
            time.perf_counter() - started, float(samples / max(trained, 1e-9))
        )
        return row, logs

    def _reposition(self, state: TrainingState) -> None:
        """Lets datasets give what comes after what they had given when the checkpoint was made."""
        validations = sum(row["epoch"] % self.settings.validation_freq == 0 for row in state.rows)
        for feed, completed in ((self.data, len(state.rows)), (self.validation, validations)):
            if isinstance(feed, Streamed):
                feed.go_on_after(completed, state.updates)

    def _take_up(self, state: TrainingState) -> None:
        """Goes back to where a checkpoint was made: callbacks had been called until then."""
        state.apply(self.model)
        callback_state.give_back(self.settings.callbacks, state.callbacks)
        self.history.rows = state.rows
        self.reason = rules.Reason(state.stop_reason, **state.stop) if state.stop_reason else None
        self.keep.take_up(state.weights)
        self.updates = state.updates
        self.running = Running(**state.running)

    def _save_if_due(self, epoch: int) -> None:
        """Where a checkpoint may be made; and where a Ctrl-C that came meanwhile may act, with one behind it."""
        checkpoints = self.settings.checkpoints
        within = bool(self.running.windows)
        if not self.saved or (within and (self.model.stop_training or self.passes.finished())):
            return
        due = checkpoints is not None and checkpoints.due(within_epoch=within)
        if self.devices.any(due or self.interruption.heard):
            self._save(epoch)
        self.interruption.check()

    def _save(self, epoch: int) -> None:
        if not self.saved:
            return
        history, running, reason = self.history, self.running, self.reason
        totals = np.asarray(running.totals) if running.windows else None
        state = TrainingState.capture(
            self.model,
            epoch=epoch,
            window=running.windows,
            updates=self.updates,
            rows=history.rows,
            running=running._replace(totals=totals)._asdict(),
            stop_reason=str(reason or ""),
            stop=reason.data if reason else {},
            settings=self.decisive | {"engine_reason": history.engine_reason},
            weights=self.keep.kept(),
            callbacks=callback_state.kept(self.settings.callbacks),
        )
        if self.settings.checkpoints is not None and self.devices.is_chief:
            self.settings.checkpoints.save(state)

    def _logs(self) -> dict[str, float]:
        if isinstance(self.window, OwnStep):
            return told(self.passes.call.read().metrics)
        totals = self._totals()
        return {"loss": float(totals.cost / totals.samples) + self.settings.constant_cost} | told(
            self.passes.call.read().metrics
        )

    def _totals(self) -> Totals:
        return Totals(*np.asarray(self.passes.call.totals))

    def _validate(self, callbacks: Any) -> dict[str, float]:
        assert self.evaluation is not None
        callbacks.on_test_begin()
        logs = self.evaluation()
        logs["loss"] += self.settings.constant_cost
        callbacks.on_test_end(logs)
        return logs

    def _reason(self) -> rules.Reason | None:
        reason = rules.first_reason(self.stop_rules, self.history.rows)
        if reason is None and self.model.stop_training:
            names = [type(callback).__name__ for callback in self.settings.callbacks]
            epoch = self.history.rows[-1]["epoch"]
            text = f"callback: one of {', '.join(names)} asked to stop after epoch {epoch}"
            return rules.Reason(text, rule="callback", epoch=epoch, callbacks=names)
        if reason is not None and reason.data["rule"] == "divergence":
            found = culprit(self.data.anew()) if isinstance(self.data, Streamed) else ""
            more = {"found": found} if found else {}
            return rules.Reason(f"{reason}; {found or 'a smaller learning rate may help'}", **reason.data, **more)
        return reason


def _size(data: Feed) -> tuple[int, int]:
    """Samples, and the seed of their order, as far as they are known."""
    return (data.n, -1 if data.seed is None else data.seed) if isinstance(data, Arrays) else (0, 0)


def _decisive(data: Feed, settings: Settings, history: History) -> dict[str, Any]:
    """What must be as it was for a training to go on in the same bits."""
    return {
        "engine": history.engine,
        "batch_norm": history.batch_norm,
        "micro_batch_size": settings.micro_batch_size,
        **{name: getattr(data, name, None) for name in ("batch_size", "seed", "n", "windows")},
    }
