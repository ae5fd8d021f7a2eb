"""The pictures of one run, drawn from its numbers and written to its folder."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kerasflow.builders.table import layer_rows
from kerasflow.viz.architecture import architecture
from kerasflow.viz.curves import cost_curves
from kerasflow.viz.errors import SHOWN, largest_errors
from kerasflow.viz.outcome import class_balance, confusion_matrix, predicted_vs_actual
from kerasflow.viz.style import save

if TYPE_CHECKING:
    import keras

    from kerasflow.data import Data
    from kerasflow.data.inputs import Input
    from kerasflow.outcome import Outcome
    from kerasflow.tracking.folder import RunFolder
    from kerasflow.training.history import History


def draw(
    folder: RunFolder,
    model: keras.Model,
    cost: str,
    data: Data,
    history: History,
    outcome: Outcome | None,
    *,
    title: str,
) -> dict[str, Path]:
    """Draws the cost curves, the architecture, the classes of each part and, where data is held out, how right the
    model is on it and where it is most wrong.

    Args:
        cost: what the cost is called; empty if there is none.
        outcome: of the part that is held out.
        title: of the run.

    Returns:
        The files by their key, which is the same in every run.

    Raises:
        RunError: they cannot be written.
    """
    best = history.best_epoch or None
    figures = {"architecture": architecture(layer_rows(model), title=title)}
    if "balance" in data.summary:
        figures["class_balance"] = class_balance(data.summary["balance"])
    if outcome is not None:
        figures |= _agreement(outcome) | _worst(outcome, data.summary.get("features", ()))
    if cost:
        reason = history.stop_reason
        figures["cost_curve"] = cost_curves(history.rows, title=title, cost=cost, best_epoch=best, stop_reason=reason)
    for key, figure in figures.items():
        with folder.writing(_name(key)) as path:
            save(figure, path)
    return {key: folder.path(_name(key)) for key in figures}


def _name(key: str) -> str:
    return f"figures/{key}.png"


def _agreement(outcome: Outcome) -> dict[str, Any]:
    """How predictions and truth agree."""
    prep, true, part = outcome.preparation, outcome.part.y, f"{outcome.name} part"
    if prep.task == "multilabel":
        return {}
    if prep.task == "regression":
        title = f"Predicted and actual values, {part}"
        return {"predicted_vs_actual": predicted_vs_actual(true, outcome.answers, prep.targets, title=title)}
    classes, title = prep.classes or (), f"Confusion matrix, {part}"
    return {"confusion_matrix": confusion_matrix(true, outcome.answers, classes, title=title)}


def _worst(outcome: Outcome, features: Any) -> dict[str, Any]:
    """The observations with the highest error."""
    rows, errors = outcome.largest_errors(SHOWN), outcome.judged.errors
    if errors is None:
        return {}
    figure = largest_errors(
        _shown(np.asarray(outcome.part.x[rows]), features, outcome.preparation.input),
        rows.tolist(),
        outcome.words(outcome.part.y[rows]),
        outcome.words(outcome.answers[rows]),
        errors[rows].tolist(),
        cost=float(errors.mean()),
        n_samples=len(errors),
        features=list(features),
        error=outcome.judged.error.replace("_", " "),
        part=outcome.name,
    )
    return {"largest_errors": figure}


def _shown(x: np.ndarray, features: Any, treatment: Input) -> np.ndarray:
    """Images as they were before they were scaled, and so rows of scikit-learn's pixels; others as they are."""
    if x.ndim > 2:
        return treatment.unscaled(x)
    places = [re.fullmatch(r"pixel_(\d+)_(\d+)", str(name)) for name in features]
    if not places or not all(places):
        return x
    height, width = (1 + max(int(place[axis]) for place in places if place) for axis in (1, 2))
    return treatment.unscaled(x).reshape(len(x), height, width) if height * width == x.shape[1] else x
