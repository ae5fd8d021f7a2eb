"""`kf.explain.symmetry`: units that begin alike stay alike, however long gradient descent goes on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kerasflow.explain.landscape import Landscape, check_count, check_rate
from kerasflow.explain.slices import walk

ROUNDING = 1e-5
"""Of the largest weight: sums of the same numbers may be rounded differently from unit to unit."""


@dataclass(frozen=True)
class Symmetry:
    """How far the units of each layer are apart, before each step of gradient descent and after the last.

    Attributes:
        costs: `(steps + 1,)`.
        spreads: by the path of each variable of at least two axes, `(steps + 1,)`: the largest difference between the
            weights that two units give to the same input; 0 where all units are the same.
        alike: the variables whose units are the same all along, to rounding.
    """

    costs: np.ndarray
    spreads: Mapping[str, np.ndarray]
    alike: tuple[str, ...]


def symmetry(
    model: Any, x: Any, y: Any, *, learning_rate: float = 0.1, steps: int = 10, sample_weight: Any = None
) -> Symmetry:
    """Takes some steps of gradient descent, on paper, and looks how far the units of each layer come apart.

    Units with the same weights, into them and out of them, get the same gradient, so they stay one unit in all but
    number: why weights cannot begin at zero, or all at one value, and biases can.

    Args:
        model: compiled and built; it is not changed.
        x, y, sample_weight: arrays `(n_samples, ...)`, nested as the model has them.
        learning_rate: α.
        steps: how many, at least 1.

    Raises:
        BuildError, DataError, TrainingError: the model has no cost, or something does not fit.

    Source:
        The deck's "Initializing Weights and Biases"; Goodfellow et al. 2016, Deep Learning, section 8.4, on breaking
        symmetry.
    """
    landscape = Landscape(model, x, y, sample_weight)
    walked, costs = walk(landscape, check_rate(learning_rate), check_count("steps", steps, 1))
    kernels = [path for path, variable in landscape.variables.items() if len(variable.shape) > 1]
    spreads = {path: np.array([float(np.ptp(values[path], axis=-1).max()) for values in walked]) for path in kernels}
    several = [path for path in kernels if landscape.variables[path].shape[-1] > 1]
    sizes = {path: max(float(np.abs(values[path]).max()) for values in walked) for path in several}
    alike = tuple(path for path in several if spreads[path].max() <= ROUNDING * sizes[path])
    return Symmetry(np.array(costs), spreads, alike)
