"""What only the MLflow adapter has to get right: first use, silence, dead servers, and MLflow's limits."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kerasflow.errors import NotYetError, RefusedError, TrackingError
from kerasflow.signature import signature_of
from kerasflow.tracking.mlflow_calls import InContext, calling
from kerasflow.tracking.mlflow_tracker import MLflowTracker

EIGHT_RUNS = """
import os, sys
import mlflow.store.tracking.sqlalchemy_store
from kerasflow.tracking.mlflow_tracker import MLflowTracker
os.chdir(sys.argv[1])
for number in range(8):
    if os.fork() == 0:
        break  # one process imports, so that the eight are at the store at the same instant
else:
    sys.exit(sum(os.wait()[1] != 0 for _ in range(8)))
tracker = MLflowTracker()
tracker.start("digits", f"run-{number}", {"seed": 0}, {})
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

    done = subprocess.run(
        [sys.executable, "-c", EIGHT_RUNS, str(tmp_path)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
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


def test_only_kerasflows_own_calls_are_impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import environment_variables as settings

    def now() -> tuple[int, int, bool]:
        names = (
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES",
            "MLFLOW_HTTP_REQUEST_TIMEOUT",
            "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT",
        )
        return tuple(getattr(settings, name).get() for name in names)  # type: ignore[return-value]

    usual, environment = now(), dict(os.environ)
    assert usual == (7, 120, False)
    with calling("http://here", "ask", 9), ThreadPoolExecutor() as users, InContext() as ours:
        assert now() == ours.submit(now).result() == (0, 9, True)
        assert users.submit(now).result() == usual
        with calling("http://here", "ask", 3):
            assert now() == (0, 3, True)
        assert now() == (0, 9, True)
        assert dict(os.environ) == environment
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")  # what the user has set stays
        assert now() == (0, 77, True)
    monkeypatch.undo()
    assert now() == usual


def test_each_call_waits_as_long_as_it_is_to(mute_server: str) -> None:
    """In a thread, as the background does it; MLflow of itself would wait for two minutes, eight times."""
    from mlflow import MlflowClient

    def ask() -> float:
        began = time.monotonic()
        with pytest.raises(TrackingError, match="does not answer"), calling(mute_server, "ask", 1):
            MlflowClient(mute_server).get_run("0" * 32)
        return time.monotonic() - began

    with ThreadPoolExecutor() as background:
        assert 1 <= background.submit(ask).result() < 3


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


def test_a_user_who_has_mlflow_log_later_gets_kerasflows_points_at_once(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ENABLE_ASYNC_LOGGING", "true")
    tracker = MLflowTracker(store)
    tracker.start("digits", "at once", {"seed": 1}, {"engine": "graph"})
    tracker.log_metrics({"train/loss": 0.5}, 1)
    run = _run_of(tracker)
    assert (run.data.metrics["train/loss"], run.data.params["seed"], run.data.tags["engine"]) == (0.5, "1", "graph")


def test_a_part_of_what_is_not_there_yet_is_none(store: str) -> None:
    with pytest.raises(NotYetError, match="the run search, which this one is a part of, is not recorded yet"):
        MLflowTracker(store).start("digits", "candidate", {}, {}, parent="search")


@pytest.mark.parametrize(
    ("code", "final"),
    [
        ("INVALID_PARAMETER_VALUE", True),
        ("RESOURCE_DOES_NOT_EXIST", True),
        ("ENDPOINT_NOT_FOUND", True),
        ("UNAUTHENTICATED", False),
        ("PERMISSION_DENIED", False),
        ("REQUEST_LIMIT_EXCEEDED", False),
        ("TEMPORARILY_UNAVAILABLE", False),
        ("BAD_REQUEST", False),  # MLflow's word for a connection to its database that was lost, among others
        ("INTERNAL_ERROR", False),
        *((status, True) for status in (400, 404, 413, 414)),
        *((status, False) for status in (401, 403, 408, 409, 429, 500, 503)),
    ],
)
def test_what_a_store_will_say_again_and_what_not(code: str | int, final: bool) -> None:
    import requests
    from mlflow.exceptions import RestException

    answer = requests.Response()
    if isinstance(code, int):
        answer.status_code = code
        error: Exception = requests.HTTPError("refused", response=answer)
    else:
        error = RestException({"error_code": code, "message": "refused"})
    with pytest.raises(TrackingError, match="refused to ask") as raised, calling("http://here", "ask"):
        raise error
    assert isinstance(raised.value, RefusedError) == final


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
