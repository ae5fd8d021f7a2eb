from __future__ import annotations

import pytest

from kerasflow.columns import higher_is_better


@pytest.mark.parametrize(
    ("metric", "higher"),
    [
        ("val_accuracy", True), ("test/accuracy", True), ("val/auc", True), ("sparse_categorical_accuracy", True),
        ("f1_score", True), ("r2_score", True), ("train/loss", False), ("val_mean_absolute_error", False),
        ("rmse", False), ("sparse_categorical_crossentropy", False), ("perf/epoch_seconds", False),
    ],
)  # fmt: skip
def test_which_way_is_better(metric: str, higher: bool) -> None:
    assert higher_is_better(metric) is higher
