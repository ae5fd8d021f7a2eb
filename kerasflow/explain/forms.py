"""The forms in which an answer is told: sentences, tables and curves of plain values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MOST_ROWS = 20
"""Of a table; the rest is counted."""

Cell = str | int | float | None


@dataclass(frozen=True)
class Table:
    """Rows of plain values.

    Attributes:
        caption: what it holds, and what is left out.
        columns: their headings.
        rows: as wide as the headings.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Line:
    """A curve's name, and where it goes; `y` has None where a number is not finite."""

    name: str
    x: tuple[float, ...]
    y: tuple[float | None, ...]


@dataclass(frozen=True)
class Chart:
    """Curves over one axis or, where there are `costs`, over a plane with its contour.

    Attributes:
        title: what is drawn.
        x, y: what the axes are.
        lines: the curves.
        log: whether y wants a logarithmic axis.
        grid: of a contour, its positions along x and along y.
        costs: of a contour, `(points of y, points of x)`.
    """

    title: str
    x: str
    y: str
    lines: tuple[Line, ...]
    log: bool = False
    grid: tuple[tuple[float, ...], tuple[float, ...]] = ((), ())
    costs: tuple[tuple[float, ...], ...] = ()


@dataclass(frozen=True)
class Told:
    """What a reader sees of an answer."""

    words: tuple[str, ...]
    tables: tuple[Table, ...] = ()
    charts: tuple[Chart, ...] = ()


def table(caption: str, columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> Table:
    """A table of the first rows, whose caption says how many there are more."""
    more = len(rows) - MOST_ROWS
    said = f"{caption}; {more:,} more are not shown" if more > 0 else caption
    return Table(said, tuple(columns), tuple(tuple(row) for row in rows[:MOST_ROWS]))


def line(name: str, x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray) -> Line:
    """A curve of plain numbers."""
    values = (float(value) for value in y)
    return Line(name, tuple(map(float, x)), tuple(value if np.isfinite(value) else None for value in values))


def spread(count: int, most: int) -> list[int]:
    """At most so many places out of `count`, evenly spread, the first and the last among them."""
    return sorted({int(i) for i in np.linspace(0, count - 1, min(count, most))}) if count else []
