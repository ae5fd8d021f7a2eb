"""What every part of a spec shares: frozen, no unknown keys, nothing converted in silence."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Strict

Listed = Strict(False)
"""Marks a field that is written as a list and kept as a tuple: the one conversion. What is in it stays strict."""


class Part(BaseModel):
    """A part of a spec. Immutable: `part.model_copy(update={...})` gives a changed one."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, validate_default=True)
