"""The command, called in this process, and what it leaves."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from kerasflow.cli.app import run_app

SPEC: dict[str, Any] = {
    "experiment": "iris",
    "name": "tiny",
    "data": {"source": {"csv": {"path": "iris.csv", "target": "kind"}}, "scale": "standard"},
    "model": {"layers": [{"dense": {"units": 4, "activation": "relu"}}, "head"]},
    "train": {"batch_size": 20, "micro_batch_size": 10, "epochs": 2, "engine": "eager"},
    "track": {"uri": "none"},
}


class Done(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def kerasflow(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Calls the command with these words, as a shell would."""

    def call(*words: str | Path) -> Done:
        monkeypatch.setattr(sys, "argv", ["kerasflow", *map(str, words)])
        monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # the command sets its own
        capfd.readouterr()
        try:
            code = run_app()
        except SystemExit as end:
            code = int(end.code or 0)
        return Done(code, *capfd.readouterr())

    return call


@pytest.fixture(scope="session")
def rows() -> str:
    """Iris as CSV text: four measurements and the species' name."""
    from sklearn.datasets import load_iris

    bunch = load_iris(as_frame=True)
    frame = bunch.data.set_axis(["a", "b", "c", "d"], axis=1)
    return frame.assign(kind=[bunch.target_names[index] for index in bunch.target]).to_csv(index=False)


@pytest.fixture(scope="session")
def spec_text() -> str:
    """A small experiment on that table."""
    return yaml.safe_dump(SPEC, sort_keys=False)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: str, spec_text: str) -> Path:
    """A working directory with `spec.yaml` and `iris.csv`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "iris.csv").write_text(rows)
    (tmp_path / "spec.yaml").write_text(spec_text)
    return tmp_path
