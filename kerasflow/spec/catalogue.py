"""What the installed Keras offers, by name and arguments, read from its source without importing it.

Importing Keras loads TensorFlow, which takes seconds; looking through the few folders below takes a fraction of one. So
a spec is checked whole, near names and all, before anything heavy loads, and against the very version that will build
it. Names are found by the lines that define them; a file is parsed when the arguments of what it defines are asked for.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
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
        defined: where its source is.
    """

    name: str
    keras_name: str
    module: str
    aliases: tuple[str, ...]
    defined: _Definition = field(repr=False, compare=False)

    @cached_property
    def arguments(self) -> dict[str, Argument]:
        """The constructor's, in order; the first takes a bare value."""
        return self.defined.arguments()

    @property
    def summary(self) -> str:
        """The first line of its docstring."""
        return self.defined.summary()

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
    found: dict[str, Entry] = {}
    for defined in _definitions([_folder() / folder for folder in _FOLDERS.get(kind, (kind,))]):
        split = [path.rpartition(".") for path in defined.paths]
        homes = {name: home for home, _, name in split if home == public or home.startswith(_OWN)}
        if not homes or defined.name in _NOT_CHOSEN or not defined.is_a(_BASE[kind]):
            continue
        keras_name = defined.name if defined.name in homes else next(iter(homes))
        name = snake_case(keras_name)
        aliases = dict.fromkeys(alias for other in homes if (alias := snake_case(other)) != name)
        found[name] = Entry(name, keras_name, homes[keras_name], tuple(aliases), defined)
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


# A class or function of a file, with the paths that it is exported by.
_DEFINITION = re.compile(
    r"^(?:@keras_export\((?P<paths>[^)]*)\)\n(?:@.*\n)*)?(?P<kind>class|def) (?P<name>\w+)(?:\((?P<bases>[^)]*)\))?",
    re.MULTILINE,
)


@dataclass(frozen=True)
class _Definition:
    """A class or function of Keras' source.

    Attributes:
        paths: that it is imported by.
        bases: a class' base classes, without the modules that they are in; None of a function.
        file: that it stands in.
        classes: all of the folders that it was found in, by name.
    """

    name: str
    paths: tuple[str, ...]
    bases: tuple[str, ...] | None
    file: Path
    classes: dict[str, _Definition]

    def is_a(self, base: str | None) -> bool:
        """Whether it is a class made from the base, or a function for no base."""
        return self.bases is None if base is None else base in self.ancestry()

    def ancestry(self) -> Iterator[str]:
        """The class' name and its bases' names, nearest first; bases from other folders are named but not followed."""
        yield self.name
        for name in self.bases or ():
            if name in self.classes and name != self.name:
                yield from self.classes[name].ancestry()
            else:
                yield name

    def arguments(self) -> dict[str, Argument]:
        """The constructor's arguments, those that `**kwargs` hands to a base class behind its own; or a function's."""
        node = _parsed(self.file)[self.name]
        if isinstance(node, ast.FunctionDef):
            return {argument.name: _optional(argument) for argument in _signature(node, skip=0)}
        collected: dict[str, Argument] = {}
        for name in self.ancestry():
            init = self.classes[name].constructor() if name in self.classes else None
            if init is None:
                continue
            for argument in _signature(init, skip=1):
                own = not collected or name == self.name
                collected.setdefault(argument.name, argument if own else _optional(argument))
            if init.args.kwarg is None:
                break
        return collected

    def constructor(self) -> ast.FunctionDef | None:
        """The class' own `__init__`."""
        body = _parsed(self.file)[self.name].body
        return next((n for n in body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), None)

    def summary(self) -> str:
        doc = ast.get_docstring(_parsed(self.file)[self.name]) or ""
        return doc.split("\n\n")[0].replace("\n", " ").strip()


def _definitions(folders: Iterable[Path]) -> list[_Definition]:
    """The classes and functions of some folders of Keras' source."""
    classes: dict[str, _Definition] = {}
    found: list[_Definition] = []
    for file in (file for folder in folders for file in sorted(folder.rglob("*.py"))):
        if file.name.endswith("_test.py"):
            continue
        brings = file.parent.name == "applications"
        for match in _DEFINITION.finditer(file.read_text(encoding="utf-8")):
            name, bases = match["name"], None
            paths = re.findall(r"[\"']([\w.]+)[\"']", match["paths"] or "")
            if match["kind"] == "class":
                bases = tuple(base.rpartition(".")[2] for base in re.findall(r"[\w.]+", match["bases"] or ""))
                paths = paths or ([f"{_OWN}applications.{file.stem}.{name}"] if brings else [])
            defined = _Definition(name, tuple(paths), bases, file, classes)
            if bases is not None:
                classes[name] = defined
            found.append(defined)
    return found


@cache
def _parsed(file: Path) -> dict[str, ast.ClassDef | ast.FunctionDef]:
    nodes = ast.parse(file.read_text(encoding="utf-8")).body
    return {node.name: node for node in nodes if isinstance(node, ast.ClassDef | ast.FunctionDef)}


def _optional(argument: Argument) -> Argument:
    """What a spec need not say: what a class passes on to its base class, or what an input may stand for."""
    return Argument(argument.name, False, argument.default)


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
