"""Keras objects by name: what a spec calls `{adam: {learning_rate: 0.1}}` becomes `keras.optimizers.Adam(0.1)`."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from kerasflow.errors import BuildError, sentence
from kerasflow.spec import catalogue
from kerasflow.spec.arguments import kind_of
from kerasflow.spec.catalogue import Entry, Kind
from kerasflow.spec.named import Loss, Metric, Optimizer

_DRAWING = threading.RLock()  # Python's generator is every thread's


def make(kind: Kind, name: str, arguments: dict[str, Any]) -> Any:
    """Calls the constructor that a name means.

    Raises:
        BuildError: the constructor refuses its arguments; the message is its own, without a path.
    """
    entry = catalogue.find(kind, name)
    if entry is None:
        raise BuildError(f"keras.{kind} has no {name!r}{catalogue.near(kind, name)}")
    given = {key: _nested(key, value) for key, value in arguments.items()}
    try:
        return imported(entry)(**given)
    except (ValueError, TypeError, AttributeError, IndexError, KeyError, OverflowError, NotImplementedError) as error:
        raise BuildError(sentence(error)) from error


def imported(entry: Entry) -> Any:
    """The class or function that an entry of the catalogue stands for."""
    return getattr(import_module(entry.module), entry.keras_name)


def _nested(argument: str, value: Any) -> Any:
    """An argument given by name becomes its object; everything else stays as it is."""
    kind = kind_of(argument)
    if kind is None or kind == "activations":
        return value
    if isinstance(value, list):
        return [_nested(argument, item) for item in value]
    if isinstance(value, dict) and len(value) == 1:
        ((name, behind),) = value.items()
        return make(kind, name, behind or {})
    return make(kind, value, {}) if isinstance(value, str) else value


def optimizer(spec: Optimizer) -> Any:
    """A new `keras.optimizers.Optimizer`."""
    return make("optimizers", spec.name, spec.arguments)


def loss(spec: Loss, task: str) -> Any:
    """A new `keras.losses.Loss`; `auto` is the task's (Goodfellow et al. 2016, Deep Learning, section 6.2.2)."""
    name = loss_of(task) if spec.name == "auto" else spec.name
    return make("losses", name, spec.arguments)


def loss_of(task: str) -> str:
    """The loss that maximises the likelihood of a task's targets, by name."""
    return {
        "binary": "binary_crossentropy",
        "multilabel": "binary_crossentropy",
        "multiclass": "sparse_categorical_crossentropy",
        "regression": "mean_squared_error",
    }[task]


def metrics(spec: str | list[Metric], task: str) -> list[Any]:
    """New metrics, or Keras' own words for those that fit themselves to the target."""
    if isinstance(spec, str):
        return ["mean_absolute_error"] if task == "regression" else ["accuracy"]
    return [m.name if m.name in Metric.words else make("metrics", m.name, m.arguments) for m in spec]


@contextmanager
def seeded(seed: int | None) -> Iterator[None]:
    """Weights and masks made inside follow from the seed; outside, no global generator has moved.

    Keras draws the seed of every initializer and SeedGenerator that was given none from Python's `random`.
    """
    if seed is None:
        yield
        return
    import keras  # noqa: F401  # its import draws from `random` too, once in a process

    with _DRAWING:
        state = random.getstate()
        random.seed(seed)
        try:
            yield
        finally:
            random.setstate(state)
