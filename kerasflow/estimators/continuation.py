"""Training that goes on from an earlier one: its weights, and its history."""

from __future__ import annotations

from typing import Any

from kerasflow.estimators.fitted import Fitted
from kerasflow.estimators.recipe import Recipe
from kerasflow.training.history import History
from kerasflow.training.keras_internals import settle
from kerasflow.training.stop import monitored


def with_weights_of(old: Fitted, recipe: Recipe) -> Fitted:
    """What the recipe makes, with the weights of another and an optimizer that begins anew.

    Raises:
        ValueError: its layers are others.
    """
    new = Fitted(recipe)
    new.build()
    if [weight.shape for weight in new.model.weights] != [weight.shape for weight in old.model.weights]:
        raise ValueError(
            "warm_start goes on with the weights of the previous fit, and the model has other layers now; set "
            "warm_start=False, or leave the model as it was"
        )
    new.model.set_weights(old.model.get_weights())
    settle(new.model)
    return new


def joined(before: History, after: History, stop: list[Any]) -> History:
    """A history that goes on with another; the best epoch is of both, if no rule goes back to the best of the last."""
    for row in after.rows:
        row["updates"] += before.updates
    after.rows = [*before.rows, *after.rows]
    monitor = monitored(stop, any("val_loss" in row for row in after.rows))
    if before.rows and not monitor.restore_best:
        after.best_epoch = monitor.best_epoch(after.rows)
    return after
