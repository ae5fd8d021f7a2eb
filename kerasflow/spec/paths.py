"""Paths in a spec: they mean the same from wherever it is run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationInfo


def _from_spec_folder(path: str, info: ValidationInfo) -> str:
    """A relative path is taken from the spec file's own folder, so that a spec means the same wherever it is run."""
    folder = (info.context or {}).get("folder")
    expanded = Path(path).expanduser()
    return str(expanded if expanded.is_absolute() or folder is None else (Path(folder) / expanded).resolve())


FilePath = Annotated[str, Field(min_length=1), AfterValidator(_from_spec_folder)]
