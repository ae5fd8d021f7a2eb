"""What fits on a picture: some of many, short names, a number's text, axes that hold names or wide spans."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter

NAMES = 16
"""That fit beside rows."""

_COLUMNS = 10  # names that fit below columns

_LENGTH = 28
_WIDE = 50.0  # a curve of this span is shown on a logarithmic axis
_DECADE = 10.0  # so are sizes of this span
_DECADES = 1e3  # up to here an axis has numbers between its powers of ten


def spread(count: int, most: int) -> list[int]:
    """At most so many places out of `count`, evenly spread, the first and the last among them."""
    return sorted({int(i) for i in np.linspace(0, count - 1, min(count, most))}) if count else []


def short(name: str, length: int = _LENGTH) -> str:
    """The end of a long name, where names of one model differ."""
    return name if len(name) <= length else f"…{name[1 - length :]}"


def clipped(sentence: str, length: int) -> str:
    """The beginning of a long sentence."""
    return sentence if len(sentence) <= length else f"{sentence[: length - 1]}…"


def place(flat: int, shape: tuple[int, ...]) -> str:
    """`[3,2]`, of a flat place."""
    return f"[{','.join(str(int(i)) for i in np.unravel_index(flat, shape))}]" if shape else ""


def name_rows(axes: Axes, names: Sequence[str]) -> None:
    """The vertical axis has these names, the first on top."""
    axes.set_yticks(range(len(names)), [short(name) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)


def name_columns(axes: Axes, names: Sequence[str]) -> None:
    """The horizontal axis has these names, some of them where there are many."""
    shown = spread(len(names), _COLUMNS)
    axes.set_xticks(shown, [short(names[i], 20) for i in shown], rotation=35, ha="right", rotation_mode="anchor")
    axes.set_xlim(-0.5, len(names) - 0.5)


def widen(axis: Any, values: np.ndarray) -> bool:
    """A logarithmic axis for positive values of a wide span; tells whether it is."""
    finite = values[np.isfinite(values)]
    wide = bool(len(finite) and finite.min() > 0 and finite.max() > _WIDE * finite.min())
    if wide:
        axis("log")
    return wide


def magnitudes(axes: Axes, side: Literal["x", "y"], values: np.ndarray) -> str:
    """An axis from 0, or a logarithmic one for a wide span, and `, zeros left out` where that leaves some out."""
    finite = np.ravel(values)[np.isfinite(np.ravel(values))]
    above = finite[finite > 0]
    if len(above) and above.max() > _DECADE * above.min():
        axes.set(**{f"{side}scale": "log"})
        axis: Any = getattr(axes, f"{side}axis")
        axis.set_minor_formatter(NullFormatter())
        if above.max() < _DECADES * above.min():
            axis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
            axis.set_major_formatter("{x:g}")
        return ", zeros left out" if len(above) < len(finite) else ""
    axes.set(**{f"{side}lim": (0, 1.15 * float(above.max(initial=0)) or 1.0)})
    axes.ticklabel_format(axis=side, scilimits=(-2, 4))
    axes.locator_params(axis=side, nbins=5)
    return ""


def rms(array: np.ndarray) -> float:
    """Root mean square; 0 of nothing."""
    return float(np.sqrt(np.mean(np.square(array, dtype=np.float64)))) if array.size else 0.0
