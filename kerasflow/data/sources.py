"""From a spec's source to what it holds: observations, the user's own targets, and its own split if it has one.

Imported where data is loaded: pandas loads with it.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kerasflow.data.arrays import as_observations, as_targets, pick, read_archive
from kerasflow.data.images import SUFFIXES, ImageFiles, check_images, image_files
from kerasflow.data.inputs import Raw
from kerasflow.data.splitting import PartName
from kerasflow.data.tables import Table, check_columns, infer_columns, read_csv_file, read_parquet_file, target_values
from kerasflow.data.target import Label, listed
from kerasflow.errors import DataError
from kerasflow.spec.data import CsvSource, ImagesSource, NpzSource, ParquetSource, TableSource


@dataclass(frozen=True, eq=False)
class Rows:
    """Observations as the source holds them, and the user's own targets."""

    x: Raw
    y: NDArray[Any]


@dataclass(frozen=True, eq=False)
class Found:
    """What a source holds.

    Attributes:
        where: how messages name it.
        parts: `train` always; `validation` and `test` where the source brings its own.
        targets: the names of the target columns.
        task: the kind of task, where the source knows it.
        order: the classes by index, where the source knows it.
        separator: of the table's file.
        key: of the observations in an archive.
        files: names and digests of files, for a source that is streamed.
    """

    where: str
    parts: dict[PartName, Rows]
    targets: tuple[str, ...] = ("target",)
    task: Literal["classification", "regression"] | None = None
    order: tuple[Label, ...] | None = None
    separator: str = ","
    key: str = "x"
    files: str = ""

    @property
    def table(self) -> Table | None:
        """The training rows, if they are a table."""
        x = self.parts["train"].x
        return x if isinstance(x, Table) else None

    def content(self) -> Iterator[tuple[str, NDArray[Any] | str]]:
        """Everything that the fingerprint covers, by name."""
        for part, rows in self.parts.items():
            if isinstance(rows.x, ImageFiles):
                yield f"{part}/files", self.files
            elif isinstance(rows.x, Table):
                for name in rows.x.frame:
                    yield f"{part}/{name}", rows.x.frame[name].to_numpy()
            else:
                yield f"{part}/x", rows.x
            yield f"{part}/{'/'.join(self.targets)}", rows.y


def read_csv(source: CsvSource) -> Found:
    """A CSV file.

    Raises:
        DataError: a table that cannot be learned from.
    """
    return _from_frame(read_csv_file(Path(source.path), source.separator), source, source.separator)


def read_parquet(source: ParquetSource) -> Found:
    """A Parquet file.

    Raises:
        DataError: a table that cannot be learned from.
    """
    return _from_frame(read_parquet_file(Path(source.path)), source, ",")


def _from_frame(frame: pd.DataFrame, source: TableSource, separator: str) -> Found:
    path = Path(source.path)
    targets = [source.target] if isinstance(source.target, str) else source.target
    y = target_values(frame, targets, str(path))
    check_columns(source.drop, frame, "column to drop", str(path))
    if source.features is not None:
        check_columns(source.features, frame, "feature column", str(path))
        features = frame[[name for name in source.features if name not in source.drop]]
    else:
        features = frame.drop(columns=[*targets, *(name for name in source.drop if name not in targets)])
    table = infer_columns(features, source.missing, str(path)).clean(features, str(path))
    parts: dict[PartName, Rows] = {"train": Rows(table, y[table.rows])}
    return Found(where=str(path), parts=parts, targets=tuple(targets), separator=separator)


def read_npz(source: NpzSource) -> Found:
    """An archive; `x_test` and `y_test`, named after the keys of `x` and `y`, are its own test set.

    Raises:
        DataError: no such file or key, or arrays that cannot be learned from.
    """
    path = Path(source.path)
    arrays = read_archive(path)
    parts: dict[PartName, Rows] = {"train": _rows(arrays, source.x, source.y, path)}
    own_test = [key for key in (f"{source.x}_test", f"{source.y}_test") if key in arrays]
    if own_test:
        parts["test"] = _rows(arrays, f"{source.x}_test", f"{source.y}_test", path)
    y = parts["train"].y
    names = (source.y,) if y.ndim == 1 else tuple(f"{source.y}_{column}" for column in range(y.shape[1]))
    return Found(where=str(path), parts=parts, targets=names, key=source.x)


def _rows(arrays: dict[str, NDArray[Any]], x_key: str, y_key: str, path: Path) -> Rows:
    x = as_observations(pick(arrays, x_key, path), f"{path}: {x_key}")
    return Rows(x, as_targets(pick(arrays, y_key, path), len(x), f"{path}: {y_key}"))


def read_images(source: ImagesSource) -> Found:
    """A folder of class folders, or of `train`, `test` and `validation` (or `val`) folders of them.

    Raises:
        DataError: no such folder, a class without images, or files that cannot be decoded.
    """
    root = Path(source.path)
    if not root.is_dir():
        raise DataError(f"{root}: there is no such folder")
    folders = {folder.name: folder for folder in _folders(root)}
    own: dict[str, PartName] = {"train": "train", "test": "test", "validation": "validation", "val": "validation"}
    if "train" in folders and len(folders) > 1 and set(folders) <= set(own):
        parts = {own[name]: _classes_in(folder, source) for name, folder in folders.items()}
    else:
        parts = {"train": _classes_in(root, source)}
    files = [file for rows in parts.values() if isinstance(rows.x, ImageFiles) for file in rows.x.files]
    good = check_images(files, source.skip_broken)
    digests = "\n".join(f"{digest} {file.relative_to(root).as_posix()}" for file, digest in good.items())
    parts = {name: _without_broken(rows, good, root) for name, rows in parts.items()}
    return Found(where=str(root), parts=parts, targets=("class",), task="classification", files=digests)


def _without_broken(rows: Rows, good: Container[Path], root: Path) -> Rows:
    assert isinstance(rows.x, ImageFiles)
    kept = np.array([place for place, file in enumerate(rows.x.files) if file in good], dtype=int)
    lost = sorted(set(rows.y.tolist()) - set(rows.y[kept].tolist()))
    if lost:
        raise DataError(f"{root}: class folder {listed(lost)} holds no image that can be read")
    return Rows(rows.x.take(kept), rows.y[kept])


def _classes_in(root: Path, source: ImagesSource) -> Rows:
    classes = _folders(root)
    if not classes:
        raise DataError(f"{root}: has no class folders; expected one folder a class with its images in it")
    stray = [file.name for file in root.iterdir() if file.is_file() and file.suffix.lower() in SUFFIXES]
    if stray:
        raise DataError(f"{root}: holds images of no class: {listed(sorted(stray), 5)}; move each into a class folder")
    found = {folder.name: image_files(folder, source.skip_broken) for folder in classes}
    empty = [name for name, files in found.items() if not files]
    if empty:
        raise DataError(f"{root}: class folder {listed(empty)} holds no images; add some, or delete the folder")
    labels = [name for name, files in found.items() for _ in files]
    files = tuple(file for own in found.values() for file in own)
    return Rows(ImageFiles(files, source.size, source.color), np.array(labels))


def _folders(root: Path) -> list[Path]:
    return sorted(folder for folder in root.iterdir() if folder.is_dir() and not folder.name.startswith("."))
