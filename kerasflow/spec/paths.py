"""Paths in a spec: they mean the same from wherever it is run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationInfo


def _absolute(path: str, info: ValidationInfo) -> str:
    """A relative path is taken from the spec file's own folder, of a spec made in Python from the current one: what is
    written down of it, a run's spec or a sweep's best, then means the same wherever it lies.
    """
    folder = (info.context or {}).get("folder") or Path.cwd()
    expanded = Path(path).expanduser()
    return str(expanded if expanded.is_absolute() else (Path(folder) / expanded).resolve())


FilePath = Annotated[str, Field(min_length=1), AfterValidator(_absolute)]
