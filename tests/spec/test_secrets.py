"""An address shows where a store is, never how one enters there."""

from __future__ import annotations

import pytest

from kerasflow.spec.secrets import shown


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("http://me:secret@host:5000", "http://***@host:5000"),
        ("postgresql://me:se/cr@et@host/db", "postgresql://***@host/db"),
        ("postgresql://host/db?password=secret&sslmode=off", "postgresql://host/db?password=***&sslmode=off"),
        (
            "mssql+pyodbc://?odbc_connect=Server=x;PWD=secret;Port=1",
            "mssql+pyodbc://?odbc_connect=Server=x;PWD=***;Port=1",
        ),
        ("sqlite:////home/me@work/mlflow.db", "sqlite:////home/me@work/mlflow.db"),
        ("auto", "auto"),
    ],
)
def test_what_opens_a_store_is_hidden(given: str, expected: str) -> None:
    assert shown(given) == expected
