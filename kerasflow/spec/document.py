"""YAML and JSON read safely, with the line of every value kept."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from kerasflow.errors import Fault, SpecError

DocumentPath = tuple[str | int, ...]

# More than any spec has: aliases can make a short file expand without end, and deep nesting exhausts the stack.
_MOST_VALUES = 100_000
_DEEPEST = 60

_PLAIN_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "seq", "map")}
_MERGE = "tag:yaml.org,2002:merge"


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


def open_document(source: str | Path | Mapping[str, Any]) -> Document:
    """A spec from a path, from YAML or JSON text, or from Python.

    Raises:
        SpecError: as `read_document` and `parse_document`.
    """
    if isinstance(source, Path):
        return read_document(source)
    if isinstance(source, str):
        named = source.endswith((".yaml", ".yml", ".json"))
        is_text = "\n" in source or source.lstrip().startswith("{") or (": " in source and not named)
        return parse_document(source) if is_text else read_document(Path(source))
    return Document(dict(source) if isinstance(source, Mapping) else source)


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
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        walk = _Walk(loader, file)
        value = walk.value(node, ()) if node is not None else None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{file}:{mark.line + 1}" if mark else file
        raise SpecError([Fault("", f"is not valid YAML: {_problem(error)}", where)]) from None
    except yaml.YAMLError as error:
        raise SpecError([Fault("", f"is not valid YAML: {' '.join(str(error).split())}", file)]) from None
    except RecursionError:
        raise SpecError([Fault("", "is nested too deeply", file)]) from None
    if walk.faults:
        raise SpecError(walk.faults)
    return Document(value, file, folder, walk.lines)


def _problem(error: yaml.MarkedYAMLError) -> str:
    """What the parser says, and what to do about the mistakes that people make."""
    problem = ", ".join(part for part in (error.context, error.problem) if part)
    if "mapping values are not allowed" in problem:
        return (
            f"{problem}; a name that other keys follow needs a colon of its own, as in '- add:' above 'inputs: [a, b]'"
        )
    if "'\\t'" in problem:
        return f"{problem}; indent with spaces, not with tabs"
    return problem


def parse_value(text: str) -> Any:
    """One value as YAML would read it: `3`, `1e-3`, `true`, `[a, b]`, `{adam: {}}`, or else the text itself."""
    try:
        return parse_document(text).value
    except SpecError:
        return text


class _Loader(yaml.SafeLoader):
    """Safe YAML with YAML 1.2's scalars (`1e-3` is a number, `no` and `on` are words), and tabs in JSON."""

    def scan_to_next_token(self) -> None:
        super().scan_to_next_token()
        while self.flow_level and self.peek() == "\t":
            self.forward()
            super().scan_to_next_token()


class _Dumper(yaml.SafeDumper):
    """Puts quotes around text that YAML 1.1 or 1.2 would take for something else."""


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
    for _yaml in (_Loader, _Dumper):
        _yaml.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first))


def as_yaml(value: Any) -> str:
    """Plain values as YAML text that reads back as the same."""
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, width=110, default_flow_style=None)
    return text


class _Walk:
    """From YAML's nodes to plain values. Only plain ones: nothing that a tag could name is ever constructed."""

    def __init__(self, loader: _Loader, file: str) -> None:
        self.loader, self.file = loader, file
        self.lines: dict[DocumentPath, int] = {}
        self.faults: list[Fault] = []
        self._open: set[int] = set()
        self._known_items: dict[int, _Items] = {}

    def value(self, node: yaml.Node, path: DocumentPath, line: int | None = None) -> Any:
        # A key's own line is where a reader looks for its value.
        self.lines[path] = line if line is not None else _line(node)
        if len(self.lines) > _MOST_VALUES:
            raise self._fault(node, (), f"holds more than {_MOST_VALUES} values; are its aliases meant?")
        if len(path) > _DEEPEST:
            raise self._fault(node, path[:1], f"is nested more than {_DEEPEST} levels deep")
        if node.tag not in _PLAIN_TAGS:
            kind = node.tag.replace("tag:yaml.org,2002:", "!!")
            raise self._fault(
                node, path, f"must be text, a number, true, false, null, a list or a mapping, got a {kind}"
            )
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        with self._inside(node, path):
            if isinstance(node, yaml.SequenceNode):
                return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
            items = self._items(node, path)
            return {key: self.value(item, (*path, key), line) for key, (line, item) in items.items()}

    def _scalar(self, node: yaml.ScalarNode, path: DocumentPath) -> Any:
        try:
            if node.tag == "tag:yaml.org,2002:int":  # YAML 1.2: a leading zero is decimal, not octal
                return int(node.value, 16 if node.value.startswith("0x") else 10)
            return self.loader.construct_object(node)
        except (ValueError, KeyError):  # a tag that is not the text's, such as `!!int x`, or a number without end
            kind = node.tag.rpartition(":")[2]
            raise self._fault(node, path, f"must be a readable {kind}, got '{clip(node.value, 40)}'") from None

    def _items(self, node: yaml.Node, path: DocumentPath) -> _Items:
        """A mapping's values by key, each with its line; what `<<: *defaults` merges stands behind its own."""
        if id(node) in self._known_items:
            return self._known_items[id(node)]
        if not isinstance(node, yaml.MappingNode):
            raise self._fault(node, path, "must be a mapping, or a list of them, behind '<<'")
        first_line: dict[str, int] = {}
        own: _Items = {}
        merged: _Items = {}
        for key, item in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise self._fault(key, path, "a key must be a word, not a list or a mapping")
            if key.value in first_line:
                twice = f"stands twice, first on line {first_line[key.value]}"
                self.faults.append(Fault(dotted((*path, key.value)), twice, f"{self.file}:{_line(key)}"))
            first_line.setdefault(key.value, _line(key))
            if key.tag != _MERGE:
                own[key.value] = (_line(key), item)
                continue
            for source in item.value if isinstance(item, yaml.SequenceNode) else [item]:
                with self._inside(source, path):
                    merged = {**self._items(source, path), **merged}
        self._known_items[id(node)] = merged | own
        return self._known_items[id(node)]

    @contextmanager
    def _inside(self, node: yaml.Node, path: DocumentPath) -> Iterator[None]:
        if id(node) in self._open:
            raise self._fault(node, path, "holds an alias that contains itself")
        self._open.add(id(node))
        try:
            yield
        finally:
            self._open.discard(id(node))

    def _fault(self, node: yaml.Node, path: DocumentPath, message: str) -> SpecError:
        return SpecError([Fault(dotted(path), message, f"{self.file}:{_line(node)}")])


_Items = dict[str, tuple[int, yaml.Node]]


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def dotted(path: DocumentPath) -> str:
    """`("model", "layers", 3, "dense")` -> `model.layers[3].dense`, on one line and with no part too long to read."""
    text = ""
    for part in path:
        shown = clip(str(part), 60)
        text += f"[{shown}]" if isinstance(part, int) else f".{shown}" if text else shown
    return text


def clip(text: str, length: int) -> str:
    """The text on one line, what cannot be printed as `?`, and its end as dots where it is longer."""
    printable = "".join(c if c.isprintable() else "?" for c in text[: length + 1])
    return printable if len(printable) <= length else f"{printable[: length - 3]}..."


def split_path(path: str) -> DocumentPath:
    """`model.layers[3].dense` or `model.layers.3.dense` -> `("model", "layers", 3, "dense")`."""
    parts = re.sub(r"\[(\d+)\]", r".\1", path.strip()).strip(".").split(".")
    return tuple(int(part) if part.isdigit() else part for part in parts)
