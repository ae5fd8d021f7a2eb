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
    "Backward": "chain",
    "Cost": "costs",
    "Trace": "trace",
    "GradientCheck": "gradient_check",
    "backward": "chain",
    "check_gradients": "gradient_check",
    "cost": "costs",
    "forward": "trace",
}

__all__ = sorted(_HOME)

if TYPE_CHECKING:
    from kerasflow.explain.chain import Backward as Backward
    from kerasflow.explain.chain import backward as backward
    from kerasflow.explain.costs import Cost as Cost
    from kerasflow.explain.costs import cost as cost
    from kerasflow.explain.gradient_check import GradientCheck as GradientCheck
    from kerasflow.explain.gradient_check import check_gradients as check_gradients
    from kerasflow.explain.trace import Trace as Trace
    from kerasflow.explain.trace import forward as forward


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'kerasflow.explain' has no attribute {name!r}")
    return getattr(import_module(f"kerasflow.explain.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)
