"""What a fit trains on and what it holds out, of arrays nested as the model takes them."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.model_selection import train_test_split


def without_held_out(x: Any, y: Any, weight: Any, fraction: float, seed: int, strata: Any) -> dict[str, Any]:
    """Arguments of `kf.fit`: all samples, or those that are left and the others as `validation_data`.

    Args:
        x, y: `(n_samples, ...)` each, in any nest.
        weight: of samples, or None.
        fraction: that is drawn and held out; none if 0.
        strata: labels `(n_samples,)` whose proportions are kept, or None.
    """
    if not fraction:
        return {"x": x, "y": y, "sample_weight": weight}
    rows, held = train_test_split(np.arange(n_samples(x)), test_size=fraction, random_state=seed, stratify=strata)
    validation = (at(x, held), at(y, held), *([] if weight is None else [at(weight, held)]))
    return {"x": at(x, rows), "y": at(y, rows), "sample_weight": at(weight, rows), "validation_data": validation}


def at(part: Any, rows: Any) -> Any:
    """Samples at some rows, or of a slice."""
    import keras

    return keras.tree.map_structure(lambda leaf: None if leaf is None else leaf[rows], part)


def n_samples(x: Any) -> int:
    """How many there are in a nest."""
    import keras

    return len(keras.tree.flatten(x)[0])


def zeros(x: Any) -> Any:
    """A sample of the same shape that tells nothing of the data."""
    import keras

    return keras.tree.map_structure(lambda leaf: np.zeros((1, *leaf.shape[1:]), leaf.dtype), x)
