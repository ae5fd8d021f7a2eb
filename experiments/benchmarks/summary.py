"""Readings to figures: medians, how far they spread, ratios round by round, and whether a target is met."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
from remarks import REMARKS
from rows import ROWS, Peer, Row

Readings = dict[str, dict[str, Any]]  # by contender: each quantity's values by round, and kerasflow's engine


class Measured(TypedDict):
    """A row as it was measured.

    Attributes:
        date: of the day, in UTC.
        others: processor seconds a second that other processes took meanwhile.
        machine: `cpu`, `cores`, `memory` in bytes, `system`.
        versions: of packages, by their names.
    """

    date: str
    others: float
    machine: dict[str, Any]
    versions: dict[str, str]
    readings: Readings


Results = dict[str, Measured]  # by the row's key


@dataclass(frozen=True)
class Spread:
    """A median between the quartiles."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: Any) -> Spread:
        return cls(*(float(quartile) for quartile in np.percentile(values, [25, 50, 75])))


@dataclass(frozen=True)
class Line:
    """One line of the table: kerasflow against a peer.

    Attributes:
        cpu: the ratio of CPU seconds; None where the figures are of memory.
        engine: how kerasflow ran.
        build: seconds in which kerasflow's network was built before a whole fit, which do not count.
    """

    row: Row
    peer: Peer
    theirs: Spread
    ours: Spread
    ratio: Spread
    cpu: Spread | None
    engine: str
    build: Spread | None

    @property
    def missed_by(self) -> float:
        """The share of what is to be reached, or aimed at where nothing is, that the ratio lacks; 0 if it is there."""
        target = self.peer.reach if self.peer.reach is not None else self.peer.aim
        return 0.0 if target is None else max(0.0, 1 - self.ratio.median / target)

    @property
    def remark(self) -> str:
        """Why it is missed, as far as somebody has written it down."""
        return REMARKS.get((self.row.key, self.peer.contender.name), "") if self.missed_by else ""


def renewed(kept: Results, found: Results) -> Results:
    """What has been measured now, and of the table's other rows what was before, in the table's order."""
    every = kept | found
    return {row.key: every[row.key] for row in ROWS if row.key in every}


def lines(results: Results) -> list[Line]:
    """The table's lines for what has been measured, in the table's order."""
    return [
        _line(row, peer, results[row.key]["readings"])
        for row in ROWS
        if row.key in results
        for peer in row.peers
        if peer.contender.name in results[row.key]["readings"]
    ]


def _line(row: Row, peer: Peer, readings: Readings) -> Line:
    theirs, ours = readings[peer.contender.name], readings[row.ours.name]

    def ratio(quantity: str) -> Spread:
        return Spread.of(np.divide(theirs[quantity], ours[quantity]))

    return Line(
        row,
        peer,
        Spread.of(theirs[row.quantity]),
        Spread.of(ours[row.quantity]),
        ratio(row.quantity),
        ratio("cpu") if row.quantity == "wall" else None,
        str(ours["engine"]),
        # In a new process this would be the imports' time above all.
        Spread.of(ours["build"]) if "build" in ours and not row.fresh else None,
    )
