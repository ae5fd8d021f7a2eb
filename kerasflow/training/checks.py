"""What must hold before the first window: model, loss, metrics, data and rules fit together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from kerasflow.columns import BOOKKEEPING
from kerasflow.errors import TrainingError, did_you_mean
from kerasflow.training.arrays import Arrays
from kerasflow.training.compared import check_compared
from kerasflow.training.feed import Feed
from kerasflow.training.finite import check_finite
from kerasflow.training.keras_internals import observe_losses
from kerasflow.training.labels import check_labels, counts_labels
from kerasflow.training.own_step import OwnStep, own_methods
from kerasflow.training.program import spec_of
from kerasflow.training.refusal import called_back, reason, shapes
from kerasflow.training.stop import Rule, check_rules, flatten
from kerasflow.training.unchanging import known_of
from kerasflow.training.window import Batch


def prepare(
    model: Any, data: Feed, validation: Feed | None, stop: Sequence[Rule], callbacks: Sequence[Any] = ()
) -> None:
    """Builds what is built on first use (a subclassed model, the loss, metrics, the optimizer); trains nothing.

    Raises:
        TrainingError: the model, its loss, its metrics and the data do not fit together, arrays hold numbers that are
            not finite, or a rule watches what this training does not have.
    """
    import keras

    check_rules(stop)
    _check_loop_applies(model)
    if own_methods(model):
        _declare(model, data, validation, stop)
        return
    _pass(model, data, "")
    model.optimizer.build(model.trainable_variables)
    names = ["loss", *logs_of_metrics(model)]
    if validation is not None:
        _pass(model, validation, "validation data: ")
    model.reset_metrics()
    names += [f"val_{name}" for name in names if validation is not None]
    _check_monitors(stop, names, validation is not None)
    asked = any(isinstance(callback, keras.callbacks.TerminateOnNaN) for callback in callbacks)
    for feed, where in ((data, ""), (validation, "validation data: ")):
        if isinstance(feed, Arrays) and not asked:  # what is to happen with such numbers
            check_finite(model, feed.batch, where)


def check_window(batch_size: int, micro_batch_size: int | None) -> None:
    """Raises a `TrainingError` for sizes that no window can have."""
    if batch_size < 1 or (micro_batch_size is not None and not 1 <= micro_batch_size <= batch_size):
        raise TrainingError(
            f"a window holds batch_size samples in micro-batches: expected 1 <= micro_batch_size <= batch_size, "
            f"got micro_batch_size={micro_batch_size}, batch_size={batch_size}"
        )


def logs_of_metrics(model: Any) -> dict[str, float]:
    """Every metric but the cost as it stands; one that gives an array has its numbers named `f1_score_0`, ..."""
    return all_numbers({name: value for name, value in model.get_metrics_result().items() if name != "loss"})


def all_numbers(logs: Mapping[str, Any]) -> dict[str, float]:
    """Every number of some logs, an array's one by one."""
    found: dict[str, float] = {}
    for name, value in logs.items():
        found |= numbers(name, value)
    return found


def numbers(name: str, value: Any) -> dict[str, float]:
    """A value of a log under its name, an array's numbers one by one; nothing if it is no number."""
    import numpy as np

    try:
        array = np.asarray(value, dtype="float64")
    except (TypeError, ValueError):
        return {}
    if array.size == 1:
        return {name: array.item()}
    return {f"{name}_{index}": float(number) for index, number in enumerate(array.ravel())}


def _check_loop_applies(model: Any) -> None:
    import keras

    if not isinstance(model, keras.Model):
        raise TrainingError(f"expected a keras.Model, got {type(model).__name__}")
    inner = getattr(model.optimizer, "inner_optimizer", model.optimizer)  # of loss scaling
    if getattr(inner, "gradient_accumulation_steps", None) and not own_methods(model):
        raise TrainingError(
            "the optimizer has gradient_accumulation_steps; leave it out and give micro_batch_size instead"
        )


def _declare(model: Any, data: Feed, validation: Feed | None, stop: Sequence[Rule]) -> None:
    """Of a model with a step of its own, only the step itself tells what fits and what it logs."""
    step = OwnStep(model, None, "micro")
    trained = step.declare("train_step", data.example())
    validated = None if validation is None else step.declare("test_step", validation.example())
    model.optimizer.build(model.trainable_variables)
    if trained is not None and (validation is None or validated is not None):
        names = [*all_numbers(trained), *(f"val_{name}" for name in all_numbers(validated or {}))]
        _check_monitors(stop, names, validation is not None)


def _pass(model: Any, data: Feed, where: str) -> None:
    """A few samples through the model, its loss and its metrics; `where` they come from begins a message."""
    import keras

    example = _example(data, where)
    known, kind = known_of(model), repr([spec_of(leaf) for leaf in keras.tree.flatten(tuple(example))])
    if known is not None and kind in known.outputs:
        if isinstance(data, Arrays):
            check_labels(model.loss, data.batch.y, known.outputs[kind], where)
        return
    try:
        with keras.StatelessScope(collect_losses=True) as scope:  # so that no state moves, such as a layer's counter
            y_pred = model(example.x, training=False)
    except Exception as error:  # a model's own code may raise anything
        raise TrainingError(
            f"{where}the model cannot take samples of shape {shapes(example.x)}: {reason(error)}"
        ) from error
    if isinstance(data, Arrays):
        check_labels(model.loss, data.batch.y, y_pred, where)
    with _fitting(model, example, y_pred, where):
        losses = observe_losses(model, example.y, y_pred, example.weight)
    for part in losses:
        check_compared(part, where)
    with _fitting(model, example, y_pred, where):
        model.compute_metrics(example.x, example.y, y_pred, sample_weight=example.weight)
    if not losses and not scope.losses and not model.losses:
        raise TrainingError("there is no cost to lower: give a loss, or call self.add_loss(...) in the model's call")
    if known is not None:
        known.outputs[kind] = y_pred


def _example(data: Feed, where: str) -> Batch:
    """A few samples of data whose faults are told as theirs."""
    try:
        with called_back():
            return data.example()
    except TrainingError as error:
        raise TrainingError(f"{where}{error}") from error


@contextmanager
def _fitting(model: Any, example: Batch, y_pred: Any, where: str) -> Iterator[None]:
    """Around the loss and the metrics: what they raise becomes one sentence with both shapes."""
    try:
        yield
    except Exception as error:  # a loss's or a metric's own code may raise anything
        if example.y is None:
            raise TrainingError(f"{where}the loss needs targets, and no y was given") from error
        raise TrainingError(
            f"{where}the loss or a metric does not fit: a target has shape {shapes(example.y)}, the model's output "
            f"{shapes(y_pred)}{_other_loss(model.loss, example.y, y_pred)}: {reason(error)}"
        ) from error


def _other_loss(loss: Any, y: Any, y_pred: Any) -> str:
    """The loss that would fit, where the shapes of one target and one output tell."""
    if not hasattr(y, "shape") or not hasattr(y_pred, "shape") or len(y_pred.shape) < 2 or y_pred.shape[-1] == 1:
        return ""
    outputs, labels = tuple(y_pred.shape), tuple(y.shape) in (tuple(y_pred.shape[:-1]), (*y_pred.shape[:-1], 1))
    if labels and y.dtype.is_integer and not counts_labels(loss):
        return " (integer labels go with sparse_categorical_crossentropy)"
    if tuple(y.shape) == outputs and counts_labels(loss):
        return " (one number for each output goes with categorical_crossentropy, or with mse)"
    return ""


def _check_monitors(stop: Sequence[Rule], known: list[str], validated: bool) -> None:
    for rule in flatten(stop):
        monitor = getattr(rule, "monitor", None)
        if monitor is None or monitor in known or monitor in BOOKKEEPING:
            continue
        if not validated and str(monitor).startswith("val_"):
            hint = "; there is no validation data"
        else:
            hint = did_you_mean(monitor, known) or f"; there are {', '.join(known)}"
        raise TrainingError(f"{type(rule).__name__} watches {monitor!r}, which this training does not have{hint}")
