"""A real browser for tests: a headless Chromium, spoken to by the DevTools protocol."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --hide-scrollbars --window-size=1900,3600 --remote-debugging-port=0"
)


class Page:
    """A tab, and what the browser has told of it.

    Attributes:
        events: what was told since the page was opened: requests, exceptions, words on the console.
    """

    def __init__(self, address: str) -> None:
        import aiohttp

        self.events: list[dict[str, Any]] = []
        self._last = 0
        self._runner = asyncio.Runner()

        async def connect() -> None:
            self._session = aiohttp.ClientSession()
            self._socket = await self._session.ws_connect(address, max_msg_size=0)

        self._runner.run(connect())
        for domain in ("Runtime", "Log", "Network", "Page"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """The browser's answer to a command of the protocol."""
        self._last += 1

        async def ask() -> dict[str, Any]:
            await self._socket.send_json({"id": self._last, "method": method, "params": params})
            while True:
                answer: dict[str, Any] = await self._socket.receive_json(timeout=60)
                if answer.get("id") == self._last:
                    return answer
                self.events.append(answer)

        answer = self._runner.run(ask())
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression, which may be a promise."""
        said = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in said, said["exceptionDetails"]
        return said["result"].get("value")

    def visit(self, url: str, wanted: list[str], screenshot: Path) -> str:
        """Open a page, wait until its text holds all that is wanted (two minutes at most), and return that text."""
        self.events.clear()
        self.call("Page.navigate", url=url)
        text, deadline = "", time.monotonic() + 120
        while time.monotonic() < deadline and not (text and all(word in text for word in wanted)):
            time.sleep(0.2)
            text = self.evaluate("document.body ? document.body.innerText : ''")
        self.picture(screenshot)
        return text

    def picture(self, file: Path) -> None:
        """What the tab shows now, as PNG."""
        file.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def point(self, x: float, y: float) -> None:
        """Move the mouse there, in pixels from the window's corner."""
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def requests(self) -> list[str]:
        """The addresses that were asked for."""
        told = [event["params"] for event in self.events if event["method"] == "Network.requestWillBeSent"]
        return [one["request"]["url"] for one in told]

    def complaints(self) -> list[dict[str, Any]]:
        """Exceptions, and whatever was logged as an error or a warning."""
        kinds = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")
        return [event["params"] for event in self.events if event["method"] in kinds]

    def close(self) -> None:
        """Let the browser go."""

        async def end() -> None:
            await self._socket.close()
            await self._session.close()

        self._runner.run(end())
        self._runner.close()


@contextmanager
def process(command: list[str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process with all that it starts, ended at the end."""
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "log").open("wb") as log:
        started = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        yield started
    finally:
        os.killpg(started.pid, signal.SIGTERM)
        started.wait(30)


def wait_for(url: str, seconds: float) -> None:
    """Until something answers there."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except (urllib.error.URLError, TimeoutError):
            assert time.monotonic() < deadline, f"{url} does not answer"
            time.sleep(0.2)


@contextmanager
def chromium(folder: Path) -> Iterator[Page]:
    """A tab of a new browser, whose profile is in the folder; skips the test where there is no Chromium."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is not installed: Debian's package `chromium` brings it.")
    profile = folder / "profile"
    with process([program, *FLAGS.split(), f"--user-data-dir={profile}", "about:blank"], folder):
        port_file, deadline = profile / "DevToolsActivePort", time.monotonic() + 60
        while not (port_file.exists() and port_file.read_text().count("\n")):
            assert time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.1)
        tabs = f"http://127.0.0.1:{port_file.read_text().split()[0]}/json/list"
        wait_for(tabs, 30)
        with urllib.request.urlopen(tabs, timeout=10) as answer:
            tab = next(tab for tab in json.load(answer) if tab["type"] == "page")
        page = Page(tab["webSocketDebuggerUrl"])
        try:
            yield page
        finally:
            page.close()
