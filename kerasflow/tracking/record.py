"""What a run's numbers are called where they are tracked: pure functions from plain data to plain data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

PARAMS_AT_MOST = 40
DIGEST_TAG = "sha256/"
"""Before a file's name: the tag that holds the SHA-256 of what the run has logged under it."""

_RENAMED = {
    "lr": "optim/lr",
    "stage": "optim/stage",
    "trainable": "optim/trainable",
    "frozen": "optim/frozen",
    "updates": "optim/updates",
    "grad_norm": "optim/grad_norm",
    "features": "optim/features",
    "feature_seconds": "perf/feature_seconds",
    "seconds": "perf/epoch_seconds",
    "samples_per_second": "perf/samples_per_second",
}


def metrics_of(row: Mapping[str, Any]) -> dict[str, float]:
    """The metrics of one epoch, named so that a chart view draws one section a prefix.

    Args:
        row: an epoch of a history, in keras' names: `loss`, `val_loss`, `lr`, ...; `epoch` is the step, not a metric.

    Returns:
        `train/loss`, `val/loss`, `optim/lr`, `perf/epoch_seconds`, ...; what is no number is left out.
    """
    metrics: dict[str, float] = {}
    for key, value in row.items():
        if key == "epoch" or isinstance(value, str) or value is None:
            continue
        if key in _RENAMED:
            name = _RENAMED[key]
        elif key.startswith("val_"):
            name = f"val/{key.removeprefix('val_')}"
        else:
            name = key if "/" in key else f"train/{key}"
        metrics[name] = float(value)
    return metrics


class Reached(NamedTuple):
    """Where a curve ended before its run was taken up again; `at` is in milliseconds since 1970."""

    step: int
    at: int
    value: float


def new_points(
    metrics: Mapping[str, float], step: int, at: int | None, last: Mapping[str, Reached]
) -> dict[str, float]:
    """The metrics whose curves do not reach this step yet.

    What is measured of the whole run has no step but 0, and may be measured again by each of its parts: there a later
    value is a new one.

    Args:
        at: when, in milliseconds since 1970; None for now, of which nothing can be known yet.
        last: where each curve ended.
    """
    found = {}
    for key, value in metrics.items():
        end = last.get(key)
        again = end is not None and step == end.step == 0 and at is not None and at > end.at and value != end.value
        if end is None or step > end.step or again:
            found[key] = value
    return found


def params_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """A resolved spec as flat params: `train/optimizer/adam/learning_rate: 0.001`.

    Lists become one readable line, so `model/layers` is `conv2d(32, 3, relu) · flatten · dense(128, relu) · head`. A
    spec with more than 40 leaves has its deepest parts written as such lines, too. What is not set is left out, and so
    are the experiment, the run's name, the tracking store and a sweep, which are not hyperparameters.
    """
    wanted = {key: value for key, value in document.items() if key not in ("experiment", "name", "track", "sweep")}
    for depth in (6, 5, 4, 3, 2):
        params = dict(_flat(wanted, "", depth))
        if len(params) <= PARAMS_AT_MOST:
            return params
    return {key: _line(value) for key, value in wanted.items() if value is not None}


def _flat(value: Any, path: str, depth: int) -> Iterator[tuple[str, Any]]:
    if value is None:
        return
    if isinstance(value, Mapping) and value and depth:
        for key, inner in value.items():
            yield from _flat(inner, f"{path}/{key}" if path else str(key), depth - 1)
    elif isinstance(value, bool | int | float | str):
        yield path, value
    elif value:
        yield path, _line(value)


def _line(value: Any) -> str:
    """A nested value in one line: items by ` · `, a name with its arguments as `name(argument, ...)`."""
    if isinstance(value, list | tuple):
        return " · ".join(_collapsed([_item(item) for item in value]))
    return _item(value)


def _item(value: Any) -> str:
    if isinstance(value, Mapping):
        given = {key: inner for key, inner in value.items() if inner is not None}
        wiring = {"name", "inputs"} if len(given) > 1 else set()
        return ", ".join(_call(str(key), inner) for key, inner in given.items() if key not in wiring)
    if isinstance(value, list | tuple):
        between = " · " if any(isinstance(inner, Mapping) for inner in value) else "×"
        return between.join(_item(inner) for inner in value) if value else "[]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _call(name: str, value: Any) -> str:
    if value is True or value == {}:
        return name
    if isinstance(value, Mapping):
        arguments = [_item(inner) for inner in value.values() if inner is not None]
        return f"{name}({', '.join(arguments)})" if arguments else name
    return f"{name}({_item(value)})"


def _collapsed(items: list[str]) -> Iterator[str]:
    """Neighbours that are the same, counted: `dense(64) ×3`."""
    start = 0
    for index in range(1, len(items) + 1):
        if index == len(items) or items[index] != items[start]:
            count = index - start
            yield f"{items[start]} ×{count}" if count > 1 else items[start]
            start = index
