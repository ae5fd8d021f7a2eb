from __future__ import annotations

import subprocess
from importlib import metadata
from pathlib import Path

from kerasflow.tracking.environment import (
    code_differences,
    differences,
    environment_text,
    git_tags,
    model_requirements,
)


def _git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def test_every_package_is_pinned() -> None:
    lines = environment_text().splitlines()
    assert f"numpy=={metadata.version('numpy')}" in lines
    assert lines[0].startswith("# Python 3.")
    assert "CPUs" in lines[1]


def test_a_model_needs_what_it_was_trained_with() -> None:
    assert f"keras=={metadata.version('keras')}" in model_requirements()


def test_the_state_of_the_code(tmp_path: Path) -> None:
    assert git_tags(tmp_path) == {}
    _git(tmp_path, "init", "-q")
    assert git_tags(tmp_path) == {}
    (tmp_path / "train.py").write_text("1")
    _git(tmp_path, "add", "train.py")
    _git(tmp_path, "commit", "-qm", "first")
    clean = git_tags(tmp_path)
    assert len(clean["git_commit"]) == 40
    assert clean["git_dirty"] == "false"
    (tmp_path / "mlflow.db").write_text("a run's own output")
    assert git_tags(tmp_path)["git_dirty"] == "false"
    (tmp_path / "train.py").write_text("2")
    assert git_tags(tmp_path)["git_dirty"] == "true"


def test_no_git_is_no_error(tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_tags(tmp_path) == {}


def test_what_differs_is_told_shortly_and_what_computes_first() -> None:
    then = environment_text()
    assert differences(then, then) == []
    now = then.replace("# Python 3", "# Python 4") + "".join(f"new-{index}==1\n" for index in range(9))
    now = now.replace(f"keras=={metadata.version('keras')}\n", "keras==1.0\n")
    python, packages = differences(then, now)
    assert "then, Python 4" in python
    assert packages.startswith(f"packages: keras {metadata.version('keras')} then, 1.0 now; new-0 none then, 1 now; ")
    assert packages.endswith("; and 2 more")


def test_the_processor_is_told() -> None:
    text = environment_text()
    line = text.splitlines()[2]
    assert line.startswith("# ")
    assert differences(text, text.replace(line, "# another processor")) == [f"{line[2:]} then, another processor now"]


def test_the_state_of_the_code_then_and_now() -> None:
    clean = {"git_commit": "a" * 40, "git_dirty": "false"}
    assert code_differences(clean, clean) == []
    assert code_differences({}, {}) == []
    assert code_differences(clean, {"git_commit": "b" * 40, "git_dirty": "true"}) == [
        "git commit aaaaaaaaaaaa then, bbbbbbbbbbbb now",
        "files under version control had changes now that are in no commit",
    ]
