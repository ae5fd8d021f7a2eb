"""What only a process of its own shows: what it imports, what it starts, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

WATCH = """
import json, sys
started, imported = [], []
def hook(event, arguments):
    if event in ("subprocess.Popen", "os.posix_spawn", "os.fork", "os.system"):
        started.append(str(arguments[:1]))
    if event == "import" and arguments[0] == "tensorflow":
        imported.append(arguments[0])
sys.addaudithook(hook)
from kerasflow.cli.app import run_app
try:
    code = run_app()
except SystemExit as end:
    code = end.code or 0
heavy = sorted({name.partition(".")[0] for name in sys.modules} & {"keras", "mlflow", "tensorflow", "sklearn"})
print(json.dumps({"code": code, "started": started, "imported": imported, "heavy": heavy}))
"""


def watched(*words: str) -> dict:
    done = subprocess.run(
        [sys.executable, "-c", WATCH, *words], capture_output=True, text=True, check=True, timeout=120
    )
    assert "Traceback" not in done.stderr
    return json.loads(done.stdout.splitlines()[-1]) | {"err": done.stderr}


def test_check_imports_tensorflow_once_and_starts_nothing(here) -> None:
    found = watched("check", "spec.yaml")
    assert (found["code"], found["imported"], found["err"]) == (0, ["tensorflow"], "")
    assert [what for what in found["started"] if "kerasflow" in what or "python" in what] == []
    assert "mlflow" not in found["heavy"]


@pytest.mark.parametrize(
    ("words", "code"),
    [(["schema"], 0), (["compare", "iris"], 2), (["run", "spec.yaml", "--set", "train.epochs=0"], 2), (["ui"], 2)],
)
def test_what_needs_no_framework_loads_none(here, words, code) -> None:
    found = watched(*words)
    assert (found["code"], found["heavy"]) == (code, [])


@pytest.mark.slow
def test_ui_serves_the_store_until_ctrl_c(here) -> None:
    from mlflow import MlflowClient

    MlflowClient(f"sqlite:///{here}/mlflow.db").create_experiment("iris")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-c", "from kerasflow.cli import main; main()", "ui", "--port", str(port)]
    quick = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    process = subprocess.Popen(
        command, env=quick, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        address = f"http://127.0.0.1:{port}"
        assert process.stdout is not None
        assert address in process.stdout.readline()
        assert answers(f"{address}/health", process, seconds=120)
        second = watched("ui", "--port", str(port))
        assert second["code"] == 2
        assert f"port {port} is taken" in second["err"]
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to its whole group
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0
        assert "Traceback" not in err
        with socket.socket() as gone:
            assert gone.connect_ex(("127.0.0.1", port)) != 0
    finally:
        process.terminate()
        process.wait(timeout=60)


def answers(url: str, process: subprocess.Popen[str], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)  # between two questions to a server that is starting
    return False
