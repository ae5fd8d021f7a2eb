"""What an experiment would be, without training it: its data, its layers, its windows, its memory."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kerasflow.assembly import assemble
from kerasflow.builders.table import LayerRow, Memory, layer_rows, memory
from kerasflow.data import load
from kerasflow.spec.experiment import ExperimentSpec, load_spec


@dataclass(frozen=True)
class Inspection:
    """The facts.

    Attributes:
        spec: resolved.
        data: the data's summary, as the run would record it.
        input_shape: of one sample.
        layers: in their order.
        parameters, trainable: counts of numbers in the model's weights.
        epochs: over the training part, at most; 0 where nothing of the network learns.
        updates_per_epoch: windows of `batch_size` samples, the last one smaller.
        micro_batches: passes through the network for a full window.
        memory: an estimate.
    """

    spec: ExperimentSpec
    data: dict[str, Any]
    input_shape: tuple[int, ...]
    layers: list[LayerRow]
    parameters: int
    trainable: int
    epochs: int
    updates_per_epoch: int
    micro_batches: int
    memory: Memory


def inspect(
    source: str | Path | Mapping[str, Any] | ExperimentSpec, overrides: Mapping[str, Any] | None = None
) -> Inspection:
    """Reads the data, builds the model and counts; trains and writes nothing.

    Raises:
        SpecError, DataError, BuildError, TrainingError: as a run would before it trains.
    """
    spec = load_spec(source, overrides)
    data = load(spec.data, spec.seed)
    model, _ = assemble(spec, data)
    train = spec.train
    micro = min(train.micro_batch_size or train.batch_size, len(data.train))
    return Inspection(
        spec=spec,
        data=data.summary,
        input_shape=data.preparation.input_shape,
        layers=layer_rows(model),
        parameters=model.count_params(),
        trainable=sum(math.prod(v.shape) for v in model.trainable_variables),
        epochs=0 if train.route == "features" else sum(stage.epochs for stage in train.stages) or train.epochs,
        updates_per_epoch=-(-len(data.train) // train.batch_size),
        micro_batches=-(-min(train.batch_size, len(data.train)) // micro),
        memory=memory(model, getattr(model, "optimizer", None), micro),
    )
