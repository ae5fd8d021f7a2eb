"""One page that compares runs, to be read in a browser: plotly, the numbers and the script, all in one HTML file."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from importlib.resources import files
from string import Template
from typing import Any

from matplotlib.colors import to_hex

from kerasflow.errors import MissingExtra
from kerasflow.viz.style import COLOURS, colour


def page(numbers: Mapping[str, Any], *, title: str) -> str:
    """The page as HTML, which asks no network for anything.

    Args:
        numbers: JSON-ready; `metric`, `metrics`, `params`, `curves` and `runs` as numbers.js reads them.
        title: of the page, as plain text.

    Raises:
        MissingExtra: plotly is not installed.
    """
    count = len(numbers["runs"])
    steps = [to_hex(colour(place, max(count, len(COLOURS) + 1))) for place in range(max(count, len(COLOURS) + 1))]
    return Template(_file("page.html")).substitute(
        title=html.escape(title),
        style=_file("page.css"),
        plotly=plotly_source(),
        numbers=inert({**numbers, "colours": COLOURS, "steps": steps}),
        script="\n".join(_file(name) for name in ("numbers.js", "charts.js", "page.js")),
    )


def _file(name: str) -> str:
    return files(__name__).joinpath(name).read_text(encoding="utf-8")


def plotly_source() -> str:
    """plotly's script with the notice of its licence, from its own package."""
    try:
        from plotly.offline import get_plotlyjs
    except ImportError:
        raise MissingExtra("an interactive page needs a package: pip install 'kerasflow[interactive]'") from None
    return str(get_plotlyjs())


def inert(value: Any) -> str:
    """JSON in which no text of a user's can end the script element that holds it."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
