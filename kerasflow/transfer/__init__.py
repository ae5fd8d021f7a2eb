"""Networks that somebody has trained, put to another use: frozen, trained on in stages, or read at any layer.

Owns which layers learn when, the joining of a backbone and a head, taps (the outputs of any layers, nested ones too, by
one forward pass), features of images with their cache on disk, and the probe that watches them while a model trains.
Takes models, networks of the zoo, images as arrays, folders or datasets. Gives models, histories and arrays. Must not
know run folders, trackers or scikit-learn's rules for estimators.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kerasflow.transfer.freezing import count as count
    from kerasflow.transfer.freezing import freeze as freeze
    from kerasflow.transfer.stages import Stage as Stage
    from kerasflow.transfer.stages import StagedTrainer as StagedTrainer

# Loaded when first used: stages load Keras, and specs with a backbone are read without it.
_HOME = {"Stage": "stages", "StagedTrainer": "stages", "count": "freezing", "freeze": "freezing"}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'kerasflow.transfer' has no attribute {name!r}")
    return getattr(import_module(f"kerasflow.transfer.{_HOME[name]}"), name)
