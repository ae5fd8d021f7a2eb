"""Which rows are held out: seeded, and stratified where there are classes."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from kerasflow.data.target import Label, listed
from kerasflow.errors import DataError

PartName = Literal["train", "validation", "test"]
Rows = NDArray[np.intp]


def draw(
    y: NDArray[Any], classes: tuple[Label, ...] | None, validation: float, test: float, seed: int, where: str
) -> dict[PartName, Rows]:
    """Holds out two fractions of the whole; the same seed draws the same rows.

    Args:
        y: the encoded target, `(n_rows, ...)`; class indices if there are classes.
        classes: the labels by index, for a draw that keeps their balance; else None.
        validation: the fraction for validation, 0 for none.
        test: the fraction for the test, 0 for none.
        seed: of the draw.
        where: how messages name the data.

    Returns:
        The row numbers of each part that was asked for, ascending.

    Raises:
        DataError: a part that would be empty, or a class with too few rows to be in every part.
    """
    n_rows = len(y)
    sizes = {"test": round(n_rows * test), "validation": round(n_rows * validation)}
    for part, fraction in (("test", test), ("validation", validation)):
        if fraction and not sizes[part]:
            raise DataError(f"{where}: split.{part}: {fraction} of {n_rows} rows is no row; raise it, or set it to 0")
    if sum(sizes.values()) >= n_rows:
        raise DataError(
            f"{where}: {n_rows} rows are too few: the split holds out all of them and leaves none to train on"
        )
    stratify = None
    if classes is not None:
        _check_classes(y, classes, sizes, where)
        stratify = y
    try:
        rest, test_rows = _hold_out(np.arange(n_rows), sizes["test"], stratify, seed)
        train, validation_rows = _hold_out(rest, sizes["validation"], stratify, seed)
    except ValueError as error:
        raise DataError(f"{where}: the split leaves some class too few rows; hold out less ({error})") from error
    if classes is not None:
        _check_every_class_trains(y[train], classes, where)
    drawn: dict[PartName, Rows | None] = {"train": train, "validation": validation_rows, "test": test_rows}
    return {part: rows for part, rows in drawn.items() if rows is not None}


def _hold_out(rows: Rows, size: int, y: NDArray[Any] | None, seed: int) -> tuple[Rows, Rows | None]:
    if not size:
        return rows, None
    from sklearn.model_selection import train_test_split

    kept, held = train_test_split(rows, test_size=size, random_state=seed, stratify=None if y is None else y[rows])
    return np.sort(kept), np.sort(held)


def _check_classes(y: NDArray[Any], classes: tuple[Label, ...], sizes: dict[str, int], where: str) -> None:
    counts = np.bincount(y, minlength=len(classes))
    parts = ["train", *(part for part, size in sizes.items() if size)]
    needed = len(parts)
    rare = [index for index, count in enumerate(counts) if count < needed]
    if rare:
        held = ", ".join(f"{classes[index]!r} has {counts[index]}" for index in rare[:5])
        more = f" (and {len(rare) - 5} more classes)" if len(rare) > 5 else ""
        raise DataError(
            f"{where}: every class needs at least {needed} row(s), one for each of {', '.join(parts)}; {held}{more}; "
            "join or drop rare classes, or set data.task if the target is a number"
        )
    for part, size in sizes.items():
        if size and size < len(classes):
            raise DataError(
                f"{where}: split.{part} holds out {size} of {len(y)} rows, too few for one of each of the "
                f"{len(classes)} classes; raise the fraction, or set it to 0"
            )


def _check_every_class_trains(y: NDArray[Any], classes: tuple[Label, ...], where: str) -> None:
    missing = np.flatnonzero(np.bincount(y, minlength=len(classes)) == 0)
    if len(missing):
        raise DataError(
            f"{where}: the split leaves no training row of class {listed([classes[index] for index in missing])}; "
            "hold out less, or drop the class"
        )
