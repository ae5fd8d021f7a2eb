"""Where a tracking store is, checked before MLflow is asked: MLflow retries a mistyped address for minutes."""

from __future__ import annotations

import hashlib
import os
import socket
import tempfile
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from kerasflow.errors import TrackingError, sentence
from kerasflow.secrecy import HIDDEN, without_password

CONNECT_SECONDS = 5.0

_DATABASE_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
_PORTS = {"http": 80, "https": 443, **_DATABASE_PORTS}
_SQLITE = "sqlite:///"
_SQLITE_HEADER = b"SQLite format 3\0"


def resolve(uri: str) -> str:
    """The address to give to MLflow: a relative SQLite file is fixed to the working directory of this moment.

    Raises:
        TrackingError: for an address that no MLflow 3.17 store has.
    """
    scheme = urlsplit(uri).scheme.split("+")[0]
    if uri.startswith(_SQLITE):
        return _SQLITE + quote(str(Path(unquote(uri.removeprefix(_SQLITE))).expanduser().absolute()))
    if uri == "databricks" or scheme in ("http", "https", "databricks", *_DATABASE_PORTS):
        return uri
    if scheme == "file" or (not scheme and uri):
        raise TrackingError(
            f"track.uri: MLflow keeps no runs in a folder any more, got {uri!r}; use a SQLite file: 'sqlite:///mlflow.db'"
        )
    raise TrackingError(
        "track.uri: expected sqlite:///FILE, http(s)://HOST:PORT or the address of a PostgreSQL, MySQL or SQL Server "
        f"database, got {shown(uri)!r}"
    )


def shown(uri: str) -> str:
    """The address, or a text that holds one, as a message may show it: without who may enter, and by which password."""
    return without_password(uri)


def sqlite_file(uri: str) -> Path | None:
    """The file of a resolved SQLite address, else None."""
    return Path(unquote(uri.removeprefix(_SQLITE))) if uri.startswith(_SQLITE) else None


def creation_lock(uri: str) -> Path | None:
    """The file that processes of this machine lock while they may be creating a store's tables; None for a server."""
    file = sqlite_file(uri)
    if file is not None:
        return file.with_name(f".{file.name}.lock")
    if urlsplit(uri).scheme.split("+")[0] not in _DATABASE_PORTS:
        return None
    name = hashlib.sha256(uri.encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"kerasflow-{os.getuid()}-{name}.lock"


def with_password(uri: str, other: str) -> str:
    """An address that was kept by `shown`, with the password from the same address as the user has it elsewhere.

    Raises:
        TrackingError: that is another one, or none.
    """
    if HIDDEN not in uri or shown(other) == uri:
        return other if HIDDEN in uri else uri
    raise TrackingError(f"{uri}: its password is kept nowhere; set MLFLOW_TRACKING_URI to the whole address")


def check_possible(uri: str) -> None:
    """Refuse at once a file that can be no store; whether a server answers is not asked.

    Args:
        uri: as `resolve` gave it.

    Raises:
        TrackingError: with what is wrong.
    """
    file = sqlite_file(uri)
    if file is not None:
        _check_sqlite(file)


def check_reachable(uri: str) -> None:
    """Refuse at once what MLflow would retry for minutes: a file that is no database, a host that is not there.

    Args:
        uri: as `resolve` gave it.

    Raises:
        TrackingError: with what is wrong.
    """
    check_possible(uri)
    parts = urlsplit(uri)
    if getproxies().get(parts.scheme) and not proxy_bypass(parts.hostname or ""):
        return  # somebody between knows the way
    port = _PORTS.get(parts.scheme.split("+")[0])
    if port is not None and parts.hostname:
        try:
            socket.create_connection((parts.hostname, parts.port or port), timeout=CONNECT_SECONDS).close()
        except OSError as error:
            kind = "server" if parts.scheme in ("http", "https") else "database"
            message = f"the tracking {kind} {shown(uri)} does not answer ({sentence(error)}); is it running?"
            raise TrackingError(message) from error


def is_reachable(uri: str) -> bool:
    """Whether somebody takes the connection, or the file can be a store."""
    try:
        check_reachable(uri)
    except TrackingError:
        return False
    return True


def _check_sqlite(file: Path) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.is_dir():
            raise TrackingError(
                f"the tracking store {file} is a folder; name a file in it, such as sqlite:///{file}/mlflow.db"
            )
        if file.exists() and file.stat().st_size and not _is_sqlite(file):
            raise TrackingError(f"the tracking store {file} is no SQLite database; name another file in track.uri")
        if not os.access(file if file.exists() else file.parent, os.W_OK):
            raise TrackingError(f"the tracking store {file} cannot be written; name another file in track.uri")
    except OSError as error:
        raise TrackingError(f"the tracking store {file} cannot be opened: {error.strerror}") from error


def _is_sqlite(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.read(len(_SQLITE_HEADER)) == _SQLITE_HEADER
