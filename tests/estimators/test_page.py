"""What docs/scikit_learn.md shows works; the blocks on Dask and Ray are run by test_backends.py."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

PAGE = Path(__file__).parents[2] / "docs" / "scikit_learn.md"


@pytest.fixture(scope="module")
def shown() -> dict[str, Any]:
    """The names that the page leaves behind, run from top to bottom."""
    names: dict[str, Any] = {}
    text = PAGE.read_text(encoding="utf-8")
    for fence in re.finditer(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        if "import joblib" not in fence[1] and "import ray" not in fence[1]:
            lines = "\n" * text.count("\n", 0, fence.start(1))
            exec(compile(lines + fence[1], PAGE, "exec"), names)  # errors name the page's own line
    return names


def test_the_searches_and_networks_of_the_page_learn(shown):
    X, y = shown["X"], shown["y"]
    assert shown["search"].best_score_ > 0.9
    assert shown["several"].score(X, shown["both"]) > 0.9
    assert shown["towers"].score(X, y) > 0.9


def test_precision_is_what_the_page_says(shown):
    X, y = shown["X"], shown["y"]
    for dtype in ("float64", "float32"):
        assert shown["network"].fit(X.astype(dtype), y).predict_proba(X.astype(dtype)).dtype == dtype


def test_margins_are_what_the_page_says(shown):
    X, margins = shown["X"], shown["margins"]
    np.testing.assert_array_equal(margins.decision_function(X) > 0, margins.predict(X))
    assert not hasattr(margins, "predict_proba")


def test_several_outputs_are_what_the_page_says(shown):
    found = shown["several"].predict_proba(shown["X"])
    assert [part.shape for part in found] == [(150, 3), (150, 2)]
