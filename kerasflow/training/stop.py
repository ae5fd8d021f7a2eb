"""When a training ends: pure predicates on the history's rows. What then happens is the loop's.

Because a rule keeps no state, a resumed training stops where the uninterrupted one would have.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from kerasflow.columns import higher_is_better

Rows = Sequence[dict[str, Any]]


class Rule(Protocol):
    """A rule looks at all rows so far and gives the reason to stop, or None."""

    def __call__(self, rows: Rows) -> str | None: ...


@dataclass(frozen=True)
class Plateau:
    """Stops when a number has not improved for `patience` epochs (Prechelt 1998, "Early Stopping - But When?").

    An epoch that does not have the number, as between validations that are not made every epoch, stops nothing.

    Args:
        monitor: a column of the history.
        patience: epochs without improvement, >= 1.
        min_delta: what counts as an improvement, in the number's unit.
        mode: whether less (`min`) or more (`max`) is better; `auto` reads it from the name.
        restore_best: whether the model ends with the weights of the best epoch, however the training ended.
    """

    monitor: str = "val_loss"
    patience: int = 5
    min_delta: float = 0.0
    mode: Literal["auto", "min", "max"] = "auto"
    restore_best: bool = False

    def __call__(self, rows: Rows) -> str | None:
        if not rows or self.monitor not in rows[-1]:
            return None
        since = self.best_epoch(rows) or rows[0]["epoch"] - 1
        if rows[-1]["epoch"] - since >= self.patience:
            return f"plateau: {self.monitor} has not improved by {self.min_delta:g} for {self.patience} epochs"
        return None

    def best_epoch(self, rows: Rows) -> int:
        """The last epoch that improved on all before it by more than `min_delta`; 0 if there is none."""
        return best_epoch(rows, self.monitor, self.mode, self.min_delta)


@dataclass(frozen=True)
class Threshold:
    """Stops when a number has come below, or above, a bound: the deck's 'acceptable threshold'.

    Args:
        monitor: a column of the history.
        below: stops once the number is less than this; or
        above: stops once it is more than this.
    """

    monitor: str
    below: float | None = None
    above: float | None = None

    def __call__(self, rows: Rows) -> str | None:
        value = rows[-1].get(self.monitor) if rows else None
        if value is None:
            return None
        if self.below is not None and value < self.below:
            return f"threshold: {self.monitor} = {value:.6g} is below {self.below:g}"
        if self.above is not None and value > self.above:
            return f"threshold: {self.monitor} = {value:.6g} is above {self.above:g}"
        return None


@dataclass(frozen=True)
class Deadline:
    """Stops after the first epoch that ends past so many minutes of training, counted on over resumes."""

    minutes: float

    def __call__(self, rows: Rows) -> str | None:
        seconds = sum(row["seconds"] for row in rows)
        return (
            f"deadline: {seconds / 60:.3g} of {self.minutes:g} minutes are used"
            if seconds >= 60 * self.minutes
            else None
        )


@dataclass(frozen=True)
class Divergence:
    """Stops when a cost is no longer a finite number. Every training has this rule."""

    def __call__(self, rows: Rows) -> str | None:
        for name in ("loss", "val_loss"):
            value = rows[-1].get(name, 0.0) if rows else 0.0
            if not math.isfinite(value):
                return (
                    f"divergence: {name} is {value} after epoch {rows[-1]['epoch']}; a smaller learning rate may help"
                )
        return None


def best_epoch(rows: Rows, monitor: str, mode: Literal["auto", "min", "max"] = "auto", min_delta: float = 0.0) -> int:
    """The last epoch, from 1, that was better than all before it by more than `min_delta`; 0 if there is none.

    A number that is not finite is never better.
    """
    more = higher_is_better(monitor) if mode == "auto" else mode == "max"
    sign = -1.0 if more else 1.0
    best, epoch = math.inf, 0
    for row in rows:
        value = sign * row.get(monitor, math.nan)
        if math.isfinite(value) and value < best - min_delta:
            best, epoch = value, int(row["epoch"])
    return epoch
