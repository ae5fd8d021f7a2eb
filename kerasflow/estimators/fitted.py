"""A model that a fit has made: at work while it is used, arrays and its recipe while it is laid aside."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import Any

from kerasflow.errors import TrainingError
from kerasflow.estimators.heads import Head, called, check_probabilities, heads_of, is_margin, need_a_look
from kerasflow.estimators.lending import lend
from kerasflow.estimators.portable import SavedModel, is_portable
from kerasflow.estimators.recipe import Recipe
from kerasflow.training.keras_internals import is_seed, settle

_MAKING = threading.RLock()  # of two threads that predict first, one makes the model


class Fitted:
    """A trained model and its optimizer. Pickles hold arrays and the recipe alone; the model is made again when it is
    first used.

    Args:
        recipe: that makes the model.

    Attributes:
        margins: of each output, whether it gives margins, and no probabilities.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self._model = self._made()
        self.margins = [is_margin(head.loss) for head in self.heads]

    @property
    def model(self) -> Any:
        """The compiled `keras.Model`, for use within the estimator."""
        with _MAKING:
            if self._model is None:
                self._model = self._made()
            return self._model

    def _made(self) -> Any:
        model, self._keep = lend(self.recipe, self)
        kept = vars(self)
        if kept.get("state") is not None:
            self._take_up(model, kept["state"])
        seeds = [variable for variable in model.variables if is_seed(variable)]
        for variable, value in zip(seeds, kept.get("seeds", seeds), strict=True):  # a .keras file has them not
            variable.assign(value)
        kept.pop("state", None)
        kept.pop("seeds", None)
        return model

    def give(self) -> Any:
        """The model, for anybody to hold and change."""
        model = self.model
        self._keep()
        return model

    def build(self) -> None:
        """Makes the optimizer's moments, where no training has."""
        self.model.optimizer.build(self.model.trainable_variables)

    def snapshot(self) -> Callable[[], None]:
        """What puts back the model, and its optimizer, as they are now."""
        model = self.model
        kept = [(variable, variable.numpy()) for variable in _variables(model)]

        def put_back() -> None:
            for variable, value in kept:
                variable.assign(value)
            settle(model)

        return put_back

    def _take_up(self, model: Any, state: list[Any]) -> None:
        model.optimizer.build(model.trainable_variables)
        variables = _variables(model)
        if [tuple(v.shape) for v in variables] != [array.shape for array in state]:
            raise TrainingError(
                "the model that the recipe makes has other weights than the ones that were pickled; the callable, or "
                "the file that describes it, must be what it was"
            )
        for variable, array in zip(variables, state, strict=True):
            variable.assign(array)
        settle(model)

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        saved = self.recipe.model
        self._model = None
        if isinstance(saved, SavedModel):  # made while what `kf.load` was told to trust is known; others in their time
            self.recipe = replace(self.recipe, model=saved.trusted())
            self._model = self._made()

    @cached_property
    def heads(self) -> list[Head]:
        """The model's outputs."""
        return heads_of(self.model, self.recipe.sample)

    def check_outputs(self, x: Any) -> None:
        """Whether the model's outputs for some samples are what its losses take.

        Raises:
            TrainingError: they are no probabilities.
        """
        if need_a_look(self.heads):
            check_probabilities(self.heads, called(self.model, x))

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
                network=None,
            )
            own = {"recipe": recipe, "seeds": [v.numpy() for v in self.model.variables if is_seed(v)]}
        else:
            state = vars(self).get("state") or [variable.numpy() for variable in _variables(self.model)]
            own = {"recipe": self.recipe.untrained(), "state": state}
        return own | {"margins": self.margins}


def _variables(model: Any) -> list[Any]:
    """What goes on being used after a training: weights, moving statistics, seeds, the optimizer's moments."""
    metrics = {id(variable) for variable in model.metrics_variables}
    return [variable for variable in [*model.variables, *model.optimizer.variables] if id(variable) not in metrics]
