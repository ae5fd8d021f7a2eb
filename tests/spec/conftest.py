"""Two specs that use every part of the form, and what a message for people looks like."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from kerasflow.errors import KerasflowError, SpecError

IN_A_ROW = """\
experiment: digits
name: in a row
seed: 3
data:
  source: {sklearn: {name: digits}}
  split: {test: 0.2, validation: 0.1}
  scale: unit
  task: classification
model:
  layers:
    - flatten
    - dense: {units: 16, activation: relu, kernel_regularizer: {l2: 0.001}, kernel_initializer: he_normal}
    - batch_normalization: {momentum: 0.9}
    - dropout: 0.2
    - gaussian_noise: {stddev: 0.1}
    - head: {kernel_initializer: {variance_scaling: {scale: 2.0, mode: fan_in}}}
train:
  route: scratch
  optimizer: {adam: {learning_rate: {cosine_decay: {initial_learning_rate: 0.01, decay_steps: 100}}, clipnorm: 1.0}}
  loss: {sparse_categorical_crossentropy: {ignore_class: 7}}
  metrics: [accuracy, {sparse_top_k_categorical_accuracy: {k: 2}}]
  batch_size: 64
  micro_batch_size: 32
  batch_norm: frozen
  epochs: 2
  stop:
    - plateau: {monitor: val_loss, patience: 3, min_delta: 0.001, mode: min, restore_best: true}
    - threshold: {monitor: loss, below: 0.01}
    - deadline: 1.5
    - all: [{threshold: {monitor: val_accuracy, above: 0.9}}, {any: [plateau, {deadline: {minutes: 2}}]}]
  precision: mixed_bfloat16
  engine: graph
  probe: {layers: [dense, head], every: 2, samples: 100}
track: {uri: none}
"""

GRAPH = """\
experiment: digits
name: graph
data:
  source: {sklearn: digits}
model:
  blocks:
    residual:
      parameters: {filters: null, depth: 2, activation: relu}
      layers:
        - conv2d: {filters: $filters, kernel_size: 3, padding: same, activation: $activation}
          name: conv
          repeat: $depth
        - conv2d: {filters: $filters, kernel_size: 1}
          name: shortcut
          inputs: [input]
        - add:
          inputs: [shortcut, conv]
        - activation: $activation
  layers:
    - reshape: {target_shape: [8, 8, 1]}
      name: picture
    - residual: {filters: 4}
      repeat: 2
    - global_average_pooling2d:
      name: left
    - op: {multiply: {x2: 0.5}}
    - model: {layers: [{dense: 4, name: inner}, {reuse: inner}], outputs: [inner]}
      name: encoder
    - reuse: encoder
      name: twice
    - flatten:
      name: right
      inputs: [picture]
    - concatenate: {axis: -1}
      inputs: [left, right, twice]
    - head:
      name: digit
  outputs: [digit]
train:
  optimizer: {sgd: {learning_rate: 0.1, momentum: 0.9, nesterov: true}}
  stop: [plateau]
"""


@pytest.fixture(scope="session")
def in_a_row() -> str:
    """A spec in which every field of every part but `blocks`, `inputs` and `outputs` is written, in full form."""
    return IN_A_ROW


@pytest.fixture(scope="session")
def graph() -> str:
    """A spec with a block, parameters, repeats, names, branches, an operation and a shared model, in short form."""
    return GRAPH


@pytest.fixture(scope="session")
def plain() -> Callable[[KerasflowError], None]:
    """Asserts that an error is sentences for the person who wrote the spec: no traceback, no class, no foreign link."""

    def check(error: KerasflowError) -> None:
        text = str(error)
        assert text.strip()
        assert not re.search(
            r"Traceback|<class|<function|<Keras|object at 0x|pydantic|https?://|\{\{function_node|\x1b", text
        ), text
        if isinstance(error, SpecError):
            for fault in error.faults:
                assert fault.where or fault.path, text
                assert " " in fault.message.strip(), text
                assert "\n" not in str(fault), text
                assert len(fault.message) < 900, text[:900]

    return check
