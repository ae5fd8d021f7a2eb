"""Models lent to fits: making a small network takes longer than training it for some epochs, and searches fit the same
one again and again. A model goes to one fitted estimator alone, and comes back when nobody has that estimator any more.

Only what is described by data alone is lent: a perceptron or a spec, with Keras' own optimizer, loss and metrics.
"""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

import numpy as np

from kerasflow.estimators.recipe import Recipe
from kerasflow.training.keras_internals import first_values
from kerasflow.training.unchanging import hold_unchanged, let_change

IDLE = 8  # models; those that came back first are let go first

_idle: OrderedDict[Hashable, list[Loan]] = OrderedDict()
_lock = threading.Lock()


class Loan(NamedTuple):
    """A model, and what each of its variables begins with.

    Attributes:
        fixed: pairs of a variable and its first value.
        random: pairs of a variable and a function that draws its first value from a seed.
    """

    model: Any
    fixed: list[tuple[Any, Any]]
    random: list[tuple[Any, Any]]

    def begin(self, recipe: Recipe) -> None:
        """Makes the model what the recipe would have made it."""
        for variable, value in self.fixed:
            variable.assign(value)
        seeds = np.random.SeedSequence(recipe.seed).generate_state(len(self.random)) >> 1
        for (variable, draw), seed in zip(self.random, seeds.tolist(), strict=True):
            variable.assign(draw(seed))
        rate = recipe.rate
        if rate is not None:
            self.model.optimizer.learning_rate = rate


def lend(recipe: Recipe, borrower: Any) -> tuple[Any, Callable[[], Any]]:
    """A compiled model in its first state, and what to call if it is not to come back.

    Args:
        borrower: who has the model alone from now on; when it is gone, the model comes back.

    Raises:
        As `Recipe.make`.
    """
    key = recipe.key()
    if key is None:
        return recipe.make(), lambda: None
    with _lock:
        loan = _idle[key].pop() if _idle.get(key) else None
    if loan is None:
        model = recipe.make()
        values = first_values(model)
        if values is None:
            return model, lambda: None
        loan = Loan(model, *values)
        hold_unchanged(model)
    loan.begin(recipe)
    coming_back = weakref.finalize(borrower, _take_back, key, loan)
    coming_back.atexit = False

    def keep(loan: Loan = loan) -> None:
        if coming_back.detach():
            let_change(loan.model)

    return loan.model, keep


def _take_back(key: Hashable, loan: Loan) -> None:
    with _lock:
        _idle.setdefault(key, []).append(loan)
        _idle.move_to_end(key)
        while sum(map(len, _idle.values())) > IDLE:
            first = next(iter(_idle))
            _idle[first].pop(0)
            if not _idle[first]:
                del _idle[first]
