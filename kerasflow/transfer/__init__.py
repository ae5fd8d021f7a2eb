"""Networks that somebody has trained, put to another use: frozen, trained on in stages, or read at any layer.

Owns which layers learn when, the joining of a backbone and a head, taps (the outputs of any layers, nested ones too, by
one forward pass), features of images with their cache on disk, and the probe that watches them while a model trains.
Takes models, networks of the zoo, images as arrays, folders or datasets. Gives models, histories and arrays. Must not
know run folders, trackers or scikit-learn's rules for estimators.
"""

from __future__ import annotations

from kerasflow.transfer.freezing import count as count
from kerasflow.transfer.freezing import freeze as freeze
from kerasflow.transfer.stages import Stage as Stage
from kerasflow.transfer.stages import StagedTrainer as StagedTrainer
