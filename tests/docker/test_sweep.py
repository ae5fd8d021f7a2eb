"""A sweep under Compose and under Kubernetes: all work on one spec, with one storage, and one of them ends it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import yaml

from kerasflow.spec.experiment import load_spec
from kerasflow.sweeps.workers import STORAGE_VARIABLE

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
COMPOSE = yaml.safe_load((DOCKER / "compose.yaml").read_text())
SWEEP = yaml.safe_load((DOCKER / "compose.sweep.yaml").read_text())
SERVICES: dict[str, Any] = SWEEP["services"]
JOBS = [
    part["spec"]["template"]["spec"]
    for part in yaml.safe_load_all((DOCKER / "kubernetes.sweep.yaml").read_text())
    if part["kind"] == "Job"
]


def test_one_begins_and_ends_the_sweep_of_the_project_and_the_others_join_it() -> None:
    begins, joins = (shlex.split(SERVICES[name]["command"]) for name in ("sweep", "sweep-worker"))
    assert joins == [*begins, "--worker"]
    spec = re.sub(r"\$\{SPEC:-(.*)\}", r"\1", begins[1])
    assert load_spec(ROOT / spec).sweep is not None
    first, second = (pod["containers"][0]["args"] for pod in JOBS)
    assert second == [*first, "--worker"]


def test_all_share_one_storage_that_is_none_of_mlflows() -> None:
    addresses = {SERVICES[name]["environment"][STORAGE_VARIABLE] for name in ("sweep", "sweep-worker")}
    (address,) = addresses
    assert "${POSTGRES_PASSWORD:?set it in docker/.env}@trials:5432/" in address
    assert "trials" in SERVICES
    assert "trials" not in COMPOSE["services"]
    for pod in JOBS:
        variables = {one["name"]: one for one in pod["containers"][0]["env"]}
        assert variables[STORAGE_VARIABLE]["valueFrom"]["secretKeyRef"]["name"] == "kerasflow-sweep"


def test_workers_are_the_trainer_with_other_words() -> None:
    trainer = COMPOSE["services"]["trainer"]
    for name in ("sweep", "sweep-worker"):
        assert (SERVICES[name]["image"], SERVICES[name]["volumes"]) == (trainer["image"], trainer["volumes"])
        assert set(SERVICES[name]["depends_on"]) == {"mlflow", "trials"}
    for pod in JOBS:
        assert pod["containers"][0]["image"] == trainer["image"]
        assert pod["securityContext"]["runAsNonRoot"]
        mounted = {mount["name"] for mount in pod["containers"][0]["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["volumes"]}
