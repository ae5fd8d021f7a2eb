"""A run's record, read from an MLflow store."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerasflow.errors import TrackingError
from kerasflow.tracking import store_uri
from kerasflow.tracking.mlflow_calls import FIRST_CONTACT, UPLOAD, InContext, calling
from kerasflow.tracking.recorded import Recorded, logged

if TYPE_CHECKING:
    from mlflow.entities import Run


def of_store(uri: str, run_id: str) -> Recorded:
    """The record of a run in a store.

    Raises:
        TrackingError: the store does not answer, or has no such run, or not all of its files.
    """
    uri = store_uri.resolve(uri)
    file = store_uri.sqlite_file(uri)
    if file is not None and not file.exists():
        raise TrackingError(f"the tracking store {file} is not there; name the one that has the run {run_id}")
    store_uri.check_reachable(uri)
    with calling(uri, f"read run {run_id}", FIRST_CONTACT):
        from mlflow import MlflowClient

        client = MlflowClient(tracking_uri=uri)
        run = client.get_run(run_id)
    files = {}
    for name in logged(run.data.tags):
        with calling(uri, f"give {name} of run {run_id}", UPLOAD):
            files[name] = _content(run, uri, name)
    where = f"run {run_id} in {store_uri.shown(uri)}"
    return Recorded(where, run_id, run.info.status == "FINISHED", run.data.tags, run.data.metrics, files)


def _content(run: Run, uri: str, name: str) -> bytes:
    """The bytes of one artifact, which a store that answers with a folder, a link or another's path does not get by."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
    from mlflow.utils.uri import add_databricks_profile_info_to_artifact_uri

    place = add_databricks_profile_info_to_artifact_uri(run.info.artifact_uri, uri)  # type: ignore[no-untyped-call]
    repository: Any = get_artifact_repository(place, tracking_uri=uri)
    with tempfile.TemporaryDirectory() as aside, InContext(max_workers=1) as repository.thread_pool:
        wanted = Path(aside).resolve() / name
        given = Path(repository.download_artifacts(name, aside))
        if given.resolve() != wanted or wanted.is_symlink() or not wanted.is_file():
            raise TrackingError(f"run {run.info.run_id}: its artifact {name} is no plain file, so it is not used")
        return wanted.read_bytes()
