"""A spec and its data become a model and a trainer that fit together; nothing is trained or written."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kerasflow.errors import BuildError, TrainingError
from kerasflow.spec.train import ClassifierSpec

if TYPE_CHECKING:
    import keras

    from kerasflow.data import Data
    from kerasflow.spec.experiment import ExperimentSpec
    from kerasflow.spec.train import ProbeSpec, StopSpec, TrainSpec
    from kerasflow.training.port import Training
    from kerasflow.training.progress import Verbose
    from kerasflow.training.stop import Rule
    from kerasflow.training.trainer import Trainer


def assemble(
    spec: ExperimentSpec, data: Data, verbose: Verbose = 0, strategy: Any = None, *, check: bool = True
) -> tuple[keras.Model, Training]:
    """The model for the data, with seeded weights, and the trainer that the spec describes, checked to fit together.

    Args:
        strategy: what `training.distribution.joined` made of the spec's.
        check: False where `fit` comes at once, which checks the same before its first window.

    Raises:
        BuildError: the layers do not fit together, or not the data.
        TrainingError: the loss, a metric or a stopping rule does not fit.
    """
    from kerasflow.builders import objects
    from kerasflow.training.trainer import Trainer
    from kerasflow.transfer.joining import SAMPLES, auxiliary_of, build, check_images

    for path, why in spec.idle().items():
        warnings.warn(f"{spec.where(tuple(path.split('.')))}: {why}", stacklevel=2)
    prep, train = data.preparation, spec.train
    check_images(spec.model, data.train.x[:SAMPLES])
    features = train.route == "features"
    model = build(
        spec.model.without_head() if features else spec.model,
        prep.input_shape,
        None if features else prep.n_outputs,
        prep.task,
        seed=spec.seed,
        precision=train.precision,
        where=lambda path: spec.where(("model", *path)),
    )
    trainer = Trainer(
        objects.optimizer(train.optimizer),
        objects.loss(train.loss, prep.task),
        objects.metrics(train.metrics, prep.task),
        batch_size=train.batch_size,
        micro_batch_size=train.micro_batch_size,
        batch_norm=train.batch_norm,
        epochs=train.epochs,
        seed=spec.seed,
        engine=train.engine,
        stop=[rule_of(rule) for rule in train.stop],
        callbacks=[] if train.probe is None else [_probe(spec, train.probe, data, model)],
        verbose=verbose,
        strategy=strategy,
        auxiliary=auxiliary_of(spec.model, model),
    )
    ways: dict[str, Callable[[], Training]] = {
        "scratch": lambda: trainer,
        "transfer": lambda: _in_stages(trainer, train),
        "features": lambda: _from_features(spec, prep.task, verbose),
    }
    training = ways[train.route]()
    if check:
        training.check(model, data.train.x, data.train.y, validation=held_out(data))
    return model, training


def _in_stages(trainer: Trainer, train: TrainSpec) -> Training:
    from kerasflow.transfer.stages import Stage, StagedTrainer

    stages = [
        Stage(
            stage.epochs,
            stage.learning_rate,
            stage.unfreeze,
            stage.unfreeze_from,
            stage.rates,
            [rule_of(rule) for rule in stage.stop],
        )
        for stage in train.stages
    ]
    return StagedTrainer(trainer, stages or [Stage(train.epochs)])


def _from_features(spec: ExperimentSpec, task: str, verbose: Verbose) -> Training:
    from kerasflow.transfer.cache import FeatureCache
    from kerasflow.transfer.classifier import FeatureTrainer, make_classifier

    if spec.train.strategy is not None:
        raise TrainingError(f"{spec.where(('train', 'strategy'))}: features are computed on one device; leave it out")
    train, chosen = spec.train, spec.train.classifier or ClassifierSpec.model_validate("svm")
    try:
        classifier = make_classifier(chosen.name, chosen.arguments, train.grid, task, spec.seed)
    except TrainingError as error:
        raise TrainingError(f"{spec.where(('train',))}.{error}") from error
    cache = None if train.cache is None else FeatureCache(train.cache)
    return FeatureTrainer(classifier, train.micro_batch_size, cache, verbose)


def _probe(spec: ExperimentSpec, wanted: ProbeSpec, data: Data, model: keras.Model) -> Any:
    """What measures layers while the model trains: on random samples, for data may lie in the order of its classes."""
    import numpy as np

    from kerasflow.transfer.probe import Probe
    from kerasflow.transfer.taps import find

    where = spec.where(("train", "probe"))
    if data.validation is None or data.preparation.task not in ("binary", "multiclass"):
        raise TrainingError(f"{where}: needs classes and a validation part, which its accuracy is of")
    try:
        find(model, wanted.layers)
    except BuildError as error:
        raise BuildError(f"{where}.layers: {error}") from error
    rng = np.random.default_rng(spec.seed)
    samples = []
    for part in (data.train, data.validation):
        rows = np.sort(rng.permutation(len(part))[: wanted.samples])
        samples += [np.asarray(part.x[rows]), part.y[rows]]
    return Probe(wanted.layers, data=(samples[0], samples[1], samples[2], samples[3]), every=wanted.every)


def held_out(data: Data) -> tuple[Any, Any] | None:
    """What a training is validated on: inputs and targets."""
    return None if data.validation is None else (data.validation.x, data.validation.y)


def rule_of(spec: StopSpec) -> Rule:
    """The rule that a part of a spec describes."""
    from kerasflow.training import stop

    rules: dict[str, Callable[..., Rule]] = {
        "plateau": stop.Plateau,
        "threshold": stop.Threshold,
        "deadline": stop.Deadline,
        "all": stop.AllOf,
        "any": stop.AnyOf,
    }
    name, part = spec.chosen
    return rules[name](*map(rule_of, part)) if isinstance(part, tuple) else rules[name](**dict(part))
