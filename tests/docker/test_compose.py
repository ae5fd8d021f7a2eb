"""The compose file, read as Compose would: every name in it leads somewhere, and no secret stands in it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"

Service = dict[str, Any]

TEXT = (DOCKER / "compose.yaml").read_text()
COMPOSE = yaml.safe_load(TEXT)
SERVICES: dict[str, Service] = COMPOSE["services"]

each_service = pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES.keys())


def environment_example() -> dict[str, str]:
    lines = (DOCKER / ".env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_the_stack_is_whole() -> None:
    assert set(SERVICES) == {"postgres", "object-store", "bucket", "mlflow", "trainer", "trainer-gpu"}


def test_variables_and_the_example_environment_match() -> None:
    assert set(re.findall(r"\$\{(\w+)", TEXT)) == set(environment_example())


def test_every_variable_says_what_to_do_when_it_is_unset() -> None:
    assert re.findall(r"\$\{\w+(?!\w|:\?set it in docker/\.env\})[^}]*\}", TEXT) == []


def test_the_example_environment_holds_no_secret() -> None:
    assert set(environment_example().values()) == {""}


@each_service
def test_secrets_come_from_the_environment(service: Service) -> None:
    for name, value in service.get("environment", {}).items():
        if re.search("PASSWORD|KEY|SECRET", name):
            assert value.startswith("${"), f"{name} is written in clear"


@each_service
def test_images_are_pinned_by_version(service: Service) -> None:
    _, _, tag = service["image"].rpartition(":")
    assert re.match(r"\d+\.\d+", tag), f"{service['image']} names no version"


@each_service
def test_build_files_exist(service: Service) -> None:
    if "build" in service:
        context = (DOCKER / service["build"]["context"]).resolve()
        assert context == ROOT
        assert (context / service["build"]["dockerfile"]).is_file()


@each_service
def test_dependencies_resolve_to_something_that_can_be_waited_for(service: Service) -> None:
    for name, wait in service.get("depends_on", {}).items():
        assert name in SERVICES
        if wait["condition"] == "service_healthy":
            assert "healthcheck" in SERVICES[name]
        else:
            assert wait["condition"] == "service_completed_successfully"
            assert "restart" not in SERVICES[name], f"{name} is waited for to end, yet restarts"


@each_service
def test_what_stays_up_is_watched(service: Service) -> None:
    if "restart" in service:
        assert service["healthcheck"]["test"][0] == "CMD"


@each_service
def test_volumes_resolve(service: Service) -> None:
    for volume in service.get("volumes", []):
        source = volume.split(":")[0]
        if source.startswith("."):
            assert (DOCKER / source).is_dir(), f"{source} is not in the project"
        else:
            assert source in COMPOSE["volumes"]


def test_no_volume_is_declared_in_vain() -> None:
    used = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert set(COMPOSE["volumes"]) <= used


@each_service
def test_ports_are_published_on_loopback_alone(service: Service) -> None:
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_hosts_named_in_addresses_are_services() -> None:
    hosts = set(re.findall(r"(?:://|@)([a-z][a-z-]*):\d+", TEXT)) - {"localhost"}
    assert hosts == {"mlflow", "object-store", "postgres"}


@pytest.mark.parametrize("name", ["trainer", "trainer-gpu"])
def test_trainers_run_an_experiment_of_the_project_against_the_server(name: str) -> None:
    run, spec, override, uri = SERVICES[name]["command"]
    assert (run, override, uri) == ("run", "--set", "track.uri=http://mlflow:5000")
    assert (ROOT / spec).is_file()


def test_the_bucket_is_the_one_that_the_server_writes_to() -> None:
    program = SERVICES["bucket"]["command"][0]
    compile(program, "bucket", "exec")
    assert "--artifacts-destination=s3://mlflow" in SERVICES["mlflow"]["command"]
    assert 'create_bucket(Bucket="mlflow")' in program


def test_mlflow_knows_the_options_that_it_is_started_with() -> None:
    from mlflow.cli import cli

    name, *options = SERVICES["mlflow"]["command"]
    known = {option for parameter in cli.commands[name].params for option in parameter.opts}
    assert {option.partition("=")[0] for option in options} <= known


def test_the_server_answers_the_name_that_trainers_call_it_by() -> None:
    allowed = next(option for option in SERVICES["mlflow"]["command"] if option.startswith("--allowed-hosts="))
    assert {"mlflow:5000", "localhost:5000"} <= set(allowed.partition("=")[2].split(","))
