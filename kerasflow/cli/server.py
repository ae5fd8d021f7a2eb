"""`kerasflow ui`: MLflow's own server on the local store, or the address of one that runs already."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

from kerasflow.errors import TrackingError


def serve(uri: str, port: int) -> None:
    """Runs the server until it is stopped.

    Raises:
        TrackingError: there is no such store, the port is taken, or the server cannot start.
    """
    if uri.startswith(("http://", "https://")):
        print(f"the store is a server of its own: open {uri}")
        return
    file = Path(uri.removeprefix("sqlite:///"))
    if uri.startswith("sqlite:///") and not file.exists():
        raise TrackingError(
            f"{file}: there is no such store yet; run an experiment in this folder first, or name one with --uri"
        )
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise TrackingError(f"port {port} is taken; choose another with --port")
    print(
        f"open http://127.0.0.1:{port}/#/experiments?workflowType=machine_learning (Ctrl-C stops the server)",
        flush=True,
    )
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--backend-store-uri",
        uri,
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    code = subprocess.run(command, check=False).returncode
    if code not in (0, -2, 130):
        raise TrackingError(f"MLflow's server ended with exit code {code}; its own words stand above")
