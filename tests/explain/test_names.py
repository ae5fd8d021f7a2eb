"""The room's public names are this list, and no module of its bears one of them."""

from __future__ import annotations

import importlib.util

import pytest

import kerasflow as kf

PUBLIC = {
    "Accumulation",
    "Answers",
    "Backward",
    "Cost",
    "Descent",
    "Evidence",
    "GradientCheck",
    "Histogram",
    "Initialisation",
    "LearningRates",
    "Plane",
    "RandomSearch",
    "Slice",
    "Stopping",
    "Symmetry",
    "Trace",
    "WeightHistograms",
    "accumulation",
    "along_gradient",
    "along_weight",
    "backward",
    "check_gradients",
    "cost",
    "descent",
    "diagnosis",
    "forward",
    "histograms",
    "initialisation",
    "learning_rates",
    "plane",
    "random_search",
    "stopping",
    "symmetry",
}


def test_the_rooms_names_are_a_decision() -> None:
    assert set(kf.explain.__all__) == set(dir(kf.explain)) == PUBLIC
    for name in PUBLIC:
        assert callable(getattr(kf.explain, name))
        assert importlib.util.find_spec(f"kerasflow.explain.{name}") is None, f"a module would hide kf.explain.{name}"
    with pytest.raises(AttributeError, match="forwards"):
        _ = kf.explain.forwards
