"""The arithmetic of learning made visible, as numbers.

Owns the trace of forward and backward propagation, the error of an observation beside the cost of the set, the check
of gradients, one step of gradient descent and what lies around it. Takes a user's own `keras.Model` and a few samples;
gives frozen dataclasses of NumPy arrays, and leaves the model as it was, to the bit. Must not draw, print, record, or
know specs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

# Loaded when first used, so that one question does not load the answers to all.
_HOME = {
    "Accumulation": "micro_batches",
    "Answers": "judgement",
    "Backward": "chain",
    "Cost": "costs",
    "Descent": "step",
    "Evidence": "judgement",
    "GradientCheck": "gradient_check",
    "Histogram": "distribution",
    "Initialisation": "initial",
    "LearningRates": "rates",
    "Plane": "slices",
    "RandomSearch": "search",
    "Slice": "slices",
    "Stopping": "waiting",
    "Symmetry": "alike",
    "Trace": "trace",
    "WeightHistograms": "distribution",
    "accumulation": "micro_batches",
    "along_gradient": "slices",
    "along_weight": "slices",
    "backward": "chain",
    "check_gradients": "gradient_check",
    "cost": "costs",
    "descent": "step",
    "diagnosis": "judgement",
    "forward": "trace",
    "histograms": "distribution",
    "initialisation": "initial",
    "learning_rates": "rates",
    "plane": "slices",
    "random_search": "search",
    "stopping": "waiting",
    "symmetry": "alike",
}

__all__ = sorted(_HOME)

if TYPE_CHECKING:
    from kerasflow.explain.alike import Symmetry as Symmetry
    from kerasflow.explain.alike import symmetry as symmetry
    from kerasflow.explain.chain import Backward as Backward
    from kerasflow.explain.chain import backward as backward
    from kerasflow.explain.costs import Cost as Cost
    from kerasflow.explain.costs import cost as cost
    from kerasflow.explain.distribution import Histogram as Histogram
    from kerasflow.explain.distribution import WeightHistograms as WeightHistograms
    from kerasflow.explain.distribution import histograms as histograms
    from kerasflow.explain.gradient_check import GradientCheck as GradientCheck
    from kerasflow.explain.gradient_check import check_gradients as check_gradients
    from kerasflow.explain.initial import Initialisation as Initialisation
    from kerasflow.explain.initial import initialisation as initialisation
    from kerasflow.explain.judgement import Answers as Answers
    from kerasflow.explain.judgement import Evidence as Evidence
    from kerasflow.explain.judgement import diagnosis as diagnosis
    from kerasflow.explain.micro_batches import Accumulation as Accumulation
    from kerasflow.explain.micro_batches import accumulation as accumulation
    from kerasflow.explain.rates import LearningRates as LearningRates
    from kerasflow.explain.rates import learning_rates as learning_rates
    from kerasflow.explain.search import RandomSearch as RandomSearch
    from kerasflow.explain.search import random_search as random_search
    from kerasflow.explain.slices import Plane as Plane
    from kerasflow.explain.slices import Slice as Slice
    from kerasflow.explain.slices import along_gradient as along_gradient
    from kerasflow.explain.slices import along_weight as along_weight
    from kerasflow.explain.slices import plane as plane
    from kerasflow.explain.step import Descent as Descent
    from kerasflow.explain.step import descent as descent
    from kerasflow.explain.trace import Trace as Trace
    from kerasflow.explain.trace import forward as forward
    from kerasflow.explain.waiting import Stopping as Stopping
    from kerasflow.explain.waiting import stopping as stopping


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'kerasflow.explain' has no attribute {name!r}")
    return getattr(import_module(f"kerasflow.explain.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)
