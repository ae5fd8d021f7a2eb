"""A whole experiment explained: the sections' numbers, the command's words, what is refused."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from kerasflow import explain
from kerasflow.cli.app import run_app
from kerasflow.errors import BuildError, DataError, TrainingError
from kerasflow.explanation import SECTIONS, Explanation, explanation, write_page
from kerasflow.viz.page import plotly_source

ROOT = Path(__file__).parents[1]
DECK = ROOT / "experiments" / "deck_example" / "spec.yaml"
SMALL = {
    "experiment": "small",
    "name": "dropout",
    "data": {"source": {"sklearn": "iris"}, "scale": "standard"},
    "model": {"layers": [{"dense": {"units": 6, "activation": "tanh"}}, {"dropout": 0.5}, "head"]},
    "train": {"epochs": 1, "optimizer": {"sgd": {"learning_rate": 0.1}}},
}


@pytest.fixture(scope="module")
def small() -> Explanation:
    return explanation(SMALL, sample=70, weight="dense/kernel[1,2]")


def test_the_decks_example_is_the_decks() -> None:
    found = explanation(DECK, only=["forward"])
    (section,) = found.sections
    assert section.numbers["hidden"].Z.tolist() == [2.0, 4.0]
    sums = [row[1] for row in section.told.tables[1].rows]
    assert sums[0] == "Z = 2000·3 + 4500·7 + 1251·2 − 40000 = 2, H = sigmoid(2) = 0.880797"
    assert sums[1] == "Z = 2000·3 + 4500·2 + 1251·4 − 20000 = 4, H = sigmoid(4) = 0.982014"
    assert found.diagram.columns[1].weights == ((3.0, 3.0), (7.0, 2.0), (2.0, 4.0))


def test_every_section_has_its_numbers_and_they_are_of_the_seeded_model(small) -> None:
    assert tuple(section.name for section in small.sections) == SECTIONS
    by_name = {section.name: section.numbers for section in small.sections}
    assert None not in by_name.values()
    subject = small.subject
    again = explain.backward(subject.model, subject.x, subject.y).path("dense/kernel[1,2]")
    assert by_name["backward"].path(subject.weight).gradient == again.gradient
    assert by_name["check"].ok
    assert by_name["accumulation"].relative < 1e-5, "with Dropout, micro-batches would not add up to the batch"
    assert subject.model.get_layer("dropout").rate == 0.5, "only inside is it off"


def test_the_sample_that_is_followed_is_the_one_asked_for(small) -> None:
    from kerasflow.data import load
    from kerasflow.spec.experiment import load_spec

    spec = load_spec(SMALL)
    part = load(spec.data, spec.seed).train
    np.testing.assert_array_equal(small.subject.x[0], part.x[70])
    assert small.subject.y[0] == part.y[70]
    assert (small.subject.sample, len(small.subject.x)) == (70, 64)


def test_the_diagram_holds_what_the_trace_and_the_chain_hold(small) -> None:
    hidden, back = small.diagram.columns[1], small.subject.back["dense"]
    np.testing.assert_allclose(hidden.H, small.subject.trace["dense"].H)
    np.testing.assert_allclose(hidden.dE_dZ, back.dE_dZ)
    np.testing.assert_allclose(hidden.weights, small.subject.model.get_layer("dense").kernel.numpy())


def test_wrong_input_gets_a_sentence() -> None:
    with pytest.raises(TrainingError, match="no section 'forwrd' of an explanation, did you mean 'forward'"):
        explanation(SMALL, only=["forwrd"])
    with pytest.raises(DataError, match="no sample 999: the training part has 105, counted from 0 to 104"):
        explanation(SMALL, sample=999)
    with pytest.raises(BuildError, match=r"no weight 'dens/kernel\[0,0\]' that learns, did you mean 'dense/kernel'"):
        explanation(SMALL, weight="dens/kernel[0,0]")
    with pytest.raises(TrainingError, match="features route fits a classifier without gradients"):
        explanation(DECK.parents[1] / "svm_features_fashion_mnist" / "spec.yaml")


def test_ten_million_weights_are_told_in_little(tmp_path) -> None:
    layers = [
        {"dense": {"units": 3000, "activation": "relu"}},
        {"dense": {"units": 3300, "activation": "relu"}},
        "head",
    ]
    spec = {**SMALL, "data": {"source": {"sklearn": "digits"}, "scale": "unit"}, "model": {"layers": layers}}
    found = explanation(spec, only=["forward", "backward", "descent"])
    assert found.subject.parameters > 10_000_000
    page = write_page(found, tmp_path / "page.html")
    assert page.stat().st_size - len(plotly_source().encode()) < 200_000
    assert [len(column.neurons) for column in found.diagram.columns] == [12, 12, 12, 10]


def test_the_command_prints_and_writes(tmp_path, monkeypatch, capsys) -> None:
    page = tmp_path / "page.html"
    monkeypatch.setattr(sys, "argv", ["kerasflow", "explain", str(DECK), "--only", "backward", "--html", str(page)])
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    with pytest.raises(SystemExit) as end:
        run_app()
    said = capsys.readouterr().out
    assert not end.value.code
    assert "hidden/kernel[1,1] is 2, and its dE/dw is -16.1084." in said
    assert "Forward propagation" not in said
    assert page.is_file()


def test_a_weight_of_a_layer_in_a_block_is_found_though_a_dot_is_in_its_name() -> None:
    block = {"layers": [{"dense": {"units": 5, "activation": "relu"}}]}
    spec = {**SMALL, "model": {"blocks": {"hidden": block}, "layers": [{"hidden": None}, "head"]}}
    steepest = explanation(spec, only=["weight"])
    assert steepest.subject.weight.startswith("hidden.dense/kernel[")
    assert steepest.sections[0].numbers.along == steepest.subject.weight
    named = explanation(spec, only=["weight"], weight="hidden.dense/kernel[1,2]")
    assert named.subject.weight == "hidden.dense/kernel[1,2]"
