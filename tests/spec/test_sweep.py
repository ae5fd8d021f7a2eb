"""What a spec may say of a sweep, and the one sentence for each thing that cannot be."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator

import kerasflow as kf
from kerasflow.spec.sweep import SweepSpec

SPEC = """\
experiment: digits
name: small
data: {source: {sklearn: digits}}
model:
  layers:
    - dense: {units: 16, activation: relu}
    - dropout: 0.3
    - head
train: {epochs: 2}
sweep:
  trials: 4
  space:
"""
FIRST_LINE = SPEC.count("\n") + 1


def spec_with(*ranges: str, more: str = "") -> kf.ExperimentSpec:
    return kf.load_spec(
        SPEC.replace("  trials: 4\n", more or "  trials: 4\n") + "".join(f"    {one}\n" for one in ranges)
    )


def sweep_of(*ranges: str, more: str = "") -> SweepSpec:
    found = spec_with(*ranges, more=more).sweep
    assert found is not None
    return found


def test_anything_in_the_spec_can_be_searched_and_is_written_back_as_it_was_read() -> None:
    spec = spec_with(
        "train.optimizer.adam.learning_rate: {log: [1.0e-4, 0.1]}",
        "model.layers[0].dense.units: {int: [16, 64], step: 16}",
        "model.layers[1].dropout.rate: {float: [0, 0.5]}",
        "model.layers: {choice: [[head], [dense: 8, dropout: 0.1, head]]}",
        "data.scale: {choice: [none, unit]}",
    )
    assert kf.load_spec(spec.to_document()) == spec
    assert kf.load_spec(spec.to_yaml()) == spec
    assert list(Draft202012Validator(kf.ExperimentSpec.model_json_schema()).iter_errors(spec.to_document())) == []
    assert spec.to_document()["sweep"]["space"]["model.layers[0].dense.units"] == {"int": [16, 64], "step": 16}


def test_a_sweep_is_no_part_of_what_decides_a_runs_numbers() -> None:
    spec = spec_with("train.batch_size: {choice: [16, 32]}")
    plain = spec.with_values({})
    assert plain.content_hash() == spec.content_hash()
    assert "sweep" not in plain.to_document()


def test_values_are_set_with_their_whole_before_them() -> None:
    spec = spec_with(
        "train.optimizer.sgd.momentum: {float: [0.5, 0.9], when: {train.optimizer: sgd}}",
        "train.optimizer: {choice: [adam, {sgd: {learning_rate: 0.1}}]}",
    )
    chosen = {"train.optimizer.sgd.momentum": 0.7, "train.optimizer": {"sgd": {"learning_rate": 0.1}}}
    found = spec.with_values(chosen).to_document()["train"]["optimizer"]
    assert found == {"sgd": {"learning_rate": 0.1, "momentum": 0.7}}


def test_a_grid_has_each_choice_once_and_what_is_conditional_only_where_it_is_searched() -> None:
    found = sweep_of(
        "train.optimizer: {choice: [adam, sgd]}",
        "train.optimizer.sgd.momentum: {choice: [0.5, 0.9], when: {train.optimizer: sgd}}",
        "train.batch_size: {int: [16, 32], step: 8}",
        more="  sampler: grid\n",
    )
    assert found.count == len(found.grid()) == 9
    assert {"train.optimizer": "adam", "train.batch_size": 24} in found.grid()


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("val_loss", (("val_loss", "min"),)),
        ("val_accuracy", (("val_accuracy", "max"),)),
        ("{val_score: max}", (("val_score", "max"),)),
        ("[val_loss, model/parameters]", (("val_loss", "min"), ("model/parameters", "min"))),
    ],
)
def test_the_direction_is_read_from_the_objectives_name(written: str, expected: Any) -> None:
    found = sweep_of("train.batch_size: {choice: [16, 32]}", more=f"  trials: 4\n  objective: {written}\n")
    assert found.objective == expected


# ruff: noqa: E501
RANGES = [
    ("train.optimiser.adam.learning_rate: {log: [0.01, 0.1]}", "with 0.01: train has no 'optimiser', did you mean 'optimizer'?"),
    ("model.layers[3].dense.units: {int: [1, 2]}", "with 1: model.layers has 3 items, numbered from 0; there is no 3"),
    ("train.optimizer.adam.learning_rate: {log: [0, 0.1]}", "log must lie above 0, where logarithms are, got [0, 0.1]"),
    ("train.batch_size: {int: [64, 16]}", "int: [64, 16] is reversed; write [16, 64]"),
    ("train.batch_size: {int: [16, 16]}", "int: [16, 16] is empty: both bounds are the same; write the value where it belongs"),
    ("train.batch_size: {choice: []}", "choice must be a list with at least one value, got []"),
    ("train.batch_size: {choice: [16, 32, 16]}", "choice holds 16 twice"),
    ("train.batch_size: {int: [0, 16]}", "must be >= 1, got 0"),
    ("train.batch_size: {choice: [16, big]}", "must be an integer, got 'big'"),
    ("train.batch_size: {int: [16, 32], step: 0}", "step must be a whole number above 0 and at most 16, got 0"),
    ("train.batch_size: {ints: [16, 32]}", "has no 'ints', did you mean 'int'?"),
    ("train.batch_size: 16", "must be a range, such as {log: [0.001, 0.1]} or {choice: [1, 2]}, got 16"),
    ("train.route: {choice: [scratch, transfer]}", "with 'transfer': transfer needs a backbone: name one under model"),
]  # fmt: skip


@pytest.mark.parametrize(("written", "sentence"), RANGES)
def test_a_range_that_cannot_be_is_refused_at_its_line(written: str, sentence: str) -> None:
    with pytest.raises(kf.SpecError) as refused:
        spec_with(written)
    (fault,) = refused.value.faults
    assert fault.where == f"<text>:{FIRST_LINE}"
    assert fault.path == f"sweep.space.{written.partition(':')[0]}"
    assert fault.message in (sentence, f"train.route: {sentence}")


WHOLES = [
    ("  sampler: grid\n", "train.batch_size: {choice: [1]}", "model.layers[1].dropout.rate: {float: [0, 1]}",
     "a grid of it would be infinite: give it a step, or list values by choice"),
    ("  trials: 4\n", "train.epochs: {choice: [1, 2]}", "train.batch_size: {choice: [1], when: {train.epoch: 1}}",
     "'train.epoch' is not searched here, did you mean 'train.epochs'?"),
    ("  trials: 4\n", "train.epochs: {choice: [1, 2]}", "train.batch_size: {choice: [1], when: {train.epochs: 3}}",
     "train.epochs is never 3; it is one of 1, 2"),
    ("  sampler: tpe\n", "train.epochs: {choice: [1, 2]}", "train.batch_size: {choice: [1]}",
     "needs trials, or minutes: else it would never end"),
    ("  trials: 4\n  sampler: tp\n", "train.epochs: {choice: [1, 2]}", "train.batch_size: {choice: [1]}",
     "must be 'tpe', 'cma_es', 'random', 'grid' or 'quasi_random', got 'tp', did you mean 'tpe'?"),
    ("  trials: 4\n  pruner: median\n  objective: [loss, val_loss]\n", "train.epochs: {choice: [1]}", "seed: {int: [0, 9]}",
     "must be none where there are two objectives, got 'median'"),
    ("  trials: 4\n  finalists: 2\n", "train.epochs: {choice: [1]}", "seed: {int: [0, 9]}",
     "are trained with several seeds: set repeats to 2 or more"),
    ("  minutes: 4\n  finalists: 2\n  repeats: 3\n", "train.epochs: {choice: [1]}", "seed: {int: [0, 9]}",
     "begin when all trials have ended: say how many by trials"),
    ("  trials: 4\n  finalists: 2\n  repeats: 3\n  objective: [loss, val_loss]\n", "train.epochs: {choice: [1]}",
     "seed: {int: [0, 9]}", "are the best by one objective, and there are two; leave it out"),
]  # fmt: skip


@pytest.mark.parametrize(("more", "first", "second", "sentence"), WHOLES)
def test_a_sweep_that_cannot_be_is_refused(more: str, first: str, second: str, sentence: str) -> None:
    with pytest.raises(kf.SpecError) as refused:
        spec_with(first, second, more=more)
    (fault,) = refused.value.faults
    assert fault.message == sentence
    assert fault.path.startswith("sweep")
