"""The JSON Schema that editors read: whole, resolvable, and of one mind with `load_spec`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from kerasflow.spec import catalogue
from kerasflow.spec.document import parse_document
from kerasflow.spec.experiment import ExperimentSpec

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


def problems(schema: Any, value: Any) -> list[str]:
    """Where a value breaks the schema."""
    return [f"{fault.json_path}: {fault.message}" for fault in Draft202012Validator(schema).iter_errors(value)]


@pytest.fixture(scope="module")
def schema() -> Any:
    return json.loads(json.dumps(ExperimentSpec.model_json_schema(), allow_nan=False))


def test_is_a_schema(schema: Any) -> None:
    Draft202012Validator.check_schema(schema)


def test_accepts_full_and_short_forms(schema: Any, in_a_row: str, graph: str) -> None:
    for text in (in_a_row, graph):
        assert problems(schema, parse_document(text).value) == []


@pytest.mark.parametrize("path", sorted(EXPERIMENTS.glob("*/spec.yaml")), ids=lambda path: path.parent.name)
def test_accepts_the_example_specs(schema: Any, path: Path) -> None:
    assert problems(schema, parse_document(path.read_text()).value) == []


SMALL = "experiment: e\ndata: {source: {sklearn: iris}}\nmodel: {layers: [head]}\n"


@pytest.mark.parametrize(
    "part",
    [
        "model: {layers: [{dense: {unit: 3}}]}",
        "model: {layers: [{dense: {}}]}",
        "model: {layers: dense}",
        "model: {layers: [{op: {no_such_operation: {}}}]}",
        "model: {layers: [{model: {layers: []}}]}",
        "model: {layers: [{model: {layers: [head], input: [a]}}]}",
        "model: {layers: [{reuse: [a]}]}",
        "train: {optimizer: {adam: {lr: 0.1}}}",
        "train: {optimizer: adamm}",
        "train: {loss: {mse: 1, mae: 1}}",
        "train: {epochs: 0}",
        "train: {epochs: '3'}",
        "train: {metrics: accuracy}",
        "train: {stop: [{plateau: {patience: 0}}]}",
        "train: {stop: [threshold]}",
        "train: {stop: [{all: []}]}",
        "train: {stop: [all]}",
        "train: {stop: [{any: [{all: [threshold]}]}]}",
        "train: {precision: float16}",
        "data: {source: digits}",
        "data: {source: {sklearn: iris, keras: mnist}}",
        "data: {source: {sklearn: iris}, scale: unti}",
        "seed: -1",
        "nmae: x",
        "name: a/b",
    ],
)
def test_refuses_what_load_spec_refuses(schema: Any, part: str) -> None:
    key = part.partition(":")[0]
    text = "\n".join([*(line for line in SMALL.splitlines() if not line.startswith(f"{key}:")), part])
    assert problems(schema, parse_document(SMALL).value) == []
    assert problems(schema, parse_document(text).value) != []


def test_offers_every_layer_with_its_arguments_to_an_editor(schema: Any) -> None:
    mapping = schema["$defs"]["LayerSpec"]["anyOf"][-1]["properties"]
    assert set(catalogue.entries("layers")) <= set(mapping)
    call = mapping["conv2d"]["anyOf"][0]
    assert {"filters", "kernel_size", "padding", "activation"} <= set(call["properties"])
    assert call["required"] == ["filters", "kernel_size"]
    assert call["description"]
