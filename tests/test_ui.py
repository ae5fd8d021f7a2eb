"""What a person sees in MLflow's own UI, in a real browser."""

from __future__ import annotations

import socket
import sys
import tempfile
from pathlib import Path

import pytest

import kerasflow as kf
from tests.browser import chromium, process, wait_for

pytestmark = [pytest.mark.browser, pytest.mark.slow]

RATES = (0.1, 0.01, 0.001)


def _three_runs(folder: Path) -> tuple[str, list[str]]:
    """Three real runs that differ in the learning rate alone."""
    store = f"sqlite:///{folder}/mlflow.db"
    spec = {
        "experiment": "learning-rates",
        "data": {"source": {"sklearn": "iris"}, "scale": "standard"},
        "model": {"layers": ["head"]},
        "train": {"epochs": 10, "optimizer": {"sgd": {"learning_rate": 0.01}}},
        "track": {"uri": store},
    }
    changes = [{"name": f"alpha-{rate}", "train.optimizer.sgd.learning_rate": rate} for rate in RATES]
    return store, [kf.run(spec, change, root=folder / "runs", verbose=0).run_id for change in changes]


def test_three_learning_rates_side_by_side(tmp_path: Path) -> None:
    pictures = Path(tempfile.gettempdir()) / "kerasflow-ui"
    pictures.mkdir(exist_ok=True)
    store, runs = _three_runs(tmp_path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store, "--host", "127.0.0.1"]
    (tmp_path / "browser").mkdir()
    with (
        process([*server, "--port", str(port), "--workers", "1"], tmp_path),
        chromium(tmp_path / "browser") as page,
    ):
        root = f"http://127.0.0.1:{port}"
        wait_for(f"{root}/health", 120)
        names = [f"alpha-{rate}" for rate in RATES]

        charts = f"{root}/#/experiments/1/runs?workflowType=machine_learning&compareRunsMode=CHART"
        wanted = [*names, "train/loss", "val/loss"]
        # A chart's legend names a run's curve when it is drawn; it has room for two of the three.
        wanted += [f"{name} ({metric})" for name in names[1:] for metric in ("train/loss", "val/loss")]
        text = page.visit(charts, wanted, pictures / "charts.png")
        assert [word for word in wanted if word not in text] == []
        assert {"best", "optim", "perf", "test", "train", "val"} <= {
            line.split("(")[0].strip() for line in text.splitlines()
        }

        ids = "%2C".join(f"%22{run}%22" for run in runs)
        compare = f"{root}/#/compare-runs?runs=%5B{ids}%5D&experiments=%5B%221%22%5D&workflowType=machine_learning"
        wanted = [*names, "train/optimizer/sgd/learning_rate", *map(str, RATES)]
        text = page.visit(compare, wanted, pictures / "compare.png")
        assert [word for word in wanted if word not in text] == []
