"""A small table, and short ways to load tables and arrays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kerasflow.data import Data, load
from kerasflow.spec.data import DataSpec


@pytest.fixture
def table() -> pd.DataFrame:
    """60 passengers: two numbers, a boolean, a category and a label."""
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "age": rng.integers(1, 80, 60),
            "fare": rng.normal(30, 10, 60),
            "alone": rng.random(60) < 0.5,
            "port": rng.choice(["Cherbourg", "Queenstown", "Southampton"], 60),
            "fate": np.tile(["lost", "saved", "saved"], 20),
        }
    )


@pytest.fixture
def load_csv(tmp_path: Path) -> Callable[..., Data]:
    """Writes a table as CSV and loads it; keyword arguments go to the source, `spec` and `seed` beside it."""

    def write_and_load(frame: pd.DataFrame, seed: int = 0, spec: Any = None, **source: Any) -> Data:
        path = tmp_path / "table.csv"
        frame.to_csv(path, index=False)
        return load(DataSpec(source={"csv": {"path": str(path), "target": "fate", **source}}, **(spec or {})), seed)

    return write_and_load


@pytest.fixture
def load_npz(tmp_path: Path) -> Callable[..., Data]:
    """Saves arrays in an archive and loads it."""

    def save_and_load(seed: int = 0, spec: Any = None, **arrays: Any) -> Data:
        np.savez(tmp_path / "arrays.npz", **arrays)
        return load(DataSpec(source={"npz": str(tmp_path / "arrays.npz")}, **(spec or {})), seed)

    return save_and_load
