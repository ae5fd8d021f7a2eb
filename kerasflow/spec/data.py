"""Which data an experiment learns from, how it is split, and how its numbers are scaled."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_serializer, model_validator

from kerasflow.spec.base import Listed, Part
from kerasflow.spec.named import OneOf
from kerasflow.spec.paths import FilePath

Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]
Pixels = Annotated[int, Field(ge=1)]


class SklearnSource(Part):
    """A data set that ships with scikit-learn: `digits`, `iris`, `wine`, `breast_cancer`, `diabetes`, ..."""

    first: ClassVar[str] = "name"
    name: str


class KerasSource(Part):
    """A set of `keras.datasets`, from Keras' own cache or download. It brings its own test set, which is kept."""

    first: ClassVar[str] = "name"
    name: str


class TableSource(Part):
    """A table with a header row; one row an observation.

    Numbers and booleans are taken as numbers, text as categories (one-hot; one unknown in training is all zeros).
    Dates, nested values and texts that hardly repeat are refused. What is not finite counts as missing.

    Attributes:
        path: the file.
        target: the column to learn, or several (multilabel if all hold 0 and 1, else regression on several outputs).
        features: the columns to learn from; all others but the target if not given.
        drop: columns to leave out.
        missing: what happens to missing values: `error` refuses them, `drop` leaves out the rows (their number is
            recorded), `impute` fills numbers with the training part's median and categories with their most frequent
            value.
    """

    path: FilePath
    target: str | list[str]
    features: list[str] | None = None
    drop: list[str] = []
    missing: Literal["error", "drop", "impute"] = "error"

    @model_validator(mode="after")
    def _names_each_column_once(self) -> TableSource:
        targets = [self.target] if isinstance(self.target, str) else self.target
        if not targets:
            raise ValueError("target must name at least one column, got none")
        for what, names in (("target", targets), ("features", self.features or []), ("drop", self.drop)):
            twice = next((name for name in names if names.count(name) > 1), None)
            if twice is not None:
                raise ValueError(f"{what} must name each column once, got {twice!r} more than once")
        shared = next((name for name in targets if name in (self.features or [])), None)
        if shared is not None:
            raise ValueError(f"features must not hold the target, got {shared!r} in both")
        return self


class CsvSource(TableSource):
    """A CSV file. `separator` is the one character between columns."""

    separator: str = Field(default=",", min_length=1, max_length=1)


class ParquetSource(TableSource):
    """A Parquet file."""


class NpzSource(Part):
    """A NumPy archive: the keys `x` and `y`; with `x_test` and `y_test` it brings its own test set.

    Attributes:
        path: the file; it is read without pickle.
        x: the key of the observations, `(n_samples, ..., channels)`; 8-bit images `(n_samples, height, width)` are
            given their one channel.
        y: the key of the targets, `(n_samples,)` or `(n_samples, n_outputs)`.
    """

    first: ClassVar[str] = "path"
    path: FilePath
    x: str = "x"
    y: str = "y"


class ImagesSource(Part):
    """A folder with one sub-folder a class, its images streamed from disk (JPEG, PNG, GIF, BMP).

    A folder whose only sub-folders are `train` and `test`, `validation` (or `val`) or both, brings its own split. Every
    image is decoded once before training, so that a broken one is named at once.

    Attributes:
        path: the folder.
        size: height and width, in pixels, that every image is resized to.
        color: `rgb` (three channels) or `grayscale` (one).
        skip_broken: whether files that are empty, corrupt or no images are left out, with a warning, instead of
            refused.
    """

    first: ClassVar[str] = "path"
    path: FilePath
    size: Annotated[tuple[Pixels, Pixels], Listed] = (224, 224)
    color: Literal["rgb", "grayscale"] = "rgb"
    skip_broken: bool = False


class Source(OneOf):
    """Where the data comes from: exactly one of these."""

    sklearn: SklearnSource | None = None
    keras: KerasSource | None = None
    csv: CsvSource | None = None
    parquet: ParquetSource | None = None
    npz: NpzSource | None = None
    images: ImagesSource | None = None


class Split(Part):
    """The parts held out, as fractions of the whole, drawn by the seed; classes keep their balance in each part.

    A source that brings its own test set keeps it; `test` then does nothing.
    """

    test: Fraction = 0.2
    validation: Fraction = 0.1

    @model_validator(mode="after")
    def _leaves_something(self) -> Split:
        if self.test + self.validation >= 1.0:
            raise ValueError(f"test + validation must leave something to train on, got {self.test} + {self.validation}")
        return self


class Take(Part):
    """A part of what the source holds, in its own order; all of it if nothing is said.

    Attributes:
        classes: only rows of these labels.
        train, test: so many rows of the source's training and test set, the first ones.
    """

    classes: Annotated[tuple[str | int | bool, ...], Listed] = ()
    train: Annotated[int, Field(ge=1)] | None = None
    test: Annotated[int, Field(ge=1)] | None = None

    @model_serializer(mode="wrap")
    def _write(self, handler: Any) -> dict[str, Any]:
        return {key: value for key, value in handler(self).items() if value}


class DataSpec(Part):
    """The data of an experiment.

    Attributes:
        source: where it comes from.
        take: what of it is used.
        split: what is held out.
        scale: `none`; `unit` maps to 0..1 (8-bit images by 255, else by the training part's minimum and maximum);
            `standard` gives mean 0 and standard deviation 1 by the training part alone. Each column or channel (the
            last axis) has its own; one-hot categories stay 0 and 1.
        task: `auto` reads it from the target: text and booleans are classes, and so are integers with at most 50
            values, each ten times on average, or with only two; any other number is a quantity. Of a named set it is
            known.
    """

    source: Source
    take: Take = Take()
    split: Split = Split()
    scale: Literal["none", "unit", "standard"] = "none"
    task: Literal["auto", "classification", "multilabel", "regression"] = "auto"
