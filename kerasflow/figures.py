"""The pictures of one run, drawn from its numbers and written to its folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerasflow.builders.table import layer_rows
from kerasflow.viz.architecture import architecture
from kerasflow.viz.curves import cost_curves
from kerasflow.viz.outcome import confusion_matrix, predicted_vs_actual
from kerasflow.viz.style import save

if TYPE_CHECKING:
    import keras

    from kerasflow.data import Data
    from kerasflow.tracking.folder import RunFolder
    from kerasflow.training.history import History


def draw(
    folder: RunFolder, model: keras.Model, trainer: Any, data: Data, history: History, *, title: str
) -> dict[str, Path]:
    """Draws the cost curves, the architecture and, where data is held out, how right the model is on it.

    Args:
        trainer: that has trained the model, for its cost's name and its predictions.
        title: of the run.

    Returns:
        The files by their key, which is the same in every run.

    Raises:
        RunError: they cannot be written.
    """
    best = history.best_epoch or None
    figures = {"architecture": architecture(layer_rows(model), title=title), **_outcome(model, trainer, data)}
    if trainer.cost:
        reason = history.stop_reason
        figures["cost_curve"] = cost_curves(
            history.rows, title=title, cost=trainer.cost, best_epoch=best, stop_reason=reason
        )
    for key, figure in figures.items():
        with folder.writing(_name(key)) as path:
            save(figure, path)
    return {key: folder.path(_name(key)) for key in figures}


def _name(key: str) -> str:
    return f"figures/{key}.png"


def _outcome(model: keras.Model, trainer: Any, data: Data) -> dict[str, Any]:
    """How predictions and truth agree, on the test part or, without one, the validation part."""
    held, part = (data.test, "test") if data.test is not None else (data.validation, "validation")
    prep = data.preparation
    if held is None or prep.task == "multilabel":
        return {}
    y_pred = trainer.predict(model, held.x)
    if prep.task == "regression":
        title = f"Predicted and actual values, {part} part"
        return {"predicted_vs_actual": predicted_vs_actual(held.y, y_pred, prep.targets, title=title)}
    chosen = prep.target.chosen(y_pred)
    return {
        "confusion_matrix": confusion_matrix(held.y, chosen, prep.classes or (), title=f"Confusion matrix, {part} part")
    }
