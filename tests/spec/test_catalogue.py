"""What is read from Keras' source is what the installed Keras has when it is imported."""

from __future__ import annotations

import inspect
import pkgutil
from importlib import import_module
from types import ModuleType
from typing import Any, get_args

import pytest

from kerasflow.spec import catalogue
from kerasflow.spec.catalogue import Kind

# Where `layers` and the rest live, and the class that their members are made from.
BASES: dict[Kind, tuple[str, str]] = {
    "layers": ("keras.layers", "Layer"),
    "optimizers": ("keras.optimizers", "Optimizer"),
    "losses": ("keras.losses", "Loss"),
    "metrics": ("keras.metrics", "Metric"),
    "initializers": ("keras.initializers", "Initializer"),
    "regularizers": ("keras.regularizers", "Regularizer"),
    "constraints": ("keras.constraints", "Constraint"),
    "schedules": ("keras.optimizers.schedules", "LearningRateSchedule"),
}
# Wrappers of other frameworks' code, which live outside keras' folder of layers and which no spec can hold.
FOREIGN = {"FlaxLayer", "JaxLayer", "TFSMLayer", "TorchModuleWrapper"}


def module(kind: Kind) -> ModuleType:
    return import_module(BASES[kind][0])


def brought_along() -> dict[str, Any]:
    """Layers that the networks of keras.applications define for themselves."""
    import keras.src.applications

    found = {}
    for info in pkgutil.iter_modules(keras.src.applications.__path__, "keras.src.applications."):
        if not info.name.endswith("_test"):
            things = vars(import_module(info.name)).items()
            found |= {n: t for n, t in things if inspect.isclass(t) and t.__module__ == info.name}
    return {name: thing for name, thing in found.items() if issubclass(thing, keras.Layer)}


def members(kind: Kind) -> dict[str, Any]:
    """Every name by which Keras has something of a kind."""
    home = module(kind)
    base = getattr(home, BASES[kind][1])
    classes = {name: thing for name, thing in vars(home).items() if inspect.isclass(thing) and issubclass(thing, base)}
    classes = {name: thing for name, thing in classes.items() if name not in {BASES[kind][1], "Wrapper", *FOREIGN}}
    return classes | brought_along() if kind == "layers" else classes


@pytest.mark.parametrize("kind", BASES)
def test_every_name_of_keras_finds_its_own_class(kind: Kind) -> None:
    for name, thing in members(kind).items():
        for written in (name, catalogue.snake_case(name)):
            entry = catalogue.find(kind, written)
            assert entry is not None, written
            assert getattr(import_module(entry.module), entry.keras_name) is thing


@pytest.mark.parametrize("kind", BASES)
def test_no_name_is_listed_that_keras_does_not_have(kind: Kind) -> None:
    known = members(kind)
    listed = catalogue.entries(kind)
    assert {entry.keras_name for entry in listed.values()} <= known.keys()
    assert len(listed) == len(set(known.values()))  # one entry a class, whatever its names


@pytest.mark.parametrize("kind", BASES)
def test_arguments_are_those_of_the_constructors(kind: Kind) -> None:
    for entry in catalogue.entries(kind).values():
        signature = inspect.signature(getattr(import_module(entry.module), entry.keras_name).__init__)
        own = [p for p in list(signature.parameters.values())[1:] if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
        assert list(entry.arguments)[: len(own)] == [p.name for p in own], entry.name
        assert entry.required == [p.name for p in own if p.default is p.empty], entry.name
        for p in own:
            if entry.arguments[p.name].default is not None:
                assert entry.arguments[p.name].default == p.default, f"{entry.name}.{p.name}"
        passed_on = set(entry.arguments) - {p.name for p in own}
        assert not passed_on or any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values()), entry.name


def test_activations_are_functions_that_keras_finds_by_name() -> None:
    import keras

    listed = catalogue.entries("activations")
    assert {"relu", "softmax", "gelu", "leaky_relu", "relu6"} <= listed.keys()
    functions = {name for name, thing in vars(keras.activations).items() if inspect.isfunction(thing)}
    names = {name for entry in listed.values() for name in (entry.keras_name, *entry.aliases)}
    assert names == functions - {"get", "serialize", "deserialize"}
    for entry in listed.values():
        assert keras.activations.get(entry.name) is getattr(keras.activations, entry.keras_name)


def test_operations_are_functions_of_keras_ops() -> None:
    import keras

    listed = catalogue.entries("ops")
    functions = {name for name, thing in vars(keras.ops).items() if inspect.isfunction(thing)}
    assert {name for entry in listed.values() for name in (entry.keras_name, *entry.aliases)} == functions
    for entry in listed.values():
        parameters = inspect.signature(getattr(keras.ops, entry.keras_name)).parameters.values()
        named = [p for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
        assert list(entry.arguments) == [p.name for p in named], entry.name
        assert not entry.required


def test_every_kind_is_checked_here() -> None:
    assert set(get_args(Kind)) == {*BASES, "activations", "ops"}


@pytest.mark.parametrize(
    ("name", "spelled"),
    [("MaxPooling2D", "max_pooling2d"), ("LeakyReLU", "leaky_relu"), ("PReLU", "prelu"), ("RMSprop", "rmsprop"),
     ("LSTM", "lstm"), ("GRUCell", "gru_cell"), ("Conv2DTranspose", "conv2d_transpose"), ("AUC", "auc"),
     ("BinaryIoU", "binary_iou"), ("ZeroPadding2D", "zero_padding2d"), ("RNN", "rnn"), ("UnitNorm", "unit_norm")],
)  # fmt: skip
def test_names_are_spelled_as_people_would(name: str, spelled: str) -> None:
    assert catalogue.snake_case(name) == spelled
