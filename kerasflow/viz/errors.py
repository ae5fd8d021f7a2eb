"""The observations that a model is most wrong about: each one's error, against the cost of their set."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from kerasflow.viz.style import COLOURS, GREY, new_figure, note, styled

SHOWN = 12
_COLUMNS_WITH_NUMBERS = 14
_NAMES_AT_MOST = 40


@styled
def largest_errors(
    x: ArrayLike,
    indices: Sequence[int],
    targets: Sequence[str],
    predictions: Sequence[str],
    errors: Sequence[float],
    *,
    cost: float,
    n_samples: int,
    features: Sequence[str] = (),
    error: str = "",
    part: str = "test",
) -> Figure:
    """Observations, highest error first: images as images, rows of features as a table beside bars of their errors.

    Args:
        x: the observations as the model takes them, `(n, n_features)`, `(n, height, width)` or `(n, height, width,
            channels)`.
        indices: of each in its part.
        targets, predictions: of each, in words.
        errors: of each.
        cost: of the whole part: the mean of all its errors.
        n_samples: observations of the whole part.
        features: names of the columns.
        error: what the error is, such as `mean squared error`.
        part: the part's name.
    """
    values = np.asarray(x, dtype=float)
    draw = _table if values.ndim == 2 else _images
    figure = draw(values, indices, targets, predictions, errors, cost, features)
    least, most = _number(errors[-1]), _number(errors[0])
    each = most if least == most else f"{most} to {least}"
    figure.suptitle(
        f"Largest errors, {part} part\nerror of one observation: {each}; cost of the set: {_number(cost)}",
        x=0.012,
        ha="left",
    )
    kind = f" ({error})" if error else ""
    note(figure, f"The cost is the mean of the errors{kind} of all {n_samples:,} observations of the {part} part.")
    return figure


def _images(
    values: NDArray[np.float64],
    indices: Sequence[int],
    targets: Sequence[str],
    predictions: Sequence[str],
    errors: Sequence[float],
    cost: float,
    features: Sequence[str],
) -> Figure:
    columns = min(len(values), 6)
    lines = math.ceil(len(values) / columns)
    figure = new_figure(max(2.0 * columns, 7.0), 1.2 + 2.6 * lines)
    panels = figure.subplots(lines, columns, squeeze=False).flatten()
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    for axes in panels[len(values) :]:
        axes.remove()
    for axes, image, index, target, prediction, error in zip(
        panels, values, indices, targets, predictions, errors, strict=False
    ):
        shown = (_as_image(image) - low) / ((high - low) or 1.0)
        axes.imshow(shown, cmap="gray", vmin=0.0, vmax=1.0)
        axes.set_axis_off()
        axes.set_title(f"error {_number(error)}\n{_short(target)},\npredicted {_short(prediction)}", fontsize=9)
        axes.text(0.5, -0.03, f"#{index}", transform=axes.transAxes, ha="center", va="top", fontsize=8, color=GREY)
    return figure


def _as_image(sample: NDArray[np.float64]) -> NDArray[np.float64]:
    """Height and width, and three colours if there are three channels; other channels and frames are averaged."""
    while sample.ndim > 3:
        sample = sample.mean(axis=0)
    return sample.mean(axis=2) if sample.ndim == 3 and sample.shape[2] != 3 else sample


def _table(
    values: NDArray[np.float64],
    indices: Sequence[int],
    targets: Sequence[str],
    predictions: Sequence[str],
    errors: Sequence[float],
    cost: float,
    features: Sequence[str],
) -> Figure:
    n, width = values.shape
    figure = new_figure(min(8.0 + 0.62 * width, 15.0), 2.4 + 0.36 * n)
    bars, cells = figure.subplots(1, 2, sharey=True, width_ratios=(3.0, min(1.0 + 0.7 * width, 9.0)))
    _bars(bars, errors, cost)
    words = zip(indices, targets, predictions, strict=True)
    names = [f"#{index}: {_short(target)}, predicted {_short(guess)}" for index, target, guess in words]
    bars.set_yticks(range(n), names)
    _cells(cells, values, features)
    bars.set_ylim(n - 0.5, -0.5)
    return figure


def _bars(axes: Axes, errors: Sequence[float], cost: float) -> None:
    axes.barh(range(len(errors)), errors, color=COLOURS[0], height=0.7, label="error of one observation")
    axes.axvline(cost, color=COLOURS[1], lw=2.0, ls="--", label="cost of the set")
    for row, error in enumerate(errors):
        ground = {"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 0.5}
        axes.annotate(
            _number(error), (error, row), (4, 0), textcoords="offset points", va="center", fontsize=8, bbox=ground
        )
    axes.grid(False, axis="y")
    axes.margins(x=0.2)
    axes.set_xlabel("error")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), fontsize=8)


def _cells(axes: Axes, values: NDArray[np.float64], features: Sequence[str]) -> None:
    n, width = values.shape
    reach = float(np.nanmax(np.abs(values))) or 1.0
    axes.imshow(values, cmap="RdBu_r", vmin=-reach, vmax=reach, aspect="auto")
    axes.grid(False)
    if width <= _COLUMNS_WITH_NUMBERS:
        for row, column in np.ndindex(n, width):
            value = float(values[row, column])
            ink = "white" if abs(value) > 0.6 * reach else "black"
            axes.text(column, row, f"{value:.3g}", ha="center", va="center", fontsize=8, color=ink)
    names = [_short(name) for name in features] if len(features) == width else [str(index) for index in range(width)]
    step = max(1, math.ceil(width / _NAMES_AT_MOST))
    axes.set_xticks(range(0, width, step), names[::step], rotation=45 if width > 1 else 0, ha="right", fontsize=8)
    axes.tick_params(axis="y", left=False, labelleft=False)
    axes.set_title("features, as the model takes them", fontsize=10)


def _number(value: float) -> str:
    return f"{value:,.0f}" if 1e3 <= abs(value) < 1e9 else f"{value:.3g}"


def _short(name: object) -> str:
    text = str(name)
    return text if len(text) <= 18 else f"{text[:17]}…"
