"""Values of a written spec replaced by path, before it is checked again as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kerasflow.errors import Fault, SpecError, did_you_mean
from kerasflow.spec.document import DocumentPath, dotted
from kerasflow.spec.faults import short


def override(value: Any, changes: Mapping[DocumentPath, Any]) -> None:
    """Replaces values of plain dicts and lists in place.

    Args:
        value: a spec's full document, so that every field has a place whether it was written or not.

    Raises:
        SpecError: with every path that leads nowhere.
    """
    faults = []
    for path, new in changes.items():
        try:
            _set(value, path, new)
        except ValueError as error:
            faults.append(Fault(dotted(path), str(error), "override"))
    if faults:
        raise SpecError(faults)


def value_at(document: Any, path: DocumentPath) -> Any:
    """What plain dicts and lists hold at a path; None where it leads nowhere."""
    for part in path:
        try:
            document = document[part if isinstance(document, list) else str(part)]
        except (KeyError, IndexError, TypeError):
            return None
    return document


def _set(value: Any, path: DocumentPath, new: Any) -> None:
    for depth, part in enumerate(path[:-1]):
        if isinstance(value, dict) and part == "blocks" and "layers" in value:  # a model may have none yet
            value.setdefault(part, {})
        value = _item(value, part, path[:depth])
    last = path[-1]
    if isinstance(value, list):
        _item(value, last, path[:-1])
        value[int(last)] = new
    elif isinstance(value, dict):
        value[str(last)] = new
    else:
        raise ValueError(f"{dotted(path[:-1])} is {short(value)}, which holds nothing")


def _item(value: Any, part: str | int, above: DocumentPath) -> Any:
    if isinstance(value, list):
        if not isinstance(part, int):
            raise ValueError(f"{dotted(above)} is a list; expected a number from 0 to {len(value) - 1}, got {part!r}")
        if part >= len(value):
            raise ValueError(f"{dotted(above)} has {len(value)} items, numbered from 0; there is no {part}")
        return value[part]
    if isinstance(value, dict):
        if str(part) not in value:
            hint = did_you_mean(str(part), value) or f"; it has {', '.join(value)}"
            raise ValueError(f"{dotted(above) or 'the spec'} has no {part!r}{hint}")
        return value[str(part)]
    raise ValueError(f"{dotted(above)} is {short(value)}, which holds no {part!r}")
