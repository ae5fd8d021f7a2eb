from __future__ import annotations

from pathlib import Path

import pytest

from tests.recorded_runs import finished


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store's file, to be copied: MLflow takes seconds to make one."""
    place = tmp_path_factory.mktemp("made")
    finished(place / "runs", f"sqlite:///{place}/mlflow.db", epochs=1)
    return place / "mlflow.db"
