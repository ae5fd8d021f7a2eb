"""What a model predicts against what is true: classes as a matrix, numbers as points."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import ArrayLike, NDArray

from kerasflow.viz.style import COLOURS, GREY, new_figure, styled

_CLASSES_WITH_NUMBERS = 20
_NAMES_AT_MOST = 50
_PANELS_AT_MOST = 6
_POINTS_AT_MOST = 5000


@styled
def confusion_matrix(
    y_true: ArrayLike, y_pred: ArrayLike, classes: Sequence[object], *, title: str = "Confusion matrix"
) -> Figure:
    """How often each class was taken for which: counts, coloured by the share of the true class.

    Args:
        y_true: class indices `(n_samples,)`.
        y_pred: predicted class indices `(n_samples,)`.
        classes: the classes' names, by index; a class without one is shown by its index.
        title: of the picture; the accuracy is added to it.
    """
    true, predicted = np.asarray(y_true).astype(int).ravel(), np.asarray(y_pred).astype(int).ravel()
    n = int(max([len(classes) - 1, *true, *predicted])) + 1
    counts = np.zeros((n, n), dtype=int)  # (true, predicted)
    np.add.at(counts, (true, predicted), 1)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = min(max(4.6, 2.4 + 0.56 * n), 13.0)
    figure = new_figure(size + 1.0, size)
    axes = figure.subplots()
    image = axes.imshow(share, cmap="Blues", vmin=0.0, vmax=1.0)
    axes.grid(False)
    if n <= _CLASSES_WITH_NUMBERS:
        for row, column in zip(*np.nonzero(counts), strict=True):
            ink = "white" if share[row, column] > 0.55 else "black"
            axes.text(column, row, f"{counts[row, column]:,}", ha="center", va="center", color=ink, fontsize=9)
    if n <= _NAMES_AT_MOST:
        names = [_short(name) for name in [*classes, *range(len(classes), n)]]
        slanted = max(map(len, names), default=0) > 3
        axes.set_xticks(range(n), names, rotation=45 if slanted else 0, ha="right" if slanted else "center")
        axes.set_yticks(range(n), names)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    right = int(np.trace(counts))
    axes.set_title(f"{title}: {right:,} of {len(true):,} right ({right / max(len(true), 1):.1%})")
    bar = figure.colorbar(image, ax=axes, shrink=0.8, format=PercentFormatter(1.0))
    bar.set_label("share of the true class")
    bar.outline.set_visible(False)
    return figure


@styled
def class_balance(balance: Mapping[str, Mapping[str, int]], *, title: str = "Class balance") -> Figure:
    """The share of each class in each part, as bars, with the number of observations where there is room.

    Args:
        balance: observations by class, by part.
        title: of the picture; the number of classes is added to it.
    """
    parts = list(balance)
    classes = list(next(iter(balance.values())))
    n, height = len(classes), 0.8 / len(parts)
    figure = new_figure(8.0, min(max(2.6, 1.4 + (0.16 + 0.2 * len(parts)) * n), 13.0))
    axes = figure.subplots()
    for place, part in enumerate(parts):
        counts = np.array([balance[part][name] for name in classes])
        shares = counts / max(int(counts.sum()), 1)
        rows = np.arange(n) + (place - (len(parts) - 1) / 2) * height
        label = f"{part} ({int(counts.sum()):,})"
        axes.barh(rows, shares, height=0.9 * height, color=COLOURS[place], label=label)
        if n <= _CLASSES_WITH_NUMBERS:
            for row, share, count in zip(rows, shares, counts, strict=True):
                axes.annotate(f"{count:,}", (share, row), (3, 0), textcoords="offset points", va="center", fontsize=7)
    if n <= _NAMES_AT_MOST:
        axes.set_yticks(range(n), [_short(name) for name in classes])
    axes.set_ylim(n - 0.5, -0.5)
    axes.grid(False, axis="y")
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_xlabel("share of the part's observations")
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    axes.set_title(f"{title}: {n:,} classes")
    return figure


@styled
def predicted_vs_actual(
    y_true: ArrayLike, y_pred: ArrayLike, targets: Sequence[str] = (), *, title: str = "Predicted and actual values"
) -> Figure:
    """Each observation as a point: the actual value across, the predicted one up; a perfect model's lie on the line.

    Args:
        y_true: `(n_samples,)` or `(n_samples, n_outputs)`.
        y_pred: of the same shape.
        targets: the outputs' names, one a panel; at most six panels are drawn.
        title: of the picture.
    """
    true, predicted = _columns(y_true), _columns(y_pred)
    count = min(true.shape[1], _PANELS_AT_MOST)
    columns = min(count, 3)
    lines = math.ceil(count / columns)
    figure = new_figure(1.0 + 4.6 * columns, 0.8 + 4.3 * lines)
    figure.suptitle(title, x=0.012, ha="left")
    panels = figure.subplots(lines, columns, squeeze=False).flatten()
    for axes in panels[count:]:
        axes.remove()
    for index, axes in enumerate(panels[:count]):
        actual, guess = true[:, index], predicted[:, index]
        fewer = slice(None, None, max(1, math.ceil(len(actual) / _POINTS_AT_MOST)))
        axes.scatter(actual[fewer], guess[fewer], s=16, color=COLOURS[0], alpha=0.5, linewidths=0)
        both = np.concatenate([actual, guess])
        finite = both[np.isfinite(both)]
        ends = [float(finite.min()), float(finite.max())] if finite.size else [0.0, 1.0]
        axes.plot(ends, ends, color=GREY, lw=1.2, ls="--", label="predicted = actual")
        axes.set_aspect("equal", adjustable="datalim")
        name = targets[index] if index < len(targets) else "value"
        axes.set_xlabel(f"actual {name}")
        axes.set_ylabel(f"predicted {name}")
        axes.set_title(_quality(actual, guess))
        axes.legend(loc="upper left")
    return figure


def _columns(values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=float)
    return array.reshape(len(array), -1)


def _quality(actual: NDArray[np.float64], guess: NDArray[np.float64]) -> str:
    errors = actual - guess
    spread = float(np.sum((actual - actual.mean()) ** 2))
    r2 = f"R² {1.0 - float(np.sum(errors**2)) / spread:.3f}, " if spread > 0 else ""
    return f"{r2}mean absolute error {float(np.mean(np.abs(errors))):.4g}"


def _short(name: object) -> str:
    text = str(name)
    return text if len(text) <= 18 else f"{text[:17]}…"
