"""The comparison's table fits the terminal: it turns, or leaves out its last metrics, before it breaks a word."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from kerasflow.cli.side_by_side import side_by_side
from kerasflow.tracking.compare import ComparedRun, Comparison, short_names

METRICS = ["test/accuracy", "test/loss", "val/accuracy", "val/loss", "best/val_accuracy", "best/val_loss"]


def comparison(count: int) -> Comparison:
    runs = tuple(
        ComparedRun(
            label=f"mlp {index:06x}",
            name="mlp",
            directory=Path(f"mlp-{index}"),
            status="FINISHED",
            stop_reason="",
            run_id="",
            params={"train/optimizer/adam/learning_rate": 10.0**-index, "train/batch_size": 32},
            metrics={name: index + place / 10 for place, name in enumerate(METRICS) if index or place},
            rows=[],
        )
        for index in range(count)
    )
    return Comparison(runs, ("train/optimizer/adam/learning_rate", "train/batch_size"), tuple(METRICS))


def drawn(found: Comparison, width: int) -> tuple[list[str], list[str]]:
    console = Console(width=width, file=io.StringIO(), highlight=False)
    table, left_out = side_by_side(found, METRICS, found.runs[-1], console)
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines() if line.strip()], left_out


def test_one_row_a_run_where_there_is_room() -> None:
    lines, left_out = drawn(comparison(3), width=160)
    assert lines[0].split() == ["run", "learning_rate", "batch_size", "status", *METRICS]
    assert len(lines) == 5
    assert lines[4].split()[:3] == ["mlp", "000002", "0.01"]
    assert left_out == []


def test_one_column_a_run_where_rows_are_too_long() -> None:
    lines, left_out = drawn(comparison(3), width=80)
    assert [line.split()[0] for line in lines if "─" not in line] == [
        "run",
        "learning_rate",
        "batch_size",
        "status",
        *METRICS,
    ]
    assert lines[2].split() == ["learning_rate", "1", "0.1", "0.01"]
    assert next(line for line in lines if "test/accuracy" in line).split() == ["test/accuracy", "–", "1", "2"]
    assert left_out == []


def test_the_last_metrics_are_left_out_where_there_are_many_runs() -> None:
    lines, left_out = drawn(comparison(12), width=80)
    shown = lines[0].split()[4:]
    assert shown[0] == METRICS[0]
    assert [*shown, *left_out] == METRICS
    assert left_out
    assert len(lines) == 2 + 12


@pytest.mark.parametrize("count", [1, 2, 5, 20])
@pytest.mark.parametrize("width", [80, 100, 120])
def test_nothing_is_wider_than_the_terminal_and_no_word_is_broken(count, width) -> None:
    lines, left_out = drawn(comparison(count), width)
    assert max(map(len, lines)) <= width
    words = " ".join(lines).split()
    for whole in ("learning_rate", "batch_size", "FINISHED", *(name for name in METRICS if name not in left_out)):
        assert whole in words


def test_names_are_as_short_as_they_can_be_told_apart() -> None:
    paths = ["train/optimizer/adam/learning_rate", "train/optimizer/sgd/learning_rate", "train/epochs", "seed"]
    assert short_names(paths) == ["adam/learning_rate", "sgd/learning_rate", "epochs", "seed"]
    assert short_names(["units", "dense/units"]) == ["units", "dense/units"]
