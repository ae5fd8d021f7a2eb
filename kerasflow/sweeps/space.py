"""A trial's values, drawn one after the other: what is searched may depend on what was drawn before."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from kerasflow.spec.sweep import Chosen, RangeSpec, SweepSpec


def suggest(trial: Any, sweep: SweepSpec) -> Chosen:
    """The values of a trial of Optuna's, by their dotted paths."""
    chosen: Chosen = {}
    for path in sweep.in_order():
        if sweep.active(path, chosen):
            chosen[path] = _draw(trial, path, sweep.space[path])
    return chosen


def chosen_of(params: Mapping[str, Any], sweep: SweepSpec) -> Chosen:
    """The values that a trial's parameters stand for, as Optuna keeps them."""
    return {path: _value(sweep.space[path], params[path]) for path in sweep.in_order() if path in params}


def params_of(chosen: Chosen, sweep: SweepSpec) -> dict[str, Any]:
    """The parameters, as Optuna keeps them, that stand for these values."""
    return {path: _label(v) if sweep.space[path].kind == "choice" else v for path, v in chosen.items()}


def slashed(path: str) -> str:
    """A dotted path as tracking stores have it: `model/layers/0/dense/units`."""
    return path.replace("[", "/").replace("]", "").replace(".", "/")


def _draw(trial: Any, path: str, one: RangeSpec) -> Any:
    if one.kind == "choice":
        return _value(one, trial.suggest_categorical(path, [_label(value) for value in one.choices]))
    if one.kind == "int":
        return trial.suggest_int(path, one.low, one.high, step=one.step or 1)
    return trial.suggest_float(path, one.low, one.high, step=one.step, log=one.kind == "log")


def _label(value: Any) -> Any:
    """Optuna keeps plain values; what has parts is kept as JSON."""
    return value if value is None or isinstance(value, bool | int | float | str) else json.dumps(value)


def _value(one: RangeSpec, kept: Any) -> Any:
    if one.kind != "choice":
        return kept
    return next(value for value in one.choices if type(_label(value)) is type(kept) and _label(value) == kept)
