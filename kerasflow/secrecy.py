"""Addresses without what lets somebody in, for whatever is written down or shown."""

from __future__ import annotations

import re

HIDDEN = "***"

# What stands before the last @ of an address's host, which a password may hold, too; and arguments that are passwords.
_ENTRANCE = re.compile(r"(?<=://)[^/\s]*@")
_ARGUMENT = re.compile(r"(?i)([?&;][^=&;#\s]*(?:password|passwd|pwd|secret|token)[^=&;#\s]*=)[^&;#\s]*")


def without_password(text: str) -> str:
    """An address, or a text with some, with `***` in place of user, password and tokens.

    >>> without_password("postgresql://anna:s3cret@host/db?sslpassword=other")
    'postgresql://***@host/db?sslpassword=***'
    """
    return _ARGUMENT.sub(rf"\1{HIDDEN}", _ENTRANCE.sub(f"{HIDDEN}@", text))
