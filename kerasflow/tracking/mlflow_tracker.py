"""The tracker that writes to MLflow, through its client alone: no active run, no global address, nothing inferred."""

from __future__ import annotations

import getpass
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerasflow.errors import NotYetError, RefusedError, RunGoneError, TrackingError
from kerasflow.tracking import limits, store_uri
from kerasflow.tracking.environment import model_requirements
from kerasflow.tracking.folder import digest_of, safe_name
from kerasflow.tracking.mlflow_calls import FIRST_CONTACT, REQUEST, UPLOAD, calling, garbage_kept
from kerasflow.tracking.port import Context, EndStatus, Points, Tensor
from kerasflow.tracking.record import Reached, new_points
from kerasflow.tracking.store_uri import shown

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Run

_ITEMS_A_BATCH, _METRICS_A_BATCH = 100, 1000
_NOT_FINITE = "not_finite"
_KEY_TAG = "kerasflow.key"
_CONTENT_TAG = "sha256"
_LOCK_SECONDS = 120

# MLflow's charts take a run's colour from this tag, else from its id, which gives neighbours the same one.
_COLOUR_TAG = "mlflow.runColor"
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#B8A800")


class MLflowTracker:
    """Keeps one run in an MLflow store.

    A SQLite store is created on first use; its artifacts land in `mlruns/` beside it, where the UI finds them.

    Args:
        uri: `sqlite:///mlflow.db`, `http://host:5000` or another address that MLflow's own client takes.

    Attributes:
        run_id: empty before `start`.
        uri: the address, a relative SQLite file made absolute.

    Raises:
        TrackingError: for an address that cannot be one. Whether somebody answers there shows at `start`.
    """

    def __init__(self, uri: str = "sqlite:///mlflow.db") -> None:
        self.uri = store_uri.resolve(uri)
        self.run_id = ""
        self._experiment_id = ""
        self._client: MlflowClient | None = None
        self._not_finite: dict[str, str] = {}
        # What the run had when it was taken up: the step that each curve had reached, pictures, models by their content
        # (None: not asked yet) and the ids of those that are its outputs.
        self._last: dict[str, Reached] = {}
        self._images: frozenset[str] = frozenset()
        self._models: dict[str, LoggedModel] | None = {}
        self._outputs: set[str] = set()

    def start(
        self,
        experiment: str,
        name: str,
        params: Mapping[str, Any],
        tags: Mapping[str, Any],
        parent: str = "",
        key: str = "",
        at: int | None = None,
    ) -> str:
        if self.run_id:
            raise TrackingError(f"this tracker keeps run {self.run_id} already; a new run needs a new tracker")
        store_uri.check_reachable(self.uri)
        with self._calling("open the experiment", FIRST_CONTACT), self._one_creator():
            from mlflow import MlflowClient

            self._client = MlflowClient(tracking_uri=self.uri)
            self._experiment_id = self._find_or_create(self._client, experiment)
        with self._calling("start a run"):
            known = key and _run_of(self._client, self._experiment_id, key)
        if known:
            self.resume(known, running=False)
        else:
            with self._calling("start a run"):
                own = {**_origin(tags), _COLOUR_TAG: _next_colour(self._client, self._experiment_id)}
                own |= {_KEY_TAG: key} if key else {}
                own |= {"mlflow.parentRunId": self._parent(self._client, parent)} if parent else {}
                run = self._client.create_run(self._experiment_id, at, tags=own, run_name=name)
                self.run_id = str(run.info.run_id)
        try:
            self._log_texts(limits.fit_texts(params, limits.PARAM_LENGTH), limits.fit_texts(tags, limits.TAG_LENGTH))
        except BaseException:  # whatever comes, the run that was begun a moment ago must not say RUNNING for ever
            with suppress(TrackingError):
                self.end("FAILED")
            raise
        return self.run_id

    def resume(self, run_id: str, running: bool = True) -> None:
        if self.run_id not in ("", run_id):
            raise TrackingError(f"this tracker keeps run {self.run_id} already; another run needs another tracker")
        file = store_uri.sqlite_file(self.uri)
        if file is not None and not file.exists():
            raise TrackingError(f"run {run_id} cannot be resumed: its tracking store {file} is not there")
        store_uri.check_reachable(self.uri)
        with self._calling(f"resume run {run_id}", FIRST_CONTACT):
            from mlflow import MlflowClient

            client = MlflowClient(tracking_uri=self.uri)
            run = self._found(client, run_id)
            self._last = {key: _reached(client, run_id, key) for key in run.data.metrics}
            self._images = frozenset(_places(item.path) for item in client.list_artifacts(run_id, "images"))
            self._models = None
            self._outputs = {output.model_id for output in run.outputs.model_outputs} if run.outputs else set()
            if running:
                client.update_run(run_id, "RUNNING")
        self._client, self.run_id, self._experiment_id = client, run_id, str(run.info.experiment_id)
        if _NOT_FINITE in run.data.tags:
            self._not_finite[""] = run.data.tags[_NOT_FINITE]

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        self._log_texts({}, limits.fit_texts(tags, limits.TAG_LENGTH))

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        self.log_curves([Points(metrics, step)])

    def log_curves(self, points: Sequence[Points]) -> None:
        from mlflow.entities import Metric

        client = self._started()
        now = int(time.time() * 1000)
        entities, news = [], dict[str, str]()
        for metrics, step, at in points:
            fitted, strange = limits.fit_metrics(metrics)
            new = new_points(fitted, step, at, self._last)
            entities += [Metric(key, value, at or now, step) for key, value in new.items()]
            if new:
                news = {key: f"{key} = {value} at step {step}" for key, value in strange.items()} | news
        with self._calling("log metrics"):
            for batch in _batches(entities, _METRICS_A_BATCH):
                with garbage_kept() if store_uri.sqlite_file(self.uri) else nullcontext():
                    client.log_batch(self.run_id, metrics=batch, synchronous=True)
        news = {key: text for key, text in news.items() if key not in self._not_finite}
        if news:
            self._not_finite.update(news)
            self.set_tags({_NOT_FINITE: "; ".join(self._not_finite.values())})

    def log_dataset(self, name: str, digest: str, context: Context, profile: Mapping[str, Any]) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        client = self._started()
        # MLflow takes two inputs of one name and digest for the same and forgets the second's context.
        dataset = Dataset(
            name=f"{name}/{context}",
            digest=digest[: limits.DIGEST_LENGTH],
            source_type="local",
            source=json.dumps({"uri": name}),
            profile=json.dumps({**profile, "digest": digest}),
        )
        with self._calling("log a dataset"):
            client.log_inputs(self.run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", context)])])

    def log_image(self, key: str, path: Path, step: int) -> None:
        from PIL import Image

        client, key = self._started(), limits.fit_key(key).replace(":", "_")
        if _place(key, step) in self._images:
            return
        with self._calling(f"log the image {path}", UPLOAD), Image.open(path) as image:
            client.log_image(self.run_id, image, key=key, step=step, synchronous=True)

    def log_artifact(self, path: Path, folder: str = "") -> None:
        client = self._started()
        with self._calling(f"log {path}", UPLOAD):
            client.log_artifact(self.run_id, str(path), folder or None)

    def log_model(self, path: Path, signature: Mapping[str, Sequence[Tensor]]) -> None:
        from mlflow.entities import LoggedModelOutput

        client = self._started()
        with self._calling("read the model"):
            content = digest_of(path)
        with self._calling("log the model"):
            models = self._known_models(client)
            logged = models.get(content) or client.create_logged_model(
                self._experiment_id, name="model", source_run_id=self.run_id, tags={_CONTENT_TAG: content}
            )
        try:
            if logged.status.value != "READY":
                with self._calling("log the model", UPLOAD), tempfile.TemporaryDirectory() as aside:
                    _save_model(path, signature, Path(aside) / "model", self.run_id, logged)
                    client.log_model_artifacts(logged.model_id, str(Path(aside) / "model"))
            with self._calling("log the model"):
                models[content] = client.finalize_logged_model(logged.model_id, "READY")
                if logged.model_id not in self._outputs:
                    client.log_outputs(self.run_id, [LoggedModelOutput(logged.model_id, step=0)])
                    self._outputs.add(logged.model_id)
        except RefusedError:
            with suppress(TrackingError), self._calling("say that the model is not whole"):
                client.finalize_logged_model(logged.model_id, "FAILED")
            raise

    def end(self, status: EndStatus, at: int | None = None) -> None:
        client = self._started()
        with self._calling("end the run"):
            client.set_terminated(self.run_id, status, at)

    def _calling(self, action: str, seconds: int = REQUEST) -> AbstractContextManager[None]:
        return calling(self.uri, action, seconds)

    def _known_models(self, client: MlflowClient) -> dict[str, LoggedModel]:
        """The run's models by content, also those that a call has begun whose answer was lost."""
        if self._models is None:
            found = client.search_logged_models([self._experiment_id], f"source_run_id = '{self.run_id}'")
            self._models = {model.tags.get(_CONTENT_TAG, ""): model for model in found}
        return self._models

    def _found(self, client: MlflowClient, run_id: str) -> Run:
        from mlflow.exceptions import MlflowException

        try:
            run = client.get_run(run_id)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            raise RunGoneError(f"the tracking store {shown(self.uri)} has no run {run_id}") from error
        if run.info.lifecycle_stage != "active":
            raise RunGoneError(f"the run {run_id} is deleted in {shown(self.uri)}")
        return run

    def _started(self) -> MlflowClient:
        if self._client is None or not self.run_id:
            raise TrackingError("no run has begun: call start first")
        return self._client

    def _parent(self, client: MlflowClient, key: str) -> str:
        found = _run_of(client, self._experiment_id, key, deleted=True)
        if not found:
            raise NotYetError(f"the run {key}, which this one is a part of, is not recorded yet")
        return found

    def _one_creator(self) -> AbstractContextManager[Any]:
        """First runs that create the tables of one database at once are in each other's way: they take turns."""
        lock = store_uri.creation_lock(self.uri)
        if lock is None:
            return nullcontext()
        import mlflow.store.tracking.sqlalchemy_store  # noqa: F401  # takes seconds: before others have to wait
        from filelock import FileLock

        return FileLock(lock, timeout=_LOCK_SECONDS)

    def _find_or_create(self, client: MlflowClient, experiment: str) -> str:
        from mlflow.exceptions import MlflowException

        found = client.get_experiment_by_name(experiment)
        if found is None:
            file = store_uri.sqlite_file(self.uri)
            artifacts = str(file.parent / "mlruns" / safe_name(experiment)) if file else None
            try:
                return str(client.create_experiment(experiment, artifacts))
            except MlflowException:
                # Another process may have been faster; if not, the first error stands.
                found = client.get_experiment_by_name(experiment)
                if found is None:
                    raise
        if found.lifecycle_stage != "active":
            raise TrackingError(
                f"the experiment {experiment!r} is deleted in {shown(self.uri)}; restore it there "
                f"(mlflow experiments restore -x {found.experiment_id}) or choose another name"
            )
        return str(found.experiment_id)

    def _log_texts(self, params: Mapping[str, str], tags: Mapping[str, str]) -> None:
        from mlflow.entities import Param, RunTag

        client = self._started()
        with self._calling("log params and tags"):
            for some_params in _batches([Param(key, value) for key, value in params.items()]):
                client.log_batch(self.run_id, params=some_params, synchronous=True)
            for some_tags in _batches([RunTag(key, value) for key, value in tags.items()]):
                client.log_batch(self.run_id, tags=some_tags, synchronous=True)


def _next_colour(client: MlflowClient, experiment_id: str) -> str:
    """The colour after that of the experiment's newest run, in a ring."""
    newest = client.search_runs([experiment_id], max_results=1, order_by=["attributes.start_time DESC"])
    used = newest[0].data.tags.get(_COLOUR_TAG) if newest else None
    return _COLOURS[(_COLOURS.index(used) + 1) % len(_COLOURS)] if used in _COLOURS else _COLOURS[0]


def _reached(client: MlflowClient, run_id: str, key: str) -> Reached:
    """Where a curve ends."""
    points = client.get_metric_history(run_id, key)
    return max(Reached(int(point.step), int(point.timestamp), float(point.value)) for point in points)


def _origin(tags: Mapping[str, Any]) -> dict[str, str]:
    """The tags that MLflow's own columns (user, source, version) are read from."""
    origin = {"mlflow.source.type": "LOCAL", "mlflow.source.name": Path(sys.argv[0] or "python").name}
    with suppress(OSError, KeyError):  # a container's user may have no name
        origin["mlflow.user"] = getpass.getuser()
    if "git_commit" in tags:
        origin["mlflow.source.git.commit"] = str(tags["git_commit"])
    return origin


def _batches(items: Sequence[Any], size: int = _ITEMS_A_BATCH) -> list[Sequence[Any]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


def _run_of(client: MlflowClient, experiment_id: str, key: str, deleted: bool = False) -> str:
    """The id of the run that was started with this key; empty if there is none.

    Args:
        deleted: whether one that was deleted is meant, too.
    """
    from mlflow.entities import ViewType

    which = ViewType.ALL if deleted else ViewType.ACTIVE_ONLY
    found = client.search_runs([experiment_id], f"tags.`{_KEY_TAG}` = '{key}'", which, max_results=1)
    return str(found[0].info.run_id) if found else ""


def _place(key: str, step: int) -> str:
    """How the name of a picture begins that MLflow keeps under `images/`."""
    return f"{key.replace('/', '~')}+step+{step}"


def _places(path: str) -> str:
    return path.removeprefix("images/").partition("+timestamp+")[0].replace("%", "+")


class _Saved:
    """A model that lies in a file already, as far as MLflow asks."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def save(self, path: str) -> None:
        shutil.copyfile(self.path, path)


def _save_model(file: Path, signature: Mapping[str, Sequence[Tensor]], path: Path, run_id: str, logged: Any) -> None:
    """Write the model in MLflow's layout: `.keras`, its signature, its packages as given."""
    import mlflow.keras
    from mlflow.models import Model, ModelSignature

    described = ModelSignature(_schema(signature["inputs"]), _schema(signature["outputs"]))
    description = Model(
        artifact_path=logged.artifact_location, run_id=run_id, model_uuid=logged.model_id, model_id=logged.model_id
    )
    mlflow.keras.save_model(
        _Saved(file),
        str(path),
        mlflow_model=description,
        signature=described,
        pip_requirements=model_requirements(),
    )


def _schema(tensors: Sequence[Tensor]) -> Any:
    import numpy as np
    from mlflow.types import Schema, TensorSpec

    return Schema([TensorSpec(np.dtype(dtype), tuple(shape), name) for name, dtype, shape in tensors])
