"""Real servers on this machine, for tests: MLflow, PostgreSQL, and one that stands before MLflow and misbehaves."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

SECONDS_TO_START = 180


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class MlflowServer:
    """`mlflow server` on a free port, with a database and artifacts of its own, which can be killed and come back."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [
            sys.executable,
            "-m",
            "mlflow",
            "server",
            "--backend-store-uri",
            f"sqlite:///{self.folder}/mlflow.db",
        ]
        command += ["--artifacts-destination", str(self.folder / "mlartifacts"), "--host", "127.0.0.1"]
        environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--port", str(self.port), "--workers", "1"],
                cwd=self.folder,
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + SECONDS_TO_START
        while not _answers(f"{self.uri}/health"):
            assert self._process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < deadline, (self.folder / "log").read_text()

    def kill(self, number: int = signal.SIGKILL) -> None:
        assert self._process is not None
        os.killpg(self._process.pid, number)
        self._process.wait(30)
        self._process = None

    @property
    def runs(self) -> bool:
        return self._process is not None


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        time.sleep(0.2)
        return False


@contextmanager
def mlflow_server(folder: Path) -> Iterator[MlflowServer]:
    server = MlflowServer(folder)
    server.start()
    try:
        yield server
    finally:
        if server.runs:
            server.kill(signal.SIGTERM)


class Between:
    """Stands between a client and a server, and does what it is told.

    Attributes:
        seconds: that each answer is held back.
        refuses: whether the answer to what would change something is 500, without the server having heard of it.
        loses: whether the server hears it, and its answer becomes 500.
        loses_once: the same for the first answer to each such address.
        refusals: a status by a part of an address: what would change something there gets that for an answer.
    """

    def __init__(self, server: str) -> None:
        self.seconds, self.refuses, self.loses, self.loses_once = 0.0, False, False, False
        self.refusals: dict[str, int] = {}
        self._lost: set[str] = set()
        self.asked = 0
        host = server.removeprefix("http://")
        between = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _pass_on(self) -> None:
                between.asked += 1
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                time.sleep(between.seconds)
                changes = self.command != "GET" and not self.path.endswith("/search")
                if between.refuses and changes:
                    self._answer(500, b"{}", "application/json")
                    return
                status = next((s for part, s in between.refusals.items() if changes and part in self.path), None)
                if status is not None:
                    self._answer(status, b"<html>no</html>", "text/html")
                    return
                connection = http.client.HTTPConnection(host, timeout=60)
                headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
                connection.request(self.command, self.path, body, headers)
                answer = connection.getresponse()
                content, kind = answer.read(), answer.getheader("Content-Type", "application/json")
                connection.close()
                first = between.loses_once and self.path not in between._lost
                if changes and (between.loses or first):
                    between._lost.add(self.path)
                    self._answer(500, b"{}", "application/json")
                else:
                    self._answer(answer.status, content, kind)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _pass_on

            def _answer(self, status: int, content: bytes, kind: str) -> None:
                with suppress(BrokenPipeError, ConnectionResetError):  # who asked has lost patience
                    self.send_response(status)
                    self.send_header("Content-Type", kind)
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.uri = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def postgresql_binaries() -> Path | None:
    """Where Debian's PostgreSQL, or another that is on the path, keeps its programs."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb")) or [
        Path(path) for path in [shutil.which("initdb")] if path
    ]
    return found[-1].parent if found else None


@contextmanager
def postgresql(binaries: Path) -> Iterator[str]:
    """An empty PostgreSQL on a free port; its address. It refuses to be root's, and is nobody's else then."""
    with tempfile.TemporaryDirectory(prefix="kerasflow-postgresql-") as place:
        as_other: list[str] = []
        if os.getuid() == 0:
            shutil.chown(place, "postgres", "postgres")
            as_other = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        data, port = f"{place}/data", free_port()
        initialize = [str(binaries / "initdb"), "-D", data, "-U", "kerasflow", "--auth=trust", "-E", "UTF8"]
        subprocess.run([*as_other, *initialize], check=True, capture_output=True, cwd=place)
        options = ["-D", data, "-p", str(port), "-k", place, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
        with Path(place, "log").open("wb") as log:
            server = subprocess.Popen(
                [*as_other, str(binaries / "postgres"), *options], stdout=log, stderr=log, cwd=place
            )
        try:
            ready = [str(binaries / "pg_isready"), "-h", "127.0.0.1", "-p", str(port)]
            deadline = time.monotonic() + 60
            while subprocess.run(ready, capture_output=True, check=False).returncode:
                assert server.poll() is None, Path(place, "log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.1)
            yield f"postgresql+psycopg2://kerasflow:secret@127.0.0.1:{port}/postgres"
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(30)
