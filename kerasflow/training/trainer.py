"""`kf.Trainer` and `kf.fit`: the two doors of the loop."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from kerasflow.errors import TrainingError
from kerasflow.training.arrays import as_arrays
from kerasflow.training.checkpoint import Checkpoints, as_checkpoints
from kerasflow.training.checks import check_window, prepare
from kerasflow.training.distribution import devices_for, joined
from kerasflow.training.engine import Engine, choose_engine
from kerasflow.training.evaluate import Judged, evaluate, judge, predict
from kerasflow.training.feed import as_validation, feed
from kerasflow.training.history import History, Row
from kerasflow.training.loop import BatchNorm, Settings, train
from kerasflow.training.names import check_names
from kerasflow.training.progress import Verbose
from kerasflow.training.stop import Rule
from kerasflow.training.streamed import is_dataset
from kerasflow.training.window import Auxiliary


class Trainer:
    """Trains any `keras.Model` by windows of micro-batches: exact gradient accumulation, plain rows, reasons to stop.

    A window of `batch_size` samples makes one update. Where `micro_batch_size` is smaller, the window passes through
    the network in micro-batches and their gradients are summed; the applied gradient is that of the whole batch for
    every reduction of Keras' losses, sample weights and masks. Weights, optimizer state and BatchNorm's moving
    statistics change once a window.

    Args:
        optimizer: a name, or a `keras.optimizers.Optimizer`, which is copied for each fit.
        loss: a name, a `keras.losses.Loss`, a function, or a list or dict of them by output.
        metrics: as `keras.Model.compile` takes them.
        loss_weights: of several outputs.
        batch_size: samples for each update, >= 1; the last window of an epoch holds what is left. A dataset's own
            batches are its windows.
        micro_batch_size: samples for each pass through the network, 1 to `batch_size`; None passes the whole batch at
            once.
        batch_norm: what a window split into micro-batches cannot know is the batch's own statistics. `micro`
            normalises each micro-batch by its own, and steps the moving ones once a window by the window's; `frozen`
            normalises by the moving ones.
        epochs: passes over the data, at most.
        seed: of the order of samples, which is a function of (seed, epoch). None keeps the order given.
        engine: `graph`, `xla`, `eager`, or `auto`; decided before the training and recorded in the history.
        stop: rules from `kf.stop`; that a cost is no longer finite always stops, with the last good weights kept.
        callbacks: of Keras.
        verbose: 0 silent, 1 a progress bar, 2 a line an epoch; `auto` is 1 on a terminal and 2 elsewhere.
        auxiliary: heads that learn beside the model's own, in training alone.
        strategy: None for one device; `mirrored` for every GPU of this machine; `multi_worker` for the cluster of
            `TF_CONFIG`; or a `tf.distribute.MirroredStrategy` or `MultiWorkerMirroredStrategy`. The micro-batches of a
            window are dealt to the replicas in their order, and the result is that of one device; without
            `micro_batch_size` each replica passes its share at once. Every worker needs the same data: of a
            `tf.data.Dataset`, the same batches in the same order.

    Example:
        >>> trainer = kf.Trainer(loss="sparse_categorical_crossentropy", batch_size=256, micro_batch_size=32, epochs=5)
        >>> history = trainer.fit(model, x, y, validation=(x_val, y_val))
    """

    def __init__(
        self,
        optimizer: Any = "adam",
        loss: Any = None,
        metrics: Any = None,
        *,
        loss_weights: Any = None,
        batch_size: int = 32,
        micro_batch_size: int | None = None,
        batch_norm: BatchNorm = "micro",
        epochs: int = 20,
        seed: int | None = 0,
        engine: Engine = "auto",
        stop: Sequence[Rule] = (),
        callbacks: Sequence[Any] = (),
        verbose: Verbose = "auto",
        strategy: Any = None,
        auxiliary: Auxiliary | None = None,
    ) -> None:
        check_window(batch_size, micro_batch_size)
        check_names(optimizer, loss, metrics)
        self.optimizer, self.loss, self.metrics, self.loss_weights = optimizer, loss, metrics, loss_weights
        self.batch_size, self.seed = batch_size, seed
        self.evaluation_batch = micro_batch_size or batch_size
        self.settings = Settings(
            epochs,
            micro_batch_size,
            batch_norm,
            engine,
            _several(stop),
            _several(callbacks),
            verbose,
            strategy=joined(strategy),
            auxiliary=auxiliary,
        )

    def fit(
        self,
        model: Any,
        x: Any,
        y: Any = None,
        *,
        validation: Any = None,
        sample_weight: Any = None,
        class_weight: Mapping[int, float] | None = None,
        on_epoch: Callable[[Row], None] | None = None,
        on_update: Callable[[int, float], None] | None = None,
        checkpoints: str | os.PathLike[str] | Checkpoints | None = None,
    ) -> History:
        """Compiles the model and trains it in place.

        Args:
            model: any `keras.Model`.
            x: inputs `(n_samples, ...)`: an array, a list or dict of arrays; or a `tf.data.Dataset` or
                `keras.utils.PyDataset` that gives batches `(x, y)` or `(x, y, sample_weight)`.
            y: targets, as the loss wants them.
            validation: `(x, y)`, `(x, y, sample_weight)` or a dataset.
            sample_weight: weight of each sample's loss, `(n_samples,)`.
            class_weight: weight by class index.
            on_epoch: called with each row of the history as it is finished.
            on_update: called after each update with its number, from 1, and the cost of its window; each is a call of
                the device of its own then, which takes longer.
            checkpoints: a folder of its own for this training, which is saved there as it goes. If one is saved there
                already, it goes on from there, and ends in the same bits as if it had not been interrupted. A
                dataset must be made anew for that, as it was made then.

        Raises:
            TrainingError: what was given does not fit together; nothing has been trained then.
        """
        self.compile(model)
        data = feed(x, y, sample_weight, batch_size=self.batch_size, seed=self.seed, class_weight=class_weight)
        settings = replace(self.settings, checkpoints=as_checkpoints(checkpoints))
        return train(model, data, as_validation(validation, self.evaluation_batch), settings, on_epoch, on_update)

    def check(self, model: Any, x: Any, y: Any = None, *, validation: Any = None) -> None:
        """Compiles the model and passes a few samples through it, its loss and its metrics; trains nothing.

        Args:
            model: as for `fit`; so are the others.
            x, y: arrays or a dataset; a generator would lose its first batch.

        Raises:
            TrainingError: what `fit` would refuse before its first window.
        """
        self.compile(model)
        data = feed(x, y, batch_size=self.batch_size, seed=self.seed)
        prepare(model, data, as_validation(validation, self.evaluation_batch), self.settings.stop)

    def engine_for(self, model: Any, x: Any, y: Any = None) -> tuple[str, str]:
        """The engine that `fit` chooses for this model and data, and why."""
        data = feed(x, y, batch_size=self.batch_size, seed=self.seed)
        asked, settings = self.settings.engine, self.settings
        chosen = choose_engine(asked, model, data, settings.epochs, settings.micro_batch_size)
        return devices_for(settings.strategy).engine(asked, chosen)

    def evaluate(self, model: Any, x: Any, y: Any, engine: str = "graph") -> dict[str, float]:
        """`loss` and the metrics of a model that `fit` has trained.

        Args:
            x, y: arrays, `(n_samples, ...)`.
            engine: that runs it; the training's own, for the same bits as its validation.
        """
        return evaluate(model, x, y, self.evaluation_batch, engine, self.batch_size)

    def predict(self, model: Any, x: Any) -> Any:
        """The outputs of a model for arrays `(n_samples, ...)`, in their order."""
        return predict(model, x, self.evaluation_batch)

    def judge(self, model: Any, x: Any, y: Any) -> Judged:
        """The outputs of a model that `fit` has trained, and the error of each observation by its own loss.

        Args:
            x, y: arrays, `(n_samples, ...)`.
        """
        return judge(model, x, y, self.evaluation_batch, self.cost)

    def keep(self, folder: Path) -> tuple[str, ...]:
        """Writes to a folder what `fit` has learned beside the model, and gives the names; here, there is nothing."""
        return ()

    @property
    def cost(self) -> str:
        """What the cost is called, such as `mean_squared_error`."""
        return str(getattr(self.loss, "name", self.loss))

    @property
    def is_chief(self) -> bool:
        """Whether this process writes what a training leaves; False for a cluster's workers but one."""
        return devices_for(self.settings.strategy).is_chief

    def compile(self, model: Any, optimizer: Any = None) -> None:
        """Compiles a model as `fit` does.

        Args:
            optimizer: that steps this model from now on, as it is; a copy of the trainer's own if None.
        """
        import keras

        if not isinstance(model, keras.Model):
            raise TrainingError(f"expected a keras.Model, got {type(model).__name__}")
        if optimizer is None:
            optimizer = keras.optimizers.get(self.optimizer)
            if optimizer is self.optimizer:
                optimizer = type(optimizer).from_config(optimizer.get_config())
        model.compile(
            optimizer, copy.copy(self.loss), self.loss_weights, copy.deepcopy(self.metrics), jit_compile=False
        )


def fit(
    model: Any,
    x: Any = None,
    y: Any = None,
    batch_size: int | None = None,
    epochs: int = 1,
    verbose: Verbose = "auto",
    callbacks: Sequence[Any] | None = None,
    validation_split: float = 0.0,
    validation_data: Any = None,
    shuffle: bool = True,
    class_weight: Mapping[int, float] | None = None,
    sample_weight: Any = None,
    initial_epoch: int = 0,
    steps_per_epoch: int | None = None,
    validation_steps: int | None = None,
    validation_batch_size: int | None = None,
    validation_freq: int = 1,
    *,
    micro_batch_size: int | None = None,
    batch_norm: BatchNorm = "micro",
    stop: Sequence[Rule] = (),
    engine: Engine = "auto",
    seed: int = 0,
    strategy: Any = None,
    checkpoints: str | os.PathLike[str] | Checkpoints | None = None,
    on_epoch: Callable[[Row], None] | None = None,
) -> History:
    """`keras.Model.fit` on a compiled model, by kerasflow's loop.

    The arguments up to `validation_freq` are those of `keras.Model.fit`; the others are those of `kf.Trainer` and its
    `fit`. The history has Keras' `.history` and `.epoch` too.

    Raises:
        TrainingError: the model is not compiled, or what was given does not fit together.
    """
    if not getattr(model, "compiled", False):
        raise TrainingError(
            "the model is not compiled; call model.compile(...) first, or use kf.Trainer, which does it"
        )
    size = 32 if batch_size is None else batch_size
    check_window(size, micro_batch_size)
    if validation_split and validation_data is None:
        x, y, sample_weight, validation_data = _hold_out(x, y, sample_weight, validation_split)
    order = seed if shuffle else None
    data = feed(x, y, sample_weight, batch_size=size, seed=order, class_weight=class_weight, steps=steps_per_epoch)
    validation = as_validation(validation_data, validation_batch_size or micro_batch_size or size, validation_steps)
    settings = Settings(
        epochs,
        micro_batch_size,
        batch_norm,
        engine,
        _several(stop),
        _several(callbacks or ()),
        verbose,
        initial_epoch,
        validation_freq,
        joined(strategy),
        as_checkpoints(checkpoints),
    )
    return train(model, data, validation, settings, on_epoch)


def _several(given: Any) -> tuple[Any, ...]:
    """One rule or callback, or a sequence of them, as Keras takes them."""
    return tuple(given) if isinstance(given, Sequence) and not isinstance(given, str) else (given,)


def _hold_out(x: Any, y: Any, weight: Any, share: float) -> tuple[Any, Any, Any, Any]:
    """The last samples, before any shuffling, as Keras holds them out."""
    import keras

    if is_dataset(x):
        raise TrainingError("validation_split cuts arrays; of a dataset, give a part of its own as validation_data")
    x, y, weight = as_arrays(x), as_arrays(y), as_arrays(weight)

    def cut(part: Any, rows: slice) -> Any:
        return keras.tree.map_structure(lambda leaf: None if leaf is None else leaf[rows], part)

    n = len(next(leaf for leaf in keras.tree.flatten(x) if leaf is not None))
    first = int(n * (1.0 - share))
    if not 0 < first < n:
        raise TrainingError(f"validation_split={share} of {n} samples leaves a part empty")
    train_part, held = ([cut(part, rows) for part in (x, y, weight)] for rows in (slice(0, first), slice(first, n)))
    return train_part[0], train_part[1], train_part[2], tuple(held)
