"""What must hold before the first window: model, loss, metrics, data and rules fit together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kerasflow.columns import BOOKKEEPING
from kerasflow.errors import TrainingError, did_you_mean
from kerasflow.training.feed import Feed
from kerasflow.training.keras_internals import observe_losses
from kerasflow.training.refusal import reason, shapes
from kerasflow.training.stop import Rule
from kerasflow.training.window import Batch


def prepare(model: Any, data: Feed, validation: Feed | None, stop: Sequence[Rule]) -> None:
    """Builds what is built on first use (a subclassed model, the loss, metrics, the optimizer); trains nothing.

    Raises:
        TrainingError: the model, its loss, its metrics and the data do not fit together, or a rule watches what this
            training does not have.
    """
    _check_loop_applies(model)
    _pass(model, data.example(), "")
    model.optimizer.build(model.trainable_variables)
    names = ["loss", *(name for name in logs_of_metrics(model))]
    if validation is not None:
        _pass(model, validation.example(), "validation data: ")
    model.reset_metrics()
    _check_monitors(stop, names, validation is not None)


def logs_of_metrics(model: Any) -> dict[str, float]:
    """Every metric but the cost as it stands; one that gives an array has its numbers named `f1_score_0`, ..."""
    found: dict[str, float] = {}
    for name, value in model.get_metrics_result().items():
        if name != "loss":
            found |= numbers(name, value)
    return found


def numbers(name: str, value: Any) -> dict[str, float]:
    """A value of a log under its name, an array's numbers one by one; nothing if it is no number."""
    import numpy as np

    try:
        array = np.asarray(value, dtype="float64")
    except (TypeError, ValueError):
        return {}
    if array.ndim == 0:
        return {name: float(array)}
    return {f"{name}_{index}": float(number) for index, number in enumerate(array.ravel())}


def _check_loop_applies(model: Any) -> None:
    import keras

    if not isinstance(model, keras.Model):
        raise TrainingError(f"expected a keras.Model, got {type(model).__name__}")
    own = [
        n for n in ("train_step", "test_step", "compute_loss") if getattr(type(model), n) is not getattr(keras.Model, n)
    ]
    if own:
        raise TrainingError(
            f"{type(model).__name__} has its own {' and '.join(own)}, which only keras.Model.fit calls; "
            "give the loss to compile, or call self.add_loss(...) in the model's call"
        )
    if getattr(model.optimizer, "gradient_accumulation_steps", None):
        raise TrainingError(
            "the optimizer has gradient_accumulation_steps; leave it out and give micro_batch_size instead"
        )


def _pass(model: Any, example: Batch, where: str) -> None:
    """A few samples through the model, its loss and its metrics; `where` they come from begins a message."""
    try:
        y_pred = model(example.x, training=False)
    except Exception as error:  # a model's own code may raise anything
        raise TrainingError(
            f"{where}the model cannot take samples of shape {shapes(example.x)}: {reason(error)}"
        ) from error
    try:
        losses = observe_losses(model, example.y, y_pred, example.weight)
        model.compute_metrics(example.x, example.y, y_pred, sample_weight=example.weight)
    except Exception as error:  # so may a loss's or a metric's
        if example.y is None:
            raise TrainingError(f"{where}the loss needs targets, and no y was given") from error
        raise TrainingError(
            f"{where}the loss or a metric does not fit: a target has shape {shapes(example.y)}, the model's output "
            f"{shapes(y_pred)}: {reason(error)}"
        ) from error
    if not losses and not model.losses:
        raise TrainingError("there is no cost to lower: give a loss, or call self.add_loss(...) in the model's call")


def _check_monitors(stop: Sequence[Rule], names: list[str], validated: bool) -> None:
    known = [*names, *(f"val_{name}" for name in names if validated)]
    for rule in stop:
        monitor = getattr(rule, "monitor", None)
        if monitor is None or monitor in known or monitor in BOOKKEEPING:
            continue
        if not validated and str(monitor).removeprefix("val_") in known:
            hint = "; there is no validation data"
        else:
            hint = did_you_mean(monitor, known) or f"; there are {', '.join(known)}"
        raise TrainingError(f"{type(rule).__name__} watches {monitor!r}, which this training does not have{hint}")
