"""The port through which an experiment speaks to whatever keeps its numbers. No store is known here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

Context = Literal["train", "validation", "test"]
EndStatus = Literal["FINISHED", "FAILED", "KILLED"]


class Points(NamedTuple):
    """One point of each of some curves.

    Attributes:
        metrics: values by name, such as `val/loss`; NaN and infinities are allowed.
        step: epochs completed, from 1.
        at: when, in milliseconds since 1970; now if not given.
    """

    metrics: Mapping[str, float]
    step: int
    at: int | None = None


class Tensor(NamedTuple):
    """One input or output of a model.

    Attributes:
        name: None where there is but one.
        dtype: NumPy's name of it.
        shape: -1 where any size goes, as for the samples.
    """

    name: str | None
    dtype: str
    shape: Sequence[int]


class Tracker(Protocol):
    """Keeps one run: `start` or `resume` first, `end` last, anything in between in any order.

    Every method raises `TrackingError`, in one sentence, when the store does not answer or refuses. Nobody knows then
    whether it has what it was given. Another tracker that resumes the run asks it: what is said again after `resume`,
    in the same order, is there once. Three kinds of it say more: `RefusedError`, that the store will refuse the same
    thing each time; `RunGoneError`, by `resume`, that the run was deleted; `NotYetError`, by `start`, that the run of
    which this one is a part is not there yet.

    Attributes:
        run_id: the store's; empty before `start`.
    """

    run_id: str

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
        """Begin a run and return its id.

        Args:
            experiment: the name that runs to be compared share; made if it does not exist.
            name: the run's own name; several runs may bear it.
            params: what was wanted, flat, by paths such as `train/batch_size`; written once, never changed.
            tags: what is known about the run at its start; `set_tags` adds to them.
            parent: the key of the run that this one is a part of, in the same experiment; empty for none.
            key: tells the run from all others; if the experiment has a run of this key already, that one is resumed.
            at: when it began, in milliseconds since 1970; now if not given.
        """
        ...

    def resume(self, run_id: str, running: bool = True) -> None:
        """Take up a run that was begun before, in this process or another.

        Points that its curves have already are not added again: of each curve, the steps up to its last one are left
        out. The same holds for pictures of a key and step, and for a model of the same content.

        Args:
            run_id: as `start` gave it.
            running: whether it says RUNNING again.
        """
        ...

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """Add tags, or replace those of the same name."""
        ...

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Add one point to each curve.

        Args:
            metrics: values by name, such as `val/loss`; NaN and infinities are allowed.
            step: epochs completed, from 1.
        """
        ...

    def log_curves(self, points: Sequence[Points]) -> None:
        """Add several points to each curve at once, in the order of their steps."""
        ...

    def log_dataset(self, name: str, digest: str, context: Context, profile: Mapping[str, Any]) -> None:
        """Record a part of the data that the run used.

        Args:
            name: of the whole set.
            digest: identifies the content, e.g. a SHA-256 in hex.
            context: the part that the run used it as.
            profile: JSON-ready facts such as rows, shape and classes.
        """
        ...

    def log_image(self, key: str, path: Path, step: int) -> None:
        """Add a picture, a file on disk, under a key that is the same in every run, at a step that is, too."""
        ...

    def log_artifact(self, path: Path, folder: str = "") -> None:
        """Copy a file, or a folder with all it holds, into a folder of the run's artifacts (the top one if empty)."""
        ...

    def log_model(self, path: Path, signature: Mapping[str, Sequence[Tensor]]) -> None:
        """Keep a trained model.

        Args:
            path: a `.keras` file.
            signature: what it takes and gives, by `inputs` and `outputs`.
        """
        ...

    def end(self, status: EndStatus, at: int | None = None) -> None:
        """End the run: FINISHED by itself, FAILED by an exception, or KILLED from outside.

        Args:
            at: when, in milliseconds since 1970; now if not given.
        """
        ...
