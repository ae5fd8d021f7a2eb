"""How a model is trained: the rule of each update, its window, and when to stop."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, GetJsonSchemaHandler, ValidationInfo, field_validator, model_serializer, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from kerasflow.spec.base import Listed, Part
from kerasflow.spec.named import Loss, Metrics, OneOf, Optimizer, split_call
from kerasflow.spec.paths import FilePath

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
Plain = str | int | float | bool | None
Argument = Plain | list[Plain]


class PlateauSpec(Part):
    """Stops when a monitored number has not improved for `patience` epochs (Prechelt 1998, 'Early Stopping - But
    When?').

    Attributes:
        monitor: a column of the history, such as `val_loss` or `val_accuracy`.
        patience: epochs without improvement before the stop.
        min_delta: what counts as an improvement, in the number's own unit.
        mode: whether lower (`min`) or higher (`max`) is better; `auto` reads it from the name.
        restore_best: whether the model ends with the weights of its best epoch.
    """

    first: ClassVar[str] = "monitor"
    monitor: str = "val_loss"
    patience: Count = 5
    min_delta: Annotated[float, Field(ge=0)] = 0.0
    mode: Literal["auto", "min", "max"] = "auto"
    restore_best: bool = False


class ThresholdSpec(Part):
    """Stops when a monitored number has fallen below, or risen above, a bound."""

    first: ClassVar[str] = "monitor"
    monitor: str
    below: float | None = None
    above: float | None = None

    @model_validator(mode="after")
    def _one_bound(self) -> ThresholdSpec:
        if (self.below is None) == (self.above is None):
            raise ValueError("needs either below or above")
        return self


class DeadlineSpec(Part):
    """Stops after the first epoch that ends past this much training time."""

    first: ClassVar[str] = "minutes"
    minutes: Positive


class StopSpec(OneOf):
    """A rule that ends the training before its last epoch. A cost that is not finite always does.

    `all` holds a list of rules and stops after the first epoch at which every one of them says stop; `any`, when one of
    them does. A list of rules under `train` is an `any`.
    """

    plateau: PlateauSpec | None = None
    threshold: ThresholdSpec | None = None
    deadline: DeadlineSpec | None = None
    all: Annotated[tuple[StopSpec, ...], Listed] | None = Field(None, json_schema_extra={"minItems": 1})
    any: Annotated[tuple[StopSpec, ...], Listed] | None = Field(None, json_schema_extra={"minItems": 1})

    @field_validator("all", "any")
    @classmethod
    def _holds_a_rule(cls, value: tuple[StopSpec, ...] | None) -> tuple[StopSpec, ...] | None:
        if value == ():
            raise ValueError("must be a list with at least one rule")
        return value


class StageSpec(Part):
    """A part of a transfer: the head learns, and of the backbone what is named.

    Attributes:
        epochs: passes over the training part, at most.
        learning_rate: the optimizer's own if None.
        unfreeze: patterns of layers, such as `block_1[456]*`; `*` is the whole backbone.
        unfreeze_from: a layer from which on all of the backbone learns.
        rates: factors of the learning rate, by pattern.
        stop: rules that end the stage; those of `train` if none.
    """

    epochs: Count
    learning_rate: Positive | None = None
    unfreeze: Annotated[tuple[str, ...], Listed] = ()
    unfreeze_from: str | None = None
    rates: dict[str, Positive] = {}
    stop: Annotated[tuple[StopSpec, ...], Listed] = ()


class ClassifierSpec(Part):
    """An estimator of scikit-learn that learns from features.

    Attributes:
        name: `svm`, linear unless a kernel, or what only kernels have, is given; or in snake case, such as
            `logistic_regression`.
        arguments: of its constructor.
    """

    name: str = "svm"
    arguments: dict[str, Argument] = {}

    @model_validator(mode="before")
    @classmethod
    def _parse(cls, given: Any) -> Any:
        if isinstance(given, cls) or (isinstance(given, dict) and set(given) == {"name", "arguments"}):
            return given
        name, behind = split_call(given)
        return {"name": name, "arguments": {} if behind is None else behind}

    @model_serializer
    def _write(self) -> dict[str, Any]:
        return {self.name: dict(self.arguments)}

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        arguments = {"type": ["object", "null"]}
        mapping = {"type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": arguments}
        return {"title": cls.__name__, "description": cls.__doc__, "anyOf": [{"type": "string"}, mapping]}


class ProbeSpec(Part):
    """How well a linear SVM tells the classes apart from what layers give, while the model trains (Alain & Bengio 2016,
    arXiv:1610.01644); see `kf.Probe`.

    Attributes:
        layers: paths, such as `backbone.block_13_expand`.
        every: epochs from one measurement to the next.
        samples: that the SVM learns from, of the training part, and is measured on, of the validation part; at most.
    """

    layers: Annotated[tuple[str, ...], Listed, Field(min_length=1)]
    every: Count = 1
    samples: Count = 500


class TrainSpec(Part):
    """The training of an experiment.

    Attributes:
        route: `scratch`: every layer learns from the first epoch; `transfer`: the backbone is frozen, but for what the
            stages unfreeze; `features`: the whole model is frozen, and a classifier learns from what it gives.
        optimizer: by name, with its arguments.
        loss: by name; `auto` is the cross-entropy of the task's kind, or the mean squared error for numbers.
        metrics: by name; `auto` is accuracy for classes, the mean absolute error for numbers.
        batch_size: samples for each update.
        micro_batch_size: samples for each pass through the network; a window of `batch_size` samples is accumulated
            from them and makes one update with the gradient of the whole. The whole batch at once if not given.
        batch_norm: what BatchNormalization does in training: `micro` normalises by each micro-batch's own statistics
            and steps the moving ones once an update; `frozen` normalises by the moving statistics and leaves them.
        epochs: passes over the training part, at most.
        stop: rules that end the training earlier.
        precision: of the arithmetic; weights, the head and the cost are float32 always. `mixed_float16` scales the
            cost so that small gradients do not vanish, and skips an update whose gradient overflows; it and
            `mixed_bfloat16` pay on hardware that has them.
        engine: `graph`, `xla` or `eager`; `auto` decides before the training begins.
        stages: of a transfer; one of `epochs` in which the head learns alone, if none.
        classifier: of the features; a linear SVM if not given.
        grid: values to try by its arguments, by cross-validation on the training part.
        cache: a folder in which features are kept, and found again by the content of weights, preprocessing and data;
            nothing is kept if not given.
        probe: measures layers while the model trains; nothing if not given.
        strategy: on several devices: `mirrored` is every GPU of the machine, `multi_worker` the cluster that each
            process finds in its environment variable TF_CONFIG. One device if not given.
    """

    route: Literal["scratch", "transfer", "features"] = "scratch"
    optimizer: Optimizer = Field(default_factory=lambda: Optimizer(name="adam", arguments={"learning_rate": 0.001}))
    loss: Loss = Field(default_factory=lambda: Loss(name="auto"))
    metrics: Metrics = "auto"
    batch_size: Count = 32
    micro_batch_size: Count | None = None
    batch_norm: Literal["micro", "frozen"] = "micro"
    epochs: Count = 20
    stop: Annotated[tuple[StopSpec, ...], Listed] = ()
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    engine: Literal["auto", "graph", "xla", "eager"] = "auto"
    stages: Annotated[tuple[StageSpec, ...], Listed] = ()
    classifier: ClassifierSpec | None = None
    grid: dict[str, Annotated[list[Argument], Field(min_length=1)]] = {}
    cache: FilePath | None = None
    probe: ProbeSpec | None = None
    strategy: Literal["mirrored", "multi_worker"] | None = None

    @field_validator("stages", "classifier", "grid", "cache")
    @classmethod
    def _belongs_to_its_route(cls, value: Any, info: ValidationInfo) -> Any:
        route = "transfer" if info.field_name == "stages" else "features"
        if value and info.data.get("route", route) != route:
            raise ValueError(f"belongs to route: {route}; set it, or leave this out")
        return value

    @field_validator("probe")
    @classmethod
    def _watches_a_training(cls, value: Any, info: ValidationInfo) -> Any:
        if value and info.data.get("route") == "features":
            raise ValueError("belongs to the routes scratch and transfer: with features, nothing of the network learns")
        return value

    @field_validator("micro_batch_size")
    @classmethod
    def _fits_the_batch(cls, value: int | None, info: ValidationInfo) -> int | None:
        batch = info.data.get("batch_size")
        if value is not None and batch is not None and value > batch:
            raise ValueError(
                f"must not be larger than batch_size ({batch}), which is made of micro-batches, got {value}"
            )
        return value
