"""What a run ran on: exact packages, Python, machine, and the state of the user's own code."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from importlib import metadata
from pathlib import Path

_PACKAGES_SHOWN = 8
_THAT_COMPUTE = ("kerasflow", "tensorflow", "keras", "numpy", "scipy", "scikit-learn", "openvino")


def environment_text() -> str:
    """Python, platform, processor and every installed package, pinned; one a line, readable by `pip install -r`."""
    packages = {found.metadata["Name"]: found.version for found in metadata.distributions() if found.metadata["Name"]}
    return "\n".join(
        [
            f"# Python {platform.python_version()} ({platform.python_implementation()})",
            f"# {platform.platform()}, {os.cpu_count()} CPUs",
            f"# {_processor()}",
            *(f"{name}=={packages[name]}" for name in sorted(packages, key=str.lower)),
            "",
        ]
    )


def differences(then: str, now: str) -> list[str]:
    """What differs between two texts of `environment_text`, a sentence each; packages that compute come first.

    >>> differences("# Python 3.11.2\\nkeras==3.15.0\\n", "# Python 3.12.1\\nkeras==3.15.1\\n")
    ['Python 3.11.2 then, Python 3.12.1 now', 'packages: keras 3.15.0 then, 3.15.1 now']
    """
    (facts, packages), (facts_now, packages_now) = _parts(then), _parts(now)
    found = [f"{a} then, {b} now" for a, b in zip(facts, facts_now, strict=False) if a != b]
    names = [name for name in packages | packages_now if packages.get(name) != packages_now.get(name)]
    names.sort(key=lambda name: (name.lower() not in _THAT_COMPUTE, name.lower()))
    if names:
        shown = [
            f"{name} {packages.get(name, 'none')} then, {packages_now.get(name, 'none')} now"
            for name in names[:_PACKAGES_SHOWN]
        ]
        rest = len(names) - len(shown)
        found.append(f"packages: {'; '.join(shown)}" + (f"; and {rest} more" if rest else ""))
    return found


def code_differences(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """What differs between two results of `git_tags`, a sentence each; changes that no commit holds are told, too."""
    found = []
    before, after = then.get("git_commit", "none"), now.get("git_commit", "none")
    if before != after:
        found.append(f"git commit {before[:12]} then, {after[:12]} now")
    for when, tags in (("then", then), ("now", now)):
        if tags.get("git_dirty") == "true":
            found.append(f"files under version control had changes {when} that are in no commit")
    return found


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


def _parts(text: str) -> tuple[list[str], dict[str, str]]:
    """Facts in their order, and versions by package."""
    lines = text.splitlines()
    pinned = [line.partition("==") for line in lines if "==" in line and not line.startswith("#")]
    return [line.removeprefix("# ") for line in lines if line.startswith("#")], {n: version for n, _, version in pinned}


def _processor() -> str:
    """Its model, upon which the last bits depend."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


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
