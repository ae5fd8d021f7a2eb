"""Data: from a source to arrays that a model learns from, and the same treatment for new rows.

Owns: reading tables, arrays, image folders and named sets; what kind of task a target is; seeded stratified splits;
scaling and encoding, fitted on the training part alone; the fingerprint of the content.
Takes: a `DataSpec` and a seed.
Gives: `Data` (train, validation, test, fingerprint, summary) and a `Preparation`, saved with a run, that reads new
rows as the training rows were read and turns a model's output back into the user's labels.
Must not know: models, optimizers, epochs, trackers. TensorFlow loads only for a set of `keras.datasets`.
"""

from __future__ import annotations

from kerasflow.data.dataset import Data, Part
from kerasflow.data.loading import load
from kerasflow.data.observations import Observations
from kerasflow.data.preparation import Preparation
from kerasflow.data.target import Task

__all__ = ["Data", "Observations", "Part", "Preparation", "Task", "load"]
