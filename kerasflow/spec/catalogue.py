"""What the installed Keras offers, by name and arguments, read from its source without importing it.

Importing Keras loads TensorFlow, which takes seconds; parsing the few folders below takes a fraction of one. So a spec
is checked whole, near names and all, before anything heavy loads, and against the very version that will build it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from kerasflow.errors import did_you_mean

Kind = Literal[
    "layers",
    "optimizers",
    "losses",
    "metrics",
    "initializers",
    "regularizers",
    "constraints",
    "activations",
    "schedules",
    "ops",
]

# Keras' own short names for some losses and metrics, which `keras.losses.get` takes.
_SHORT = {
    "mse": "mean_squared_error",
    "mae": "mean_absolute_error",
    "mape": "mean_absolute_percentage_error",
    "msle": "mean_squared_logarithmic_error",
    "kld": "kl_divergence",
    "bce": "binary_crossentropy",
    "acc": "accuracy",
}


# The class that a kind's others are made from; activations and operations are functions.
_BASE: dict[Kind, str | None] = {
    "layers": "Layer",
    "optimizers": "Optimizer",
    "losses": "Loss",
    "metrics": "Metric",
    "initializers": "Initializer",
    "regularizers": "Regularizer",
    "constraints": "Constraint",
    "activations": None,
    "schedules": "LearningRateSchedule",
    "ops": None,
}
# Folders of Keras' source that hold a kind, where they are not named like it. The networks of keras.applications bring
# layers along that `keras.layers` does not export.
_FOLDERS: dict[Kind, tuple[str, ...]] = {"layers": ("layers", "applications"), "schedules": ("optimizers",)}
# Where the source keeps what it does not export.
_OWN = "keras.src."
# Exported beside what a spec can choose.
_NOT_CHOSEN = {*_BASE.values(), "Wrapper", "deserialize", "get", "serialize"}


@dataclass(frozen=True)
class Argument:
    """An argument of a constructor; `default` is None, too, where the source does not say it as a literal."""

    name: str
    required: bool
    default: Any = None


@dataclass(frozen=True)
class Entry:
    """One thing that Keras exports.

    Attributes:
        name: the name that a spec uses, e.g. `max_pooling2d`.
        keras_name: the name in the Keras module, e.g. `MaxPooling2D`.
        module: where it is imported from, e.g. `keras.layers`.
        aliases: other names that Keras has for it, e.g. `max_pool2d`; a spec that uses one means the same.
        arguments: the constructor's, in order; the first takes a bare value.
        summary: the first line of its docstring.
    """

    name: str
    keras_name: str
    module: str
    aliases: tuple[str, ...] = ()
    arguments: dict[str, Argument] = field(default_factory=dict)
    summary: str = ""

    @property
    def required(self) -> list[str]:
        return [argument.name for argument in self.arguments.values() if argument.required]

    @property
    def first(self) -> str | None:
        return next(iter(self.arguments), None)


@cache
def entries(kind: Kind) -> dict[str, Entry]:
    """Everything of one kind that the installed Keras exports, by the name that a spec uses, sorted."""
    public = "keras.optimizers.schedules" if kind == "schedules" else f"keras.{kind}"
    source = _Source([_folder() / folder for folder in _FOLDERS.get(kind, (kind,))])
    found: dict[str, Entry] = {}
    for node, paths in source.found:
        split = [path.rpartition(".") for path in paths]
        homes = {name: home for home, _, name in split if home == public or home.startswith(_OWN)}
        if not homes or node.name in _NOT_CHOSEN or not source.is_a(node, _BASE[kind]):
            continue
        keras_name = node.name if node.name in homes else next(iter(homes))
        name = snake_case(keras_name)
        aliases = dict.fromkeys(alias for other in homes if (alias := snake_case(other)) != name)
        found[name] = Entry(name, keras_name, homes[keras_name], tuple(aliases), source.arguments(node), _summary(node))
    return dict(sorted(found.items()))


def find(kind: Kind, name: str) -> Entry | None:
    """The entry that a name means: `conv2d`, `Conv2D`, `conv_2d` and `convolution2d` are one."""
    return _index(kind).get(_key(_SHORT.get(name.lower(), name)))


def spellings(entry: Entry) -> list[str]:
    """The ways to write an entry's name that an editor should know: `sgd`, `SGD`; `mean_squared_error`, `mse`, ..."""
    short = [word for word, name in _SHORT.items() if name == entry.name]
    return [entry.name, entry.keras_name, *entry.aliases, *short]


def names(kind: Kind) -> list[str]:
    """Every name of one kind, aliases and short names too."""
    known = entries(kind)
    short = [word for word, name in _SHORT.items() if name in known]
    return [name for entry in known.values() for name in (entry.name, *entry.aliases)] + short


def near(kind: Kind, name: str) -> str:
    """`, did you mean 'dense'?` for a mistyped name, or nothing."""
    return did_you_mean(name, names(kind))


def snake_case(keras_name: str) -> str:
    """`MaxPooling2D` -> `max_pooling2d`, `LeakyReLU` -> `leaky_relu`."""
    name = (
        keras_name.replace("PReLU", "Prelu").replace("ReLU", "Relu").replace("RMSprop", "Rmsprop").replace("IoU", "Iou")
    )
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


@cache
def _index(kind: Kind) -> dict[str, Entry]:
    known = entries(kind).values()
    return {_key(name): entry for entry in known for name in (*entry.aliases, entry.name)}


def _key(name: str) -> str:
    return name.replace("_", "").lower()


def _folder() -> Path:
    spec = find_spec("keras")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("keras is not installed")
    return Path(spec.submodule_search_locations[0]) / "src"


def _summary(node: ast.ClassDef | ast.FunctionDef) -> str:
    return (ast.get_docstring(node) or "").split("\n\n")[0].replace("\n", " ").strip()


class _Source:
    """The classes and functions of some folders of Keras' source, each with the paths that it is imported by."""

    def __init__(self, folders: Iterable[Path]) -> None:
        self.classes: dict[str, ast.ClassDef] = {}
        self.found: list[tuple[ast.ClassDef | ast.FunctionDef, list[str]]] = []
        for path in (path for folder in folders for path in sorted(folder.rglob("*.py"))):
            text = path.read_text(encoding="utf-8")
            brings = path.parent.name == "applications"
            if path.name.endswith("_test.py") or (brings and "\nclass " not in text):  # most networks bring none
                continue
            for node in ast.parse(text).body:
                if isinstance(node, ast.ClassDef):
                    self.classes[node.name] = node
                if isinstance(node, ast.ClassDef | ast.FunctionDef):
                    own = [f"{_OWN}applications.{path.stem}.{node.name}"] if brings else []
                    self.found.append((node, list(_export_names(node)) or own))

    def is_a(self, node: ast.ClassDef | ast.FunctionDef, base: str | None) -> bool:
        """Whether it is a class made from the base, or a function for no base."""
        return isinstance(node, ast.FunctionDef) if base is None else base in self.ancestry(node)

    def ancestry(self, node: ast.ClassDef | ast.FunctionDef) -> Iterator[str]:
        """The class' name and its bases' names, nearest first; bases from other folders are named but not followed."""
        yield node.name
        for base in getattr(node, "bases", []):
            name = base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "")
            if name in self.classes and name != node.name:
                yield from self.ancestry(self.classes[name])
            else:
                yield name

    def arguments(self, node: ast.ClassDef | ast.FunctionDef) -> dict[str, Argument]:
        """The constructor's arguments, those that `**kwargs` hands to a base class behind its own; or a function's."""
        if isinstance(node, ast.FunctionDef):
            return {argument.name: _optional(argument) for argument in _signature(node, skip=0)}
        collected: dict[str, Argument] = {}
        for name in self.ancestry(node):
            owner = self.classes.get(name)
            init = (
                next((n for n in owner.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), None)
                if owner
                else None
            )
            if init is None:
                continue
            for argument in _signature(init, skip=1):
                collected.setdefault(argument.name, argument if not collected or owner is node else _optional(argument))
            if init.args.kwarg is None:
                break
        return collected


def _optional(argument: Argument) -> Argument:
    """What a spec need not say: what a class passes on to its base class, or what an input may stand for."""
    return Argument(argument.name, False, argument.default)


def _export_names(node: ast.ClassDef | ast.FunctionDef) -> Iterator[str]:
    for decorator in node.decorator_list:
        if isinstance(decorator, ast.Call) and getattr(decorator.func, "id", "") == "keras_export" and decorator.args:
            given = ast.literal_eval(decorator.args[0])
            yield from [given] if isinstance(given, str) else given


def _signature(function: ast.FunctionDef, skip: int) -> Iterator[Argument]:
    positional = function.args.posonlyargs + function.args.args
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(function.args.defaults)) + list(
        function.args.defaults
    )
    pairs = list(zip(positional, defaults, strict=True))[skip:] + list(
        zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
    )
    for argument, default in pairs:
        yield Argument(argument.arg, default is None, _literal(default))


def _literal(node: ast.expr | None) -> Any:
    if node is None:
        return None
    try:
        return ast.literal_eval(node)
    except ValueError:  # a name or an expression, whose value only an import would tell
        return None
