"""Weights that a training may want again: of its best epoch, and of the last one before it diverged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kerasflow.training import stop as rules
from kerasflow.training.history import Row
from kerasflow.training.work import Trained


class KeptWeights:
    """Copies of the weights that may be wanted again: the best epoch's, and the last before a cost was not finite."""

    def __init__(self, model: Any, stop: Sequence[rules.Rule], monitor: rules.Plateau) -> None:
        self.model, self.monitor = model, monitor
        self.wants_best = any(getattr(rule, "restore_best", False) for rule in rules.flatten(stop))
        self.best: list[Any] | None = None
        self.good: list[Any] = [variable.numpy() for variable in model.weights]
        self.diverged = False

    def after(self, rows: list[Row], found: Trained) -> bool:
        """Keeps what may be wanted; whether the weights are finite, which an epoch's last cost does not tell."""
        if not found.finite:
            self.diverged = True
            return False
        self.diverged = bool(rules.Divergence()(rows))
        if self.diverged:
            return True
        self.good = found.weights
        if self.wants_best and self.monitor.best_epoch(rows) == rows[-1]["epoch"]:
            self.best = self.good
        return True

    def kept(self) -> dict[str, Any]:
        """All of it as plain data, for a checkpoint."""
        good = [np.asarray(value) for value in self.good]
        best = good if self.best is self.good else self.best and [np.asarray(value) for value in self.best]
        return {"best": best, "good": good, "diverged": self.diverged}

    def take_up(self, kept: dict[str, Any]) -> None:
        """Goes on from what `kept` gave."""
        self.best, self.good, self.diverged = kept["best"], kept["good"], kept["diverged"]

    def restore(self) -> None:
        if self.wants_best and self.best is not None:
            self._set(self.best)
        elif self.diverged:
            self._set(self.good)

    def _set(self, weights: list[Any]) -> None:
        for variable, value in zip(self.model.weights, weights, strict=True):
            variable.assign(value)
