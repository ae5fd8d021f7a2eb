"""Progress: a bar on a terminal, a line an epoch elsewhere, silence where it is asked for."""

from __future__ import annotations

import contextlib
import io
import os
import pty
import re
import sys

import pytest

import kerasflow as kf


def fit(classifier, data, **settings) -> None:
    kf.fit(classifier(), *data, batch_size=8, epochs=2, validation_data=data, engine="eager", **settings)


@pytest.fixture
def terminal(monkeypatch):
    """Calls something with standard error as a terminal of 80 columns; gives what was written to it."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm-256color")

    def written_by(action) -> str:
        master, slave = pty.openpty()
        with os.fdopen(slave, "w", buffering=1) as stream, monkeypatch.context() as patch:
            patch.setattr(sys, "stderr", stream)
            action()
            stream.flush()
            os.set_blocking(master, False)
            said = b""
            with contextlib.suppress(BlockingIOError):
                while part := os.read(master, 65536):
                    said += part
        os.close(master)
        return said.decode()

    return written_by


def lines(text: str) -> list[str]:
    """What stays on the screen: the escape sequences taken out."""
    return [
        line for line in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "\n", text).replace("\r", "\n").split("\n") if line.strip()
    ]


def test_a_line_an_epoch_where_there_is_no_terminal(classifier, data, monkeypatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    fit(classifier, data)
    first, second = stream.getvalue().splitlines()
    number = r"[\d.e+-]+"
    pattern = rf"epoch 1/2 - {number} s - loss {number} - accuracy {number} - val_loss {number} - val_accuracy {number}"
    assert re.fullmatch(pattern, first)
    assert second.startswith("epoch 2/2 - ")


def test_a_bar_on_a_terminal_that_leaves_a_line_an_epoch(classifier, data, terminal) -> None:
    said = terminal(lambda: fit(classifier, data))
    assert "━" in said
    assert "/5" in said
    kept = [line for line in lines(said) if " - loss " in line]
    assert [line[:9] for line in kept] == ["epoch 1/2", "epoch 2/2"]


def test_silence_where_it_is_asked_for(classifier, data, terminal, capfd) -> None:
    assert terminal(lambda: fit(classifier, data, verbose=0)) == ""
    assert capfd.readouterr() == ("", "")


def test_a_line_an_epoch_on_a_terminal_where_it_is_asked_for(classifier, data, terminal) -> None:
    said = terminal(lambda: fit(classifier, data, verbose=2))
    assert "\x1b" not in said
    assert said.count("epoch ") == 2
