"""What a run ran on: exact packages, Python, machine, and the state of the user's own code."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path


def environment_text() -> str:
    """Python, platform, CPU count and every installed package, pinned; one a line, readable by `pip install -r`."""
    packages = {found.metadata["Name"]: found.version for found in metadata.distributions() if found.metadata["Name"]}
    return "\n".join(
        [
            f"# Python {platform.python_version()} ({platform.python_implementation()})",
            f"# {platform.platform()}, {os.cpu_count()} CPUs",
            *(f"{name}=={packages[name]}" for name in sorted(packages, key=str.lower)),
            "",
        ]
    )


def git_tags(folder: Path | None = None) -> dict[str, str]:
    """`git_commit` and `git_dirty` of a folder (the working directory if not given); nothing where git knows neither.

    Dirty means that a file under version control was changed: a run's own outputs are not under it and do not count.
    """
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return {}
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return {"git_commit": commit} | ({} if changes is None else {"git_dirty": "true" if changes else "false"})


def model_requirements() -> list[str]:
    """The packages that a process needs to load and run a saved model, pinned to those of this one."""
    return [f"{name}=={metadata.version(name)}" for name in ("keras", "numpy", "tensorflow")]


def _git(folder: Path | None, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
