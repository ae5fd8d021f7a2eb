"""Several processes that work on one sweep, and the one that watches them and never loads TensorFlow."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from kerasflow.errors import RunError
from kerasflow.spec.experiment import ExperimentSpec
from kerasflow.sweeps.tickets import Tally, look, tally
from kerasflow.sweeps.working import PARENT_VARIABLE
from kerasflow.tracking.folder import RunFolder

STORAGE_VARIABLE = "KERASFLOW_SWEEP_STORAGE"
SECONDS_BETWEEN_LOOKS = 0.5
SECONDS_TO_END = 60.0
_COMMAND = "from kerasflow.cli import main; main()"


def supervise(
    study: Any,
    spec: ExperimentSpec,
    root: Path,
    url: str,
    store: str,
    folder: RunFolder,
    workers: int,
    until: float | None,
    tell: Callable[[Tally], None],
) -> bool:
    """Begins worker processes and waits for them.

    Returns:
        Whether Ctrl-C ended it.

    Raises:
        RunError: every worker ended early, with what the last one said.
    """
    assert spec.sweep is not None
    sweep = spec.sweep
    look(study, sweep)
    with _processes(spec, root, url, store, folder, workers, until) as processes:
        try:
            while any(process.poll() is None for process in processes):
                tell(tally(study, sweep))
                time.sleep(SECONDS_BETWEEN_LOOKS)
        except KeyboardInterrupt:
            return True
    found = tally(study, sweep)
    tell(found)
    _check_ends(processes, folder, found)
    return False


@contextmanager
def _processes(
    spec: ExperimentSpec, root: Path, url: str, store: str, folder: RunFolder, workers: int, until: float | None
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Worker processes, in sessions of their own: Ctrl-C reaches them through the one that watches."""
    address = "auto" if store else "none"
    plain = spec.model_copy(update={"track": spec.track.model_copy(update={"uri": address})})
    file = folder.write_text("workers.yaml", plain.to_yaml())
    command = [sys.executable, "-c", _COMMAND, "sweep", str(file), "--worker", "--runs", str(root)]
    if until is not None:
        command += ["--minutes", f"{max(0.01, (until - time.monotonic()) / 60):.4f}"]
    environment = os.environ | _share(workers) | {STORAGE_VARIABLE: url, "PYTHONPATH": os.pathsep.join(sys.path)}
    environment[PARENT_VARIABLE] = str(os.getpid())
    if store:
        environment["MLFLOW_TRACKING_URI"] = store
    processes = []
    try:
        for number in range(workers):
            with folder.path(f"worker-{number + 1}.log").open("wb") as log:
                processes.append(
                    subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
                )
        yield processes
    finally:
        for process in processes:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        for process in processes:
            try:
                process.wait(SECONDS_TO_END)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _share(workers: int) -> dict[str, str]:
    """Threads of each worker's arithmetic: its share of the cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = str(max(1, cores // workers))
    names = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    return {name: os.environ.get(name, threads) for name in names}


def _check_ends(processes: list[subprocess.Popen[bytes]], folder: RunFolder, found: Tally) -> None:
    """What the workers' ends tell."""
    early = {number: process.returncode for number, process in enumerate(processes, 1) if process.returncode}
    if not early:
        return
    last = max(early)
    said = folder.path(f"worker-{last}.log").read_text(errors="replace").strip().splitlines()
    why = said[-1].removeprefix("error: ") if said else f"ended with {early[last]}"
    if len(early) == len(processes):
        raise RunError(why if early[last] == 2 else f"every worker ended early: {why}")
    names = ", ".join(f"worker {number} ({_end(code)})" for number, code in early.items())
    warnings.warn(f"ended early: {names}; the others ran its trial again; see {folder}/worker-*.log", stacklevel=2)


def _end(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"
