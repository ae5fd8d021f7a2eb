"""The table as people read it, in a terminal and in the README."""

from __future__ import annotations

import math
from itertools import groupby
from typing import Any

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text
from summary import Line, Measured, Results, Spread

_UNITS = {
    "wall": ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")),
    "memory": ((1e6, "MB"),),
    "updates": ((1.0, "updates"),),
    "cost": ((1.0, "nats"),),
}
_COLUMNS = ("against", "theirs", "ratio", "CPU", "reach", "aim", "target")
_TEXTS = ("against", "target")  # the others are numbers


def terminal(lines: list[Line], width: int) -> Group:
    """For each row its work, kerasflow's figure and a table of the peers, in a terminal of so many columns."""
    parts: list[Any] = []
    widths = [max(map(len, cells)) for cells in zip(_COLUMNS, *map(_cells, lines), strict=True)]
    widths[0] = min(widths[0], max(12, width - sum(widths[1:]) - 2 * len(widths)))  # names fold, numbers do not
    for row, group in groupby(lines, key=lambda line: line.row):
        peers = list(group)
        table = Table(box=box.SIMPLE_HEAD, collapse_padding=True, pad_edge=False)
        for name, least in zip(_COLUMNS, widths, strict=True):
            table.add_column(name, justify="left" if name in _TEXTS else "right", width=least)
        for line in peers:
            missed = line.missed_by and line.peer.reach is not None
            table.add_row(*_cells(line), style="red" if missed else "")
        parts += [Text.assemble(f"{row.key}: {row.work}: kerasflow ", (_ours(peers[0]), "bold")), table]
    return Group(*parts)


def markdown(lines: list[Line]) -> str:
    """One table for all rows."""
    table = [
        ["row", "work", "kerasflow", *_COLUMNS],
        ["---", "---", "---:", *("---" if name in _TEXTS else "---:" for name in _COLUMNS)],
    ]
    for row, group in groupby(lines, key=lambda line: line.row):
        for index, line in enumerate(group):
            first = ["", "", ""] if index else [row.key, row.work, _ours(line)]
            table.append([*first, *_cells(line)])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in table)


def remarks(lines: list[Line]) -> list[str]:
    """A sentence for each target that is missed."""
    return [
        f"{line.row.key}, against {line.peer.contender.name}: {line.remark or 'nobody has said yet why.'}"
        for line in lines
        if line.missed_by
    ]


def about(results: Results) -> list[str]:
    """Where and when, and the versions of everybody: a paragraph for rows that share them, which names them."""
    rows = sorted(results, key=lambda key: results[key]["date"])
    groups = [list(group) for _, group in groupby(rows, key=lambda key: _circumstances(results[key]))]
    return [_told(group, results, alone=len(groups) == 1) for group in groups]


def _circumstances(measured: Measured) -> tuple[Any, ...]:
    return measured["date"], measured["machine"], measured["versions"]


def _told(keys: list[str], results: Results, alone: bool) -> str:
    date, machine, versions = _circumstances(results[keys[0]])
    shares = [results[key]["others"] for key in keys]
    share = " to ".join(dict.fromkeys(f"{one:.2f}" for one in (min(shares), max(shares))))
    # torch's threads spin while they wait for each other, and starve where somebody else holds a core.
    shared = ", too much for fair figures: torch's above all are worse than on a quiet machine" * (max(shares) > 0.2)
    return (
        f"{'' if alone else ', '.join(keys) + ': '}{date} on {machine['cpu']}, {machine['cores']} cores, "
        f"{machine['memory'] / 1e9:.0f} GB, {machine['system']}. Other processes took {share} of a core "
        f"meanwhile{shared}. {', '.join(f'{name} {version}' for name, version in versions.items())}."
    )


def _cells(line: Line) -> list[str]:
    scale, unit = _unit(line)
    return [
        line.peer.contender.name,
        _spread(line.theirs, scale, f" {unit}"),
        _spread(line.ratio, 1.0, "×"),
        f"{line.cpu.median:.3g}×" if line.cpu else "–",
        _target(line.peer.reach),
        _target(line.peer.aim),
        _verdict(line),
    ]


def _ours(line: Line) -> str:
    scale, unit = _unit(line)
    before = line.build.median / scale if line.build else 0.0
    build = f", and {before:,.0f} {unit} before it to build the network" if before >= 0.5 else ""
    engine = f" ({line.engine})" if line.engine else ""
    return f"{_spread(line.ours, scale, f' {unit}')}{engine}{build}"


def _unit(line: Line) -> tuple[float, str]:
    """The largest unit in which kerasflow's figure is 1 or more; the peers' are given in the same."""
    units = _UNITS[line.row.quantity]
    return next((unit for unit in units if line.ours.median >= unit[0]), units[-1])


def _spread(spread: Spread, scale: float, unit: str) -> str:
    """The median and half the distance between the quartiles, to three digits that count."""
    median = spread.median / scale
    decimals = max(0, 2 - math.floor(math.log10(median)))
    return f"{median:,.{decimals}f}{unit} ±{(spread.high - spread.low) / 2 / scale:,.{decimals}f}"


def _target(value: float | None) -> str:
    return "–" if value is None else f"{value:g}×"


def _verdict(line: Line) -> str:
    if line.peer.reach is None and line.peer.aim is None:
        return "–"
    if line.missed_by:
        return f"missed by {100 * line.missed_by:.2g} %"
    aimed = line.peer.aim is not None and line.ratio.median >= line.peer.aim
    return "aim met" if aimed else "met"
