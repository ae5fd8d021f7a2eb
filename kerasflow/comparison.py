"""`kf.compare`: runs side by side, by their experiment's name or their folders, and their picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from kerasflow.errors import RunError, sentence
from kerasflow.tracking.compare import Comparison
from kerasflow.tracking.compare import compare as compare_folders
from kerasflow.tracking.folder import RunFolder, safe_name


def compare(runs: str | Sequence[str | Path], *, root: str | Path = "runs") -> Comparison:
    """Runs side by side: what differs in what was wanted, and what came of it. Reads the run folders alone.

    Args:
        runs: the name of an experiment, whose runs below `root` are taken, oldest first; or run folders, in the order
            wanted.
        root: where run folders are.

    Raises:
        RunError: there is no such experiment, with the near names in the message; or a folder is no run's.
    """
    if isinstance(runs, str):
        return compare_folders(RunFolder.list(Path(root), runs))
    return compare_folders([RunFolder.open(folder) for folder in runs])


def draw(found: Comparison, experiment: str, picture: Path | None = None, *, root: str | Path = "runs") -> Path:
    """Draws every run's cost curve into one picture and gives its path: beside the runs if none is named.

    Raises:
        RunError: it cannot be written.
    """
    from kerasflow.viz.curves import comparison
    from kerasflow.viz.style import save

    path = picture or Path(root) / safe_name(experiment) / "comparison.png"
    with _written(path):
        save(comparison(found.curves(), title=f"{experiment}: cost by epoch"), path)
    return path


def write_table(found: Comparison, path: Path) -> Path:
    """Writes the runs as CSV, a row each, and gives the path.

    Raises:
        RunError: it cannot be written.
    """
    with _written(path):
        found.to_frame().to_csv(path)
    return path


def write_page(found: Comparison, experiment: str, path: Path, metric: str = "") -> Path:
    """Writes one HTML page to look at runs, which needs no other file and no network, and gives its path.

    Args:
        metric: what runs are judged by when the page opens; `Comparison.question` chooses if not given.

    Raises:
        RunError: no run has the metric, or the page cannot be written.
        MissingExtra: plotly is not installed.
    """
    from kerasflow.tracking.page_numbers import page_numbers
    from kerasflow.viz.page import page

    text = page(page_numbers(found, metric), title=experiment)
    with _written(path):
        path.write_text(text, encoding="utf-8")
    return path


@contextmanager
def _written(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {error.strerror or error}") from error
    except ValueError as error:  # an ending that is no picture's
        raise RunError(f"{path}: cannot be written: {sentence(error)}") from error
