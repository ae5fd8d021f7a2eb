"""A run that did not finish goes on: in its folder, in its run in MLflow, and to the same bits."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import yaml
from mlflow import MlflowClient

import kerasflow as kf
from kerasflow import figures
from kerasflow.experiment import unfinished
from kerasflow.tracking.folder import RunFolder
from kerasflow.training import archive
from kerasflow.training.checkpoint import Checkpoints

EPOCHS = 5
TIMES = {"seconds", "samples_per_second"}

Spec = dict[str, Any]
Interrupted = Callable[..., Path]


@pytest.fixture(scope="module", autouse=True)
def _no_pictures() -> Iterator[None]:
    """They take much of a small run's time, and no part in how it goes on."""

    def draw(folder: RunFolder, *_: Any, **__: Any) -> dict[str, Path]:
        folder.path("figures/none.png")
        return {}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "draw", draw)
        yield


@pytest.fixture(scope="module")
def spec(iris: Callable[..., Spec]) -> Spec:
    """An experiment of ragged windows, with a rule that counts epochs and never stops it."""
    changes = {
        "batch_size": 64,
        "micro_batch_size": 40,
        "epochs": EPOCHS,
        "stop": [{"plateau": {"monitor": "val_loss", "patience": 4, "restore_best": True}}],
    }
    return iris(train=iris()["train"] | changes)


@pytest.fixture(scope="module")
def whole(spec: Spec, tmp_path_factory: pytest.TempPathFactory) -> kf.RunResult:
    """The run that nothing interrupts."""
    return kf.run(spec, root=tmp_path_factory.mktemp("whole"), verbose=0)


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint at the end of every epoch, as if each took long."""
    monkeypatch.setattr(Checkpoints, "due", lambda self, within_epoch=False: not within_epoch)


@pytest.fixture
def never(monkeypatch: pytest.MonkeyPatch) -> None:
    """No checkpoint before the end, as if the training were quick."""
    monkeypatch.setattr(Checkpoints, "due", lambda self, within_epoch=False: False)


@pytest.fixture
def interrupted(spec: Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Interrupted:
    """Makes a run that Ctrl-C ends as epoch 3 does, before it is written down; its folder."""

    def make(at: int = 3, **changes: Any) -> Path:
        append = RunFolder.append_row

        def stumble(self: RunFolder, row: dict[str, Any]) -> None:
            if row["epoch"] == at:
                raise KeyboardInterrupt
            append(self, row)

        with monkeypatch.context() as patch:
            patch.setattr(RunFolder, "append_row", stumble)
            with pytest.raises(KeyboardInterrupt) as caught:
                kf.run(spec | changes, root=tmp_path / "runs", verbose=0)
        (folder,) = (path.parent for path in (tmp_path / "runs").glob("*/*/status.json"))
        (note,) = caught.value.__notes__
        assert note.startswith(f"Interrupted after epoch {at - 1}; go on with: kerasflow run ")
        assert note.endswith(f"{folder.name} --resume")
        return folder

    return make


def timeless(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name not in TIMES} for row in rows]


def state(folder: Path) -> str:
    return str(RunFolder.open(folder).status.state)


def assert_as_whole(folder: Path, whole: kf.RunResult) -> None:
    saved = keras.models.load_model(folder / "model.keras").get_weights()
    for a, b in zip(saved, whole.model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert timeless(RunFolder.open(folder).rows) == timeless(whole.history.rows)
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics.pop("perf/train_seconds") >= sum(row["seconds"] for row in RunFolder.open(folder).rows)
    assert metrics == {name: value for name, value in whole.metrics.items() if name != "perf/train_seconds"}
    assert state(folder) == "FINISHED"
    assert not (folder / "checkpoints").exists()


# --- to the same end


@pytest.mark.usefixtures("often")
def test_a_run_goes_on_from_its_checkpoint_to_the_same_bits(interrupted: Interrupted, whole: kf.RunResult) -> None:
    folder = interrupted()
    before = RunFolder.open(folder).rows
    assert [row["epoch"] for row in before] == [1, 2]
    result = kf.resume(folder, verbose=0)
    assert result.folder == folder
    assert result.history.rows[:2] == before, "not computed again, so their seconds count for a deadline"
    assert timeless(result.history.rows) == timeless(whole.history.rows)
    assert result.history.stop_reason == whole.history.stop_reason
    assert_as_whole(folder, whole)


@pytest.mark.usefixtures("never")
def test_a_run_without_a_checkpoint_begins_again_in_its_folder(interrupted: Interrupted, whole: kf.RunResult) -> None:
    folder = interrupted()
    assert not (folder / "checkpoints").exists()
    kf.resume(folder, verbose=0)
    assert_as_whole(folder, whole)


@pytest.mark.usefixtures("often")
def test_epochs_after_the_checkpoint_are_not_there_twice(interrupted: Interrupted, whole: kf.RunResult) -> None:
    folder = interrupted()
    RunFolder.open(folder).append_row({"epoch": 3, "loss": 9.9})
    with (folder / "history.jsonl").open("a") as file:
        file.write('{"epoch": 4, "lo')  # torn by a crash
    kf.resume(str(folder), verbose=0)
    assert_as_whole(folder, whole)


def test_what_was_interrupted_after_its_training_only_ends(
    spec: Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: kf.RunResult
) -> None:
    def stumble(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(figures, "draw", stumble)
        with pytest.raises(KeyboardInterrupt):
            kf.run(spec, root=tmp_path, verbose=0)
    folder = unfinished(kf.load_spec(spec), tmp_path)
    before = RunFolder.open(folder).rows
    kf.resume(folder, verbose=0)
    assert RunFolder.open(folder).rows == before, "nothing was trained again"
    assert_as_whole(folder, whole)


@pytest.mark.usefixtures("often")
def test_the_engine_stays_what_it_was(spec: Spec, interrupted: Interrupted, monkeypatch: pytest.MonkeyPatch) -> None:
    from kerasflow.training import loop

    folder = interrupted(train=spec["train"] | {"engine": "auto", "epochs": 3})
    monkeypatch.setattr(loop, "choose_engine", lambda *_: ("eager", "another day, another choice"))
    history = kf.resume(folder, verbose=0).history
    assert history.engine == "graph"
    assert history.engine_reason.startswith("auto: compiled as a TensorFlow graph")


# --- in MLflow


@pytest.mark.usefixtures("often")
def test_the_run_in_mlflow_goes_on_with_every_epoch_once(
    tmp_path: Path, interrupted: Interrupted, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.chdir(tmp_path)
    folder = interrupted(track={"uri": "sqlite:///mlflow.db"})
    run_id = RunFolder.open(folder).status.run_id
    client = MlflowClient(store)
    assert client.get_run(run_id).info.status == "KILLED"
    client.log_metric(run_id, "train/loss", 0.5, step=3)  # told, and killed before the next checkpoint
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    result = kf.resume(folder, verbose=0)
    assert (result.run_id, result.store) == (run_id, store)
    assert not any((tmp_path / "elsewhere").iterdir())
    found = client.get_run(run_id)
    assert found.info.status == "FINISHED"
    assert found.data.tags["status_detail"] == "resumed after epoch 2"
    for key in ("train/loss", "val/loss", "optim/updates", "perf/epoch_seconds"):
        points = sorted(client.get_metric_history(run_id, key), key=lambda point: point.step)
        assert [point.step for point in points] == list(range(1, len(result.history.rows) + 1)), key
    updates = {point.step: point.value for point in client.get_metric_history(run_id, "optim/updates")}
    assert updates == {row["epoch"]: row["updates"] for row in result.history.rows}
    assert len(found.inputs.dataset_inputs) == 3
    assert len(client.search_logged_models([found.info.experiment_id])) == 1


# --- refused


def test_a_finished_run_has_nothing_to_go_on_with(whole: kf.RunResult) -> None:
    before = sorted(whole.folder.rglob("*"))
    with pytest.raises(kf.RunError, match=r"has finished .*nothing to go on with"):
        kf.resume(whole.folder, verbose=0)
    assert sorted(whole.folder.rglob("*")) == before
    assert state(whole.folder) == "FINISHED"


def test_other_data_is_refused(interrupted: Interrupted, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "data.npz", x=rng.normal(size=(90, 4)), y=np.arange(90) % 3)
    folder = interrupted(data={"source": {"npz": str(tmp_path / "data.npz")}})
    before = (folder / "status.json").read_text()
    np.savez(tmp_path / "data.npz", x=rng.normal(size=(90, 4)), y=np.arange(90) % 3)
    with pytest.raises(kf.DataError, match=r"is not the data that .* began with"):
        kf.resume(folder, verbose=0)
    assert (folder / "status.json").read_text() == before


def test_a_run_that_somebody_is_at_work_on_is_left_alone(interrupted: Interrupted) -> None:
    folder = interrupted()
    with RunFolder.open(folder).locked(), pytest.raises(kf.RunError, match="another process is at work"):
        kf.resume(folder, verbose=0)
    assert state(folder) == "KILLED"


def test_what_is_no_run_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(kf.RunError, match="does not exist"):
        kf.resume(tmp_path / "nothing")
    with pytest.raises(kf.RunError, match="not a run folder"):
        kf.resume(tmp_path)
    folder = RunFolder.create(tmp_path, "iris", "tiny")
    with pytest.raises(kf.RunError, match="before its spec was written"):
        kf.resume(folder)


def test_a_store_that_is_gone_is_one_sentence(
    interrupted: Interrupted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = interrupted()
    RunFolder.open(folder).set_status("KILLED", run_id="0" * 32, store=str(tmp_path / "gone.db"))
    text = (folder / "spec.yaml").read_text()
    (folder / "spec.yaml").write_text(text.replace("uri: none", "uri: auto"))
    with pytest.raises(kf.TrackingError, match=r"gone\.db is not there"):
        kf.resume(folder, verbose=0)
    assert state(folder) == "KILLED"
    assert not (tmp_path / "gone.db").exists()


# --- which run


def test_the_newest_run_of_this_very_spec_is_found(spec: Spec, interrupted: Interrupted, tmp_path: Path) -> None:
    folder = interrupted()
    wanted, root = kf.load_spec(spec), tmp_path / "runs"
    assert unfinished(wanted, root) == folder
    for changes in ({"name": "other"}, {"train.batch_size": 48}):
        with pytest.raises(kf.RunError, match="waits to go on"):
            unfinished(kf.load_spec(spec, changes), root)
    RunFolder.open(folder).set_status("FINISHED")
    with pytest.raises(kf.RunError, match="waits to go on"):
        unfinished(wanted, root)


# --- real processes


@pytest.mark.slow
def test_ctrl_c_says_how_to_go_on_and_so_it_does(spec: Spec, tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(spec | {"train": spec["train"] | {"epochs": 20, "stop": []}}))
    kerasflow = [sys.executable, "-c", "from kerasflow.cli import main; main()", "run"]
    first = subprocess.Popen([*kerasflow, "spec.yaml"], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    assert first.stderr is not None
    assert any(line.startswith("epoch 2/") for line in first.stderr)
    first.send_signal(signal.SIGINT)
    _, err = first.communicate(timeout=60)
    assert first.returncode == 130
    command = err.strip().splitlines()[-1].partition("go on with: kerasflow run ")[2].split()
    (folder,) = (tmp_path / "runs" / "iris").iterdir()
    assert command == [str(folder.relative_to(tmp_path)), "--resume"]
    assert list((folder / "checkpoints").iterdir()), "Ctrl-C leaves one"
    second = subprocess.run(
        [*kerasflow, "spec.yaml", "--resume"], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120
    )
    assert "epochs: all 20 are completed" in second.stdout
    assert "epoch 1/" not in second.stderr
    assert [row["epoch"] for row in RunFolder.open(folder).rows] == list(range(1, 21))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_training_killed_twenty_times_ends_in_the_same_bits(tmp_path: Path) -> None:
    script = Path(__file__).with_name("killed_again_and_again.py")
    seed = int.from_bytes(os.urandom(4))
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path), "10", str(seed)],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    for work in ("run", "fit"):
        folder = tmp_path / work
        told = json.loads((folder / "told.json").read_text())
        assert told["killed"] == 10
        weights, rows = outcome(folder / "whole")
        assert rows[-1]["epoch"] > 3
        for number in range(told["finished"]):
            after_kills = outcome(folder / str(number))
            assert timeless(after_kills[1]) == timeless(rows), f"{work} {number}, seed {seed}"
            for a, b in zip(after_kills[0], weights, strict=True):
                np.testing.assert_array_equal(a, b, err_msg=f"{work} {number}, seed {seed}")


def outcome(folder: Path) -> tuple[list[np.ndarray], list[dict[str, Any]]]:
    """Weights and history that a training left."""
    return archive.read(folder / "weights"), json.loads((folder / "rows.json").read_text())
