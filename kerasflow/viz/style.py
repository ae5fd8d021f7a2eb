"""How every picture looks: one set of colours that colour-blind eyes tell apart, one size of type, little ink."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec

import matplotlib
import matplotlib.colors
import matplotlib.style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

# Okabe and Ito 2008, 'Color Universal Design': told apart with every common colour blindness.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#B8A800")
INK, GREY, PALE = "#222222", "#6B6B6B", "#E4E4E4"
DOTS_PER_INCH = 150
_STEPS = matplotlib.colormaps["viridis"]

_STYLE: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": GREY,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.labelsize": 11,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "figure.titlesize": 14,
    "figure.titleweight": "bold",
    "font.size": 10,
    "grid.color": PALE,
    "legend.frameon": False,
    "lines.linewidth": 2.0,
    "text.color": INK,
    "xtick.color": GREY,
    "ytick.color": GREY,
}

Arguments = ParamSpec("Arguments")


def styled(draw: Callable[Arguments, Figure]) -> Callable[Arguments, Figure]:
    """The function draws in kerasflow's style and leaves matplotlib's own settings as they were."""

    @wraps(draw)
    def in_style(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Figure:
        with matplotlib.style.context(_STYLE, after_reset=True):
            return draw(*args, **kwargs)

    return in_style


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, in inches, that is drawn by Agg and that no window knows."""
    figure = Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12))
    FigureCanvasAgg(figure)
    return figure


def colour(index: int, count: int) -> tuple[float, float, float, float]:
    """The colour of one of `count` things: Okabe and Ito's eight, or steps through viridis where there are more."""
    if count <= len(COLOURS):
        return matplotlib.colors.to_rgba(COLOURS[index])
    red, green, blue, alpha = _STEPS(0.95 * index / (count - 1))
    return float(red), float(green), float(blue), float(alpha)


def note(figure: Figure, text: str) -> None:
    """A remark at the foot of the figure, in small grey type."""
    figure.supxlabel(text, x=0.012, ha="left", fontsize=9, fontweight="normal", color=GREY)


def save(figure: Figure, path: Path) -> None:
    """Write a figure; the ending of the name decides the format (PNG, PDF or SVG).

    Raises:
        OSError: if the file cannot be written.
    """
    figure.savefig(path, dpi=DOTS_PER_INCH, facecolor="white")
