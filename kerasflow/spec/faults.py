"""Pydantic's errors in the words of the person who wrote the spec, each at its line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from kerasflow.errors import Fault, SpecError, did_you_mean
from kerasflow.spec.document import Document, DocumentPath, clip, dotted

Found = list[tuple[DocumentPath, str]]
"""Faults below one point of a document: a relative path and what is wrong there."""

_FAULTS = "kerasflow_faults"


def refuse(found: Found) -> None:
    """Raises all of them from inside a pydantic validator, which can raise only once; nothing if there are none."""
    if found:
        raise PydanticCustomError(_FAULTS, "{message}", {"message": found[0][1], "found": found})


def spec_error(
    error: ValidationError, model: type[BaseModel], document: Document, overrides: Mapping[DocumentPath, Any]
) -> SpecError:
    """Every fault that pydantic found, in the order of the document."""
    faults: list[tuple[tuple[bool, int], Fault]] = []
    for path, message in _merged(error, model, document.value):
        overridden = any(path[: len(p)] == p or p[: len(path)] == path for p in overrides)
        where = "override" if overridden else document.where(path)
        line = max((document.lines.get(path[:n], 0) for n in range(len(path) + 1)), default=0)
        faults.append(((overridden, line), Fault(dotted(path), message, where)))
    return SpecError([fault for _, fault in sorted(faults, key=lambda pair: pair[0])])


def _merged(error: ValidationError, model: type[BaseModel], value: Any) -> Iterable[tuple[DocumentPath, str]]:
    """Where a value may be of several types, pydantic complains once for each; here that is one fault."""
    found: list[tuple[DocumentPath, str]] = []
    by_path: dict[DocumentPath, list[str]] = {}
    for detail in error.errors(include_url=False):
        loc = _without_types(detail, model)
        if detail["type"] == _FAULTS:
            found += [_at((*loc, *rest), message, value) for rest, message in detail["ctx"]["found"]]
        else:
            path, message = _at(loc, _message(detail, loc, model), value)
            by_path.setdefault(path, []).append(message)
    return found + [(path, " or ".join(dict.fromkeys(messages))) for path, messages in by_path.items()]


def _without_types(detail: ErrorDetails, model: type[BaseModel]) -> DocumentPath:
    """The path without the types that pydantic puts where a value may be of several: `("target", "list[str]", 0)`."""
    loc = detail["loc"]
    kept: list[str | int] = []
    current: Any = model
    for index, part in enumerate(loc):
        fields = getattr(current, "model_fields", {})
        unknown_key = detail["type"] == "extra_forbidden" and index == len(loc) - 1
        if isinstance(part, int) or part in fields or unknown_key:
            kept.append(part)
        if part in fields:
            current = _model_in(fields[str(part)].annotation)
    return tuple(kept)


def _at(path: DocumentPath, message: str, value: Any) -> tuple[DocumentPath, str]:
    """As much of the path as the document shows, and the rest of it, which a bare value stands for, in the message."""
    for depth, part in enumerate(path):
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list | tuple) and isinstance(part, int):
            value = value[part] if part < len(value) else None
        elif value is not None:
            return path[:depth], f"{dotted(path[depth:])!r} {message}"
    return path, message


def _message(detail: ErrorDetails, path: DocumentPath, model: type[BaseModel]) -> str:
    kind, ctx, given = detail["type"], detail.get("ctx", {}), detail["input"]
    got = f", got {short(given)}"
    match kind:
        case "extra_forbidden":
            known = _fields_at(model, path[:-1])
            expected = f"; expected one of {', '.join(known)}"
            return f"is not known here{did_you_mean(str(path[-1]), known) or expected}"
        case "missing":
            return "is required"
        case "literal_error":
            words = re.findall(r"'([^']*)'", ctx["expected"])
            return f"must be {ctx['expected']}{got}{did_you_mean(str(given).lower(), words)}"
        case "value_error":
            return str(ctx["error"])
        case "int_type" | "int_parsing" | "int_from_float":
            return f"must be an integer{got}"
        case "float_type" | "float_parsing":
            return f"must be a number{got}"
        case "finite_number":
            return f"must be a finite number{got}"
        case "bool_type" | "bool_parsing":
            return f"must be true or false{got}"
        case "string_type":
            return f"must be text{got}"
        case "string_too_short":
            return "must not be empty"
        case "string_too_long":
            return f"must have at most {ctx['max_length']} characters, got {len(given)}"
        case "string_pattern_mismatch":  # the one pattern that a spec has: an experiment's and a run's name
            return f"must begin with a letter or digit and hold only letters, digits, blanks and . _ -{got}"
        case "too_short":
            return f"must have at least {ctx['min_length']} of them{got}"
        case "list_type" | "tuple_type":
            hint = f"; write [{clip(given, 40)}]" if isinstance(given, str) and given.isidentifier() else ""
            return f"must be a list{got}{hint}"
        case "dict_type" | "model_type" | "model_attributes_type":
            known = _fields_at(model, path)
            return f"must be a mapping ({', '.join(known)}){got}"
        case "greater_than_equal":
            return f"must be >= {ctx['ge']}{got}"
        case "greater_than":
            return f"must be > {ctx['gt']}{got}"
        case "less_than_equal":
            return f"must be <= {ctx['le']}{got}"
        case "less_than":
            return f"must be < {ctx['lt']}{got}"
    return f"{detail['msg'][:1].lower()}{detail['msg'][1:]}{got}"


def short(value: Any) -> str:
    """The user's own value, as they would recognise it, on one line."""
    if value is None or isinstance(value, bool):
        return {None: "nothing", True: "true", False: "false"}[value]
    return clip(repr(value), 80)


def _fields_at(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """The names that may stand at a path, by following the models' fields."""
    current: Any = model
    for part in path:
        if isinstance(part, int):
            continue
        info = getattr(current, "model_fields", {}).get(part)
        if info is None:
            return []
        current = _model_in(info.annotation)
    return list(getattr(current, "model_fields", {}))


def _model_in(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in getattr(annotation, "__args__", ()) if (found := _model_in(part)) is not None), None)
