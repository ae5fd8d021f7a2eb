"""A recorded run is done again, from its record alone, and ends the same or says what does not."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerasflow.errors import RunError, TrackingError
from kerasflow.experiment import Earlier, RunResult, begin
from kerasflow.recording import store_for, store_of
from kerasflow.spec.document import split_path
from kerasflow.spec.experiment import load_spec
from kerasflow.spec.faults import short
from kerasflow.spec.overriding import value_at

if TYPE_CHECKING:
    from kerasflow.tracking.recorded import Recorded
    from kerasflow.training.progress import Verbose

_COMPARED = ("train/", "val/", "test/")


@dataclass(frozen=True, eq=False)
class RerunResult:
    """A run that was done again.

    Attributes:
        result: of the new run.
        differences: what is not as it was: packages, Python, machine, code; a sentence each.
        changed: what was wanted otherwise this time, such as `train.epochs: 3 then, 5 now`; a sentence each.
        then: the last `train/*` and `val/*` and the `test/*` of the first run; empty if it did not finish.
        now: the new run's.
    """

    result: RunResult
    differences: tuple[str, ...]
    changed: tuple[str, ...]
    then: dict[str, float]
    now: dict[str, float]

    @property
    def same(self) -> bool:
        """Whether the new run has ended in the numbers of the first, to the bit; nobody asks that of a changed one."""
        return bool(self.then) and self.then.keys() == self.now.keys() and all(map(self._agrees, self.then))

    def _agrees(self, name: str) -> bool:
        then, now = self.then[name], self.now[name]
        return then == now or (math.isnan(then) and math.isnan(now))


def rerun(
    run: str | Path,
    overrides: Mapping[str, Any] | None = None,
    *,
    uri: str = "",
    root: str | Path = "runs",
    verbose: Verbose = "auto",
) -> RerunResult:
    """Does a recorded run again: its spec, seed and data, in a new run with the tag `rerun_of`.

    Each file that is read from the record must have the digest that the run's tags hold. What differs from then
    (packages, Python, processor, git commit) is told in warnings before the training begins. With overrides it is
    another experiment that begins where that one did: they become the tag `rerun_with`, and its numbers are its own.

    Args:
        run: an MLflow run id, or a run folder.
        overrides: values by dotted path, e.g. `{"train.epochs": 3}`.
        uri: the tracking store that has the run and gets the new one; of an id, if empty, MLFLOW_TRACKING_URI or
            `sqlite:///mlflow.db`; of a folder, the store that its run is recorded in.
        root: run folders are made below it.
        verbose: as for `kf.run`.

    Raises:
        RunError: there is no such run, or a file of its record is not what the run has logged.
        TrackingError: the store does not answer, or has no such run.
        DataError: the data is not what it was, though nothing of `data` is overridden.
        SpecError, BuildError, TrainingError: as for `kf.run`.
    """
    recorded, store = _find(run, uri)
    before = load_spec(recorded.text("spec.yaml"))
    spec = load_spec(before, overrides)
    if not any(path.partition(".")[0] == "track" for path in overrides or ()):
        spec = spec.model_copy(update={"track": spec.track.model_copy(update={"uri": store or "none"})})
    changed = tuple(_changed(before.to_document(), spec.to_document(), overrides or {}))
    fingerprint = str(json.loads(recorded.text("data.json"))["fingerprint"]) if spec.data == before.data else ""
    found = _differences(recorded)
    for sentence in found:
        warnings.warn(f"not as it was: {sentence}", stacklevel=2)
    result = begin(spec, root, verbose, Earlier(recorded.run, fingerprint, "; ".join(changed)))
    then = _compared(recorded.metrics) if recorded.finished else {}
    return RerunResult(result, tuple(found), changed, then, _ended(result))


def _changed(then: Any, now: Any, overrides: Mapping[str, Any]) -> Iterator[str]:
    """What each override has changed, if it has changed anything."""
    for path in overrides:
        before, after = (value_at(document, split_path(path)) for document in (then, now))
        if before != after:
            yield f"{path}: {short(before)} then, {short(after)} now"


def _find(run: str | Path, uri: str) -> tuple[Recorded, str]:
    """The record, and the store that the new run is told to; empty for none."""
    from kerasflow.tracking import mlflow_recorded, recorded
    from kerasflow.tracking.delivery import is_run_id
    from kerasflow.tracking.folder import RunFolder

    if Path(run).is_dir():
        folder = RunFolder.open(run)
        return recorded.of_folder(folder), store_for(uri) if uri else store_of(folder)
    if not is_run_id(str(run)):
        raise RunError(f"{run}: is neither a run folder nor an MLflow run id, which has 32 digits of 0-9 and a-f")
    store = store_for(uri or "auto")
    if not store:
        raise TrackingError(f"{run}: an MLflow run id needs the tracking store that has it; name it by uri")
    return mlflow_recorded.of_store(store, str(run)), store


def _differences(recorded: Recorded) -> list[str]:
    from kerasflow.tracking.environment import code_differences, differences, environment_text, git_tags

    return differences(recorded.text("environment.txt"), environment_text()) + code_differences(
        recorded.tags, git_tags()
    )


def _ended(result: RunResult) -> dict[str, float]:
    from kerasflow.tracking.record import metrics_of

    rows = result.history.rows
    return _compared((metrics_of(rows[-1]) if rows else {}) | result.metrics)


def _compared(metrics: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in sorted(metrics.items()) if name.startswith(_COMPARED)}
