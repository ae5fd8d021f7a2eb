"""What has been found out about models that their holder promises not to change, so that it need not be found again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary


@dataclass
class Known:
    """Facts about a model.

    Attributes:
        making: see `kerasflow.training.making`; empty until it has been asked for.
        outputs: by kind of sample that passed the model, its loss and its metrics, the model's outputs for some.
    """

    making: str | None = ""
    outputs: dict[str, Any] = field(default_factory=dict)


_known: WeakKeyDictionary[Any, Known] = WeakKeyDictionary()


def hold_unchanged(model: Any) -> None:
    """Promises that from now on nothing of a compiled model changes but the values of its variables."""
    _known[model] = Known()


def let_change(model: Any) -> None:
    """Takes the promise back."""
    _known.pop(model, None)


def known_of(model: Any) -> Known | None:
    """What is known of a model; None for one that may change."""
    return _known.get(model)
