"""Samples as the loop takes them: in the precision that is computed in, sparse ones made dense a batch at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import issparse

DENSE_BYTES = 2**28  # a sparse table that is no larger as a dense one is made dense at once


class SparseRows:
    """A sparse table, of which rows are made dense when they are asked for.

    Args:
        table: CSR, `(n_samples, n_features)`.
    """

    def __init__(self, table: Any) -> None:
        self.table, self.shape, self.dtype = table, table.shape, table.dtype

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, rows: Any) -> Any:
        return self.table[rows].toarray()


def precision_of(X: Any) -> str:
    """What a network computes in for such samples: `float64` for float64 alone, as scikit-learn keeps precision."""
    return "float64" if X.dtype == np.float64 else "float32"


def as_features(X: Any) -> Any:
    """Samples for a network: whole numbers stay what they are, all others get the precision of `precision_of`."""
    if X.dtype.kind not in "iu":
        X = X.astype(precision_of(X), copy=False)
    if not issparse(X):
        return X
    table = X.tocsr()
    return table.toarray() if np.prod(table.shape) * table.dtype.itemsize <= DENSE_BYTES else SparseRows(table)


def batch_for_prediction(X: Any, batch_size: int) -> int:
    """Samples for each forward pass: a table's rows are small, of images the batch that was trained with fits."""
    return max(batch_size, 8192 if len(X.shape) <= 2 and X.shape[-1] <= 1024 else 256)
