"""The public surface is this list: a name that comes or goes is a decision, not an accident."""

from __future__ import annotations

import importlib.util
import types

import pytest

import kerasflow as kf

PUBLIC = {
    "BuildError",
    "DataError",
    "EstimatorError",
    "ExperimentSpec",
    "FeatureExtractor",
    "History",
    "KerasClassifier",
    "KerasRegressor",
    "KerasflowError",
    "ModelSpec",
    "Probe",
    "RerunResult",
    "RunError",
    "RunResult",
    "SpecError",
    "Tracking",
    "TrackingCallback",
    "TrackingError",
    "Trainer",
    "TransferClassifier",
    "TrainingError",
    "build",
    "cnn",
    "compare",
    "describe",
    "explain",
    "fit",
    "load",
    "load_spec",
    "lr_find",
    "mlp",
    "rerun",
    "resume",
    "run",
    "save",
    "single_layer",
    "stop",
    "sweep",
    "taps",
    "transfer",
    "zoo",
}


def test_all_is_the_public_list() -> None:
    assert sorted(kf.__all__) == sorted(PUBLIC)


def test_dir_shows_the_public_names_before_any_is_loaded() -> None:
    assert set(dir(kf)) >= PUBLIC


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_every_public_name_loads(name: str) -> None:
    assert getattr(kf, name) is not None


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_no_module_shadows_a_public_name(name: str) -> None:
    if not isinstance(getattr(kf, name), types.ModuleType):
        assert importlib.util.find_spec(f"kerasflow.{name}") is None, f"importing kerasflow.{name} would hide kf.{name}"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = kf.no_such_name
