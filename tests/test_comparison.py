from __future__ import annotations

from pathlib import Path

import pytest

import kerasflow as kf
from kerasflow.comparison import draw
from kerasflow.tracking.folder import RunFolder
from kerasflow.tracking.journal_tracker import JournalTracker


@pytest.fixture
def runs(tmp_path: Path) -> dict[str, Path]:
    """The folders of three runs of one experiment, by name."""
    folders = {}
    for name in ("first", "second", "third"):
        folder = RunFolder.create(tmp_path, "rates", name)
        folder.write_text("spec.yaml", f"experiment: rates\nname: {name}\n")
        JournalTracker(folder).epoch({"epoch": 1, "loss": 1.0})
        folders[name] = folder.directory
    return folders


def test_an_experiment_by_its_name_is_all_of_its_runs(runs: dict[str, Path], tmp_path: Path) -> None:
    assert {run.name for run in kf.compare("rates", root=tmp_path).runs} == set(runs)


def test_run_folders_are_compared_alone_in_the_order_given(runs: dict[str, Path]) -> None:
    found = kf.compare([runs["third"], str(runs["first"])])
    assert [run.name for run in found.runs] == ["third", "first"]


def test_a_folder_that_is_no_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(kf.RunError, match="is not a run folder"):
        kf.compare([tmp_path])


def test_the_picture_lies_beside_the_runs_or_where_it_is_wanted(runs: dict[str, Path], tmp_path: Path) -> None:
    found = kf.compare("rates", root=tmp_path)
    assert draw(found, "rates", root=tmp_path) == tmp_path / "rates" / "comparison.png"
    assert draw(found, "rates", tmp_path / "mine.png").read_bytes().startswith(b"\x89PNG")
