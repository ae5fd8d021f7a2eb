"""Estimators as data that can be read without trusting who wrote them: no pickle, no code.

While `portable` holds, an estimator's state has models as the bytes of `.keras` files, Keras' objects as their configs
and Keras' classes as their names.
"""

from __future__ import annotations

import importlib
import inspect
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kerasflow.errors import EstimatorError, sentence
from kerasflow.spec.experiment import ExperimentSpec
from kerasflow.spec.model import ModelSpec

_COMPUTATIONS = ("keras.src.losses.", "keras.src.metrics.", "keras.src.activations.")
_portable: ContextVar[bool] = ContextVar("portable", default=False)
_custom: ContextVar[dict[str, Any] | None] = ContextVar("custom", default=None)


@contextmanager
def portable() -> Iterator[None]:
    """Inside, estimators give states of plain data."""
    token = _portable.set(True)
    try:
        yield
    finally:
        _portable.reset(token)


def is_portable() -> bool:
    return _portable.get()


@contextmanager
def trusting(custom_objects: dict[str, Any]) -> Iterator[None]:
    """Inside, models may hold these classes and functions beside Keras' own, by name."""
    token = _custom.set(custom_objects)
    try:
        yield
    finally:
        _custom.reset(token)


@dataclass(frozen=True)
class SavedModel:
    """A `keras.Model` as the bytes of a `.keras` file.

    Attributes:
        custom: classes and functions, by name, that it may hold beside Keras' own.
    """

    content: bytes
    custom: dict[str, Any] | None = None

    @classmethod
    def of(cls, model: Any) -> SavedModel:
        """A model with its weights, and its optimizer's moments if it is compiled.

        Args:
            model: any `keras.Model` that Keras can save.
        """
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.keras"
            model.save(path)
            return cls(path.read_bytes())

    def trusted(self) -> SavedModel:
        """The same, which remembers what is trusted now."""
        return replace(self, custom=self.custom or _custom.get())

    def load(self) -> Any:
        """The model, with its weights.

        Raises:
            EstimatorError: it holds what is not trusted, or the bytes are damaged.
        """
        import keras

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.keras"
            path.write_bytes(self.content)
            try:
                return keras.models.load_model(path, custom_objects=self.trusted().custom, safe_mode=True)
            except (ValueError, TypeError, AttributeError) as error:
                unknown = re.search(r"Could not locate (?:class|function) '(\w+)'", str(error))
                told = f"it is made of {unknown[1]}, which is not Keras' own" if unknown else sentence(error)
                raise EstimatorError(
                    f"the saved model cannot be loaded: {told}; give such classes and functions as trusted=[...]"
                ) from error


@dataclass(frozen=True)
class SavedObject:
    """An optimizer, a loss, a metric or a schedule of Keras', as its config."""

    config: dict[str, Any]

    def load(self) -> Any:
        """The object, new.

        Raises:
            EstimatorError: its config is not of this Keras, or names what is not trusted.
        """
        import keras

        try:
            return keras.saving.deserialize_keras_object(self.config, custom_objects=_custom.get(), safe_mode=True)
        except (ValueError, TypeError) as error:
            raise EstimatorError(
                f"a saved {self.config.get('class_name')} cannot be loaded: {sentence(error)}"
            ) from error


@dataclass(frozen=True)
class SavedName:
    """A class of Keras', or one of its losses, metrics and activations that is a function, by module and name."""

    module: str
    name: str

    def load(self) -> Any:
        """The class or the function.

        Raises:
            EstimatorError: Keras has none of that name.
        """
        found = getattr(importlib.import_module(self.module), self.name, None) if self._is_keras() else None
        if not (inspect.isclass(found) or (inspect.isfunction(found) and is_computation(found))):
            raise EstimatorError(f"{self.module}.{self.name} is no class, loss, metric or activation of Keras'")
        return found

    def _is_keras(self) -> bool:
        return self.module.partition(".")[0] == "keras"


def is_computation(function: Any) -> bool:
    """Whether it is a function of Keras' that only computes: others read files, or fetch them."""
    return str(getattr(function, "__module__", "")).startswith(_COMPUTATIONS)


def as_data(value: Any) -> Any:
    """A parameter as plain data, where that is more than the value itself."""
    import keras

    if isinstance(value, keras.Model):
        return SavedModel.of(value)
    if isinstance(value, ModelSpec | ExperimentSpec):
        return getattr(value, "model", value).model_dump(mode="json")
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, list | tuple):
        return type(value)(as_data(item) for item in value)
    if isinstance(value, dict):
        return {key: as_data(item) for key, item in value.items()}
    of_keras = ((inspect.isclass(value) and value) or type(value)).__module__.partition(".")[0] == "keras"
    if (of_keras and inspect.isclass(value)) or (inspect.isfunction(value) and is_computation(value)):
        return SavedName(value.__module__, value.__name__)
    if of_keras and hasattr(value, "get_config") and not isinstance(value, keras.callbacks.Callback):
        return SavedObject(keras.saving.serialize_keras_object(value))
    if getattr(value, "__name__", "") == "<lambda>":
        raise EstimatorError("a lambda has no name to be found by when the file is loaded; give a function instead")
    return value


def from_data(value: Any) -> Any:
    """What `as_data` was given."""
    if isinstance(value, SavedModel | SavedObject | SavedName):
        return value.load()
    if isinstance(value, list | tuple):
        return type(value)(from_data(item) for item in value)
    return {key: from_data(item) for key, item in value.items()} if isinstance(value, dict) else value
