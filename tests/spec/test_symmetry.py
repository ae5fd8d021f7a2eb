"""Weights that begin all equal are refused in an experiment, unless they are wanted."""

from __future__ import annotations

from typing import Any

import pytest

import kerasflow as kf


def spec(*layers: Any, **model: Any) -> dict[str, Any]:
    return {"experiment": "a", "data": {"source": {"sklearn": "iris"}}, "model": {"layers": [*layers], **model}}


ZEROS = {"dense": {"units": 3, "kernel_initializer": "zeros"}}
SAME = {
    "zeros": ZEROS,
    "ones": {"conv2d": {"filters": 4, "kernel_size": 3, "kernel_initializer": "ones"}},
    "constant": {"Dense": {"units": 3, "kernel_initializer": {"constant": 0.5}}},
    "constant by name": {"dense": {"units": 3, "kernel_initializer": "constant"}},
    "no width": {"dense": {"units": 3, "kernel_initializer": {"random_uniform": {"minval": 0.1, "maxval": 0.1}}}},
    "no spread": {"dense": {"units": 3, "kernel_initializer": {"random_normal": {"stddev": 0}}}},
    "pointwise": {"separable_conv2d": {"filters": 4, "kernel_size": 3, "pointwise_initializer": "zeros"}},
    "wrapped": {"bidirectional": {"layer": {"lstm": {"units": 4, "kernel_initializer": "zeros"}}}},
    "model": {"time_distributed": {"layer": {"model": {"layers": [ZEROS, {"dense": 2}]}}}},
}


@pytest.mark.parametrize("layer", SAME.values(), ids=SAME)
def test_a_hidden_layer_of_copies_is_refused_and_may_be_had(layer: dict[str, Any]) -> None:
    with pytest.raises(kf.SpecError, match=r"_initializer: .*all units begin as copies of one") as refused:
        kf.load_spec(spec(layer, "flatten", "head"))
    assert len(refused.value.faults) == 1
    assert refused.value.faults[0].path.startswith("model.layers[0].")
    forced = kf.load_spec(spec(layer, "flatten", "head", allow_symmetry=True))
    assert kf.load_spec(forced.to_document()) == forced


def test_in_a_block_it_is_found_where_it_is_written() -> None:
    block = {"layers": [{"dense": {"units": 3, "kernel_initializer": "zeros"}}]}
    with pytest.raises(kf.SpecError, match=r"model\.blocks\.b\.layers\[0\]\.dense\.kernel_initializer"):
        kf.load_spec(spec({"b": None}, "head", blocks={"b": block}))


@pytest.mark.parametrize(
    "layers",
    [
        ({"dense": {"units": 3, "bias_initializer": "zeros"}}, "head"),
        ({"dense": {"units": 1, "kernel_initializer": "zeros"}}, "head"),
        ({"dense": {"units": 2, "kernel_initializer": {"constant": {"value": [[1, 2]] * 4}}}}, "head"),
        ("batch_normalization", {"head": {"kernel_initializer": "zeros"}}),
        ("flatten", {"dense": {"units": 3, "kernel_initializer": "zeros"}}),
        (ZEROS, {"activation": {"activation": "softmax"}}),
    ],
    ids=["bias", "one unit", "different numbers", "head", "output", "output, then softmax"],
)
def test_what_does_no_harm_is_taken(layers: tuple[Any, ...]) -> None:
    assert not kf.load_spec(spec(*layers)).model.allow_symmetry


def test_the_demonstration_of_a_forced_one_shows_copies_that_stay() -> None:
    from kerasflow.explanation import explanation

    layers = [{"dense": {"units": 4, "activation": "tanh", "kernel_initializer": {"constant": 0.1}}}] * 2
    wanted = spec(*layers, {"head": {"kernel_initializer": "zeros"}}, allow_symmetry=True)
    (section,) = explanation(wanted, only=["symmetry"]).sections
    assert len(section.numbers.alike) >= 2
    assert "they are one unit" in section.told.words[0]
