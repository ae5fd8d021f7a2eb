"""The Dockerfiles keep hadolint's rules and their promises: pinned packages, a user without privileges, real files."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from dockerfile_parse import DockerfileParser

ROOT = Path(__file__).parents[2]
FILES = ["Dockerfile", "Dockerfile.gpu", "Dockerfile.mlflow"]

Instruction = dict[str, Any]

each_file = pytest.mark.parametrize("name", FILES)


def instructions(name: str) -> list[Instruction]:
    with (ROOT / "docker" / name).open("rb") as file:
        parsed: list[Instruction] = DockerfileParser(fileobj=file).structure
    return [line for line in parsed if line["instruction"] != "COMMENT"]


def values(name: str, instruction: str) -> list[str]:
    return [line["value"] for line in instructions(name) if line["instruction"] == instruction]


@each_file
def test_hadolint_finds_nothing(name: str) -> None:
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("hadolint is not installed: `make setup` brings it.")
    done = subprocess.run([hadolint, ROOT / "docker" / name], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@each_file
def test_the_base_image_is_a_pinned_python(name: str) -> None:
    assert {image.split(" AS ")[0] for image in values(name, "FROM")} == {"python:3.11-slim-bookworm"}


@each_file
def test_what_is_copied_exists_and_is_in_the_build_context(name: str) -> None:
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    sources = [
        source for value in values(name, "COPY") if not value.startswith("--from=") for source in value.split()[:-1]
    ]
    assert sources
    for source in sources:
        assert (ROOT / source).exists(), f"{source} is not in the project"
        assert f"!{source}" in ignore, f".dockerignore keeps {source} from the build"


@each_file
def test_every_package_comes_at_its_pinned_version(name: str) -> None:
    installs = re.findall(r"pip install [^&\n]*", "\n".join(values(name, "RUN")))
    assert installs
    assert all("--constraint" in install or "--no-deps" in install for install in installs)


@each_file
def test_it_runs_as_a_user_without_privileges(name: str) -> None:
    last = [line["instruction"] for line in instructions(name)]
    assert values(name, "USER")[-1] == "1000"
    assert last.index("USER") > max(position for position, word in enumerate(last) if word == "RUN")


def test_the_extras_exist() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for name in FILES:
        for extras in re.findall(r'"\.\[([\w,]+)\]"', "\n".join(values(name, "RUN"))):
            assert set(extras.split(",")) <= set(project["optional-dependencies"])


def test_gpu_differs_from_cpu_by_the_extra_and_the_driver_alone() -> None:
    def essence(name: str) -> list[list[str]]:
        plain = [
            re.sub(r"NVIDIA_\w+=\S+|gpu,", "", f"{line['instruction']} {line['value']}") for line in instructions(name)
        ]
        return [line.split() for line in plain]

    assert essence("Dockerfile.gpu") == essence("Dockerfile")
