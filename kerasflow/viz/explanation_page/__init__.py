"""One page that explains a network, to be read in a browser: a walk forward and back, curves, and all as tables."""

from __future__ import annotations

import html
from collections.abc import Mapping
from importlib.resources import files
from string import Template
from typing import Any

from kerasflow.viz.page import inert, plotly_source
from kerasflow.viz.style import COLOURS


def page(numbers: Mapping[str, Any], *, title: str) -> str:
    """The page as HTML, which asks no network for anything.

    Args:
        numbers: JSON-ready; `facts` a sentence, `weight` the one that is followed, `diagram` the columns of the
            network, `sections` each with `name`, `title`, `words`, `tables` and `charts`.
        title: of the page, as plain text.

    Raises:
        MissingExtra: plotly is not installed.
    """
    sections = numbers["sections"]
    charts = {section["name"]: section["charts"] for section in sections}
    drawn = {"diagram": numbers["diagram"], "charts": charts, "colours": COLOURS}
    return Template(_file("page.html")).substitute(
        title=html.escape(title),
        facts=html.escape(numbers["facts"]),
        links="\n".join(f'<a href="#{_text(s["name"])}">{_text(s["title"])}</a>' for s in sections),
        sections="\n".join(map(_section, sections)),
        style=_file("page.css"),
        plotly=plotly_source(),
        numbers=inert(drawn),
        script="\n".join(_file(name) for name in ("charts.js", "walk.js")),
    )


def _file(name: str) -> str:
    return files(__name__).joinpath(name).read_text(encoding="utf-8")


def _section(section: Mapping[str, Any]) -> str:
    """A heading, what there is to say, room for the curves, and the numbers as tables."""
    name = _text(section["name"])
    words = "".join(f"<p>{_text(sentence)}</p>" for sentence in section["words"])
    charts = "".join(
        f"<figure><figcaption>{_text(chart['title'])}</figcaption>"
        f'<div class="chart" id="{name}-{place}" role="img" aria-label="{_text(chart["title"])}"></div></figure>'
        for place, chart in enumerate(section["charts"])
    )
    tables = "".join(map(_table, section["tables"]))
    shown = "" if charts else " open"
    folded = f"<details{shown}><summary>The numbers as tables</summary>{tables}</details>" if tables else ""
    heading = f'<h2 id="{name}-heading">{_text(section["title"])}</h2>'
    return f'<section id="{name}" aria-labelledby="{name}-heading">{heading}{words}{charts}{folded}</section>'


def _table(table: Mapping[str, Any]) -> str:
    if not table["rows"]:
        return ""
    numeric = [isinstance(cell, int | float) for cell in table["rows"][0]]
    head = "".join(
        f'<th scope="col"{" class=number" * right}>{_text(name)}</th>'
        for name, right in zip(table["columns"], numeric, strict=True)
    )
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in table["rows"])
    caption = f"<caption>{_text(table['caption'])}</caption>"
    return (
        f'<div class="scroll" tabindex="0"><table>{caption}<thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _cell(value: Any) -> str:
    """A number with six digits, and all of them where the mouse points."""
    if isinstance(value, int | float):
        return f'<td class="number" title="{value!r}">{value:.6g}</td>'
    return f"<td>{_text('–' if value is None else value)}</td>"


def _text(value: object) -> str:
    return html.escape(str(value))
