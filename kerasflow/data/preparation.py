"""What a run must keep so that new rows are treated as its training rows were."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import ZIP_DEFLATED

from numpy.typing import NDArray

from kerasflow.data.target import Label, Target, Task
from kerasflow.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

    from kerasflow.data.inputs import Input
    from kerasflow.data.observations import Observations

FORMAT = 1
"""Counts up when the file's layout changes."""

# skops trusts scikit-learn's own types; an imputer also keeps the dtype that it was fitted on.
SAFE_TYPES = ["numpy.dtype"]


@dataclass(frozen=True, eq=False)
class Preparation:
    """The way from a user's rows to model input, and from model output to the user's labels.

    Attributes:
        target: the task and its labels.
        input: the treatment of observations, fitted on the training part.
    """

    target: Target
    input: Input

    @property
    def task(self) -> Task:
        """What kind of answer is learned."""
        return self.target.task

    @property
    def classes(self) -> tuple[Label, ...] | None:
        """The user's own labels by index, for binary and multiclass; else None."""
        return self.target.classes

    @property
    def targets(self) -> tuple[str, ...]:
        """The names of the target columns."""
        return self.target.names

    @property
    def n_outputs(self) -> int:
        """The units that the model's last layer needs."""
        return self.target.n_outputs

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one sample."""
        return self.input.shape

    def read(self, path: Path) -> tuple[Observations, pd.Index[Any]]:
        """New rows as model input, by the policy for missing values that the run was trained with.

        A category that training did not hold becomes zeros, with a warning.

        Args:
            path: for a model of a table, a CSV or Parquet file with its feature columns (more columns do no harm) or,
                if all are numbers, an `.npy` or `.npz` of shape `(n_samples, n_columns)`; for a model of arrays or
                images, an `.npy` or `.npz`, an image, or a folder of images, searched through.

        Returns:
            The observations, `(n_samples, *input_shape)` float32, and an index named `row` (numbers from 0; the policy
            `drop` leaves some out) or `file` (names below the folder).

        Raises:
            DataError: a file that is not there, cannot be read, or holds something else.
        """
        return self.input.read(Path(path))

    def decode(self, y_pred: NDArray[Any]) -> pd.DataFrame:
        """A model's output in the user's words, one row a sample.

        Args:
            y_pred: probabilities, or values for regression: `(n_samples, n_outputs)`, or `(n_samples,)` of one output;
                or class indices `(n_samples,)`, of which no probabilities are known.

        Returns:
            For binary and multiclass the columns `prediction` (a label) and `probability_<label>`; for multilabel
            `<target>` (0 or 1) and `probability_<target>`; for regression `prediction`, or `<target>` for each of
            several.

        Raises:
            DataError: an output of another width.
        """
        return self.target.decode(y_pred)

    def save(self, path: Path) -> None:
        """Writes one file, aside and then renamed; `Preparation.load` reads it."""
        from skops import io

        target = {"task": self.target.task, "names": list(self.target.names), "classes": self.target.classes}
        content = io.dumps({"format": FORMAT, "target": target, "input": self.input.state()}, compression=ZIP_DEFLATED)
        aside = Path(path).with_name(Path(path).name + ".tmp")
        aside.write_bytes(content)
        os.replace(aside, path)

    @classmethod
    def load(cls, path: Path) -> Preparation:
        """Reads what `save` wrote; nothing but scikit-learn's own types is ever constructed.

        Raises:
            DataError: no such file, one of another format, or one that holds types that are not trusted.
        """
        from skops import io
        from skops.io.exceptions import UntrustedTypesFoundException

        from kerasflow.data.inputs import restore_input

        try:
            state = io.load(path, trusted=SAFE_TYPES)
        except FileNotFoundError as error:
            raise DataError(f"{path}: there is no such file") from error
        except UntrustedTypesFoundException as error:
            raise DataError(f"{path}: holds types that no run writes, so it is not loaded: {error}") from error
        # skops' loaders fail in many ways on bytes that it did not write.
        except Exception as error:
            raise DataError(f"{path}: is not the preparation of a run: {error}") from error
        if not isinstance(state, dict) or state.get("format") != FORMAT:
            raise DataError(f"{path}: is not a preparation of format {FORMAT}; read it with the version that wrote it")
        target = state["target"]
        classes = None if target["classes"] is None else tuple(target["classes"])
        return cls(Target(target["task"], tuple(target["names"]), classes), restore_input(state["input"]))
