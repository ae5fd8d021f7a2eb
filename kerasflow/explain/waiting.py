"""When and why a training stopped: its rules are asked again, epoch by epoch, about the rows that it left."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kerasflow.errors import TrainingError
from kerasflow.training import stop


@dataclass(frozen=True)
class Counter:
    """One rule's way to its stop.

    Attributes:
        rule: what it waits for, in words.
        values: after each epoch, what the rule compares, `(epochs,)`; NaN where the epoch does not have it.
        limit: where it says stop; NaN of a rule without a number, whose `values` are 1 where it does and else 0.
        holds: after which epochs it says stop, `(epochs,)` booleans.
    """

    rule: str
    values: np.ndarray
    limit: float
    holds: np.ndarray


@dataclass(frozen=True)
class Stopping:
    """The rules' counters, and the stop.

    Attributes:
        epochs: their numbers, `(epochs,)`.
        costs: by column, `loss` and `val_loss` as far as there are, `(epochs,)` each; NaN where an epoch has none.
        counters: one a rule, at any depth, and one of divergence, which every training has.
        epoch: the first after which the rules together say stop; None if they never do.
        reason: theirs; empty if there is none.
    """

    epochs: np.ndarray
    costs: Mapping[str, np.ndarray]
    counters: tuple[Counter, ...]
    epoch: int | None
    reason: str


def stopping(rows: Sequence[Mapping[str, Any]], rules: Iterable[stop.Rule] = ()) -> Stopping:
    """Asks stopping rules about each epoch of a training, as the training did.

    Args:
        rows: one mapping an epoch, as `history.rows` has them.
        rules: those of the training; divergence is added, as every training does.

    Raises:
        TrainingError: there are no rows, or something is no rule.
    """
    rules = [*rules, stop.Divergence()]
    stop.check_rules(rules, "stopping")
    if not rows:
        raise TrainingError("stopping: needs the rows of at least one epoch, got none; take history.rows of a training")
    seen = [[dict(row) for row in rows[:n]] for n in range(1, len(rows) + 1)]
    reasons = [stop.first_reason(rules, so_far) for so_far in seen]
    at = next((place for place, reason in enumerate(reasons) if reason), None)
    return Stopping(
        np.array([row["epoch"] for row in rows]),
        {name: _column(rows, name) for name in ("loss", "val_loss") if any(name in row for row in rows)},
        tuple(_counter(rule, seen) for rule in stop.flatten(rules)),
        None if at is None else int(rows[at]["epoch"]),
        "" if at is None else str(reasons[at]),
    )


def _counter(rule: Any, seen: Sequence[list[dict[str, Any]]]) -> Counter:
    words, value, limit = _MEASURES.get(type(rule), _said)(rule)
    holds = np.array([stop.ask(rule, rows) is not None for rows in seen])
    return Counter(words, np.array([value(rows) for rows in seen], float), limit, holds)


Measure = tuple[str, Callable[[list[dict[str, Any]]], float], float]


def _plateau(rule: stop.Plateau) -> Measure:
    return f"plateau: epochs without a better {rule.monitor}", rule.waited, rule.patience


def _threshold(rule: stop.Threshold) -> Measure:
    side, bound = ("above", rule.above) if rule.below is None else ("below", rule.below)
    return (
        f"threshold: {rule.monitor} {side} {bound:g}",
        lambda rows: float(rows[-1].get(rule.monitor, np.nan)),
        float(bound or 0.0),
    )


def _deadline(rule: stop.Deadline) -> Measure:
    return "deadline: minutes used", rule.used, rule.minutes


def _said(rule: Any) -> Measure:
    name = str(getattr(rule, "__name__", type(rule).__name__)).lower()
    return f"{name}: says stop", lambda rows: float(stop.ask(rule, rows) is not None), float("nan")


_MEASURES: Mapping[type, Callable[[Any], Measure]] = {
    stop.Plateau: _plateau,
    stop.Threshold: _threshold,
    stop.Deadline: _deadline,
}


def _column(rows: Sequence[Mapping[str, Any]], name: str) -> np.ndarray:
    return np.array([row.get(name, np.nan) for row in rows], float)
