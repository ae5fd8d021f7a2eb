"""The page that compares runs, in a real browser: it draws, filters, answers the mouse, asks nobody for anything."""

from __future__ import annotations

import io
import math
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

import kerasflow as kf
from kerasflow.comparison import write_page
from kerasflow.tracking.compare import Comparison
from kerasflow.tracking.folder import RunFolder
from kerasflow.tracking.journal_tracker import JournalTracker
from tests.browser import Page, chromium

RATES, SEEDS, EPOCHS = (0.01, 0.1, 1.0), (0, 1), 5
MEAN = '</script><script>window.taken = 1</script><img src=x onerror="window.taken=1"> & <b>$bold$</b>, "quoted"'
RATE, ACTIVATION = "train/optimizer/sgd/learning_rate", "model/activation"
LINES = "document.querySelectorAll('#curves .scatterlayer .trace path.js-line').length"
ROWS = "document.querySelectorAll('#runs tbody tr').length"


def _record(root: Path, name: str, rate: float, seed: int) -> None:
    """A run whose numbers are known: one of the highest rate diverges."""
    folder = RunFolder.create(root, "rates", name)
    tracker = JournalTracker(folder)
    tracker.start("rates", name, {"seed": seed, ACTIVATION: "<i>relu</i>" if seed else "gelu", RATE: rate}, {})
    lost = rate == 1.0 and seed == 1
    for epoch in range(1, EPOCHS + 1):
        cost = math.inf if lost and epoch > 2 else round(1 / (rate * epoch) + seed, 3)
        tracker.epoch({"epoch": epoch, "loss": cost, "val_loss": cost + 0.5, "val_accuracy": 0.5, "lr": rate})
    tracker.log_metrics({"test/accuracy": math.nan if lost else 0.5 + rate / 10 + seed / 100}, EPOCHS)
    folder.set_status("FAILED" if lost else "FINISHED", "the cost is not finite" if lost else "epochs: all done")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    root = tmp_path_factory.mktemp("runs")
    for rate in RATES:
        for seed in SEEDS:
            _record(root, MEAN if (rate, seed) == (0.1, 1) else f"alpha {rate} seed {seed}", rate, seed)
    return kf.compare("rates", root=root)


@pytest.fixture(scope="module")
def file(found: Comparison, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_page(found, "rates <of> learning", tmp_path_factory.mktemp("page") / "page.html")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with chromium(tmp_path_factory.mktemp("browser")) as page:
        yield page


@pytest.fixture
def page(browser: Page, file: Path) -> Page:
    pictures = Path(tempfile.gettempdir()) / "kerasflow-ui"
    pictures.mkdir(exist_ok=True)
    text = browser.visit(file.as_uri(), ["6 of 6 runs shown"], pictures / "page.png")
    assert "6 of 6 runs shown" in text, browser.complaints()
    return browser


def _choose(page: Page, control: str, value: str) -> None:
    kind = "input" if "[data-param" in control or control in ("#text", "#status") else "change"
    page.evaluate(
        f"(() => {{ const one = document.querySelector('{control}'); one.value = '{value}';"
        f" one.dispatchEvent(new Event('{kind}', {{bubbles: true}})); }})()"
    )


@pytest.mark.browser
def test_every_run_is_drawn_and_no_one_is_asked_or_complains(page: Page, file: Path) -> None:
    assert (page.evaluate(LINES), page.evaluate(ROWS)) == (len(RATES) * len(SEEDS),) * 2
    assert page.evaluate("document.querySelectorAll('#effects .chart').length") == 2, "the seed is no hyperparameter"
    assert [url for url in page.requests() if not url.startswith("data:")] == [file.as_uri()]
    assert page.complaints() == []
    assert page.evaluate("[...document.querySelectorAll('#effects .main-svg .points')].length") > 0


@pytest.mark.browser
def test_a_request_that_were_made_would_be_seen_and_refused(page: Page) -> None:
    refused = page.evaluate("fetch('https://example.org/').then(() => 'answered', () => 'refused')")
    assert refused == "refused"
    assert "Content Security Policy" in str(page.complaints())


@pytest.mark.browser
def test_a_screen_reader_finds_its_way(page: Page) -> None:
    assert page.evaluate("document.title") == "rates <of> learning: runs compared"
    visible = "[...document.querySelectorAll('h1, h2')].filter(one => one.checkVisibility())"
    headings = page.evaluate(f"{visible}.map(one => one.tagName + ' ' + one.innerText)")
    assert headings == [
        "H1 rates <of> learning: runs compared", "H2 Filter", "H2 Curves by epoch",
        "H2 What each hyperparameter does", "H2 All values at once", "H2 One run after the other", "H2 Runs",
    ]  # fmt: skip
    unnamed = "[...document.querySelectorAll('input, select')].filter(one => !one.labels.length && !one.ariaLabel)"
    assert page.evaluate(f"{unnamed}.length") == 0
    assert page.evaluate("[...document.querySelectorAll('.chart')].every(one => one.ariaLabel)")


@pytest.mark.browser
def test_names_are_text_and_never_html(page: Page, found: Comparison) -> None:
    assert page.evaluate("window.taken") is None
    assert page.evaluate("document.querySelectorAll('main img, main i, main td b').length") == 0
    assert any(run.label == MEAN for run in found.runs)
    labels = page.evaluate("[...document.querySelectorAll('#runs tbody th')].map(one => one.textContent)")
    assert MEAN in labels
    assert "<i>relu</i>" in page.evaluate("document.getElementById('effect-1').textContent"), "a tick of the axis"
    assert page.evaluate("document.querySelector('#curves .legend').textContent").count("</script>") == 1


@pytest.mark.browser
def test_a_filter_hides_runs_from_table_and_charts(page: Page) -> None:
    answer = "document.getElementById('answer').textContent"
    diamonds = "document.getElementById('effect-2').data[1].x.length"
    assert page.evaluate(diamonds) == 3
    _choose(page, '[data-param="2"]', "0")
    assert (page.evaluate(LINES), page.evaluate(ROWS), page.evaluate(diamonds)) == (2, 2, 1)
    assert page.evaluate(answer).startswith("2 of 6 runs shown; the best is alpha 0.01 seed 1, by test/accuracy")
    page.evaluate("document.querySelector('#filter button[type=reset]').click()")
    page.evaluate("new Promise(done => setTimeout(done, 50))")
    assert page.evaluate(LINES) == 6
    _choose(page, "#status", "FAILED")
    assert (page.evaluate(LINES), page.evaluate(ROWS)) == (1, 1)
    assert page.evaluate(answer) == "1 of 6 runs shown."
    _choose(page, "#status", "")
    _choose(page, "#text", "SEED 0")
    assert page.evaluate("[...document.querySelectorAll('#runs tbody th')].length") == 3
    _choose(page, "#text", "no such thing")
    assert (page.evaluate(LINES), page.evaluate(ROWS)) == (0, 0)
    assert page.complaints() == []


@pytest.mark.browser
def test_the_mouse_reads_a_number_off_a_curve(page: Page) -> None:
    _choose(page, '[data-param="2"]', "0")
    _choose(page, '[data-param="0"]', "0")
    _choose(page, "#curve", str(page.evaluate("data.curves.indexOf('train/loss')")))
    place = page.evaluate(
        "(() => { const chart = document.getElementById('curves'), box = chart.getBoundingClientRect();"
        " const { xaxis, yaxis } = chart._fullLayout;"
        " return [box.left + xaxis._offset + xaxis.d2p(3), box.top + yaxis._offset + yaxis.d2p(33.333)]; })()"
    )
    page.point(*place)
    page.evaluate("new Promise(done => setTimeout(done, 300))")
    told = page.evaluate("document.querySelector('#curves .hoverlayer').textContent")
    assert "alpha 0.01 seed 0" in told
    assert "epoch 3: 33.33" in told


@pytest.mark.browser
def test_another_metric_is_judged_and_another_column_drawn(page: Page) -> None:
    _choose(page, "#metric", str(page.evaluate("data.metrics.findIndex(one => one.name === 'val/loss')")))
    assert "the best is alpha 1.0 seed 0, by val/loss = 0.7" in page.evaluate("document.body.innerText")
    _choose(page, "#curve", str(page.evaluate("data.curves.indexOf('optim/lr')")))
    assert page.evaluate("document.querySelector('#curves .ytitle').textContent") == "optim/lr"
    _choose(page, "#colour", "2")
    names = page.evaluate("[...document.querySelectorAll('#curves .legendtext')].map(one => one.textContent)")
    assert names == ["0.01", "0.1", "1"]


@pytest.mark.browser
def test_the_best_so_far_and_every_value_of_a_run_are_drawn(page: Page, found: Comparison) -> None:
    metric = page.evaluate("data.metrics.findIndex(one => one.name === 'val/loss')")
    _choose(page, "#metric", str(metric))
    shown = [run.metrics["val/loss"] for run in found.runs if math.isfinite(run.metrics["val/loss"])]
    history = "document.getElementById('history').data"
    assert page.evaluate(f"{history}[0].y") == pytest.approx(shown)
    assert page.evaluate(f"{history}[1].y") == pytest.approx([min(shown[: end + 1]) for end in range(len(shown))])
    together = "document.getElementById('together').data"
    assert page.evaluate(f"{together}.length") == len(shown)
    last = page.evaluate(f"(({{ y, line }}) => [y.length, y.at(-1), line.width])({together}.at(-1))")
    assert last == [len(found.differing) + 1, 0, 4]  # the best is the lowest, and the widest
    page.evaluate("document.getElementById('text').value = 'seed 0'")
    page.evaluate("update()")
    assert page.evaluate(f"{together}.length") == 3


@pytest.mark.browser
def test_what_a_sweep_found_of_importance_is_drawn_and_the_sweep_is_no_run(browser: Page, tmp_path: Path) -> None:
    whole = RunFolder.create(tmp_path, "swept", "sweep")
    JournalTracker(whole).start("swept", "sweep", {}, {})
    JournalTracker(whole).log_metrics({"importance/train.rate": 0.75, "importance/model.units": 0.25}, 0)
    for rate in (0.1, 0.2):
        part = RunFolder.create(tmp_path, "swept", f"trial {rate}")
        tracker = JournalTracker(part)
        tracker.start("swept", f"trial {rate}", {"train/rate": rate}, {}, whole.directory.name)
        tracker.epoch({"epoch": 1, "loss": rate, "val_loss": rate})
    found = kf.compare("swept", root=tmp_path)
    assert [run.name for run in found.runs] == ["trial 0.1", "trial 0.2"]
    assert [run.name for run in found.wholes] == ["sweep"]
    file = write_page(found, "swept", tmp_path / "page.html")
    browser.visit(file.as_uri(), ["2 of 2 runs shown", "What mattered"], tmp_path / "page.png")
    assert browser.evaluate("document.getElementById('importance-0').data[0].y") == ["units", "rate"]
    assert browser.evaluate("document.getElementById('importance-0').data[0].x") == [0.25, 0.75]
    assert browser.complaints() == []


@pytest.mark.browser
def test_the_page_computes_what_the_library_does(page: Page, found: Comparison) -> None:
    metric = page.evaluate("data.metrics.findIndex(one => one.name === 'test/accuracy')")
    for effect in found.effects("test/accuracy"):
        place = found.differing.index(effect.name)
        said = page.evaluate(f"levels(data.runs, {place}, {metric})")
        for level, got in zip(effect.levels, said, strict=True):
            for name, value in vars(level).items():
                gap = isinstance(value, float) and math.isnan(value)
                assert got[name] is None if gap else got[name] == pytest.approx(value), (effect.name, name)


@pytest.mark.browser
def test_the_table_is_sorted_and_taken_away_as_csv(page: Page, found: Comparison) -> None:
    taken = "let kept; URL.createObjectURL = blob => { kept = blob.text(); return '#'; };"
    column = 2 + len(found.differing) + page.evaluate("data.metrics.findIndex(one => one.name === 'test/accuracy')")
    for _ in range(2):
        page.evaluate(f"document.querySelectorAll('#runs thead button')[{column}].click()")
    assert page.evaluate("document.querySelector('#runs tbody th').textContent") == "★ alpha 1.0 seed 0"
    assert page.evaluate(f"document.querySelectorAll('#runs thead th')[{column}].ariaSort") == "descending"
    text = page.evaluate(f"(() => {{ {taken} download(); return kept; }})()")
    got = pd.read_csv(io.StringIO(text), index_col="run")
    wanted = found.to_frame()
    columns = ["status", *found.differing, "test/accuracy", "train/loss", "stop_reason"]
    pd.testing.assert_frame_equal(
        got.loc[wanted.index, columns], wanted[columns], check_dtype=False, check_index_type=False
    )


def test_the_page_holds_all_it_needs(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert "plotly.js v" in text
    markup = re.sub(r"<script\b.*?</script>", "", text, flags=re.DOTALL)
    assert re.findall(r'(?:src|href)="?[^"> ]+', markup) == []
    assert MEAN not in text


def test_without_plotly_one_sentence_says_what_brings_it(
    found: Comparison, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    monkeypatch.setitem(sys.modules, "plotly", None)
    with pytest.raises(kf.KerasflowError, match=r"pip install 'kerasflow\[interactive\]'"):
        write_page(found, "rates", tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


@pytest.mark.browser
def test_runs_without_an_epoch_or_a_number_make_a_page(browser: Page, tmp_path: Path) -> None:
    RunFolder.create(tmp_path, "empty", "begun")
    file = write_page(kf.compare("empty", root=tmp_path), "empty", tmp_path / "page.html")
    text = browser.visit(file.as_uri(), ["1 of 1 runs shown."], tmp_path / "page.png")
    assert "No hyperparameter differs between these runs." in text
    assert browser.complaints() == []
