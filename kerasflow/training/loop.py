"""Counts epochs: windows in, rows out, until the last epoch or a rule says stop."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from kerasflow.errors import TrainingError, did_you_mean, sentence
from kerasflow.training import stop as rules
from kerasflow.training.evaluate import Evaluation, logs_of, samples_in
from kerasflow.training.feed import Feed
from kerasflow.training.history import History, Row
from kerasflow.training.progress import Progress, Verbose
from kerasflow.training.window import Batch, Window, compiled

Engine = Literal["auto", "graph", "xla", "eager"]
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


def train(
    model: Any, data: Feed, validation: Feed | None, settings: Settings, on_epoch: Callable[[Row], None] | None = None
) -> History:
    """Trains a compiled model.

    Args:
        on_epoch: called with each row as it is finished.

    Raises:
        TrainingError: the model, its loss and the data do not fit together, or a rule watches what is not there.
    """
    return _Loop(model, data, validation, settings, on_epoch).run()


class _Loop:
    def __init__(
        self,
        model: Any,
        data: Feed,
        validation: Feed | None,
        settings: Settings,
        on_epoch: Callable[[Row], None] | None,
    ) -> None:
        self.model, self.data, self.validation, self.settings = model, data, validation, settings
        self.on_epoch = on_epoch
        self.metric_names = prepare(model, data.example())
        self.stop_rules = [*settings.stop, rules.Divergence()]
        self._check_monitors()
        window = Window(model, settings.micro_batch_size, settings.batch_norm)
        engine, reason = choose_engine(settings.engine)
        self.history = History(engine=engine, engine_reason=reason, batch_norm=window.batch_norm)
        self.step = compiled(window.train, engine, data.many_shapes)
        self.evaluation = Evaluation(model, window, validation, engine) if validation else None
        self.keep = _Keeper(model, settings.stop, self.monitor)
        self.updates = 0

    @property
    def monitor(self) -> rules.Plateau:
        """What "best" means in this training: the first plateau's number, else the validation cost, else the cost."""
        plateaus = [rule for rule in self.settings.stop if isinstance(rule, rules.Plateau)]
        return plateaus[0] if plateaus else rules.Plateau("val_loss" if self.validation else "loss")

    def run(self) -> History:
        import keras

        settings, history = self.settings, self.history
        callbacks = keras.callbacks.CallbackList(
            list(settings.callbacks), model=self.model, epochs=settings.epochs, steps=self.data.windows, verbose=0
        )
        self.model.stop_training = False
        callbacks.on_train_begin()
        logs: dict[str, float] = {}
        with Progress(settings.verbose, settings.epochs) as progress:
            for index in range(settings.initial_epoch, settings.epochs):
                callbacks.on_epoch_begin(index)
                row, logs = self._epoch(index, callbacks, progress)
                history.rows.append(row)
                callbacks.on_epoch_end(index, logs)
                history.stop_reason = self._reason()
                self.keep.after(history.rows)
                progress.epoch(row)
                if self.on_epoch is not None:
                    self.on_epoch(row)
                if history.stop_reason:
                    break
        history.stop_reason = history.stop_reason or f"epochs: all {settings.epochs} are completed"
        history.best_epoch = self.monitor.best_epoch(history.rows)
        if settings.epochs > settings.initial_epoch:
            self.model.optimizer.finalize_variable_values(self.model.trainable_variables)
        self.keep.restore(history)
        callbacks.on_train_end(logs)
        return history

    def _epoch(self, index: int, callbacks: Any, progress: Progress) -> tuple[Row, dict[str, float]]:
        started = time.perf_counter()
        self.model.reset_metrics()
        costs, norms, sizes = [], [], []
        every_batch = any(_watches_batches(callback) for callback in callbacks.callbacks)
        windows = progress.windows(self.data.epoch(index), index + 1, self.data.windows)
        for number, batch in enumerate(windows):
            callbacks.on_train_batch_begin(number)
            cost, norm = self._call(self.step, batch)
            costs.append(cost)
            norms.append(norm)
            sizes.append(samples_in(batch))
            self.updates += 1
            callbacks.on_train_batch_end(number, logs_of(self.model, costs, sizes) if every_batch else None)
            if self.model.stop_training:
                break
        if not costs:
            raise TrainingError(f"the data gave no batch in epoch {index + 1}")
        logs = logs_of(self.model, costs, sizes)
        trained = time.perf_counter() - started
        if self.evaluation is not None and (index + 1) % self.settings.validation_freq == 0:
            logs |= {f"val_{name}": value for name, value in self._validate(callbacks).items()}
        row: Row = {"epoch": index + 1, **logs, "updates": self.updates, "lr": _learning_rate(self.model.optimizer)}
        row["grad_norm"] = float(sum(map(float, norms)) / len(norms))
        row["seconds"] = time.perf_counter() - started
        row["samples_per_second"] = sum(sizes) / max(trained, 1e-9)
        return row, logs

    def _validate(self, callbacks: Any) -> dict[str, float]:
        assert self.evaluation is not None
        callbacks.on_test_begin()
        logs = self.evaluation(callbacks)
        callbacks.on_test_end(logs)
        return logs

    def _call(self, function: Callable[[Batch], Any], batch: Batch) -> Any:
        import tensorflow as tf

        try:
            return function(batch)
        except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError, ValueError, TypeError) as error:
            if self.history.engine == "xla":
                raise TrainingError(
                    f"engine 'xla' cannot compile this model; use 'graph': {sentence(error)}"
                ) from error
            raise TrainingError(f"the model refuses a batch of shape {_shapes(batch.x)}: {sentence(error)}") from error

    def _reason(self) -> str:
        found = (rule(self.history.rows) for rule in self.stop_rules)
        reason = next((text for text in found if text), "")
        if not reason and self.model.stop_training:
            names = ", ".join(type(callback).__name__ for callback in self.settings.callbacks)
            reason = f"callback: one of {names} asked to stop after epoch {self.history.rows[-1]['epoch']}"
        return reason

    def _check_monitors(self) -> None:
        known = ["loss", *self.metric_names]
        known += [f"val_{name}" for name in known] if self.validation is not None else []
        for rule in self.settings.stop:
            monitor = getattr(rule, "monitor", None)
            if monitor is not None and monitor not in known:
                without = (
                    " (there is no validation data)" if monitor.startswith("val_") and self.validation is None else ""
                )
                hint = did_you_mean(monitor, known) or f"; there are {', '.join(known)}"
                raise TrainingError(
                    f"{type(rule).__name__} watches {monitor!r}, which this training does not have{without}{hint}"
                )


class _Keeper:
    """Copies of the weights that may be wanted again: the best epoch's, and the last with a finite cost."""

    def __init__(self, model: Any, stop: Sequence[rules.Rule], monitor: rules.Plateau) -> None:
        self.model, self.monitor = model, monitor
        self.wants_best = any(getattr(rule, "restore_best", False) for rule in stop)
        self.best: list[Any] | None = None
        self.good: list[Any] | None = None

    def after(self, rows: list[Row]) -> None:
        if rules.Divergence()(rows):
            return
        self.good = self.model.get_weights()
        if self.wants_best and self.monitor.best_epoch(rows) == rows[-1]["epoch"]:
            self.best = self.good

    def restore(self, history: History) -> None:
        if self.wants_best and self.best is not None:
            self.model.set_weights(self.best)
        elif history.rows and rules.Divergence()(history.rows) and self.good is not None:
            self.model.set_weights(self.good)


def prepare(model: Any, example: Batch) -> list[str]:
    """Builds what is built on first use (a subclassed model, the loss, metrics, the optimizer) and names the metrics.

    Raises:
        TrainingError: model, loss, metrics and data do not fit together.
    """
    from kerasflow.training.keras_internals import observe_losses

    if getattr(model.optimizer, "gradient_accumulation_steps", None):
        raise TrainingError(
            "the optimizer has gradient_accumulation_steps; leave it out and give micro_batch_size instead"
        )
    try:
        y_pred = model(example.x, training=False)
    except Exception as error:
        raise TrainingError(f"the model cannot take inputs of shape {_shapes(example.x)}: {sentence(error)}") from error
    try:
        observe_losses(model, example.y, y_pred, example.weight)
        model.compute_metrics(example.x, example.y, y_pred, sample_weight=example.weight)
    except Exception as error:
        raise TrainingError(
            f"the loss or a metric does not fit: targets have shape {_shapes(example.y)}, the model's output "
            f"{_shapes(y_pred)}: {sentence(error)}"
        ) from error
    model.optimizer.build(model.trainable_variables)
    names = [name for name in model.get_metrics_result() if name != "loss"]
    model.reset_metrics()
    return names


def choose_engine(asked: Engine) -> tuple[str, str]:
    """The engine and why, decided before the training begins."""
    if asked == "auto":
        return "graph", "auto: compiled as a TensorFlow graph"
    return asked, "asked for"


def _watches_batches(callback: Any) -> bool:
    import keras

    base = keras.callbacks.Callback
    return any(getattr(type(callback), n) is not getattr(base, n) for n in ("on_train_batch_end", "on_batch_end"))


def _learning_rate(optimizer: Any) -> float:
    return float(optimizer.learning_rate)


def _shapes(part: Any) -> str:
    import keras

    shapes = [tuple(leaf.shape[1:]) for leaf in keras.tree.flatten(part) if leaf is not None]
    return " and ".join(map(str, shapes)) or "nothing"
