"""A recorded run is done again from its record alone; what was changed in the record is refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from mlflow import MlflowClient
from sklearn.datasets import load_iris

import kerasflow as kf
from kerasflow import figures
from kerasflow.tracking import environment, mlflow_recorded, recorded
from kerasflow.tracking.folder import RunFolder
from kerasflow.tracking.journal_tracker import told_by

Spec = Callable[..., dict[str, Any]]


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    def draw(folder: RunFolder, *_: Any, **__: Any) -> dict[str, Path]:
        folder.path("figures/none.png")
        return {}

    monkeypatch.setattr(figures, "draw", draw)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Iris as a file that a test may change."""
    bunch = load_iris(as_frame=True)
    path = tmp_path_factory.mktemp("data") / "iris.csv"
    bunch.frame.to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def first(iris: Spec, table: Path, store: str, tmp_path_factory: pytest.TempPathFactory) -> kf.RunResult:
    """A run whose folder is gone: MLflow alone knows it."""
    spec = iris(data={"source": {"csv": {"path": str(table), "target": "target"}}}, track={"uri": store})
    found = kf.run(spec, root=tmp_path_factory.mktemp("first"), verbose=0)
    shutil.rmtree(found.folder)
    return found


@pytest.fixture
def artifact(first: kf.RunResult, store: str) -> Iterator[Callable[[str], Path]]:
    """An artifact of that run, as it lies in the store; it is whole again afterwards."""
    place = Path(MlflowClient(store).get_run(first.run_id).info.artifact_uri.removeprefix("file://"))
    before = {name: (place / name).read_bytes() for name in recorded.FILES}
    yield lambda name: place / name
    for name, content in before.items():
        if (place / name).is_dir():
            shutil.rmtree(place / name)
        (place / name).unlink(missing_ok=True)
        (place / name).write_bytes(content)


def test_from_mlflow_alone_it_ends_the_same_to_the_bit(first, store, tmp_path) -> None:
    again = kf.rerun(first.run_id, uri=store, root=tmp_path, verbose=0)
    assert again.then["val/loss"] == first.history.rows[-1]["val_loss"]
    assert again.then == again.now
    assert {"val/loss", "train/loss", "test/loss", "test/accuracy"} <= set(again.then)
    assert again.same
    for then, now in zip(first.history.rows, again.result.history.rows, strict=True):
        assert then["val_loss"] == now["val_loss"]
    run = MlflowClient(store).get_run(again.result.run_id)
    assert run.data.tags["rerun_of"] == first.run_id != again.result.run_id
    assert run.info.status == "FINISHED"


def test_from_a_folder_and_what_is_not_the_same_is_told(iris, tmp_path, monkeypatch) -> None:
    spec = iris(train={"epochs": 1, "engine": "eager"})
    first = kf.run(spec, root=tmp_path, verbose=0)
    monkeypatch.setattr(environment, "environment_text", lambda: "# Python 2.7\n")
    monkeypatch.setattr(environment, "git_tags", lambda: {"git_commit": "f" * 40, "git_dirty": "true"})
    with pytest.warns(UserWarning, match="not as it was") as warned:
        again = kf.rerun(first.folder, root=tmp_path, verbose=0)
    assert again.same
    told = "\n".join(str(one.message) for one in warned)
    assert all(f"not as it was: {sentence}" in told for sentence in again.differences)
    assert "Python 2.7 now" in told
    assert "packages: keras 3" in told
    assert "ffffffffffff now" in told
    assert again.result.store == ""
    assert told_by(RunFolder.open(again.result.folder)).tags["rerun_of"] == first.folder.name


def test_with_something_else_it_is_another_run_that_says_what(first, store, tmp_path) -> None:
    changes = {"train.epochs": 2, "seed": 3, "model.layers[0].dense.units": 5}
    again = kf.rerun(first.run_id, changes, uri=store, root=tmp_path, verbose=0)
    assert again.changed == ("train.epochs: 3 then, 2 now", "model.layers[0].dense.units: 6 then, 5 now")
    assert not again.same
    assert len(again.result.history.rows) == 2
    run = MlflowClient(store).get_run(again.result.run_id)
    assert run.data.tags["rerun_of"] == first.run_id
    assert run.data.tags["rerun_with"] == "; ".join(again.changed)
    with pytest.raises(kf.SpecError, match="train has no 'epoch', did you mean 'epochs'"):
        kf.rerun(first.run_id, {"train.epoch.x": 2}, uri=store, root=tmp_path, verbose=0)


def test_with_other_data_it_is_not_asked_for_the_same(first, store, tmp_path) -> None:
    again = kf.rerun(first.run_id, {"data.source": {"sklearn": "wine"}}, uri=store, root=tmp_path, verbose=0)
    assert again.result.metrics["data/labelled"] > 0
    assert again.changed[0].startswith("data.source: ")


def test_a_run_that_did_not_finish_has_no_end_to_compare_with(iris, tmp_path, monkeypatch) -> None:
    with monkeypatch.context() as patch:

        def stumble(*_: Any, **__: Any) -> None:
            raise KeyboardInterrupt

        patch.setattr(figures, "draw", stumble)
        with pytest.raises(KeyboardInterrupt):
            kf.run(iris(train={"epochs": 1, "engine": "eager"}), root=tmp_path, verbose=0)
    (stopped,) = RunFolder.list(tmp_path, "iris")
    again = kf.rerun(stopped.directory, root=tmp_path, verbose=0)
    assert (again.then, again.same) == ({}, False)
    assert again.now["val/loss"] > 0


def untrained(first: kf.RunResult, store: str, tmp_path: Path, words: str, error: type[Exception]) -> None:
    with pytest.raises(error, match=words):
        kf.rerun(first.run_id, uri=store, root=tmp_path / "runs", verbose=0)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("name", recorded.FILES)
def test_what_was_changed_in_the_artifact_store_is_refused_by_name(first, store, artifact, tmp_path, name) -> None:
    file = artifact(name)
    file.write_text(file.read_text().replace("1", "2", 1))
    untrained(first, store, tmp_path, f"{name} is not what the run logged", kf.RunError)


def test_what_is_gone_or_no_file_is_refused_by_name(first, store, artifact, tmp_path) -> None:
    file = artifact("spec.yaml")
    text = file.read_bytes()
    file.unlink()
    untrained(first, store, tmp_path, "spec.yaml", kf.TrackingError)
    file.mkdir()
    (file / "spec.yaml").write_bytes(text)
    untrained(first, store, tmp_path, "spec.yaml is no plain file", kf.TrackingError)


def test_a_run_without_digests_is_refused(first, store, tmp_path) -> None:
    client = MlflowClient(store)
    digest = client.get_run(first.run_id).data.tags["sha256/spec.yaml"]
    client.delete_tag(first.run_id, "sha256/spec.yaml")
    try:
        untrained(first, store, tmp_path, "no tag tells the digest of spec.yaml", kf.RunError)
    finally:
        client.set_tag(first.run_id, "sha256/spec.yaml", digest)


def test_other_data_is_refused(first, store, table, tmp_path) -> None:
    before = table.read_text()
    frame = pd.read_csv(table)
    frame.iloc[7, 0] += 1
    frame.to_csv(table, index=False)
    try:
        untrained(first, store, tmp_path, "is not the data that .* began with", kf.DataError)
    finally:
        table.write_text(before)


@pytest.mark.parametrize("path", ["spec.yaml/../../../evil", "../evil", "/tmp/kerasflow-evil"])
def test_a_hostile_listing_writes_nothing_outside(first, store, tmp_path, monkeypatch, path) -> None:
    """An artifact store that says: what you ask for is a folder, and in it are files elsewhere."""
    from mlflow.entities import FileInfo
    from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

    def listing(self: Any, asked: str | None = None) -> list[FileInfo]:
        return [FileInfo(path, False, 4)]

    def download(self: Any, remote_file_path: str, local_path: str) -> None:
        Path(local_path).write_text("evil")

    def as_remote(self: Any, artifact_path: str, dst_path: str | None = None) -> str:
        return str(super(LocalArtifactRepository, self).download_artifacts(artifact_path, dst_path))

    monkeypatch.setattr(mlflow_recorded.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(LocalArtifactRepository, "list_artifacts", listing)
    monkeypatch.setattr(LocalArtifactRepository, "_is_directory", lambda self, path: True)
    monkeypatch.setattr(LocalArtifactRepository, "_download_file", download)
    monkeypatch.setattr(LocalArtifactRepository, "download_artifacts", as_remote)
    with pytest.raises(kf.TrackingError, match=r"spec\.yaml"):
        mlflow_recorded.of_store(store, first.run_id)
    assert not list(tmp_path.rglob("*evil*"))
    assert not list(tmp_path.parent.glob("*evil*"))
    assert not Path("/tmp/kerasflow-evil").exists()


@pytest.mark.parametrize("run", ["no/such/folder", "abc", "0" * 32])
def test_a_run_that_is_not_there(store, run) -> None:
    with pytest.raises(kf.KerasflowError, match=run):
        kf.rerun(run, uri=store)
