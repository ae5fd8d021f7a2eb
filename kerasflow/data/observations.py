"""What a model is fed, whether it lies in memory or is read when it is asked for."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Observations(Protocol):
    """Model input, `(n_samples, ...)` float32, read by index. A NumPy array is one; `ImageFiles` decodes on access."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: NDArray[np.integer[Any]] | slice, /) -> NDArray[Any]: ...
