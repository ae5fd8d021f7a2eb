"""A network that somebody has trained, put to another task by scikit-learn's rules."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Self

from sklearn.utils.metaestimators import available_if

from kerasflow.errors import BuildError, TrainingError, did_you_mean
from kerasflow.estimators.classifier import KerasClassifier
from kerasflow.estimators.recipe import Recipe
from kerasflow.spec.model import ModelSpec, as_model_spec
from kerasflow.training.history import History, Row
from kerasflow.training.keras_internals import compile_arguments
from kerasflow.training.trainer import Trainer
from kerasflow.transfer.freezing import thaw
from kerasflow.transfer.joining import SAMPLES, check_images
from kerasflow.transfer.stages import Stage, StagedTrainer


class TransferClassifier(KerasClassifier):
    """A pretrained network with a new head as a scikit-learn classifier of images.

    `fit` takes images `(n_samples, height, width, 1 or 3)`, or `(n_samples, height, width)` of gray ones, of any number
    type; a network of the zoo wants values 0..255. Labels are `(n_samples,)`.

    Args:
        backbone: a network of the zoo by name, such as `mobilenet_v2`; a `keras.Model`, which is cloned with its
            weights and never changed; or a path to a saved `.keras` one.
        weights: of a network of the zoo: `imagenet`, a path, or None for random ones.
        layer: the last one of the backbone that is kept, or several, which make one vector; if None, all but the
            classifier, which of a model of your own is its last layer.
        size: images are resized to this height and width; as they are if None.
        pooling: of the backbone's last feature map: `avg`, `max` or `none`.
        layers: of a spec, between the backbone and the classes; the last is `head`.
        augmentation: layers of a spec that change images at random, in training alone.
        stages: `kf.transfer.Stage`s, or dicts of their arguments; None trains the head alone, for `epochs`.
        epochs: of the one stage, where `stages` is None.
        **parameters: as for `kf.KerasClassifier`.

    Raises:
        BuildError, DataError, TrainingError: from `fit`: there is no such network, layer or weights, the images are not
            in the range that it takes, or a stage cannot be.

    Example:
        >>> stages = [{"epochs": 5}, {"epochs": 2, "learning_rate": 1e-5, "unfreeze_from": "block_13_expand"}]
        >>> clf = kf.TransferClassifier("mobilenet_v2", size=96, stages=stages).fit(images, labels)
    """

    def __init__(
        self,
        backbone: Any = "mobilenet_v2",
        *,
        weights: Any = "imagenet",
        layer: Any = None,
        size: Any = None,
        pooling: Any = "avg",
        layers: Any = ("head",),
        augmentation: Any = (),
        stages: Any = None,
        optimizer: Any = "adam",
        loss: Any = "auto",
        metrics: Any = None,
        learning_rate: Any = None,
        batch_size: int = 32,
        micro_batch_size: int | None = None,
        epochs: int = 10,
        validation_fraction: float = 0.0,
        stop: Any = None,
        callbacks: Any = None,
        class_weight: Any = None,
        random_state: Any = None,
        engine: str = "auto",
        tracker: Any = None,
        verbose: Any = 0,
    ) -> None:
        self.backbone = backbone
        self.weights = weights
        self.layer = layer
        self.size = size
        self.pooling = pooling
        self.layers = layers
        self.augmentation = augmentation
        self.stages = stages
        self.optimizer = optimizer
        self.loss = loss
        self.metrics = metrics
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.micro_batch_size = micro_batch_size
        self.epochs = epochs
        self.validation_fraction = validation_fraction
        self.stop = stop
        self.callbacks = callbacks
        self.class_weight = class_weight
        self.random_state = random_state
        self.engine = engine
        self.tracker = tracker
        self.verbose = verbose

    model = None
    hidden_layer_sizes = None
    warm_start = False

    @property
    def _maker(self) -> ModelSpec:
        import keras

        if isinstance(self.backbone, keras.Model):
            own = {"model": self.backbone.name}
        elif isinstance(self.backbone, str | os.PathLike):
            saved = str(self.backbone).endswith(".keras")
            weights = "none" if self.weights is None else self.weights
            own = {"model": str(self.backbone)} if saved else {"name": self.backbone, "weights": weights}
        else:
            raise BuildError(
                "backbone must be the name of a network of the zoo, a keras.Model or the path of a .keras file, got "
                f"{type(self.backbone).__name__}"
            )
        backbone = {**own, "layer": self.layer, "size": self.size, "pooling": self.pooling}
        return as_model_spec(
            {
                "backbone": {name: value for name, value in backbone.items() if value is not None},
                "augmentation": list(self.augmentation),
                "layers": list(self.layers),
            }
        )

    def _recipe(self, *known: Any) -> Recipe:
        recipe = super()._recipe(*known)
        return recipe if isinstance(self.backbone, str | os.PathLike) else replace(recipe, network=self.backbone)

    @available_if(lambda self: False)
    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Not there: the stages of a transfer have a beginning and an end."""
        raise NotImplementedError

    def _samples(self, X: Any) -> Any:
        found = super()._samples(X)
        check_images(self._maker, found[:SAMPLES])
        return found

    def _trained(self, model: Any, arguments: dict[str, Any], on_epoch: Callable[[Row], None]) -> History:
        check_images(self._maker, arguments["x"][:SAMPLES])
        parts = {name: arguments.pop(name) for name in ("x", "y", "sample_weight")}
        held_out, last = arguments.pop("validation_data", None), arguments.pop("epochs")
        first = arguments.pop("initial_epoch")
        compiled = compile_arguments(model)
        chosen = {name: compiled[name] for name in ("optimizer", "loss", "metrics", "loss_weights") if name in compiled}
        trainer = Trainer(**chosen, **arguments)
        stages = [Stage(last - first)] if self.stages is None else [_stage(given) for given in self.stages]
        try:
            return StagedTrainer(trainer, stages).fit(model, **parts, validation=held_out, on_epoch=on_epoch)
        finally:  # as the recipe makes it, for a pickle, also of what Ctrl-C has left
            thaw(model)
            trainer.compile(model)
            model.optimizer.build(model.trainable_variables)


def _stage(given: Any) -> Stage:
    if isinstance(given, Stage):
        return given
    known = Stage.__dataclass_fields__
    if not isinstance(given, Mapping):
        raise TrainingError(f"stages must be kf.transfer.Stage or dicts of its arguments, got {given!r}")
    for name in given:
        if name not in known:
            raise TrainingError(f"a stage has no argument {name!r}{did_you_mean(str(name), known)}")
    return Stage(**given)
