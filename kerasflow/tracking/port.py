"""The port through which an experiment speaks to whatever keeps its numbers. No store is known here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

Context = Literal["train", "validation", "test"]
EndStatus = Literal["FINISHED", "FAILED", "KILLED"]


class Tracker(Protocol):
    """Keeps one run: `start` or `resume` first, `end` last, anything in between in any order.

    Every method raises `TrackingError`, in one sentence, when the store does not answer or refuses.
    """

    def start(
        self, experiment: str, name: str, params: Mapping[str, Any], tags: Mapping[str, Any], parent: str = ""
    ) -> str:
        """Begin a run and return its id.

        Args:
            experiment: the name that runs to be compared share; made if it does not exist.
            name: the run's own name; several runs may bear it.
            params: what was wanted, flat, by paths such as `train/batch_size`; written once, never changed.
            tags: what is known about the run at its start; `set_tags` adds to them.
            parent: the id of the run that this one is a part of; empty for none.
        """
        ...

    def resume(self, run_id: str) -> None:
        """Take up a run that was begun before, in this process or another: it says RUNNING again.

        Points that its curves have already are not added again: `log_metrics` leaves out, for each curve, the steps up
        to its last one.

        Args:
            run_id: as `start` gave it.
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

    def log_curves(self, points: Sequence[tuple[Mapping[str, float], int]]) -> None:
        """Add several points to each curve at once.

        Args:
            points: metrics and steps, each as `log_metrics` takes them.
        """
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

    def log_model(self, model: Any, example: Any) -> None:
        """Keep a trained model.

        Args:
            model: a `keras.Model`.
            example: a few of its inputs `(n_samples, ...)`, or a list or dict of them where it has several.
        """
        ...

    def end(self, status: EndStatus) -> None:
        """End the run: FINISHED by itself, FAILED by an exception, or KILLED from outside."""
        ...
