"""`kerasflow ui`: MLflow's own server on the local store, or the address of one that runs already."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress

from kerasflow.errors import TrackingError
from kerasflow.tracking import store_uri


def serve(uri: str, port: int) -> None:
    """Runs the server until it is stopped.

    Raises:
        TrackingError: there is no such store, the port is taken, or the server cannot start.
    """
    if uri.startswith(("http://", "https://")):
        print(f"the store is a server of its own: open {uri}")
        return
    uri = store_uri.resolve(uri)
    file = store_uri.sqlite_file(uri)
    if file is not None and not file.exists():
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
        "--workers",  # one person looks, and every worker imports MLflow anew
        "1",
    ]
    signal.signal(signal.SIGTERM, _exit)
    # In a session of its own: Ctrl-C reaches this process alone, which then asks the server to end.
    process = subprocess.Popen(command, start_new_session=True)
    try:
        code = process.wait()
    except KeyboardInterrupt:
        return
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait()
    if code != 0:
        raise TrackingError(f"MLflow's server ended with exit code {code}; its own words stand above")


def _exit(number: int, _: object) -> None:
    raise SystemExit(128 + number)
