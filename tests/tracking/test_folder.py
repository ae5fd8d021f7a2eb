from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kerasflow.errors import RunError
from kerasflow.tracking.folder import RunFolder, experiments, safe_name


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "runs", "digits", "small-mlp")


def test_a_new_folder_is_running_and_opens_again(folder: RunFolder) -> None:
    opened = RunFolder.open(folder)
    assert opened.directory == folder.directory
    assert opened.directory.parent.name == "digits"
    assert opened.directory.name.startswith("small-mlp-")
    assert (opened.status.state, opened.status.experiment, opened.status.name) == ("RUNNING", "digits", "small-mlp")
    assert opened.status.ended == ""


def test_the_status_keeps_what_it_knew(folder: RunFolder) -> None:
    folder.set_status("RUNNING")
    folder.set_status("FAILED", "out of memory in conv2d")
    status = folder.status
    assert (status.state, status.reason, status.experiment) == ("FAILED", "out of memory in conv2d", "digits")
    assert status.ended >= status.started


def test_room_on_the_disk_is_kept_for_the_end(folder: RunFolder) -> None:
    assert (folder.directory / ".reserve").stat().st_size == 16 * 1024
    folder.set_status("FINISHED", "epochs: all 3 are completed")
    assert not (folder.directory / ".reserve").exists()


def test_a_run_is_written_by_one_process_at_a_time(folder: RunFolder) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from kerasflow.tracking.folder import RunFolder\n"
        "with RunFolder(Path(sys.argv[1])).locked(): print('held', flush=True); signal.pause()"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(RunError, match="another process is at work") as refused, folder.locked():
            pass
        assert "\n" not in str(refused.value)
    finally:
        holder.kill()
        holder.wait()
    with folder.locked(), pytest.raises(RunError), RunFolder.open(folder).locked():
        pass
    with folder.locked():  # neither a killed process nor an earlier block keeps it
        pass


def test_eight_runs_that_start_at_once_have_eight_folders(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from kerasflow.tracking.folder import RunFolder\n"
        "for _ in range(25): print(RunFolder.create(Path(sys.argv[1]), 'digits', 'mlp'))"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(8)
    ]
    names = [line for process in started for line in process.communicate(timeout=60)[0].split()]
    assert len(names) == len(set(names)) == 200
    assert len(RunFolder.list(tmp_path, "digits")) == 200


@pytest.mark.parametrize("name", ["../../etc", "/etc/passwd", "..", "a/b", "", "con\x00trol", "ä ö", "x" * 300])
def test_no_name_leads_out_of_the_root(tmp_path: Path, name: str) -> None:
    folder = RunFolder.create(tmp_path / "runs", name, name)
    assert folder.directory.parent.parent == tmp_path / "runs"
    assert [run.directory for run in RunFolder.list(tmp_path / "runs", name)] == [folder.directory]
    assert len(safe_name(name)) <= 80


def test_no_file_leads_out_of_the_folder(folder: RunFolder) -> None:
    for name in ("../other", "/etc/passwd", "figures/../../x"):
        with pytest.raises(RunError, match="leads out"):
            folder.write_text(name, "x")


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(folder: RunFolder) -> None:
    folder.write_text("metrics.json", "old")
    with pytest.raises(UnicodeEncodeError):
        folder.write_text("metrics.json", "new, up to a half of a character: \ud800")
    assert folder.path("metrics.json").read_text() == "old"
    assert sorted(os.listdir(folder)) == [".reserve", "metrics.json", "status.json"]


def test_a_folder_is_written_aside_too(folder: RunFolder) -> None:
    for content in ("first", "second"):
        with folder.writing("preparation") as aside:
            aside.mkdir()
            (aside / "scaler.json").write_text(content)
    assert (folder.directory / "preparation" / "scaler.json").read_text() == "second"


def test_json_takes_numpy_and_refuses_what_it_cannot_hold(folder: RunFolder) -> None:
    folder.write_json("metrics.json", {"test/accuracy": np.float32(0.5), "matrix": np.eye(2)})
    assert json.loads(folder.read_text("metrics.json")) == {"test/accuracy": 0.5, "matrix": [[1, 0], [0, 1]]}
    with pytest.raises(TypeError, match="has no form in JSON"):
        folder.write_json("metrics.json", {"x": object()})


def test_a_full_disk_is_one_sentence(folder: RunFolder) -> None:
    with pytest.raises(RunError, match="No space left on device") as caught, folder.writing("model.keras"):
        Path("/dev/full").write_text("x")
    assert "\n" not in str(caught.value)
    assert "model.keras" in str(caught.value)


def test_a_root_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file where the folder should be")
    with pytest.raises(RunError, match="cannot be written"):
        RunFolder.create(tmp_path / "runs", "digits", "mlp")


def test_what_is_no_run_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="does not exist"):
        RunFolder.open(tmp_path / "nothing")
    with pytest.raises(RunError, match="is not a run folder"):
        RunFolder.open(tmp_path)


def test_an_unknown_experiment_names_the_near_one_and_all(tmp_path: Path) -> None:
    for experiment in ("digits", "iris"):
        RunFolder.create(tmp_path, experiment, "mlp")
    assert experiments(tmp_path) == ["digits", "iris"]
    with pytest.raises(RunError, match="did you mean 'digits'\\? There are: digits, iris"):
        RunFolder.list(tmp_path, "digit")
    with pytest.raises(RunError, match="nothing has run there yet"):
        RunFolder.list(tmp_path / "empty", "digits")


def test_names_that_share_a_folder_are_not_mixed(tmp_path: Path) -> None:
    one, other = RunFolder.create(tmp_path, "a b", "mlp"), RunFolder.create(tmp_path, "a-b", "mlp")
    assert one.directory.parent == other.directory.parent
    assert [run.directory for run in RunFolder.list(tmp_path, "a b")] == [one.directory]
