"""When a training ends: pure predicates on the history's rows. What then happens is the loop's.

Because a rule keeps no state, a resumed training stops where the uninterrupted one would have.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Literal, Protocol, get_args

from kerasflow.columns import higher_is_better
from kerasflow.errors import TrainingError, did_you_mean

Rows = Sequence[dict[str, Any]]
Mode = Literal["auto", "min", "max"]


class Rule(Protocol):
    """A rule looks at all rows so far and gives the reason to stop, or None."""

    def __call__(self, rows: Rows) -> str | None: ...


class Reason(str):
    """Why a training ended: the sentence itself, and the same as plain data.

    Attributes:
        data: `rule` (its name), `epoch` (the one after which it held, from 1) and what the rule compared; numbers, text
            and lists of such dicts, ready for JSON. A number that is not finite is None.
    """

    data: dict[str, Any]

    def __new__(cls, text: str, **data: Any) -> Reason:
        made = super().__new__(cls, text)
        made.data = {
            key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in data.items()
        }
        return made


@dataclass(frozen=True)
class Plateau:
    """Stops when a number has not improved for `patience` epochs (Prechelt 1998, "Early Stopping - But When?").

    An epoch that does not have the number, as between validations that are not made every epoch, stops nothing.

    Args:
        monitor: a column of the history.
        patience: epochs without improvement, >= 1.
        min_delta: what counts as an improvement, in the number's unit, >= 0.
        mode: whether less (`min`) or more (`max`) is better; `auto` reads it from the name.
        restore_best: whether the model ends with the weights of the best epoch, however the training ended.

    Raises:
        TrainingError: an argument is not what is said above.
    """

    monitor: str = "val_loss"
    patience: int = 5
    min_delta: float = 0.0
    mode: Mode = "auto"
    restore_best: bool = False

    def __post_init__(self) -> None:
        _check_monitor(self, self.monitor)
        if not isinstance(self.patience, Integral) or isinstance(self.patience, bool) or self.patience < 1:
            raise TrainingError(f"Plateau: patience must be an integer >= 1, got {self.patience!r}")
        if not _is_number(self.min_delta) or self.min_delta < 0:
            raise TrainingError(f"Plateau: min_delta must be a finite number >= 0, got {self.min_delta!r}")
        if self.mode not in get_args(Mode):
            raise TrainingError(
                f"Plateau: mode must be one of {', '.join(get_args(Mode))}, got {self.mode!r}"
                f"{did_you_mean(self.mode, get_args(Mode))}"
            )

    def __call__(self, rows: Rows) -> Reason | None:
        if not rows or self.monitor not in rows[-1]:
            return None
        best, now = self.best_epoch(rows), rows[-1]["epoch"]
        if self.waited(rows) < self.patience:
            return None
        return Reason(
            f"plateau: {self.monitor} has not improved by {self.min_delta:g} for {self.patience} epochs",
            rule="plateau",
            epoch=now,
            monitor=self.monitor,
            value=float(rows[-1][self.monitor]),
            best=next((float(row[self.monitor]) for row in rows if row["epoch"] == best), None),
            best_epoch=best,
            patience=int(self.patience),
            min_delta=float(self.min_delta),
        )

    def waited(self, rows: Rows) -> int:
        """Epochs since the last improvement, or since the beginning; there is at least one row."""
        return int(rows[-1]["epoch"] - (self.best_epoch(rows) or rows[0]["epoch"] - 1))

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

    Raises:
        TrainingError: not exactly one bound is given, or it is no finite number.
    """

    monitor: str
    below: float | None = None
    above: float | None = None

    def __post_init__(self) -> None:
        _check_monitor(self, self.monitor)
        bounds = [bound for bound in (self.below, self.above) if bound is not None]
        if len(bounds) != 1 or not _is_number(bounds[0]):
            raise TrainingError(
                "Threshold: needs either below or above, one finite number, "
                f"got below={self.below!r}, above={self.above!r}"
            )

    def __call__(self, rows: Rows) -> Reason | None:
        value = rows[-1].get(self.monitor) if rows else None
        if value is None:
            return None
        if self.below is not None and value < self.below:
            return self._reason(rows, value, "below", self.below)
        if self.above is not None and value > self.above:
            return self._reason(rows, value, "above", self.above)
        return None

    def _reason(self, rows: Rows, value: float, side: str, bound: float) -> Reason:
        return Reason(
            f"threshold: {self.monitor} = {value:.6g} is {side} {bound:g}",
            rule="threshold",
            epoch=rows[-1]["epoch"],
            monitor=self.monitor,
            value=float(value),
            **{side: float(bound)},
        )


@dataclass(frozen=True)
class Deadline:
    """Stops after the first epoch that ends past so many minutes of training, counted on over resumes.

    Args:
        minutes: > 0.

    Raises:
        TrainingError: it is no such number.
    """

    minutes: float

    def __post_init__(self) -> None:
        if not _is_number(self.minutes) or self.minutes <= 0:
            raise TrainingError(f"Deadline: minutes must be a finite number > 0, got {self.minutes!r}")

    def __call__(self, rows: Rows) -> Reason | None:
        used = self.used(rows)
        if used < self.minutes:
            return None
        return Reason(
            f"deadline: {used:.3g} of {self.minutes:g} minutes are used",
            rule="deadline",
            epoch=rows[-1]["epoch"],
            minutes=float(self.minutes),
            used_minutes=float(used),
        )

    def used(self, rows: Rows) -> float:
        """Minutes of training so far."""
        return float(sum(row["seconds"] for row in rows)) / 60


@dataclass(frozen=True)
class Divergence:
    """Stops when a cost is no longer a finite number. Every training has this rule."""

    def __call__(self, rows: Rows) -> Reason | None:
        for name in ("loss", "val_loss"):
            value = rows[-1].get(name, 0.0) if rows else 0.0
            if not math.isfinite(value):
                epoch = rows[-1]["epoch"]
                at = {"update": rows[-1]["updates"]} if name == "loss" and "updates" in rows[-1] else {}
                where = f"in epoch {epoch}, by update {at['update']}" if at else f"after epoch {epoch}"
                text = f"divergence: {name} is {value} {where}"
                return Reason(text, rule="divergence", epoch=epoch, monitor=name, **at)
        return None


@dataclass(frozen=True, init=False)
class _Combination:
    rules: tuple[Rule, ...]

    def __init__(self, *rules: Rule) -> None:
        object.__setattr__(self, "rules", _combined(self, rules))


class AllOf(_Combination):
    """Stops after the first epoch at which every one of its rules says stop.

    Each rule is asked about this epoch: a threshold that a number passed once and left again does not count, a plateau
    counts until the number improves. So `AllOf(Threshold("accuracy", above=0.9), Plateau("val_loss"))` waits for a
    model that is good enough and no longer learns.

    Args:
        rules: any rules, at least one; `AllOf` and `AnyOf` among them.

    Raises:
        TrainingError: there is no rule, or one is no function of rows.
    """

    def __call__(self, rows: Rows) -> Reason | None:
        reasons = [ask(rule, rows) for rule in self.rules]
        held = [reason for reason in reasons if reason is not None]
        if len(held) < len(self.rules):
            return None
        return Reason(
            f"all: {'; '.join(held)}", rule="all", epoch=rows[-1]["epoch"], of=[reason.data for reason in held]
        )


class AnyOf(_Combination):
    """Stops after the first epoch at which one of its rules says stop, for that rule's reason.

    A list of rules given to a trainer is taken so; this is for use inside `AllOf`.

    Args:
        rules: any rules, at least one; `AllOf` and `AnyOf` among them.

    Raises:
        TrainingError: there is no rule, or one is no function of rows.
    """

    def __call__(self, rows: Rows) -> Reason | None:
        return first_reason(self.rules, rows)


def first_reason(rules: Iterable[Rule], rows: Rows) -> Reason | None:
    """The reason of the first rule that says stop; None if no rule does.

    Raises:
        TrainingError: a rule returns neither a reason nor None.
    """
    return next((reason for reason in (ask(rule, rows) for rule in rules) if reason is not None), None)


def ask(rule: Rule, rows: Rows) -> Reason | None:
    """What a rule says of the rows; the text of a rule of one's own gets the rule's name and the epoch as its data.

    Raises:
        TrainingError: the rule returns neither text nor None.
    """
    said: Any = rule(rows)  # a function of the user's may return anything
    if said is not None and not isinstance(said, str):
        raise TrainingError(
            f"the stopping rule {_name(rule)} must return a reason to stop, as text, or None, got {said!r}"
        )
    if not said:
        return None
    return said if isinstance(said, Reason) else Reason(said, rule=_name(rule), epoch=rows[-1]["epoch"])


def flatten(rules: Iterable[Rule]) -> Iterator[Rule]:
    """Every rule at any depth: in place of an `AllOf` or an `AnyOf`, the rules in it."""
    for rule in rules:
        if isinstance(rule, _Combination):
            yield from flatten(rule.rules)
        else:
            yield rule


def plateaus(rules: Iterable[Rule]) -> list[Plateau]:
    """Every plateau at any depth, those that restore the best epoch first."""
    found = [rule for rule in flatten(rules) if isinstance(rule, Plateau)]
    return sorted(found, key=lambda rule: not rule.restore_best)


def monitored(rules: Iterable[Rule], validated: bool) -> Plateau:
    """What "best" means in a training: the number of the plateau that restores the best epoch, else of the first
    plateau, else the validation cost, else the cost.

    Args:
        validated: whether there are validation data.
    """
    return next(iter(plateaus(rules)), Plateau("val_loss" if validated else "loss"))


def best_epoch(rows: Rows, monitor: str, mode: Mode = "auto", min_delta: float = 0.0) -> int:
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


def check_rules(rules: Iterable[Any], owner: str = "stop") -> None:
    """Raises TrainingError unless every one is a rule, that is, can be called."""
    for rule in rules:
        if not callable(rule) or isinstance(rule, type):
            raise TrainingError(
                f"{owner} takes rules such as kf.stop.Plateau('val_loss'), or functions of the history's rows, "
                f"got {rule!r}"
            )


def _combined(owner: _Combination, rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
    name = type(owner).__name__
    if not rules:
        raise TrainingError(f"{name} needs at least one rule")
    check_rules(rules, name)
    return rules


def _check_monitor(owner: Plateau | Threshold, monitor: Any) -> None:
    if not isinstance(monitor, str) or not monitor:
        raise TrainingError(
            f"{type(owner).__name__}: monitor must be a column of the history, such as 'val_loss', got {monitor!r}"
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def _name(rule: Any) -> str:
    return str(getattr(rule, "__name__", type(rule).__name__))
