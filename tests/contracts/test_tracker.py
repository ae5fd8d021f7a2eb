"""What every tracker promises, passed by the in-memory twin, by MLflow on SQLite and through a real server, and by a
run's journal as the twin is told of it."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kerasflow.errors import RunError, TrackingError
from kerasflow.tracking.folder import RunFolder
from kerasflow.tracking.journal_tracker import JournalTracker, replay, runs_of
from kerasflow.tracking.memory import MemoryTracker
from kerasflow.tracking.mlflow_tracker import MLflowTracker
from kerasflow.tracking.port import Points, Tensor, Tracker
from tests.servers import Between, mlflow_server


@dataclass
class Kept:
    """What a store holds of a run, read back from the store itself."""

    name: str
    status: str
    params: dict[str, str]
    tags: dict[str, str]
    metrics: dict[str, list[tuple[int, float]]]
    datasets: list[tuple[str, str, dict[str, Any]]]  # (context, digest, profile)
    images: set[tuple[str, int]]
    artifacts: dict[str, bytes]
    has_model: bool
    parent: str


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real MLflow server on a free port of this machine, with its own database and artifacts."""
    with mlflow_server(tmp_path_factory.mktemp("server")) as running:
        yield running.uri


@pytest.fixture(scope="module")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One database for all: MLflow takes five seconds to create one."""
    return f"sqlite:///{tmp_path_factory.mktemp('sqlite')}/mlflow.db"


@pytest.fixture(params=["memory", "journal", "sqlite", "server"])
def tracker(request: pytest.FixtureRequest, tmp_path: Path) -> Tracker:
    if request.param == "memory":
        return MemoryTracker()
    if request.param == "journal":
        return JournalTracker(RunFolder.create(tmp_path / "runs", "digits", "small-mlp"))
    return MLflowTracker(request.getfixturevalue(request.param))


def kept(tracker: Tracker) -> Kept:
    if isinstance(tracker, JournalTracker):
        twin = MemoryTracker()
        for events in runs_of(tracker.folder.journal.read()):
            replay(events, twin, tracker.folder)
        tracker = twin
    return _kept_by_memory(tracker) if isinstance(tracker, MemoryTracker) else _kept_by_mlflow(tracker)


def _kept_by_memory(tracker: MemoryTracker) -> Kept:
    return Kept(
        tracker.name,
        tracker.status,
        {key: str(value) for key, value in tracker.params.items()},
        {key: str(value) for key, value in tracker.tags.items()},
        tracker.metrics,
        [(dataset.context, dataset.digest, dict(dataset.profile)) for dataset in tracker.datasets],
        set(tracker.images),
        tracker.artifacts,
        bool(tracker.model),
        tracker.parent,
    )


def _kept_by_mlflow(tracker: Tracker) -> Kept:
    from mlflow import MlflowClient

    assert isinstance(tracker, MLflowTracker)
    client = MlflowClient(tracking_uri=tracker.uri)
    run = client.get_run(tracker.run_id)
    profiles = [
        ({tag.key: tag.value for tag in item.tags}, json.loads(item.dataset.profile))
        for item in run.inputs.dataset_inputs
    ]
    files = list(_files(client, tracker.run_id, ""))
    return Kept(
        run.info.run_name,
        run.info.status,
        dict(run.data.params),
        dict(run.data.tags),
        {
            key: [(point.step, point.value) for point in client.get_metric_history(tracker.run_id, key)]
            for key in run.data.metrics
        },
        [(tags["mlflow.data.context"], profile.pop("digest"), profile) for tags, profile in profiles],
        {
            (path.removeprefix("images/").split("+")[0].replace("~", "/"), int(path.split("+")[2]))
            for path in files
            if path.startswith("images/")
        },
        {
            path: Path(client.download_artifacts(tracker.run_id, path)).read_bytes()
            for path in files
            if not path.startswith("images/")
        },
        bool(run.outputs and run.outputs.model_outputs),
        run.data.tags.get("mlflow.parentRunId", ""),
    )


def _files(client: Any, run_id: str, folder: str) -> Iterator[str]:
    for item in client.list_artifacts(run_id, folder or None):
        if item.is_dir:
            yield from _files(client, run_id, item.path)
        else:
            yield item.path


SIGNATURE = {"inputs": [Tensor(None, "float32", [-1, 3])], "outputs": [Tensor(None, "float32", [-1, 2])]}


def place_of(tracker: Tracker, elsewhere: Path) -> Path:
    """Where files lie that a tracker is given: a run's own are in its folder."""
    return tracker.folder.directory if isinstance(tracker, JournalTracker) else elsewhere


def _start(tracker: Tracker, **params: Any) -> str:
    return tracker.start("digits", "small-mlp", params, {"engine": "graph"})


def test_a_run_keeps_its_name_params_and_tags(tracker: Tracker) -> None:
    run_id = _start(tracker, **{"train/batch_size": 256, "train/optimizer/adam/learning_rate": 1e-3, "seed": 0})
    tracker.set_tags({"stop_reason": "threshold: loss fell below 0.01", "engine": "xla"})
    stored = kept(tracker)
    assert run_id
    assert stored.name == "small-mlp"
    assert stored.status == "RUNNING"
    assert stored.params == {"train/batch_size": "256", "train/optimizer/adam/learning_rate": "0.001", "seed": "0"}
    assert stored.tags["stop_reason"] == "threshold: loss fell below 0.01"
    assert stored.tags["engine"] == "xla"


def test_more_params_than_one_batch_holds(tracker: Tracker) -> None:
    _start(tracker, **{f"p{index}": index for index in range(230)})
    assert len(kept(tracker).params) == 230


def test_curves_are_indexed_by_epochs_completed(tracker: Tracker) -> None:
    _start(tracker)
    for epoch in (1, 2, 3):
        tracker.log_metrics({"train/loss": 1.0 / epoch, "val/loss": 2.0 / epoch}, step=epoch)
    metrics = kept(tracker).metrics
    assert metrics["train/loss"] == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
    assert metrics["val/loss"] == [(1, 2.0), (2, 1.0), (3, 2 / 3)]


def test_many_epochs_are_sent_at_once(tracker: Tracker) -> None:
    _start(tracker)
    tracker.log_curves([Points({"train/loss": 1.0 / epoch, "val/loss": 2.0 / epoch}, epoch) for epoch in range(1, 121)])
    metrics = kept(tracker).metrics
    assert metrics["train/loss"] == [(epoch, 1.0 / epoch) for epoch in range(1, 121)]
    assert metrics["val/loss"][-1] == (120, 2.0 / 120)


def test_a_run_may_be_a_part_of_another(tracker: Tracker) -> None:
    other = MLflowTracker(tracker.uri) if isinstance(tracker, MLflowTracker) else MemoryTracker()
    run_id = other.start("digits", "search", {}, {}, key="the whole")
    tracker.start("digits", "fold-1", {}, {}, parent="the whole")
    assert kept(tracker).parent == (run_id if isinstance(tracker, MLflowTracker) else "the whole")
    assert kept(other).parent == ""


def test_a_run_that_began_already_is_not_begun_again(tracker: Tracker) -> None:
    facts = ("digits", "small-mlp", {"seed": 0}, {"engine": "graph"})
    run_id = tracker.start(*facts, key="this very run")
    tracker.log_metrics({"train/loss": 1.0}, 1)
    again = MLflowTracker(tracker.uri) if isinstance(tracker, MLflowTracker) else tracker
    assert again.start(*facts, key="this very run") == run_id  # its answer was lost, so it is said again
    again.log_metrics({"train/loss": 1.0}, 1)
    again.log_metrics({"train/loss": 0.5}, 2)
    assert kept(again).metrics["train/loss"] == [(1, 1.0), (2, 0.5)]


def test_what_is_measured_of_the_whole_is_measured_again_by_its_next_part(tracker: Tracker) -> None:
    run_id = _start(tracker)
    tracker.log_curves([Points({"best/loss": 0.5}, 0, 1_000_000)])
    again = taken_up(tracker, run_id)
    if isinstance(again, JournalTracker):
        time.sleep(0.01)  # whose events have the time at which they are said
    else:
        again.log_curves([Points({"best/loss": 0.5}, 0, 1_000_000)])
    again.log_curves([Points({"best/loss": 0.4}, 0, 2_000_000)])
    assert sorted(kept(again).metrics["best/loss"]) == [(0, 0.4), (0, 0.5)]


def test_a_run_that_has_ended_stays_so_when_something_is_added(tracker: Tracker) -> None:
    if isinstance(tracker, JournalTracker):
        pytest.skip("a journal is resumed by an event of its own")
    run_id = _start(tracker)
    tracker.end("FAILED")
    again = tracker if isinstance(tracker, MemoryTracker) else MLflowTracker(tracker.uri)  # type: ignore[attr-defined]
    again.resume(run_id, running=False)
    again.set_tags({"status_detail": "found later"})
    assert kept(again).status == "FAILED"


def test_pictures_and_models_that_are_there_are_not_added_again(tracker: Tracker, tmp_path: Path) -> None:
    import keras
    from PIL import Image

    picture, model = place_of(tracker, tmp_path) / "cost.png", place_of(tracker, tmp_path) / "model.keras"
    Image.new("RGB", (40, 30), "white").save(picture)
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save(model)
    run_id = _start(tracker)
    for take in (lambda: tracker, lambda: taken_up(tracker, run_id)):
        again = take()
        again.log_image("figures/cost", picture, step=0)
        again.log_model(model, SIGNATURE)
    stored = kept(again)
    assert stored.images == {("figures/cost", 0)}
    if isinstance(again, MLflowTracker):
        from mlflow import MlflowClient

        client = MlflowClient(again.uri)
        assert len(client.list_artifacts(again.run_id, "images")) == 2  # the picture, and a small one of it
        assert len(client.get_run(again.run_id).outputs.model_outputs) == 1


def test_answers_that_are_lost_leave_one_model(server: str, tmp_path: Path) -> None:
    """Of each call to the server the first answer is lost, so that nobody knows whether it did what it was asked."""
    import keras
    from mlflow import MlflowClient

    from kerasflow.recording import delivery_to

    run = RunFolder.create(tmp_path / "runs", "digits", "lost")
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save(run.path("model.keras"))
    journal = JournalTracker(run)
    journal.start("digits", "lost", {"seed": 0}, {})
    journal.log_model(run.path("model.keras"), SIGNATURE)
    journal.end("FINISHED")
    between = Between(server)
    between.loses_once = True
    delivery, lost = delivery_to(run, between.uri), 0
    while delivery.owed:
        try:
            delivery()
        except TrackingError:
            lost += 1
    between.close()
    client = MlflowClient(server)
    found = client.get_run(delivery.run_id)
    (model,) = client.search_logged_models([found.info.experiment_id], f"source_run_id = '{delivery.run_id}'")
    assert lost >= 8  # the run, its params, the model, its files, that it is whole and the run's, its digest, the end
    assert model.status.value == "READY"
    assert [output.model_id for output in found.outputs.model_outputs] == [model.model_id]
    assert (found.info.status, found.data.tags["sha256/model.keras"]) == ("FINISHED", model.tags["sha256"])


def test_a_cost_that_is_not_finite_is_kept_as_such(tracker: Tracker) -> None:
    _start(tracker)
    for step, value in ((1, 0.5), (2, math.inf), (3, math.nan)):
        tracker.log_metrics({"train/loss": value}, step)
    points = kept(tracker).metrics["train/loss"]
    assert [step for step, _ in points] == [1, 2, 3]
    assert [math.isfinite(value) for _, value in points] == [True, False, False]


def test_each_part_of_the_data_is_kept_with_its_whole_digest(tracker: Tracker) -> None:
    _start(tracker)
    digest = "ab" * 32
    for context, rows in (("train", 1257), ("validation", 180), ("test", 360)):
        tracker.log_dataset("digits", digest, context, {"rows": rows, "shape": [64]})  # type: ignore[arg-type]
    assert sorted(kept(tracker).datasets) == [
        ("test", digest, {"rows": 360, "shape": [64]}),
        ("train", digest, {"rows": 1257, "shape": [64]}),
        ("validation", digest, {"rows": 180, "shape": [64]}),
    ]


def test_images_and_artifacts(tracker: Tracker, tmp_path: Path) -> None:
    from PIL import Image

    place = place_of(tracker, tmp_path)
    picture, note, folder = place / "cost.png", place / "spec.yaml", place / "preparation"
    Image.new("RGB", (40, 30), "white").save(picture)
    note.write_text("seed: 7\n")
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "scaler.json").write_text("{}")
    _start(tracker)
    tracker.log_image("figures/cost", picture, step=0)
    tracker.log_artifact(note)
    tracker.log_artifact(picture, "figures")
    tracker.log_artifact(folder)
    stored = kept(tracker)
    assert stored.images == {("figures/cost", 0)}
    assert stored.artifacts == {
        "spec.yaml": b"seed: 7\n",
        "figures/cost.png": picture.read_bytes(),
        "preparation/inner/scaler.json": b"{}",
    }


def test_a_file_that_is_not_there_is_one_sentence(tracker: Tracker, tmp_path: Path) -> None:
    _start(tracker)
    with pytest.raises((TrackingError, RunError), match=r"nothing\.txt") as caught:
        tracker.log_artifact(place_of(tracker, tmp_path) / "nothing.txt")
    assert "\n" not in str(caught.value)


def test_a_model_is_kept(tracker: Tracker, tmp_path: Path) -> None:
    import keras

    file = place_of(tracker, tmp_path) / "model.keras"
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save(file)
    _start(tracker)
    tracker.log_model(file, SIGNATURE)
    assert kept(tracker).has_model


@pytest.mark.parametrize("status", ["FINISHED", "FAILED", "KILLED"])
def test_a_run_ends_as_it_ended(tracker: Tracker, status: Any) -> None:
    _start(tracker)
    tracker.end(status)
    assert kept(tracker).status == status


def taken_up(tracker: Tracker, run_id: str) -> Tracker:
    """The run as another process takes it up; the twin's memory ends with its process, so there it is the same one."""
    other = MLflowTracker(tracker.uri) if isinstance(tracker, MLflowTracker) else tracker
    other.resume(run_id)
    return other


def test_a_run_that_was_killed_goes_on_with_every_point_once(tracker: Tracker) -> None:
    run_id = _start(tracker)
    for epoch in (1, 2):
        tracker.log_metrics({"train/loss": 1.0 / epoch, "val/a b?c": math.nan}, step=epoch)
    tracker.log_metrics({"train/loss": 1.0 / 3}, step=3)  # the other curve's point did not arrive
    tracker.log_metrics({"test/loss": 0.5}, step=0)
    tracker.end("KILLED")
    again = taken_up(tracker, run_id)
    assert kept(again).status == "RUNNING"
    for epoch in (2, 3, 4):
        again.log_metrics({"train/loss": 1.0 / epoch, "val/a b?c": math.nan}, step=epoch)
    again.log_metrics({"test/loss": 0.5, "test/accuracy": 0.9}, step=0)
    again.set_tags({"stop_reason": "epochs: all 4 are completed"})
    again.end("FINISHED")
    stored = kept(again)
    assert stored.status == "FINISHED"
    assert sorted(stored.metrics["train/loss"]) == [(1, 1.0), (2, 0.5), (3, 1 / 3), (4, 0.25)]
    (other,) = (points for key, points in stored.metrics.items() if key.startswith("val/"))
    assert sorted(step for step, _ in other) == [1, 2, 3, 4]
    assert stored.metrics["test/loss"] == [(0, 0.5)]
    assert stored.metrics["test/accuracy"] == [(0, 0.9)]
    assert stored.tags["engine"] == "graph"


def test_a_run_that_the_store_does_not_have_is_one_sentence(tracker: Tracker) -> None:
    if isinstance(tracker, JournalTracker):
        pytest.skip("a journal is a run, and looks for no other")
    if isinstance(tracker, MLflowTracker):
        _start(MLflowTracker(tracker.uri))  # so that there is a store
    with pytest.raises(TrackingError, match="0" * 32) as refused:
        tracker.resume("0" * 32)
    assert "\n" not in str(refused.value)


def test_a_tracker_keeps_one_run(tracker: Tracker) -> None:
    if isinstance(tracker, JournalTracker):
        pytest.skip("a journal is a run, from its folder's first moment")
    with pytest.raises(TrackingError, match="call start first"):
        tracker.set_tags({"a": 1})
    with pytest.raises(TrackingError, match="call start first"):
        tracker.end("FINISHED")
    run_id = _start(tracker)
    with pytest.raises(TrackingError, match=run_id):
        _start(tracker)
