"""`kf.compare`: the runs of an experiment by its name, and their picture."""

from __future__ import annotations

from pathlib import Path

from kerasflow.tracking.compare import Comparison
from kerasflow.tracking.compare import compare as compare_folders
from kerasflow.tracking.folder import RunFolder, safe_name


def compare(experiment: str, *, root: str | Path = "runs") -> Comparison:
    """Runs side by side: what differs in what was wanted, and what came of it. Reads the run folders alone.

    Args:
        experiment: the name that the runs share.
        root: where run folders are.

    Raises:
        RunError: there is no such experiment; the near names are in the message.
    """
    return compare_folders(RunFolder.list(Path(root), experiment))


def draw(found: Comparison, experiment: str, picture: Path | None = None, *, root: str | Path = "runs") -> Path:
    """Draws every run's cost curve into one picture and gives its path: beside the runs if none is named."""
    from kerasflow.viz.curves import comparison
    from kerasflow.viz.style import save

    path = picture or Path(root) / safe_name(experiment) / "comparison.png"
    save(comparison(found.curves(), title=f"{experiment}: cost by epoch"), path)
    return path
