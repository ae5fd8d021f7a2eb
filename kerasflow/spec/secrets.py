"""Addresses as they may be written down and shown."""

from __future__ import annotations

import re

HIDDEN = "***"


def shown(uri: str) -> str:
    """An address with `***` for whoever may enter there: what stands before the host, and passwords in the query."""
    if not uri.startswith("sqlite:"):  # a file, whose path may hold an @
        uri = re.sub(r"(?<=://)[^?#]*@", f"{HIDDEN}@", uri)
    return re.sub(r"(?i)((?:password|passwd|pwd|token|secret)=)[^&;]*", rf"\1{HIDDEN}", uri)
