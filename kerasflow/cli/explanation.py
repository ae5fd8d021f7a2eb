"""An explanation as a person reads it in a terminal."""

from __future__ import annotations

from rich import box
from rich.markup import escape
from rich.table import Table

from kerasflow.cli.show import console
from kerasflow.explain.forms import Cell, Told
from kerasflow.explain.forms import Table as Rows
from kerasflow.explanation import Explanation


def show_explanation(found: Explanation) -> None:
    """Section by section: a heading, sentences, tables."""
    subject = found.subject
    console.print(f"[bold]{escape(subject.title)}[/bold]")
    console.print(subject.facts)
    for section in found.sections:
        console.rule(f"[bold]{escape(section.title)}[/bold]  --only {section.name}", align="left")
        _show(section.told)


def _show(told: Told) -> None:
    for sentence in told.words:
        console.print(escape(sentence))
    for table in told.tables:
        if table.rows:
            console.print(f"\n[italic]{escape(table.caption)}[/italic]")
            console.print(_drawn(table))


def _drawn(rows: Rows) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for place, name in enumerate(rows.columns):
        numbers = all(isinstance(row[place], int | float) for row in rows.rows)
        table.add_column(escape(name), justify="right" if numbers else "left", overflow="fold")
    for row in rows.rows:
        table.add_row(*(escape(_text(cell)) for cell in row))
    return table


def _text(cell: Cell) -> str:
    return "–" if cell is None else f"{cell:.6g}" if isinstance(cell, float) else str(cell)
