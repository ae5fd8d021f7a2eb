"""What the README shows works: its Python runs, its specs can be trained, its links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kerasflow.inspection import inspect

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
READMES = [README, *sorted(ROOT.glob("d*/*.md")), *sorted(ROOT.glob("experiments/**/README.md"))]
LARGEST_PICTURE = 150_000  # bytes


def _blocks(language: str, page: Path = README) -> list[tuple[int, str]]:
    """The fenced blocks of a language: the line that each begins on, and its text."""
    text = page.read_text(encoding="utf-8")
    fences = re.finditer(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [(text.count("\n", 0, fence.start(1)) + 1, fence.group(1)) for fence in fences]


@pytest.mark.parametrize("block", _blocks("yaml"), ids=lambda block: f"line {block[0]}")
def test_a_spec_of_the_readme_can_be_trained(block: tuple[int, str]) -> None:
    assert inspect(block[1]).updates_per_epoch >= 1


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The names that the README's Python leaves behind, run from top to bottom beside the experiments."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "experiments").symlink_to(ROOT / "experiments")
    names: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        for line, block in _blocks("python"):
            exec(compile("\n" * (line - 1) + block, README, "exec"), names)  # errors name the README's own line
    return names | {"folder": folder}


@pytest.mark.slow
def test_the_python_of_the_readme_runs(ran: dict[str, Any]) -> None:
    assert ran["result"].history.stop_reason == "epochs: all 3 are completed"
    assert ran["result"].folder.is_relative_to(ran["folder"] / "runs" / "digits")
    assert (ran["folder"] / "cost.png").stat().st_size > 0


@pytest.mark.slow
def test_micro_batches_are_as_exact_as_the_readme_says(ran: dict[str, Any]) -> None:
    def off(change: Any) -> float:
        return float(np.linalg.norm(change - ran["whole"]) / np.linalg.norm(ran["whole"]))

    assert off(ran["ours"]) < 1e-4
    assert off(ran["keras_own"]) > 0.1


@pytest.mark.slow
def test_a_run_leaves_the_files_that_the_readme_lists(ran: dict[str, Any]) -> None:
    listed = next(text for _, text in _blocks("text") if text.startswith("runs/"))
    names = {line.split()[0].rstrip("/") for line in listed.splitlines()[1:]}
    assert names == {path.name for path in ran["result"].folder.iterdir()}


@pytest.mark.parametrize("name", ["tracking"])
def test_the_python_of_a_page_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    page = ROOT / "docs" / f"{name}.md"
    for line, block in _blocks("python", page):
        exec(compile("\n" * (line - 1) + block, page, "exec"), {})


@pytest.mark.parametrize("readme", READMES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_and_pictures_exist(readme: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", readme.read_text(encoding="utf-8"))
    local = [readme.parent / target for target in targets if "://" not in target]
    assert [str(path) for path in local if not path.exists()] == []
    assert [str(p) for p in local if p.suffix == ".png" and p.stat().st_size > LARGEST_PICTURE] == []
