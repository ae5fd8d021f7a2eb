"""YAML and JSON read safely, with the line of every value kept."""

from __future__ import annotations

import re
from collections.abc import Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from kerasflow.errors import Fault, SpecError

DocumentPath = tuple[str | int, ...]

# More values than any spec has: aliases can make a short file expand without end.
_MOST_VALUES = 100_000


@dataclass(frozen=True)
class Document:
    """A spec as written: plain dicts, lists and scalars, and where each of them stands.

    Attributes:
        value: the whole.
        file: how messages name the source; empty for one made in Python.
        folder: what relative paths in the document are relative to; None for one made in Python.
        lines: the line of each path, from 1.
    """

    value: Any
    file: str = ""
    folder: Path | None = None
    lines: dict[DocumentPath, int] = field(default_factory=dict)

    def where(self, path: DocumentPath) -> str:
        """`file:line` of the nearest thing on the way to a path that the document holds."""
        for length in range(len(path), -1, -1):
            line = self.lines.get(path[:length])
            if line is not None:
                return f"{self.file}:{line}"
        return self.file


def read_document(path: Path) -> Document:
    """A spec file.

    Raises:
        SpecError: the file is not there, cannot be read, or is not YAML.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        beside = sorted(p.name for p in path.parent.glob("*.y*ml"))
        hint = f"; the folder holds {', '.join(beside)}" if beside else ""
        raise SpecError([Fault("", f"there is no such file{hint}", str(path))]) from None
    except IsADirectoryError:
        raise SpecError([Fault("", "is a folder; name the spec file in it, such as spec.yaml", str(path))]) from None
    except UnicodeDecodeError as error:
        raise SpecError([Fault("", f"must be UTF-8 text, but byte {error.start} is not", str(path))]) from None
    except OSError as error:
        raise SpecError([Fault("", f"cannot be read: {error.strerror}", str(path))]) from None
    return parse_document(text, file=str(path), folder=path.resolve().parent)


def parse_document(text: str, file: str = "<text>", folder: Path | None = None) -> Document:
    """YAML or JSON text.

    Raises:
        SpecError: the text is not YAML, holds a key twice, or names a Python object.
    """
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        walk = _Walk(loader, file)
        value = walk.value(node, ()) if node is not None else None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{file}:{mark.line + 1}" if mark else file
        problem = f"is not valid YAML: {error.problem or error.context}"
        if "mapping values are not allowed" in problem:
            problem += "; a name that other keys follow needs a colon of its own, as in '- add:' above 'inputs: [a, b]'"
        raise SpecError([Fault("", problem, where)]) from None
    except yaml.YAMLError as error:
        raise SpecError([Fault("", f"is not valid YAML: {' '.join(str(error).split())}", file)]) from None
    except RecursionError:
        raise SpecError([Fault("", "is nested too deeply", file)]) from None
    finally:
        loader.dispose()
    if walk.faults:
        raise SpecError(walk.faults)
    return Document(value, file, folder, walk.lines)


def parse_value(text: str) -> Any:
    """One value as YAML would read it: `3`, `1e-3`, `true`, `[a, b]`, `{adam: {}}`, or else the text itself."""
    try:
        return parse_document(text).value
    except SpecError:
        return text


class _Loader(yaml.SafeLoader):
    """Safe YAML with the scalars of YAML 1.2: `1e-3` is a number, `no` and `on` are words."""


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"[-+]?[0-9]+|0x[0-9a-fA-F]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "-+.0123456789",
    ),
    ("merge", "<<", "<"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first))


class _Walk:
    def __init__(self, loader: _Loader, file: str) -> None:
        self.loader, self.file = loader, file
        self.lines: dict[DocumentPath, int] = {}
        self.faults: list[Fault] = []
        self._open: set[int] = set()

    def value(self, node: yaml.Node, path: DocumentPath, line: int | None = None) -> Any:
        # A key's own line is where a reader looks for its value.
        self.lines[path] = line if line is not None else node.start_mark.line + 1
        if len(self.lines) > _MOST_VALUES:
            raise yaml.YAMLError(f"holds more than {_MOST_VALUES} values; are its aliases meant?")
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        if id(node) in self._open:
            raise yaml.YAMLError(f"line {node.start_mark.line + 1}: an alias that contains itself")
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
            return self._mapping(node, path)
        finally:
            self._open.discard(id(node))

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        if node.tag == "tag:yaml.org,2002:int":  # YAML 1.2: a leading zero is decimal, not octal
            return int(node.value, 16 if node.value.startswith("0x") else 10)
        return self.loader.construct_object(node)

    def _mapping(self, node: yaml.Node, path: DocumentPath) -> dict[Hashable, Any]:
        assert isinstance(node, yaml.MappingNode)
        if node.tag != "tag:yaml.org,2002:map":
            return self.loader.construct_object(node, deep=True)  # type: ignore[no-any-return]  # raises: an unknown tag
        own = [(key, value) for key, value in node.value if key.tag != "tag:yaml.org,2002:merge"]
        first_line: dict[Any, int] = {}
        for key, _ in own:
            name, line = self._key(key), key.start_mark.line + 1
            if name in first_line:
                self.faults.append(
                    Fault(
                        dotted((*path, name)), f"stands twice, first on line {first_line[name]}", f"{self.file}:{line}"
                    )
                )
            first_line.setdefault(name, line)
        self.loader.flatten_mapping(node)  # merge keys: `<<: *defaults`; own keys come last and win
        return {
            self._key(key): self.value(value, (*path, self._key(key)), key.start_mark.line + 1)
            for key, value in node.value
        }

    def _key(self, node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise yaml.YAMLError(f"line {node.start_mark.line + 1}: a key must be a word, not a list or a mapping")
        return str(node.value)


def dotted(path: DocumentPath) -> str:
    """`("model", "layers", 3, "dense")` -> `model.layers[3].dense`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def split_path(path: str) -> DocumentPath:
    """`model.layers[3].dense` or `model.layers.3.dense` -> `("model", "layers", 3, "dense")`."""
    parts = re.sub(r"\[(\d+)\]", r".\1", path.strip()).strip(".").split(".")
    return tuple(int(part) if part.isdigit() else part for part in parts)
