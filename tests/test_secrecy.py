"""Who may enter a tracking store, and by which password, is written nowhere."""

from __future__ import annotations

import pytest

from kerasflow.secrecy import without_password


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("http://anna:s3cret@host:5000", "http://***@host:5000"),
        ("http://anna:s3@cret@host:5000/a@b", "http://***@host:5000/a@b"),
        ("postgresql+psycopg2://host/db?user=a&password=s3cret&x=1", "postgresql+psycopg2://host/db?user=a&password=***&x=1"),
        ("https://host/api?access_token=s3cret#part", "https://host/api?access_token=***#part"),
        ("no answer from http://a:b@host, nor http://c:d@other", "no answer from http://***@host, nor http://***@other"),
        ("sqlite:////home/a@b/mlflow.db", "sqlite:////home/a@b/mlflow.db"),
        ("mssql+pyodbc://?odbc_connect=Server=x;PWD=s3cret;Port=1", "mssql+pyodbc://?odbc_connect=Server=x;PWD=***;Port=1"),
        ("http://host/a://b@c", "http://host/a://***@c"),
    ],
)  # fmt: skip
def test_an_address_without_its_password(given: str, shown: str) -> None:
    assert without_password(given) == shown
    assert without_password(shown) == shown
