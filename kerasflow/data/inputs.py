"""How observations become model input: fitted on the training part, then the same for every row to come.

Imported where data is prepared: pandas and scikit-learn load with it.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kerasflow.data.arrays import as_observations, pick, read_archive
from kerasflow.data.images import CHANNELS, SUFFIXES, Color, ImageFiles, check_images, image_files
from kerasflow.data.observations import Observations
from kerasflow.data.scaling import Scale, apply_scaler, fit_scaler, new_scaler, undo_scaler
from kerasflow.data.tables import PARQUET_SUFFIXES, Columns, Table, read_csv_file, read_parquet_file
from kerasflow.errors import DataError

Raw = Table | NDArray[Any] | ImageFiles
"""Observations as a source holds them: a table, an array, or files."""


class Input(Protocol):
    """The treatment of observations; `restore_input` makes one of its `state`: plain values and scikit-learn parts."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __call__(self, x: Any) -> Observations: ...

    def read(self, path: Path) -> tuple[Observations, pd.Index[Any]]: ...

    def unknown_categories(self, x: Any) -> dict[str, int]: ...

    def unscaled(self, x: NDArray[Any]) -> NDArray[Any]: ...

    def state(self) -> dict[str, Any]: ...


@dataclass(frozen=True, eq=False)
class ArrayInput:
    """Arrays and images: a sample's shape, and the scaler of its last axis.

    Attributes:
        shape: of one sample, channels last.
        dtype: of the training values before scaling; `uint8` marks images of 0..255.
        key: the archive's key that holds observations.
        scaler: a fitted scikit-learn scaler, or None.
    """

    shape: tuple[int, ...]
    dtype: str
    key: str
    scaler: Any

    def __call__(self, x: NDArray[Any] | ImageFiles) -> Observations:
        if isinstance(x, ImageFiles):
            return replace(x, scaler=self.scaler)
        return apply_scaler(self.scaler, x)

    def read(self, path: Path) -> tuple[Observations, pd.Index[Any]]:
        if path.is_dir() or path.suffix.lower() in SUFFIXES:
            return self._read_images(path)
        if path.suffix.lower() not in (".npy", ".npz"):
            kinds = ".npy, .npz, an image or a folder of images" if self._color else ".npy or .npz"
            raise DataError(f"{path}: this model learned from arrays of shape {self.shape} a sample; expected {kinds}")
        key = self.key if path.suffix.lower() == ".npz" else "x"
        x = as_observations(pick(read_archive(path), key, path), str(path))
        if x.shape[1:] != self.shape:
            expected = ", ".join(map(str, self.shape))
            raise DataError(f"{path}: expected observations of shape (n, {expected}), got {x.shape}")
        if self.dtype == "uint8" and x.dtype != np.uint8:
            raise DataError(f"{path}: expected 8-bit values (0..255, uint8) as in training, got {x.dtype}")
        return self(x), pd.RangeIndex(len(x), name="row")

    @property
    def _color(self) -> Color | None:
        if self.dtype != "uint8" or len(self.shape) != 3:
            return None
        return next((color for color, channels in CHANNELS.items() if channels == self.shape[-1]), None)

    def _read_images(self, path: Path) -> tuple[Observations, pd.Index[Any]]:
        if self._color is None:
            raise DataError(
                f"{path}: this model learned from {self.dtype} arrays of shape {self.shape}, not from images"
            )
        if not path.exists():
            raise DataError(f"{path}: there is no such file")
        root = path if path.is_dir() else path.parent
        files = image_files(path) if path.is_dir() else (path,)
        if not files:
            raise DataError(f"{path}: holds no images")
        check_images(files)
        names = pd.Index([file.relative_to(root).as_posix() for file in files], name="file")
        return self(ImageFiles(files, (self.shape[0], self.shape[1]), self._color)), names

    def unknown_categories(self, x: NDArray[Any] | ImageFiles) -> dict[str, int]:
        """None: numbers have no categories."""
        return {}

    def unscaled(self, x: NDArray[Any]) -> NDArray[Any]:
        """Model input as it was before it was scaled."""
        return undo_scaler(self.scaler, x)

    def state(self) -> dict[str, Any]:
        return {"shape": list(self.shape), "dtype": self.dtype, "key": self.key, "scaler": self.scaler}


@dataclass(frozen=True, eq=False)
class TableInput:
    """Tables: numbers imputed and scaled, then categories imputed and one-hot.

    A category that the training part did not hold is a row of zeros.

    Attributes:
        columns: the feature columns.
        separator: of the CSV files to come.
        transformer: a fitted `ColumnTransformer`.
        width: numbers a row after it.
    """

    columns: Columns
    separator: str
    transformer: Any
    width: int

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.width,)

    def __call__(self, x: Table) -> NDArray[np.float32]:
        return np.asarray(self.transformer.transform(x.frame), dtype=np.float32)

    def read(self, path: Path) -> tuple[Observations, pd.Index[Any]]:
        if path.suffix.lower() in (".npy", ".npz"):
            frame = self._from_array(path)
        elif path.suffix.lower() in PARQUET_SUFFIXES:
            frame = read_parquet_file(path)
        elif path.is_dir() or path.suffix.lower() in SUFFIXES:
            raise DataError(f"{path}: this model learned from a table; expected a CSV or Parquet file with its columns")
        else:
            frame = read_csv_file(path, self.separator, texts=self.columns.of_kind("category"))
        table = self.columns.clean(frame, str(path))
        for name, count in self.unknown_categories(table).items():
            sentence = (
                f"{path}: {count} row(s) of column {name!r} hold a category unknown in training, which counts as none"
            )
            warnings.warn(sentence, stacklevel=3)
        return self(table), table.frame.index

    def _from_array(self, path: Path) -> pd.DataFrame:
        names = self.columns.names
        if self.columns.of_kind("category"):
            raise DataError(f"{path}: this model learned from columns of text, too; expected a CSV or Parquet file")
        x = pick(read_archive(path), "x", path)
        if x.ndim != 2 or x.shape[1] != len(names):
            raise DataError(f"{path}: expected observations of shape (n, {len(names)}), got {x.shape}")
        return pd.DataFrame(x, columns=names)

    def unknown_categories(self, x: Table) -> dict[str, int]:
        """Rows a column whose category the training part did not hold."""
        names = self.columns.of_kind("category")
        if not names:
            return {}
        known = self.transformer.named_transformers_["categories"][-1].categories_
        counts = {}
        for name, categories in zip(names, known, strict=True):
            values = x.frame[name].dropna()
            counts[name] = int((~values.isin(list(categories))).sum())
        return {name: count for name, count in counts.items() if count}

    def unscaled(self, x: NDArray[Any]) -> NDArray[Any]:
        """Model input with its numbers, which come before its categories, as they were before they were scaled."""
        numbers = len(self.columns.of_kind("number"))
        scaler = self.transformer.named_transformers_["numbers"][-1] if numbers else None
        if not hasattr(scaler, "inverse_transform") or not hasattr(scaler, "scale_"):
            return x
        return np.concatenate([undo_scaler(scaler, x[:, :numbers]), x[:, numbers:]], axis=1)

    def state(self) -> dict[str, Any]:
        return {
            "kinds": dict(self.columns.kinds),
            "missing": self.columns.missing,
            "separator": self.separator,
            "transformer": self.transformer,
            "width": self.width,
        }


def fit_input(x: Raw, scale: Scale, separator: str, key: str) -> Input:
    """The treatment of observations like these, the training part's.

    Args:
        x: a table, an array or image files.
        scale: of numbers and pixels; categories stay 0 and 1.
        separator: of CSV files to come.
        key: of the observations in archives to come.
    """
    if isinstance(x, Table):
        return _fit_table(x, scale, separator)
    # Files hold 8 bits a channel, although they are handed out as float32.
    dtype = np.dtype(np.uint8) if isinstance(x, ImageFiles) else x.dtype
    scaler = fit_scaler(scale, x, eight_bit=dtype == np.uint8)
    return ArrayInput(tuple(x.shape[1:]), dtype.name, key, scaler)


def _fit_table(x: Table, scale: Scale, separator: str) -> TableInput:
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    median = SimpleImputer(strategy="median", keep_empty_features=True)
    most_frequent = SimpleImputer(strategy="most_frequent")
    one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    steps = [
        ("numbers", make_pipeline(median, new_scaler(scale) or "passthrough"), x.columns.of_kind("number")),
        ("categories", make_pipeline(most_frequent, one_hot), x.columns.of_kind("category")),
    ]
    transformer = ColumnTransformer([step for step in steps if step[2]]).fit(x.frame)
    return TableInput(x.columns, separator, transformer, len(transformer.get_feature_names_out()))


def take(x: Raw, rows: NDArray[np.intp]) -> Raw:
    """Some of the observations, by position."""
    return x[rows] if isinstance(x, np.ndarray) else x.take(rows)


def restore_input(state: dict[str, Any]) -> Input:
    """An `Input` from its `state`."""
    if "kinds" in state:
        columns = Columns(state["kinds"], state["missing"])
        return TableInput(columns, state["separator"], state["transformer"], state["width"])
    return ArrayInput(tuple(state["shape"]), state["dtype"], state["key"], state["scaler"])
