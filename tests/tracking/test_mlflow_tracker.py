"""What only the MLflow adapter has to get right: first use, silence, dead servers, and MLflow's limits."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kerasflow.errors import TrackingError
from kerasflow.signature import signature_of
from kerasflow.tracking.mlflow_tracker import MLflowTracker

ONE_RUN = """
import os, sys
os.chdir(sys.argv[1])
from kerasflow.tracking.mlflow_tracker import MLflowTracker
tracker = MLflowTracker()
tracker.start("digits", sys.argv[2], {"seed": 0}, {})
tracker.log_metrics({"train/loss": 0.5}, step=1)
tracker.end("FINISHED")
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('store')}/mlflow.db"


@pytest.fixture
def tracker(store: str) -> MLflowTracker:
    tracker = MLflowTracker(store)
    tracker.start("digits", "small-mlp", {}, {})
    return tracker


@pytest.fixture
def mute_server() -> Iterator[str]:
    """A server that takes the connection and then says nothing."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def _run_of(tracker: MLflowTracker):  # type: ignore[no-untyped-def]
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=tracker.uri).get_run(tracker.run_id)


@pytest.mark.slow
def test_several_first_runs_at_once_make_one_store_and_say_nothing(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    started = [
        subprocess.Popen(
            [sys.executable, "-c", ONE_RUN, str(tmp_path), f"run-{index}"],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(8)
    ]
    said = [process.communicate(timeout=120) for process in started]
    assert [process.returncode for process in started] == [0] * 8, said
    assert said == [("", "")] * 8
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/mlflow.db")
    experiment = client.get_experiment_by_name("digits")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    assert sorted(run.info.run_name for run in runs) == [f"run-{index}" for index in range(8)]
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert experiment.artifact_location == str(tmp_path / "mlruns" / "digits")


def test_nothing_global_is_touched(store: str) -> None:
    import mlflow

    before = dict(os.environ), mlflow.get_tracking_uri()
    tracker = MLflowTracker(store)
    tracker.start("digits", "small-mlp", {"seed": 1}, {})
    tracker.end("FINISHED")
    assert mlflow.active_run() is None
    assert (dict(os.environ), mlflow.get_tracking_uri()) == before


def test_a_dead_server_is_one_sentence_soon() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        uri = f"http://somebody:secret@127.0.0.1:{free.getsockname()[1]}"
    began = time.monotonic()
    with pytest.raises(TrackingError, match="does not answer") as caught:
        MLflowTracker(uri).start("digits", "small-mlp", {}, {})
    assert time.monotonic() - began < 12
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.slow
def test_a_mute_server_is_one_sentence_soon(mute_server: str) -> None:
    began = time.monotonic()
    with pytest.raises(TrackingError, match="does not answer"):
        MLflowTracker(mute_server).start("digits", "small-mlp", {}, {})
    assert time.monotonic() - began < 15


def test_a_dead_database_is_one_sentence_soon() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        uri = f"postgresql://mlflow:secret@127.0.0.1:{free.getsockname()[1]}/mlflow"
    with pytest.raises(TrackingError, match=r"\*\*\*@127\.0\.0\.1.* does not answer"):
        MLflowTracker(uri).start("digits", "small-mlp", {}, {})


@pytest.mark.parametrize("uri", ["file:///tmp/mlruns", "./mlruns", "mlruns"])
def test_a_folder_is_no_store(uri: str) -> None:
    with pytest.raises(TrackingError, match=r"sqlite:///mlflow\.db"):
        MLflowTracker(uri)


@pytest.mark.parametrize("uri", ["", "ftp://host/x", "htp://host:5000"])
def test_an_address_of_no_known_kind(uri: str) -> None:
    with pytest.raises(TrackingError, match=r"track\.uri: expected"):
        MLflowTracker(uri)


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("these are notes, not a database")
    with pytest.raises(TrackingError, match=r"notes\.txt is no SQLite database"):
        MLflowTracker(f"sqlite:///{tmp_path}/notes.txt").start("digits", "small-mlp", {}, {})


def test_a_relative_store_stays_where_it_was_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tracker = MLflowTracker("sqlite:///my runs.db")
    monkeypatch.chdir("/")
    assert tracker.uri == f"sqlite:///{tmp_path}/my%20runs.db"


def test_what_is_too_long_or_not_allowed_is_kept_visibly(
    tracker: MLflowTracker, caplog: pytest.LogCaptureFixture
) -> None:
    tracker.set_tags({"note": "x" * 9000, "a?b": 1, "a*b": 2})
    tracker.log_metrics({"train/top@5": 0.9, "k" * 300: 1.0}, step=1)
    run = _run_of(tracker)
    assert len(run.data.tags["note"]) == 8000
    assert run.data.tags["note"].endswith("… (9000 characters, cut)")
    assert (run.data.tags["a_b"], run.data.tags["a_b_2"]) == ("1", "2")
    assert run.data.metrics["train/top_5"] == 0.9
    assert run.data.metrics["k" * 250] == 1.0
    assert "train/top@5" in caplog.text


def test_an_infinite_cost_does_not_flatten_the_chart(tracker: MLflowTracker) -> None:
    tracker.log_metrics({"train/loss": 0.5, "val/loss": 0.7}, step=1)
    tracker.log_metrics({"train/loss": float("inf"), "val/loss": 0.6}, step=2)
    tracker.log_metrics({"train/loss": float("nan"), "val/loss": float("-inf")}, step=3)
    run = _run_of(tracker)
    assert (
        abs(run.data.metrics["train/loss"]) < 1e300 or run.data.metrics["train/loss"] != run.data.metrics["train/loss"]
    )
    assert run.data.tags["not_finite"] == "train/loss = inf at step 2; val/loss = -inf at step 3"


def test_runs_side_by_side_have_different_colours(store: str) -> None:
    colours = []
    for index in range(3):
        tracker = MLflowTracker(store)
        tracker.start("colours", f"run-{index}", {}, {})
        colours.append(_run_of(tracker).data.tags["mlflow.runColor"])
    assert len(set(colours)) == 3


def test_a_deleted_experiment_says_how_to_restore_it(store: str) -> None:
    from mlflow import MlflowClient

    tracker = MLflowTracker(store)
    tracker.start("old", "small-mlp", {}, {})
    client = MlflowClient(tracking_uri=tracker.uri)
    client.delete_experiment(client.get_experiment_by_name("old").experiment_id)  # type: ignore[union-attr]
    with pytest.raises(TrackingError, match=r"'old' is deleted .*mlflow experiments restore"):
        MLflowTracker(store).start("old", "small-mlp", {}, {})


@pytest.mark.slow
def test_a_logged_model_loads_by_mlflow_with_signature_and_requirements(
    tracker: MLflowTracker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import keras
    import mlflow
    import numpy as np
    from mlflow import MlflowClient

    one, two = keras.Input((3,), name="one"), keras.Input((2,), name="two")
    model = keras.Model([one, two], keras.layers.Dense(2)(keras.layers.concatenate([one, two])))
    example = [np.ones((2, 3), "float32"), np.ones((2, 2), "float32")]
    model.save(tmp_path / "model.keras")
    tracker.log_model(tmp_path / "model.keras", signature_of(model, example))
    run = _run_of(tracker)
    client = MlflowClient(tracking_uri=tracker.uri)
    logged = client.get_logged_model(run.outputs.model_outputs[0].model_id)
    assert logged.status.value == "READY"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracker.uri)
    described = mlflow.models.get_model_info(logged.artifact_location)
    assert described.signature.inputs.input_names() == ["one", "two"]
    assert described.signature.inputs.inputs[0].shape == (-1, 3)
    requirements = (Path(logged.artifact_location) / "requirements.txt").read_text()
    assert f"keras=={keras.__version__}" in requirements
    loaded = mlflow.keras.load_model(logged.artifact_location)
    np.testing.assert_array_equal(loaded.predict(example, verbose=0), model.predict(example, verbose=0))
