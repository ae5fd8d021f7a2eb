"""A part of what a source holds: some of its classes, and of each of its parts the first rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from kerasflow.data.inputs import take
from kerasflow.data.sources import Found, Rows
from kerasflow.data.splitting import PartName
from kerasflow.data.target import listed
from kerasflow.errors import DataError, did_you_mean
from kerasflow.spec.data import Take


def selected(found: Found, wanted: Take) -> Found:
    """What is wanted of a source's rows, in their order.

    Raises:
        DataError: a class or a part that the source does not have, or more rows than it has.
    """
    parts = dict(found.parts)
    if wanted.classes:
        known = np.unique(parts["train"].y)
        unknown = [label for label in wanted.classes if label not in known]
        if unknown:
            hint = did_you_mean(str(unknown[0]), map(str, known))
            raise DataError(
                f"{found.where}: take.classes: there is no class {unknown[0]!r}{hint}; there are {listed(known)}"
            )
        parts = {name: _at(rows, np.flatnonzero(np.isin(rows.y, wanted.classes))) for name, rows in parts.items()}
    counts: dict[PartName, int | None] = {"train": wanted.train, "test": wanted.test}
    for name, count in counts.items():
        if count is None:
            continue
        if name not in parts:
            raise DataError(
                f"{found.where}: take.{name}: the source brings no {name} set of its own; split.{name} draws one"
            )
        if count > len(parts[name].y):
            raise DataError(f"{found.where}: take.{name}: there are {len(parts[name].y)} rows, {count} are asked for")
        parts[name] = _at(parts[name], np.arange(count))
    order = found.order and tuple(label for label in found.order if not wanted.classes or label in wanted.classes)
    return replace(found, parts=parts, order=order)


def _at(rows: Rows, places: np.ndarray) -> Rows:
    return Rows(take(rows.x, places), rows.y[places])
