"""What a person sees in MLflow's own UI, in a real browser."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import kerasflow as kf

pytestmark = [pytest.mark.browser, pytest.mark.slow]

RATES = (0.1, 0.01, 0.001)
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --hide-scrollbars --window-size=1900,3600 --remote-debugging-port=0"
)


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


@contextmanager
def _process(command: list[str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process with all that it starts, ended at the end."""
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def _wait_for(url: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except (urllib.error.URLError, TimeoutError):
            assert time.monotonic() < deadline, f"{url} does not answer"
            time.sleep(0.2)


class Page:
    """A tab of a headless Chromium, spoken to by the DevTools protocol."""

    def __init__(self, address: str) -> None:
        self.address = address

    def visit(self, url: str, wanted: list[str], screenshot: Path) -> str:
        """Open a page, wait until its text holds all that is wanted (two minutes at most), and return that text."""
        return asyncio.run(self._visit(url, wanted, screenshot))

    async def _visit(self, url: str, wanted: list[str], screenshot: Path) -> str:
        import aiohttp

        async with aiohttp.ClientSession() as session, session.ws_connect(self.address, max_msg_size=0) as socket_:

            async def call(method: str, **params: object) -> dict[str, dict[str, str]]:
                await socket_.send_json({"id": 1, "method": method, "params": params})
                while True:
                    answer = await socket_.receive_json(timeout=60)
                    if answer.get("id") == 1:
                        return answer["result"]

            await call("Page.navigate", url=url)
            text, deadline = "", time.monotonic() + 120
            while time.monotonic() < deadline and not all(word in text for word in wanted):
                await asyncio.sleep(0.5)
                said = await call("Runtime.evaluate", expression="document.body ? document.body.innerText : ''")
                text = said["result"]["value"]
            picture = await call("Page.captureScreenshot", format="png")
            screenshot.write_bytes(base64.b64decode(str(picture["data"])))
        return text


@contextmanager
def _chromium(folder: Path) -> Iterator[Page]:
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is not installed: Debian's package `chromium` brings it.")
    profile = folder / "profile"
    with _process([program, *FLAGS.split(), f"--user-data-dir={profile}", "about:blank"], folder):
        port_file, deadline = profile / "DevToolsActivePort", time.monotonic() + 60
        while not (port_file.exists() and port_file.read_text().count("\n")):
            assert time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.1)
        tabs = f"http://127.0.0.1:{port_file.read_text().split()[0]}/json/list"
        _wait_for(tabs, 30)
        with urllib.request.urlopen(tabs, timeout=10) as answer:
            tab = next(tab for tab in json.load(answer) if tab["type"] == "page")
        yield Page(tab["webSocketDebuggerUrl"])


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
        _process([*server, "--port", str(port), "--workers", "1"], tmp_path),
        _chromium(tmp_path / "browser") as page,
    ):
        root = f"http://127.0.0.1:{port}"
        _wait_for(f"{root}/health", 120)
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
