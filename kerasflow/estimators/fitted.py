"""A model that a fit has made: at work while it is used, arrays and its recipe while it is laid aside."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from kerasflow.errors import TrainingError
from kerasflow.estimators.recipe import Recipe


class Fitted:
    """A trained model and its optimizer. Pickles hold arrays and the recipe alone; the model is made again when it is
    first used.

    Args:
        recipe: that made the model.
        model: compiled and built.
    """

    def __init__(self, recipe: Recipe, model: Any) -> None:
        self.recipe, self.model = recipe, model

    @cached_property
    def model(self) -> Any:
        """The `keras.Model`."""
        model = self.recipe.make()
        state = vars(self).pop("state")
        if not model.built:
            model(_example(self.recipe))
        model.optimizer.build(model.trainable_variables)
        variables = _variables(model)
        if [tuple(v.shape) for v in variables] != [array.shape for array in state]:
            raise TrainingError(
                "the model that the recipe makes has other weights than the ones that were pickled; the callable, or "
                "the file that describes it, must be what it was"
            )
        for variable, array in zip(variables, state, strict=True):
            variable.assign(array)
        return model

    @cached_property
    def inference(self) -> Any:
        """The model's outputs for arrays, as one compiled program."""
        from kerasflow.training.evaluate import Inference

        return Inference(self.model)

    def __getstate__(self) -> dict[str, Any]:
        state = vars(self).get("state") or [variable.numpy() for variable in _variables(self.model)]
        return {"recipe": self.recipe, "state": state}


def _variables(model: Any) -> list[Any]:
    """What goes on being used after a training: weights, moving statistics, seeds, the optimizer's moments."""
    metrics = {id(variable) for variable in model.metrics_variables}
    return [variable for variable in [*model.variables, *model.optimizer.variables] if id(variable) not in metrics]


def _example(recipe: Recipe) -> Any:
    """A sample to build a model with that has no input layer."""
    return np.zeros((1, *recipe.meta["X_shape_"][1:]), recipe.meta["X_dtype_"])
