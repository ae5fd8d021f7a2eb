"""The page that explains, in a real browser: it walks forward and back, holds the numbers, asks nobody for anything."""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from kerasflow.errors import MissingExtra
from kerasflow.explain.diagram import Diagram
from kerasflow.explanation import Explanation, explanation, write_page
from kerasflow.viz.page import plotly_source
from tests.browser import Page, chromium

TAKEN = "</script><script>window.taken=1</script>"
SPEC = {
    "experiment": "explained",
    "name": "page",
    "data": {"source": {"sklearn": "digits"}, "scale": "unit"},
    "model": {"layers": [{"dense": {"units": 40, "activation": "relu", "name": "hidden"}}, "head"]},
    "train": {"epochs": 1, "optimizer": {"sgd": {"learning_rate": 0.1}}},
}
SHOWN = ["forward", "cost", "backward", "weight", "plane"]
TABLE = "[...document.querySelectorAll('#step-table tbody tr')].map(row => [...row.cells].map(cell => cell.title))"


@pytest.fixture(scope="module")
def found() -> Explanation:
    found = explanation(SPEC, only=SHOWN)
    return replace(found, subject=replace(found.subject, title=TAKEN), diagram=_renamed(found.diagram))


def _renamed(drawn: Diagram) -> Diagram:
    """With a name that TensorFlow would not take everywhere, but which some layer may have."""
    sample, hidden, head = drawn.columns
    return replace(drawn, columns=(sample, replace(hidden, name=f"<b>{TAKEN}"), head))


@pytest.fixture(scope="module")
def file(found: Explanation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_page(found, tmp_path_factory.mktemp("page") / "page.html")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with chromium(tmp_path_factory.mktemp("browser")) as page:
        yield page


@pytest.fixture
def page(browser: Page, file: Path) -> Page:
    pictures = Path(tempfile.gettempdir()) / "kerasflow-ui"
    pictures.mkdir(exist_ok=True)
    browser.visit(file.as_uri(), ["Step 1 of 7"], pictures / "explanation.png")
    return browser


def _column(page: Page, place: int) -> list[float]:
    return [float(row[place]) for row in page.evaluate(TABLE)]


def _press(page: Page, key: str) -> None:
    for kind in ("keyDown", "keyUp"):
        codes = {"ArrowRight": 39, "Home": 36, "End": 35}
        page.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=codes[key])


def test_the_page_names_no_other_place_and_little_is_added_to_plotly(file: Path) -> None:
    plotly, text = plotly_source(), file.read_text(encoding="utf-8")
    own = text.replace(plotly, "")
    assert len(own) < len(text)
    assert not re.search(r"https?:|<link|@import|\ssrc=", own)
    assert len(own) < 300_000
    assert "MIT licence" in own
    assert "MIT license" in plotly[:500]


@pytest.mark.browser
def test_each_control_walks_and_the_numbers_are_the_computed_ones(page: Page, found: Explanation, file: Path) -> None:
    sample, hidden, head = found.diagram.columns
    said = "document.getElementById('said').textContent"
    assert _column(page, 1) == list(sample.H)
    page.evaluate("document.getElementById('next').click()")
    assert (_column(page, 1), _column(page, 2)) == (list(hidden.Z), list(hidden.H))
    assert hidden.sums[0] in page.evaluate(said)
    labels = page.evaluate("[...document.querySelectorAll('#network .textpoint')].map(one => one.textContent)")
    shown = [float(label) for label in labels if label]
    assert shown == pytest.approx([*sample.H, *hidden.H], rel=1e-3), "the head has none yet"
    page.evaluate("document.getElementById('last').click()")
    assert page.evaluate("document.getElementById('next').disabled")
    page.evaluate("document.getElementById('back').click()")
    assert (_column(page, 1), _column(page, 2)) == (list(hidden.dE_dH), list(hidden.dE_dZ))
    page.evaluate("document.getElementById('first').click()")
    assert "The sample goes in: 64 numbers" in page.evaluate(said)
    page.evaluate("(one => { one.value = 3; one.dispatchEvent(new Event('input')); })(document.getElementById('step'))")
    assert (_column(page, 1), _column(page, 2)) == (list(head.H), list(head.dE_dH))
    assert f"E = {float(f'{found.diagram.error:.6g}')}" in page.evaluate(said)
    assert [url for url in page.requests() if not url.startswith("data:")] == [file.as_uri()]
    assert page.complaints() == []


@pytest.mark.browser
def test_the_keyboard_walks_and_a_screen_reader_is_told(page: Page) -> None:
    page.evaluate("document.getElementById('step').focus()")
    place = "document.getElementById('place').textContent"
    for key, expected in (("ArrowRight", "2 of 7"), ("End", "7 of 7"), ("Home", "1 of 7")):
        _press(page, key)
        assert page.evaluate(place) == expected
    assert page.evaluate("document.getElementById('said').ariaLive") == "polite"
    assert page.evaluate("document.getElementById('step').getAttribute('aria-valuetext')").startswith("The sample")
    assert page.evaluate("[...document.querySelectorAll('.chart')].every(one => one.ariaLabel)")
    assert page.evaluate("document.getElementById('step').labels[0].textContent").startswith("Step")


@pytest.mark.browser
def test_the_weights_are_drawn_by_width_and_sign_with_their_numbers(page: Page, found: Explanation) -> None:
    traces = "document.getElementById('network').data"
    told = page.evaluate(f"{traces}.find(one => one.text && one.mode === 'markers').text")
    weights = [weight for column in found.diagram.columns for row in column.weights for weight in row]
    assert [float(re.search(r"<b>(.*)</b>$", text)[1]) for text in told] == pytest.approx(weights, rel=1e-5)
    assert page.evaluate(f"new Set({traces}.filter(one => one.mode === 'lines').map(one => one.line.width)).size") == 5
    assert "28 more" in page.evaluate("document.getElementById('network').textContent")


@pytest.mark.browser
def test_tables_and_curves_hold_the_sections_numbers(page: Page, found: Explanation) -> None:
    cut = found.sections[3].numbers
    assert page.evaluate("document.getElementById('weight-0').data[0].y") == cut.costs.tolist()
    plane = found.sections[4].numbers
    assert page.evaluate("document.getElementById('plane-0').data[0].z") == plane.costs.tolist()
    cells = page.evaluate("[...document.querySelectorAll('#backward td.number')].map(cell => cell.title)")
    path = found.sections[2].numbers.path(found.subject.weight)
    assert repr(max((one.product for one in path.paths), key=abs)) in cells
    assert page.evaluate("document.querySelectorAll('section').length") == 1 + len(SHOWN)


@pytest.mark.browser
def test_names_are_text_and_never_html(page: Page) -> None:
    assert page.evaluate("window.taken") is None
    assert TAKEN in page.evaluate("document.querySelector('h1').textContent")
    assert page.evaluate("document.querySelectorAll('main b').length") == 0


def test_without_plotly_there_is_a_sentence(found: Explanation, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    with pytest.raises(MissingExtra, match="kerasflow\\[interactive\\]"):
        write_page(found, tmp_path / "page.html")
