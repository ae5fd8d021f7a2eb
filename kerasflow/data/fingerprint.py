"""SHA-256 over what data holds, the same in every process and whatever file it came from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray


def fingerprint(contents: Iterable[tuple[str, NDArray[Any] | str]]) -> str:
    """SHA-256 (hex) over named arrays (name, dtype, shape, values) and named texts, in the order given."""
    total = hashlib.sha256()
    for name, content in contents:
        total.update(_header(name, content))
        if isinstance(content, str):
            total.update(content.encode())
        elif content.dtype.kind in "OUS":
            # Object arrays hold pointers, which differ from process to process.
            total.update(json.dumps(content.tolist(), default=str).encode())
        else:
            total.update(np.ascontiguousarray(content).data.cast("B") if content.size else b"")
    return total.hexdigest()


def _header(name: str, content: NDArray[Any] | str) -> bytes:
    if isinstance(content, str):
        return json.dumps([name, "text", len(content)]).encode()
    # The width of a text dtype is an accident of the longest label in memory.
    kind = "text" if content.dtype.kind in "OUS" else content.dtype.str
    return json.dumps([name, kind, list(content.shape)]).encode()
