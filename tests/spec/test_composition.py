"""`model`, `reuse` and `op` in a spec: models in a model, shared layers, operations between layers."""

from __future__ import annotations

from typing import Any

import pytest

from kerasflow.errors import SpecError
from kerasflow.spec.model import load_model_spec

ENCODER = {"layers": [{"dense": 3}, "relu"]}


def test_short_and_full_forms_are_one() -> None:
    short = {"layers": [{"dense": 3, "name": "a"}, {"reuse": "a"}, {"op": "relu"}, {"model": ENCODER, "name": "e"}]}
    full = [
        {"dense": {"units": 3}, "name": "a"},
        {"reuse": {"layer": "a"}},
        {"op": {"relu": {}}},
        {"model": {"layers": [{"dense": {"units": 3}}, {"relu": {}}]}, "name": "e"},
    ]
    assert load_model_spec(short).model_dump(mode="json") == {"layers": full}
    assert load_model_spec({"layers": full}) == load_model_spec(short)


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        ([{"op": "reluu"}], "layers[0].op: 'reluu' is no operation, did you mean 'relu'?"),
        ([{"op": {"multiply": 3}}], "layers[0].op.multiply: takes its arguments by name, got 3"),
        ([{"op": {"mean": {"axes": 1}}}], "layers[0].op.mean.axes: is no argument of mean, did you mean 'axis'?"),
        ([{"op": {"relu": None, "tanh": None}}], "layers[0].op: must be one operation of keras.ops by name, got"),
        ([{"reuse": "a"}], "layers[0].reuse: no layer before this one is named 'a'; give it a name to reuse it"),
        ([{"dense": 3, "name": "left"}, {"reuse": "leftt"}], "named 'leftt', did you mean 'left'?"),
        ([{"dense": 3, "name": "a"}, {"reuse": "a", "name": "b"}, {"reuse": "b"}], "'b' is a block, an operation or"),
        ([{"op": "relu", "name": "a"}, {"reuse": "a"}], "layers[1].reuse: 'a' is a block, an operation or"),
        ([{"reuse": {"layer": 3}}], "layers[0].reuse: must be the name of a layer before this one, got"),
        (["model"], "layers[0]: 'model' must hold layers, and inputs and outputs if several, got nothing"),
        ([{"model": {"layers": ["dens"]}}], "layers[0].model.layers[0]: 'dens' is no layer of the installed Keras"),
        ([{"model": {"layers": [{"dense": 0}]}}], "layers[0].model.layers[0].dense: 'units' must be an integer >= 1"),
        ([{"model": {**ENCODER, "input": ["a"]}}], "layers[0].model.input: is not known here, did you mean 'inputs'?"),
        ([{"model": {**ENCODER, "outputs": ["a"]}}], "layers[0].model.outputs[0]: no layer is named 'a'"),
        ([{"model": {"layers": [{"dense": "$n"}]}}], "only a block has parameters"),
        ([{"dense": 3, "name": "a"}, {"model": {"layers": [{"reuse": "a"}]}}], "model.layers[0].reuse: no layer"),
        ([{"dense": 3, "name": "dense"}, {"reuse": "/dens"}], "has the path '/dens', did you mean '/dense'?"),
        ([{"model": {"layers": [{"reuse": "/m/d"}, {"dense": 3, "name": "d"}]}, "name": "m"}],
         "layers[0].model.layers[0].reuse: no layer or model before this one has"),
        ([{"dense": 3, "name": "a"}, {"relu": None, "inputs": ["a/b"]}],
         "layers[1].inputs[0]: must number an output of 'a' from 0, as in 'a/0', got 'a/b'"),
        ([{"lstm": 3, "inputs": {"initial_state": ["h"]}}], "layers[0].inputs.initial_state[0]: no layer before this"),
        ([{"op": {"get_item": {"key": "[a]"}}}], "key: must be a slice as text, such as '[:, 1:]', got '[a]'"),
        ([{"op": {"multiply": {"x2": {"float32": [1, [2]]}}}}],
         "layers[0].op.multiply.x2.float32: must be a number, or lists of them that are equally long"),
        ([{"op": {"multiply": {"x2": {"float33": [1, 2]}}}}],
         "an array such as {float32: [0.5, 2]}, got {'float33': [1, 2]}, did you mean 'float32'?"),
        ([{"bidirectional": {"layer": {"model": ENCODER}}}], "bidirectional takes a layer, not a model"),
        ([{"time_distributed": {"layer": {"model": {"layers": ["dens"]}}}}], "model.layers[0]: 'dens' is no layer"),
        ([{"model": {"layers": [{"dense": 3, "repeat": 10_000}, "relu"]}}], "must be at most 10000 layers"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_by_its_path(layers: Any, said: str) -> None:
    with pytest.raises(SpecError) as caught:
        load_model_spec({"layers": layers})
    assert said in str(caught.value)


def test_a_fault_in_a_model_in_the_model_has_its_line() -> None:
    text = "layers:\n  - model:\n      layers:\n        - dense: 3\n        - dropuot: 0.1\n"
    with pytest.raises(SpecError, match=r"<text>:5: layers\[0\].model.layers\[1\].dropuot: .*'dropout'"):
        load_model_spec(text)


def test_a_blocks_parameters_reach_the_model_in_it() -> None:
    block = {"parameters": {"n": 2, "w": 3}, "layers": [{"model": {"layers": [{"dense": "$w", "repeat": "$n"}]}}]}
    spec = load_model_spec({"blocks": {"b": block}, "layers": ["b"]})
    assert load_model_spec(spec.model_dump()) == spec
    with pytest.raises(SpecError, match=r"layers\[0\].b: .*dense.units must be an integer >= 1, got 'x'"):
        load_model_spec({"blocks": {"b": block}, "layers": [{"b": {"w": "x"}}]})


def test_no_block_bears_a_name_that_means_something() -> None:
    for name in ("model", "reuse", "op"):
        with pytest.raises(SpecError, match=f"blocks.{name}: must be a word without '/', other than head, model"):
            load_model_spec({"blocks": {name: {"layers": ["relu"]}}, "layers": ["relu"]})
