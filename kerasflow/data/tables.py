"""Tables: files to data frames, and data frames to columns of numbers and categories.

Imported where a table is read: pandas loads with it.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kerasflow.data.arrays import FLOAT32_MAX, check_finite
from kerasflow.data.target import listed
from kerasflow.errors import DataError, did_you_mean

Missing = Literal["error", "drop", "impute"]
Kind = Literal["number", "category"]

PARQUET_SUFFIXES = frozenset({".parquet", ".pq"})
MOST_CATEGORIES = 50
"""From here on a text column must repeat its values, each twice on average, to count as a category."""

_KINDS: dict[str, Kind] = {
    "boolean": "number",
    "integer": "number",
    "floating": "number",
    "mixed-integer-float": "number",
    "decimal": "number",
    "string": "category",
    "categorical": "category",
}
_DATES = frozenset({"datetime64", "datetime", "date", "timedelta64", "timedelta", "time", "period"})
_ISO_DATE = r"\d{4}-\d{2}-\d{2}(?:[T ].*)?"


def read_csv_file(path: Path, separator: str, texts: Sequence[str] = ()) -> pd.DataFrame:
    """A CSV file with a header row.

    Args:
        path: the file.
        separator: the character between columns.
        texts: columns to read as text even where all their values look like numbers.

    Raises:
        DataError: no such file, one that cannot be parsed, no rows, or two columns of one name.
    """
    with _as_data_error(path), warnings.catch_warnings():
        # A header shorter than the rows would lose their last values.
        warnings.simplefilter("error", pd.errors.ParserWarning)
        header = pd.read_csv(path, sep=separator, header=None, nrows=1, dtype=str)
        _check_unique(header.iloc[0].dropna().tolist(), path)
        # Read in chunks, a column could be numbers here and text there.
        frame = pd.read_csv(path, sep=separator, index_col=False, dtype=dict.fromkeys(texts, str), low_memory=False)
        return _with_rows(frame, path)


def read_parquet_file(path: Path) -> pd.DataFrame:
    """A Parquet file.

    Raises:
        DataError: no such file, one that is not Parquet, no rows, or two columns of one name.
    """
    from pyarrow import parquet

    with _as_data_error(path):
        _check_unique(parquet.read_schema(path).names, path)
        return _with_rows(pd.read_parquet(path).rename(columns=str), path)


@contextmanager
def _as_data_error(path: Path) -> Iterator[None]:
    if not path.is_file():
        raise DataError(f"{path}: there is no such file")
    try:
        yield
    except DataError:
        raise
    # Broken bytes fail in as many ways as pandas and pyarrow have layers.
    except Exception as error:
        raise DataError(f"{path}: cannot be read as a table: {' '.join(str(error).split())}") from error


def _with_rows(frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    if frame.empty:
        raise DataError(f"{path}: holds no rows")
    return frame


def _check_unique(names: list[str], path: Path) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{path}: has more than one column named {listed(twice)}; rename them")


def check_columns(wanted: Sequence[str], frame: pd.DataFrame, what: str, where: str) -> None:
    """Raises DataError for names that are no column of the table, with the near one."""
    known = list(frame.columns)
    absent = [name for name in wanted if name not in known]
    if absent:
        near = did_you_mean(absent[0], known) if len(absent) == 1 else ""
        alone = " (one column only: is the separator right?)" if len(known) == 1 else ""
        raise DataError(f"{where}: has no {what} {listed(absent)}; its columns are {listed(known, 20)}{alone}{near}")


@dataclass(frozen=True)
class Columns:
    """The feature columns of a table: their kinds, in order, and what happens to missing values."""

    kinds: dict[str, Kind]
    missing: Missing

    @property
    def names(self) -> list[str]:
        return list(self.kinds)

    def of_kind(self, kind: Kind) -> list[str]:
        return [name for name, own in self.kinds.items() if own == kind]

    def clean(self, frame: pd.DataFrame, where: str) -> Table:
        """The feature columns of a table that may hold more.

        Raises:
            DataError: a column that is not there or of the wrong kind; missing values where the policy is `error`.
        """
        check_columns(self.names, frame, "feature column", where)
        columns = {name: _as_kind(frame[name], kind, where) for name, kind in self.kinds.items()}
        clean = pd.DataFrame(columns).set_axis(pd.RangeIndex(len(frame), name="row"))
        absent = clean.isna()
        counts = {str(name): int(count) for name, count in absent.sum().items() if count}
        if not counts or self.missing == "impute":
            return Table(self, clean, counts, 0)
        rows = np.flatnonzero(absent.any(axis=1))
        if self.missing == "error":
            raise DataError(
                f"{where}: missing or infinite values in {_counted(counts)}, the first in row "
                f"{listed(rows[:3].tolist())}; mend the table, or set `missing` of the data's source to drop or impute"
            )
        kept = clean[~absent.any(axis=1)]
        if kept.empty:
            raise DataError(f"{where}: every row has a missing value ({_counted(counts)}): `missing: drop` leaves none")
        return Table(self, kept, {}, len(rows))


@dataclass(frozen=True, eq=False)
class Table:
    """Feature columns as a model can take them.

    Attributes:
        columns: their kinds.
        frame: numbers as float64, categories as text, NaN only where `missing` is `impute`; the index is row numbers.
        imputed: missing values a column that are to be filled.
        dropped: rows left out.
    """

    columns: Columns
    frame: pd.DataFrame
    imputed: dict[str, int]
    dropped: int

    @property
    def rows(self) -> NDArray[np.intp]:
        """The row numbers in the file of the rows that are left."""
        return self.frame.index.to_numpy()

    def take(self, rows: NDArray[np.intp]) -> Table:
        """Some of the rows, by position."""
        return replace(self, frame=self.frame.iloc[rows])


def infer_columns(frame: pd.DataFrame, missing: Missing, where: str) -> Columns:
    """The kind of each column: booleans and numbers are numbers, text and categoricals are categories.

    Raises:
        DataError: dates, nested values, empty or nameless columns, and text that hardly repeats, as identifiers do.
    """
    if not len(frame.columns):
        raise DataError(f"{where}: no column is left to learn from")
    return Columns({str(name): _kind(frame[name], where) for name in frame.columns}, missing)


def _kind(column: pd.Series[Any], where: str) -> Kind:
    name = str(column.name)
    found = pd.api.types.infer_dtype(column, skipna=True)
    values = column.dropna()
    fault = ""
    if name.startswith("Unnamed: "):
        fault = "has no name in the header, as a saved index has"
    elif values.empty:
        fault = "holds no value at all"
    elif found in _DATES or (found == "string" and values.str.fullmatch(_ISO_DATE).all()):
        fault = "holds dates: turn them into numbers (year, weekday, ...)"
    elif found not in _KINDS:
        fault = f"holds {found} values, not numbers, booleans or text"
    elif _KINDS[found] == "category" and values.nunique() > max(MOST_CATEGORIES, len(values) // 2):
        fault = f"holds {values.nunique()} different texts in {len(values)} rows, as identifiers and free text do"
    if fault:
        raise DataError(f"{where}: column {name!r} {fault}; to leave it out, name it under `drop` of the data's source")
    return _KINDS[found]


def _as_kind(column: pd.Series[Any], kind: Kind, where: str) -> pd.Series[Any]:
    if kind == "category":
        return column.astype(object).map(str, na_action="ignore")
    try:
        numbers = column.astype(object).where(column.notna(), np.nan).astype(np.float64)
    except (TypeError, ValueError) as error:
        present = column.dropna()
        odd = next((value for value in present if pd.isna(pd.to_numeric(value, errors="coerce"))), present.iloc[0])
        raise DataError(f"{where}: column {str(column.name)!r} must hold numbers, got {str(odd)!r}") from error
    return numbers.where(numbers.abs() <= FLOAT32_MAX, np.nan)


def target_values(frame: pd.DataFrame, names: Sequence[str], where: str) -> NDArray[Any]:
    """The target column, `(n_samples,)`, or several as `(n_samples, n_targets)`; text as objects.

    Raises:
        DataError: a column that is not there, or a missing or infinite value.
    """
    check_columns(names, frame, "target column", where)
    chosen = frame[list(names)]
    absent = chosen.isna()
    if absent.to_numpy().any():
        rows = np.flatnonzero(absent.any(axis=1))
        counts = {str(name): int(count) for name, count in absent.sum().items() if count}
        raise DataError(
            f"{where}: missing values in the target, {_counted(counts)}, the first in row "
            f"{listed(rows[:3].tolist())}; a row without a target teaches nothing: take it out of the table"
        )
    columns = [_plain(chosen[name], where) for name in names]
    return columns[0] if len(columns) == 1 else np.stack(columns, axis=1)


def _plain(column: pd.Series[Any], where: str) -> NDArray[Any]:
    found = pd.api.types.infer_dtype(column, skipna=False)
    if found not in _KINDS:
        name = str(column.name)
        raise DataError(f"{where}: target column {name!r} holds {found} values; expected numbers, booleans or text")
    if found == "decimal":
        column = column.astype(np.float64)
    values = np.array(column.tolist())
    check_finite(values, f"{where}: target column {str(column.name)!r}", "take those rows out of the table")
    return values if values.dtype.kind in "biuf" else column.map(str).to_numpy(dtype=object)


def _counted(counts: dict[str, int]) -> str:
    shown = ", ".join(f"{name!r} ({count})" for name, count in list(counts.items())[:8])
    return shown if len(counts) <= 8 else f"{shown} and {len(counts) - 8} more columns"
