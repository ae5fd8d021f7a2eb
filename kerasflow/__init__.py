"""kerasflow: one experiment, written down; a plain Keras model, trained exactly; every number in MLflow.

Each name below is loaded when it is first used, so that `import kerasflow` is light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "BuildError": "kerasflow.errors",
    "DataError": "kerasflow.errors",
    "EstimatorError": "kerasflow.errors",
    "ExperimentSpec": "kerasflow.spec.experiment",
    "FeatureExtractor": "kerasflow.estimators.extractor",
    "History": "kerasflow.training.history",
    "KerasClassifier": "kerasflow.estimators.classifier",
    "KerasRegressor": "kerasflow.estimators.regressor",
    "KerasflowError": "kerasflow.errors",
    "ModelSpec": "kerasflow.spec.model",
    "Probe": "kerasflow.transfer.probe",
    "RerunResult": "kerasflow.rerunning",
    "RunError": "kerasflow.errors",
    "RunResult": "kerasflow.experiment",
    "SpecError": "kerasflow.errors",
    "Tracking": "kerasflow.estimators.recording",
    "TrackingCallback": "kerasflow.callback",
    "TrackingError": "kerasflow.errors",
    "TransferClassifier": "kerasflow.estimators.transfer",
    "Trainer": "kerasflow.training.trainer",
    "TrainingError": "kerasflow.errors",
    "build": "kerasflow.transfer.joining",
    "cnn": "kerasflow.spec.recipes",
    "compare": "kerasflow.comparison",
    "describe": "kerasflow.builders.describe",
    "explain": "kerasflow",
    "fit": "kerasflow.training.trainer",
    "load": "kerasflow.estimators.persistence",
    "load_spec": "kerasflow.spec.experiment",
    "lr_find": "kerasflow.training.range_test",
    "mlp": "kerasflow.spec.recipes",
    "rerun": "kerasflow.rerunning",
    "resume": "kerasflow.experiment",
    "run": "kerasflow.experiment",
    "save": "kerasflow.estimators.persistence",
    "single_layer": "kerasflow.spec.recipes",
    "stop": "kerasflow.training",
    "sweep": "kerasflow.sweeps.searching",
    "taps": "kerasflow.transfer.taps",
    "transfer": "kerasflow",
    "zoo": "kerasflow",
}

# Modules, used as `kf.stop.Plateau`; every other name is a class or a function.
_ROOMS = ("explain", "stop", "transfer", "zoo")

__all__ = sorted(_HOME)

if TYPE_CHECKING:
    from kerasflow import explain as explain
    from kerasflow import transfer as transfer
    from kerasflow import zoo as zoo
    from kerasflow.builders.describe import describe as describe
    from kerasflow.callback import TrackingCallback as TrackingCallback
    from kerasflow.comparison import compare as compare
    from kerasflow.errors import BuildError as BuildError
    from kerasflow.errors import DataError as DataError
    from kerasflow.errors import EstimatorError as EstimatorError
    from kerasflow.errors import KerasflowError as KerasflowError
    from kerasflow.errors import RunError as RunError
    from kerasflow.errors import SpecError as SpecError
    from kerasflow.errors import TrackingError as TrackingError
    from kerasflow.errors import TrainingError as TrainingError
    from kerasflow.estimators.classifier import KerasClassifier as KerasClassifier
    from kerasflow.estimators.extractor import FeatureExtractor as FeatureExtractor
    from kerasflow.estimators.persistence import load as load
    from kerasflow.estimators.persistence import save as save
    from kerasflow.estimators.recording import Tracking as Tracking
    from kerasflow.estimators.regressor import KerasRegressor as KerasRegressor
    from kerasflow.estimators.transfer import TransferClassifier as TransferClassifier
    from kerasflow.experiment import RunResult as RunResult
    from kerasflow.experiment import resume as resume
    from kerasflow.experiment import run as run
    from kerasflow.rerunning import RerunResult as RerunResult
    from kerasflow.rerunning import rerun as rerun
    from kerasflow.spec.experiment import ExperimentSpec as ExperimentSpec
    from kerasflow.spec.experiment import load_spec as load_spec
    from kerasflow.spec.model import ModelSpec as ModelSpec
    from kerasflow.spec.recipes import cnn as cnn
    from kerasflow.spec.recipes import mlp as mlp
    from kerasflow.spec.recipes import single_layer as single_layer
    from kerasflow.sweeps.searching import sweep as sweep
    from kerasflow.training import stop as stop
    from kerasflow.training.history import History as History
    from kerasflow.training.range_test import lr_find as lr_find
    from kerasflow.training.trainer import Trainer as Trainer
    from kerasflow.training.trainer import fit as fit
    from kerasflow.transfer.joining import build as build
    from kerasflow.transfer.probe import Probe as Probe
    from kerasflow.transfer.taps import taps as taps


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'kerasflow' has no attribute {name!r}")
    home = import_module(_HOME[name])
    value = import_module(f"{_HOME[name]}.{name}") if name in _ROOMS else getattr(home, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
