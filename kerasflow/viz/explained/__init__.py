"""The arithmetic of learning as pictures: one drawing for each answer of `kerasflow.explain`, of the same name.

Owns how each looks. Takes the answer's numbers by their attributes, which `kerasflow.explain` documents, and gives a
matplotlib `Figure`. Must not compute gradients, nor know a model.
"""

from __future__ import annotations

from kerasflow.viz.explained.beginning import initialisation, symmetry
from kerasflow.viz.explained.distribution import histograms
from kerasflow.viz.explained.errors import check_gradients, cost
from kerasflow.viz.explained.layers import backward, forward
from kerasflow.viz.explained.learning import learning_rates, random_search
from kerasflow.viz.explained.slopes import along_gradient, along_weight, plane
from kerasflow.viz.explained.updates import accumulation, descent
from kerasflow.viz.explained.waiting import stopping

__all__ = [
    "accumulation",
    "along_gradient",
    "along_weight",
    "backward",
    "check_gradients",
    "cost",
    "descent",
    "forward",
    "histograms",
    "initialisation",
    "learning_rates",
    "plane",
    "random_search",
    "stopping",
    "symmetry",
]
