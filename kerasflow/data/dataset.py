"""What the data room hands over: parts of observations and targets, ready for a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from kerasflow.data.observations import Observations
from kerasflow.data.preparation import Preparation


@dataclass(frozen=True, eq=False)
class Part:
    """Observations and their targets.

    Attributes:
        x: `(n_samples, *input_shape)`, float32.
        y: class indices `(n_samples,)` int32 for binary and multiclass; 0/1 `(n_samples, n_targets)` float32 for
            multilabel; `(n_samples,)` or `(n_samples, n_targets)` float32 for regression.
    """

    x: Observations
    y: NDArray[Any]

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True, eq=False)
class Data:
    """All that an experiment learns from and is judged by.

    Attributes:
        train: what gradients see.
        validation: what stopping rules see, or None.
        test: what nothing sees until the end, or None.
        preparation: how new rows are treated as these were.
        fingerprint: SHA-256 (hex) over values, dtypes, shapes, labels and column names, or over the bytes of files;
            the same in every process, whatever the split.
        summary: JSON-ready facts: `source`, `task`, `targets`, `rows` a part, `shape`, `dtype`, `classes`, `balance` a
            part, and what was `dropped_rows`, `imputed` or `unknown_categories`.
    """

    train: Part
    validation: Part | None
    test: Part | None
    preparation: Preparation
    fingerprint: str
    summary: dict[str, Any]
