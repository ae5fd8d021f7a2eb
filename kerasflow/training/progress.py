"""What the person at the keyboard sees of a training: a bar on a terminal, one line an epoch elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any, Literal, TypeVar

from kerasflow.columns import BOOKKEEPING
from kerasflow.training.history import Row

T = TypeVar("T")
Verbose = Literal["auto", 0, 1, 2]


class Progress:
    """Reports on one training.

    Args:
        verbose: 0 is silent, 1 a bar, 2 a line an epoch; `auto` is 1 on a terminal and 2 elsewhere.
        epochs: as many as there may be.
    """

    def __init__(self, verbose: Verbose, epochs: int) -> None:
        self.level = (1 if sys.stderr.isatty() else 2) if verbose == "auto" else int(verbose)
        self.epochs = epochs
        self.bar: Any = None

    def __enter__(self) -> Progress:
        if self.level == 1:
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                MofNCompleteColumn,
                Progress,
                TextColumn,
                TimeElapsedColumn,
                TimeRemainingColumn,
            )

            columns = [
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
            ]
            self.bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self.bar.start()
        return self

    def __exit__(self, *_: Any) -> None:
        if self.bar is not None:
            self.bar.stop()

    def windows(self, windows: Iterable[T], epoch: int, total: int | None) -> Iterator[T]:
        """Passes an epoch's windows on, and moves the bar."""
        if self.bar is None:
            yield from windows
            return
        task = self.bar.add_task(f"epoch {epoch}/{self.epochs}", total=total)
        for window in windows:
            yield window
            self.bar.advance(task)
        self.bar.remove_task(task)

    def epoch(self, row: Row) -> None:
        """One line for a finished epoch."""
        if self.level == 0:
            return
        numbers = " - ".join(f"{name} {value:.4g}" for name, value in row.items() if name not in BOOKKEEPING)
        line = f"epoch {row['epoch']}/{self.epochs} - {row['seconds']:.2g} s - {numbers}"
        if self.bar is not None:
            self.bar.console.print(line, highlight=False, soft_wrap=True)
        else:
            print(line, file=sys.stderr, flush=True)
