"""Who is held out: disjoint, whole, balanced, and the same for the same seed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasflow.data.splitting import draw
from kerasflow.errors import DataError


def drawn(y: Any, classes: Any = None, validation: float = 0.1, test: float = 0.2, seed: int = 0) -> dict[Any, Any]:
    return draw(np.asarray(y), classes, validation, test, seed, "here")


@settings(max_examples=40, deadline=None)
@given(
    counts=st.lists(st.integers(15, 60), min_size=2, max_size=5),
    validation=st.sampled_from([0.0, 0.1, 0.25]),
    test=st.sampled_from([0.0, 0.2, 0.5]),
    seed=st.integers(0, 2**32 - 1),
)
def test_parts_are_disjoint_whole_and_balanced(counts: list[int], validation: float, test: float, seed: int) -> None:
    y = np.repeat(np.arange(len(counts)), counts)
    parts = drawn(y, tuple("abcde"[: len(counts)]), validation, test, seed)
    assert sorted(np.concatenate(list(parts.values())).tolist()) == list(range(len(y)))
    assert set(parts) == {"train"} | {"validation" for _ in [1] if validation} | {"test" for _ in [1] if test}
    for name, fraction in (("validation", validation), ("test", test)):
        if fraction:
            held = np.bincount(y[parts[name]], minlength=len(counts))
            assert held.sum() == round(len(y) * fraction)
            assert np.abs(held - np.array(counts) * fraction).max() <= 1.5


def test_the_draw_is_a_function_of_the_seed() -> None:
    y = np.tile([0, 1], 50)
    first, again, other = (drawn(y, ("a", "b"), seed=seed)["test"].tolist() for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_numbers_are_drawn_without_classes() -> None:
    assert [len(rows) for rows in drawn(np.linspace(0, 1, 100)).values()] == [70, 10, 20]


@pytest.mark.parametrize(
    ("y", "fractions", "message"),
    [
        ([0] * 20 + [1] * 2, (0.1, 0.2), "needs at least 3 row.*'b' has 2"),
        ([0] * 20 + [1], (0.0, 0.2), "needs at least 2 row.*'b' has 1"),
        ([0, 1, 2, 3] * 4, (0.0, 0.2), "split.test holds out 3 of 16 rows, too few for one of each of the 4 classes"),
        ([0, 1] * 4, (0.0, 0.05), "split.test: 0.05 of 8 rows is no row"),
        ([0, 1], (0.0, 0.9), "2 rows are too few"),
        ([0] * 30 + [1] * 3, (0.1, 0.8), "class"),
    ],
)
def test_a_part_that_would_lack_a_class_is_refused(y: list[int], fractions: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        drawn(y, tuple("abcd"[: max(y) + 1]), *fractions)
