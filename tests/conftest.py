"""What every test shares: a quiet TensorFlow, a Keras cache of its own, and the files that no checkout carries.

TensorFlow, Keras and matplotlib read these variables when they are first imported, so they are set before any test is.
Subprocesses inherit them.
"""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import kerasflow as kf

# A shell that starts the tests in the background ignores Ctrl-C, and so would every process that a test interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["MPLBACKEND"] = "Agg"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

_keras_home = tempfile.TemporaryDirectory(prefix="kerasflow-keras-home-")
os.environ["KERAS_HOME"] = _keras_home.name


@pytest.fixture(scope="session")
def assets() -> Path:
    """The directory of test files too large for the repository: data sets, trained weights, reference outputs."""
    named = os.environ.get("KERASFLOW_TEST_ASSETS")
    if not named:
        pytest.skip("KERASFLOW_TEST_ASSETS is not set: it names the directory of data sets and weights for the tests.")
    folder = Path(named)
    if not folder.is_dir():
        pytest.fail(f"KERASFLOW_TEST_ASSETS names {named}, which is not a directory.")
    return folder


@pytest.fixture(scope="session")
def keras_home(assets: Path) -> Path:
    """This session's Keras cache (what `~/.keras` is to a user), holding Fashion-MNIST as if it had been downloaded."""
    home = Path(_keras_home.name)
    cache = home / "datasets" / "fashion-mnist"
    cache.mkdir(parents=True, exist_ok=True)
    files = sorted((assets / "data" / "fashion-mnist").glob("*.gz"))
    assert len(files) == 4, f"{assets}/data/fashion-mnist must hold the four files of Fashion-MNIST"
    for file in files:
        (cache / file.name).symlink_to(file.resolve())
    return home


@pytest.fixture
def traces(monkeypatch) -> list[int]:
    """Grows by one each time a window's update is traced."""
    from kerasflow.training.window import Window

    seen: list[int] = []
    train = Window.train

    def counted(self: Any, batch: Any) -> Any:
        seen.append(1)
        return train(self, batch)

    monkeypatch.setattr(Window, "train", counted)
    return seen


@pytest.fixture(scope="session")
def iris() -> Callable[..., dict[str, Any]]:
    """A spec of an experiment that takes no time; `iris(name="other")` changes a part of it."""

    def spec(**changes: Any) -> dict[str, Any]:
        return {
            "experiment": "iris",
            "name": "tiny",
            "seed": 3,
            "data": {"source": {"sklearn": "iris"}, "scale": "standard"},
            "model": {"layers": [{"dense": {"units": 6, "activation": "relu"}}, {"dropout": 0.2}, "head"]},
            "train": {
                "optimizer": {"adam": {"learning_rate": 0.05}},
                "batch_size": 32,
                "micro_batch_size": 12,
                "epochs": 3,
                "engine": "eager",
                "stop": [{"plateau": {"monitor": "val_loss", "patience": 2, "restore_best": True}}],
            },
            "track": {"uri": "none"},
        } | changes

    return spec


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tracking store in a file, which takes seconds to make."""
    return f"sqlite:///{tmp_path_factory.mktemp('store')}/mlflow.db"


@pytest.fixture(scope="session")
def result(tmp_path_factory: pytest.TempPathFactory, store: str, iris: Callable[..., dict[str, Any]]) -> kf.RunResult:
    """That experiment's run, which ended by itself and is recorded in the store."""
    return kf.run(iris(track={"uri": store}), root=tmp_path_factory.mktemp("result"), verbose=0)
