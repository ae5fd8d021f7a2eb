"""What YAML has no form for: arrays of a dtype, `{float32: [0.5, 2]}`, and slices, `"[:, 1:]"`."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from types import EllipsisType
from typing import Any

from kerasflow.spec.document import DocumentPath
from kerasflow.spec.faults import Found, short

DTYPES = (
    "bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "bfloat16", "float16", "float32",
    "float64",
)  # fmt: skip

Key = slice | int | None | EllipsisType
"""One place of a slice."""


def is_array(value: Any) -> bool:
    """Whether a value is an array: its numbers behind the name of their dtype."""
    return isinstance(value, Mapping) and len(value) == 1 and next(iter(value)) in DTYPES


def check_arrays(value: Any, path: DocumentPath, found: Found) -> None:
    """Every array in a value must hold numbers, as many in each row; what is wrong is added to `found`."""
    if is_array(value):
        ((dtype, numbers),) = value.items()
        if _shape(numbers) is None:
            said = f"must be a number, or lists of them that are equally long, got {short(numbers)}"
            found.append(((*path, dtype), said))
    elif isinstance(value, Mapping):
        for key, item in value.items():
            check_arrays(item, (*path, key), found)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            check_arrays(item, (*path, index), found)


def _shape(numbers: Any) -> tuple[int, ...] | None:
    """Of nested lists of numbers; None of anything else."""
    if isinstance(numbers, bool | int | float):
        return ()
    if not isinstance(numbers, list | tuple):
        return None
    shapes = {_shape(row) for row in numbers}
    rows = shapes.pop() if shapes else ()
    return None if shapes or rows is None else (len(numbers), *rows)


def slices(text: str) -> tuple[Key, ...] | None:
    """`"[:, 1:]"` -> `(slice(None), slice(1, None))`; None if the text is no slice."""
    try:
        node = ast.parse(f"x{text}", mode="eval").body
        if not (isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name)):
            return None
        parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        return tuple(map(_key, parts))
    except (SyntaxError, ValueError):
        return None


def _key(node: ast.expr) -> Any:
    if isinstance(node, ast.Slice):
        return slice(*(part and _place(part) for part in (node.lower, node.upper, node.step)))
    return _place(node)


def _place(node: ast.expr) -> Any:
    value = ast.literal_eval(node)
    if type(value) is not int and value is not None and value is not Ellipsis:
        raise ValueError(value)
    return value


def as_text(keys: tuple[Any, ...]) -> str | None:
    """`(slice(None), slice(1, None))` -> `"[:, 1:]"`; None if a place is neither a slice nor a number."""
    parts = []
    for key in keys:
        if isinstance(key, slice):
            bounds = ["" if bound is None else str(bound) for bound in (key.start, key.stop, key.step)]
            parts.append(":".join(bounds if bounds[2] else bounds[:2]))
        else:
            parts.append("..." if key is Ellipsis else str(key))
    text = f"[{', '.join(parts)}]"
    return text if slices(text) == keys else None
