"""Networks that somebody has trained, put to another use: frozen, trained on in stages, or read at any layer.

Owns which layers learn when, the joining of a backbone and a head, and what layers give (taps and features). Takes
models, and networks from the zoo. Gives models, histories and arrays. Must not know MLflow, files of experiments or
scikit-learn's estimators.
"""

from __future__ import annotations

from kerasflow.transfer.freezing import count as count
from kerasflow.transfer.freezing import freeze as freeze
from kerasflow.transfer.stages import Stage as Stage
from kerasflow.transfer.stages import StagedTrainer as StagedTrainer
