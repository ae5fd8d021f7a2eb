"""`kerasflow zoo`: the networks as a list, and one by one with its layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from kerasflow.cli.startup import load_tensorflow

if TYPE_CHECKING:
    from rich.table import Table

    from kerasflow.zoo import Card

app = typer.Typer(help="List the networks that can be loaded by name.")


@app.callback(invoke_without_command=True)
def cards(context: typer.Context) -> None:
    if context.invoked_subcommand is not None:
        return
    from rich import box
    from rich.table import Table

    from kerasflow import zoo
    from kerasflow.cli.show import console

    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("name", no_wrap=True)
    table.add_column("input", no_wrap=True)
    table.add_column("parameters", justify="right", no_wrap=True)
    table.add_column("paper", overflow="fold")
    for card in zoo.cards():
        table.add_row(card.name, _input(card), _count(card), card.paper.cited if card.paper else "")
    console.print(table)
    console.print("  kerasflow zoo show NAME prints one with its layers.")


@app.command()
def show(name: Annotated[str, typer.Argument(metavar="NAME", help="A network of the list.")]) -> None:
    """Print a network's card, its layers and their shapes."""
    from kerasflow import zoo
    from kerasflow.cli.show import console, layer_table

    card = zoo.card(name)  # a mistyped name is told before anything heavy loads
    console.print(_facts(card))
    load_tensorflow()
    from kerasflow.builders.table import layer_rows

    model = zoo.load(card.name)
    console.print(layer_table("", tuple(model.input_shape[1:]), layer_rows(model)))


def _facts(card: Card) -> Table:
    from rich.table import Table

    facts = {
        "paper": str(card.paper or ""),
        "made by": card.constructor,
        "input": f"{_input(card)}, at least {card.min_size}×{card.min_size}" if card.min_size else "",
        "preprocessing": card.preprocessing,
        "parameters": f"{_count(card)} to train, {card.classes:,} classes" if card.parameters else "",
        "loss weights": ", ".join(f"{name} {weight:g}" for name, weight in card.loss_weights.items()),
        "weights": card.weights,
        "taps": ", ".join(card.taps),
    }
    table = Table.grid(padding=(0, 2), pad_edge=True)
    table.title, table.title_justify = card.title, "left"
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for fact, text in facts.items():
        if text:
            table.add_row(fact, text)
    return table


def _input(card: Card) -> str:
    return "×".join(map(str, card.input_shape or ()))


def _count(card: Card) -> str:
    return f"{card.parameters:,}" if card.parameters else ""
