"""The course's pages lead somewhere, and each has the command that shows its idea."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kerasflow.explanation import SECTIONS

DOCS = Path(__file__).parents[1] / "docs"
PAGES = sorted([*DOCS.glob("course/*.md"), DOCS / "diagnosis.md"])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_of_the_course_leads_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#]+)", text)
    assert [link for link in links if not (page.parent / link).exists()] == []
    assert set(re.findall(r"--only (\w+)", text)) <= set(SECTIONS)
    for path in re.findall(r"experiments/[\w/.]+\.(?:yaml|py)", text):
        assert (DOCS.parent / path).is_file()
    if page.stem != "README":
        assert "```sh\n" in text


def test_every_page_is_in_the_index() -> None:
    index = (DOCS / "course" / "README.md").read_text(encoding="utf-8")
    assert all(f"({page.name})" in index for page in DOCS.glob("course/*.md") if page.stem != "README")
    assert {path.name for path in DOCS.glob("course/pictures/*.png")} == {
        name for page in PAGES for name in re.findall(r"pictures/(\w+\.png)", page.read_text(encoding="utf-8"))
    }
