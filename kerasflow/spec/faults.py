"""Pydantic's errors in the words of the person who wrote the spec, each at its line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from kerasflow.errors import Fault, SpecError, did_you_mean
from kerasflow.spec.document import Document, DocumentPath, dotted

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
        if detail["type"] == _FAULTS:
            found += [(_written((*detail["loc"], *rest), value), message) for rest, message in detail["ctx"]["found"]]
        else:
            by_path.setdefault(_written(detail["loc"], value), []).append(_message(detail, model))
    return found + [(path, " or ".join(dict.fromkeys(messages))) for path, messages in by_path.items()]


def _written(path: DocumentPath, value: Any) -> DocumentPath:
    """The path without the names of types that pydantic puts between its parts."""
    kept: list[str | int] = []
    for index, part in enumerate(path):
        inside = (isinstance(value, dict) and part in value) or (
            isinstance(value, list | tuple) and isinstance(part, int)
        )
        if inside:
            kept.append(part)
            value = value[part] if isinstance(value, dict) or int(part) < len(value) else None
        elif index == len(path) - 1 and isinstance(value, dict):
            kept.append(part)
        elif isinstance(value, dict) and str(part).isidentifier():
            kept.append(part)
            value = None
        elif value is None and str(part).isidentifier():
            kept.append(part)
    return tuple(kept)


def _message(detail: ErrorDetails, model: type[BaseModel]) -> str:
    kind, ctx, given = detail["type"], detail.get("ctx", {}), detail["input"]
    got = f", got {short(given)}"
    match kind:
        case "extra_forbidden":
            known = _fields_at(model, detail["loc"][:-1])
            wanted = f"; expected one of {', '.join(known)}" if known else ""
            return f"is not known here{did_you_mean(str(detail['loc'][-1]), known) or wanted}"
        case "missing":
            return "is required"
        case "literal_error":
            words = re.findall(r"'([^']*)'", ctx["expected"])
            return f"must be {ctx['expected']}{got}{did_you_mean(str(given), words)}"
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
        case "list_type" | "tuple_type":
            return f"must be a list{got}"
        case "dict_type" | "model_type" | "model_attributes_type":
            return f"must be a mapping of names to values{got}"
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
    text = (
        {None: "nothing", True: "true", False: "false"}.get(value)
        if value is None or isinstance(value, bool)
        else repr(value)
    )
    assert text is not None
    return text if len(text) <= 80 else f"{text[:77]}..."


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
