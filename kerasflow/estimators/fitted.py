"""A model that a fit has made: at work while it is used, arrays and its recipe while it is laid aside."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from kerasflow.errors import TrainingError
from kerasflow.estimators.lending import lend
from kerasflow.estimators.portable import SavedModel, is_portable
from kerasflow.estimators.recipe import Recipe
from kerasflow.training.keras_internals import is_seed


class Fitted:
    """A trained model and its optimizer. Pickles hold arrays and the recipe alone; the model is made again when it is
    first used.

    Args:
        recipe: that makes the model.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.model  # noqa: B018  # what cannot be made is told now

    @cached_property
    def model(self) -> Any:
        """The compiled `keras.Model`, for use within the estimator."""
        model, self._keep = lend(self.recipe, self)
        state = vars(self).pop("state", None)
        if state is not None:
            self._take_up(model, state)
        seeds = [variable for variable in model.variables if is_seed(variable)]
        for variable, value in zip(seeds, vars(self).pop("seeds", seeds), strict=True):  # a .keras file has them not
            variable.assign(value)
        return model

    def give(self) -> Any:
        """The model, for anybody to hold and change."""
        model = self.model
        self._keep()
        return model

    def build(self, x: Any) -> None:
        """Makes the weights of a model that waits for its first samples, and the optimizer's moments."""
        if not self.model.built:
            self.model(x)
        self.model.optimizer.build(self.model.trainable_variables)

    def _take_up(self, model: Any, state: list[Any]) -> None:
        if not model.built:
            model(np.zeros((1, *self.recipe.meta["X_shape_"][1:]), self.recipe.meta["X_dtype_"]))
        model.optimizer.build(model.trainable_variables)
        variables = _variables(model)
        if [tuple(v.shape) for v in variables] != [array.shape for array in state]:
            raise TrainingError(
                "the model that the recipe makes has other weights than the ones that were pickled; the callable, or "
                "the file that describes it, must be what it was"
            )
        for variable, array in zip(variables, state, strict=True):
            variable.assign(array)

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        if isinstance(self.recipe.model, SavedModel):
            self.model  # noqa: B018  # while what `kf.load` was told to trust is known

    @cached_property
    def inference(self) -> Any:
        """The model's outputs for arrays, as one compiled program."""
        from kerasflow.training.evaluate import Inference

        return Inference(self.model)

    def __getstate__(self) -> dict[str, Any]:
        if is_portable():
            recipe = replace(
                self.recipe,
                model=SavedModel.of(self.model),
                arguments={},
                optimizer=("adam", {}),
                loss=("auto", {}),
                metrics=(None, {}),
                compiling={},
                learning_rate=None,
                params={},
            )
            return {"recipe": recipe, "seeds": [v.numpy() for v in self.model.variables if is_seed(v)]}
        state = vars(self).get("state") or [variable.numpy() for variable in _variables(self.model)]
        return {"recipe": self.recipe, "state": state}


def _variables(model: Any) -> list[Any]:
    """What goes on being used after a training: weights, moving statistics, seeds, the optimizer's moments."""
    metrics = {id(variable) for variable in model.metrics_variables}
    return [variable for variable in [*model.variables, *model.optimizer.variables] if id(variable) not in metrics]
