"""Training in stages: what is frozen in each, at which rates the rest learns, in one history."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import keras

from kerasflow.errors import TrainingError, did_you_mean
from kerasflow.training.arrays import as_arrays
from kerasflow.training.checkpoint import Checkpoints, as_checkpoints
from kerasflow.training.evaluate import Judged, predict
from kerasflow.training.feed import as_validation, feed
from kerasflow.training.grouped import GroupedOptimizer
from kerasflow.training.history import History, Row
from kerasflow.training.loop import train
from kerasflow.training.progress import Progress
from kerasflow.training.stop import Rule, best_epoch, plateaus
from kerasflow.training.streamed import is_dataset
from kerasflow.training.trainer import Trainer
from kerasflow.transfer.chain import adds_losses, fixed_part, rest_behind, with_frozen_at_rest
from kerasflow.transfer.freezing import (
    Counts,
    check_patterns,
    count,
    freeze,
    frozen_penalties,
    layers_of,
    matches,
    thaw,
)
from kerasflow.transfer.probe import Probe

_SEE_THE_MODEL = (keras.callbacks.ModelCheckpoint, keras.callbacks.BackupAndRestore)
FEATURE_BYTES = 2**31  # outputs of a frozen part that take more memory are computed anew each epoch


@dataclass(frozen=True)
class Stage:
    """One part of a training.

    Attributes:
        epochs: passes over the data, at most, >= 1.
        learning_rate: > 0; None for the optimizer's own.
        unfreeze: patterns of layers of the backbone that learn beside the head, such as `block_1[456]*`.
        unfreeze_from: a layer of the backbone from which on all learn.
        rates: factors of the learning rate by pattern, the first that fits a layer counts (Howard & Ruder 2018,
            "Universal Language Model Fine-tuning", section 3.2: discriminative fine-tuning).
        stop: rules that end the stage; the next one begins then.

    Raises:
        TrainingError: epochs or rates that cannot be, or one text where `unfreeze` lists patterns.
    """

    epochs: int
    learning_rate: float | None = None
    unfreeze: Sequence[str] = ()
    unfreeze_from: str | None = None
    rates: Mapping[str, float] = field(default_factory=dict)
    stop: Sequence[Rule] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.epochs, Integral) or self.epochs < 1:
            raise TrainingError(f"epochs of a stage must be an integer >= 1, got {self.epochs!r}")
        for name, rate in (("learning_rate", self.learning_rate), *self.rates.items()):
            if rate is not None and not (isinstance(rate, Real) and rate > 0):
                raise TrainingError(
                    f"{name} of a stage must be a number above 0, got {rate!r}; leave layers out to freeze them"
                )
        check_patterns(self.unfreeze)

    def freeze(self, model: Any) -> list[str]:
        """Freezes what does not learn in this stage; gives the paths of what does."""
        return freeze(model, self.unfreeze, self.unfreeze_from)

    def factor(self, path: str) -> float:
        """Of the learning rate, for the layer of this path."""
        return next((factor for pattern, factor in self.rates.items() if matches(path, pattern)), 1.0)


class StagedTrainer:
    """Trains a model in stages; each goes on from the weights of the one before, and so do its optimizer's moments.

    Epochs and updates are counted on, so that the stages make one history. Its cost is of the whole model in each of
    them: Keras' own leaves out the penalties (regularizers) of frozen weights, so that it would jump where one thaws.
    A stage in which the beginning of the
    network cannot change (all of a backbone is frozen, and no layer before it draws random numbers) computes that part
    once for each sample.

    Args:
        trainer: says everything but what the stages do.
        stages: in their order.

    Raises:
        TrainingError: there is no stage, the trainer has several devices, or callbacks that look at the whole model.
    """

    def __init__(self, trainer: Trainer, stages: Sequence[Stage]) -> None:
        if not stages:
            raise TrainingError("a training in stages needs at least one stage")
        seeing = [type(one).__name__ for one in trainer.settings.callbacks if isinstance(one, _SEE_THE_MODEL)]
        if seeing:
            raise TrainingError(
                f"{seeing[0]} would see the part of the model that a stage trains; leave it out of stages"
            )
        if trainer.settings.strategy is not None:
            raise TrainingError("stages train on one device; leave strategy out")
        self.trainer, self.stages = trainer, tuple(stages)

    @property
    def cost(self) -> str:
        """What the cost is called."""
        return self.trainer.cost

    @property
    def is_chief(self) -> bool:
        """Stages train in one process."""
        return True

    def engine_for(self, model: Any, x: Any, y: Any = None) -> tuple[str, str]:
        """The engine that the whole model would be trained by; each stage's is in the history."""
        return self.trainer.engine_for(model, x, y)

    def evaluate(self, model: Any, x: Any, y: Any, engine: str = "graph") -> dict[str, float]:
        """As `kf.Trainer.evaluate`; the penalties of frozen weights are a part of the cost, as in the history."""
        found = self.trainer.evaluate(model, x, y, engine)
        return found | {"loss": found["loss"] + frozen_penalties(model)}

    def keep(self, folder: Path) -> tuple[str, ...]:
        """As `kf.Trainer.keep`."""
        return self.trainer.keep(folder)

    def predict(self, model: Any, x: Any) -> Any:
        """As `kf.Trainer.predict`."""
        return self.trainer.predict(model, x)

    def judge(self, model: Any, x: Any, y: Any) -> Judged:
        """As `kf.Trainer.judge`."""
        return self.trainer.judge(model, x, y)

    def check(self, model: Any, x: Any, y: Any = None, *, validation: Any = None) -> None:
        """As `kf.Trainer.check`, and every stage's names, too."""
        self._check_stages(model)
        self.trainer.check(model, x, y, validation=validation)

    def _check_stages(self, model: Any) -> None:
        self.trainer.compile(model)
        if hasattr(model.optimizer, "inner_optimizer"):
            raise TrainingError("stages do not scale the cost: train in float32 or mixed_bfloat16, not mixed_float16")
        if isinstance(model.optimizer.get_config().get("learning_rate"), dict):
            raise TrainingError("stages have rates that are numbers, and the optimizer has a schedule; give a number")
        names = [path for path, _ in layers_of(model)]
        for stage in self.stages:
            if not stage.freeze(model):
                raise TrainingError("nothing learns in a stage: every layer with weights is frozen")
            for pattern in stage.rates:
                if not any(matches(path, pattern) for path in names):
                    raise TrainingError(f"rates: no layer is named {pattern!r}{did_you_mean(pattern, names)}")

    def fit(
        self,
        model: Any,
        x: Any,
        y: Any = None,
        *,
        validation: Any = None,
        sample_weight: Any = None,
        on_epoch: Callable[[Row], None] | None = None,
        on_update: Callable[[int, float], None] | None = None,
        checkpoints: str | os.PathLike[str] | Checkpoints | None = None,
    ) -> History:
        """Trains the model in place.

        Args:
            model: with a backbone inside, or one that is a backbone as a whole.
            x, y: `(n_samples, ...)` as the model takes and gives them: arrays, or one dataset of batches in place of x.
            validation: `(x, y)` or `(x, y, sample_weight)`, or a dataset of such batches.
            sample_weight: `(n_samples,)`, what each sample counts in the cost.
            on_epoch: called with each row as it is finished.
            on_update: as for `kf.Trainer.fit`; updates are counted on across stages.
            checkpoints: a folder, or `Checkpoints`, that a later call with the same arguments goes on from.

        Returns:
            One history of all stages; its columns `stage`, `trainable` and `frozen` say where each begins.

        Raises:
            TrainingError: as for `kf.Trainer.fit`, or a stage names a layer that is not there.
        """
        with ExitStack() as watched:
            for one in self.trainer.settings.callbacks:
                if isinstance(one, Probe):
                    watched.enter_context(one.watching(model))
            told = {"on_epoch": on_epoch, "on_update": on_update}
            return self._fit(model, x, y, validation, sample_weight, told, as_checkpoints(checkpoints))

    def _fit(
        self,
        model: Any,
        x: Any,
        y: Any,
        validation: Any,
        sample_weight: Any,
        told: dict[str, Any],
        saved: Checkpoints | None,
    ) -> History:
        whole, stops = History(), []
        self._check_stages(model)
        optimizer = _by_layer(model, self.stages)
        rate = float(model.optimizer.learning_rate)
        for number, stage in enumerate(self.stages, 1):
            learning, sizes = stage.freeze(model), count(model)
            opening = self._sentence(number, learning, sizes, stage.learning_rate or rate)
            Progress(self.trainer.settings.verbose, stage.epochs).say(opening)
            optimizer.set_rates({path: (stage.learning_rate or rate) * stage.factor(path) for path in learning[::-1]})
            part, inputs, held_out = _fixed_once(model, x, validation, self.trainer.evaluation_batch)
            settings = replace(
                self.trainer.settings,
                epochs=(int(whole.rows[-1]["epoch"]) if whole.rows else 0) + stage.epochs,
                initial_epoch=int(whole.rows[-1]["epoch"]) if whole.rows else 0,
                initial_updates=whole.updates,
                facts={"stage": number, **sizes._asdict()},
                constant_cost=frozen_penalties(model),
                stop=tuple(stage.stop) or self.trainer.settings.stop,
                checkpoints=None if saved is None else saved.part(f"stage-{number:04d}"),
            )
            self.trainer.compile(part, optimizer)
            data = feed(inputs, y, sample_weight, batch_size=self.trainer.batch_size, seed=self.trainer.seed)
            history = train(part, data, as_validation(held_out, self.trainer.evaluation_batch), settings, **told)
            stops.append(f"stage {number}: {history.stop_reason}")
            whole = replace(history, rows=[*whole.rows, *history.rows])
            if history.stop.get("rule") in ("divergence", "callback", "deadline"):
                break
        self.trainer.check(model, x, y, validation=validation)  # the whole model, ready to be evaluated
        return replace(whole, stop_reason="; ".join(stops), best_epoch=_best(whole, settings.stop, validation))

    def _sentence(self, number: int, learning: list[str], sizes: Counts, rate: float) -> str:
        return (
            f"Stage {number} of {len(self.stages)}: {len(learning)} layers learn, {sizes.trainable:,} weights; "
            f"{sizes.frozen:,} are frozen. Learning rate {rate:g}."
        )


def _best(history: History, stop: Sequence[Rule], validation: Any) -> int:
    """The best epoch by what the last stage watched; the one whose weights it has brought back, if it did."""
    watched = plateaus(stop)
    if any(rule.restore_best for rule in watched):
        return history.best_epoch
    if watched:
        return watched[0].best_epoch(history.rows)
    return best_epoch(history.rows, "loss" if validation is None else "val_loss")


def _by_layer(model: Any, stages: Sequence[Stage]) -> GroupedOptimizer:
    """An optimizer for each layer that learns in any stage."""
    wanted = {path for stage in stages for path in stage.freeze(model)}
    groups: dict[str, list[Any]] = {}
    thaw(model)
    taken: set[int] = set()
    for path, layer in layers_of(model):
        if path in wanted and layer.trainable_weights:
            groups[path] = [weight for weight in layer.trainable_weights if id(weight) not in taken]
            taken |= {id(weight) for weight in groups[path]}
    return GroupedOptimizer(model.optimizer, groups)


def _fixed_once(model: Any, x: Any, validation: Any, batch_size: int) -> tuple[Any, Any, Any]:
    """The part of a model that a stage trains, and what that part takes: images on disk are decoded once, then."""
    fixed, held_out = fixed_part(model), validation[0] if isinstance(validation, tuple | list) else validation
    inputs = [part if is_dataset(part) else as_arrays(part) for part in (x, held_out) if part is not None]
    if fixed is None or not all(hasattr(part, "shape") for part in inputs) or adds_losses(fixed, inputs[0][:1]):
        return with_frozen_at_rest(model), x, validation
    if sum(4 * math.prod(fixed.compute_output_shape(part.shape)) for part in inputs) > FEATURE_BYTES:
        return with_frozen_at_rest(model), x, validation
    features, *held = [predict(fixed, part, batch_size) for part in inputs]
    return rest_behind(model, fixed), features, (*held, *validation[1:]) if held else None
