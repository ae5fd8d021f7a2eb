"""Models lent to fits: making a small network takes longer than training it for some epochs, and searches fit the same
one again and again. A model goes to one fitted estimator alone, and comes back when nobody has that estimator any more.

Only what is described by data alone is lent: a perceptron or a spec, with Keras' own optimizer, loss and metrics.
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

import numpy as np

from kerasflow.estimators.likeness import likeness
from kerasflow.estimators.recipe import Recipe
from kerasflow.training.keras_internals import first_values
from kerasflow.training.unchanging import hold_unchanged, let_change

IDLE = 8  # models; those that came back first are let go first
LARGEST = 1_000_000  # weights of a model that is kept: training a larger one takes longer than making it

_idle: deque[tuple[Hashable, Loan]] = deque(maxlen=IDLE)
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
    key = likeness(recipe)
    loan = _waiting(key)
    if loan is None:
        model = recipe.make()
        values = first_values(model) if recipe.is_described else None
        if values is None:
            return model, lambda: None
        loan = Loan(model, *values)
        if key is None or model.count_params() > LARGEST:
            loan.begin(recipe)  # so that a seed means the same weights, lent or not
            return model, lambda: None
        hold_unchanged(model)
    loan.begin(recipe)
    coming_back = weakref.finalize(borrower, _take_back, key, loan)
    coming_back.atexit = False

    def keep(loan: Loan = loan) -> None:
        if coming_back.detach():
            let_change(loan.model)

    return loan.model, keep


def _waiting(key: Hashable | None) -> Loan | None:
    """A model of this key that nobody has, taken out."""
    with _lock:
        for _ in range(len(_idle)):
            found, loan = _idle.popleft()
            if found == key:
                return loan
            _idle.append((found, loan))
    return None


def _take_back(key: Hashable, loan: Loan) -> None:
    """One step that nothing can come between: garbage is collected anywhere, within the lock, too."""
    _idle.append((key, loan))
