"""What every part of a spec shares: frozen, no unknown keys, nothing converted in silence."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """A part of a spec. Immutable: `part.model_copy(update={...})` gives a changed one."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)
