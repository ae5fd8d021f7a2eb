"""How a fit makes its model: frozen when the fit begins, so that a pickle can make it again."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np

from kerasflow.builders.graph import HeadTask
from kerasflow.builders.objects import seeded
from kerasflow.builders.precision import Precision, computing_in
from kerasflow.errors import BuildError, TrainingError, did_you_mean, sentence
from kerasflow.estimators.heads import (
    Head,
    called,
    class_targets,
    head_for,
    heads_of,
    loss_for,
    losses_of,
    number_targets,
)
from kerasflow.estimators.objects import made
from kerasflow.estimators.parameters import PROVIDED
from kerasflow.estimators.portable import SavedModel
from kerasflow.spec.experiment import ExperimentSpec
from kerasflow.spec.model import ModelSpec, as_model_spec, load_model_spec
from kerasflow.training.keras_internals import compile_arguments, loss_of_function, set_dtype, settle
from kerasflow.transfer.joining import build, onto

TASKS: dict[str, HeadTask] = {
    "binary": "binary",
    "multiclass": "multiclass",
    "multilabel-indicator": "multilabel",
    "multiclass-multioutput": "multiclass",
}


@dataclass(frozen=True)
class Recipe:
    """Everything that a compiled, untrained model follows from.

    Attributes:
        model: None for a perceptron, a `ModelSpec`, a callable, or a `keras.Model`, which is cloned.
        arguments: of the callable.
        hidden_layer_sizes: of the perceptron.
        optimizer, loss, metrics: as the estimator was given them, each with its routed arguments.
        compiling: more arguments of `model.compile`.
        learning_rate: None for the optimizer's own.
        meta: what is known of the data; see `kf.KerasClassifier`.
        precision: that layers compute in.
        seed: of initial weights and masks.
        sample: one of any values, nested as the model takes it: for models that make their weights when called.
        params: the estimator's parameters, for a callable that asks for them.
        network: in place of the one that a spec's backbone names; it is cloned.
    """

    model: Any
    arguments: dict[str, Any]
    hidden_layer_sizes: Any
    optimizer: tuple[Any, dict[str, Any]]
    loss: tuple[Any, dict[str, Any]]
    metrics: tuple[Any, dict[str, Any]]
    compiling: dict[str, Any]
    learning_rate: Any
    meta: dict[str, Any]
    precision: Precision
    seed: int
    sample: Any
    params: dict[str, Any] = field(default_factory=dict)
    network: Any = None

    @property
    def task(self) -> HeadTask:
        """`binary`, `multiclass`, `multilabel` or `regression`."""
        return TASKS.get(self.meta.get("target_type_", ""), "regression")

    def make(self) -> Any:
        """A new `keras.Model`, compiled; the same weights each time.

        Raises:
            SpecError, BuildError, TrainingError: there is no such model, or its parts do not fit together.
        """
        with seeded(self.seed), computing_in(self.precision):
            model = self._network()
            _check_inputs(model, self.sample)
            if not model.built:
                called(model, self.sample)
            if not model.compiled:
                compiling = self._compiling(model)
                try:
                    model.compile(**{"jit_compile": False, **compiling})  # which engine runs is decided later
                except (ValueError, TypeError) as error:
                    raise TrainingError(f"the model cannot be compiled: {sentence(error)}") from error
            elif not self._asks_for("compile_kwargs"):
                self._compile_anew(model)
        return model

    @property
    def rate(self) -> float | None:
        """The learning rate that was asked for, if it is a number."""
        rate = self.optimizer[1].get("learning_rate", self.learning_rate)
        return float(rate) if isinstance(rate, Real) else None

    @property
    def is_described(self) -> bool:
        """Whether the network is a perceptron or a spec, which is data: no weights of somebody else's are in it."""
        spec = self.spec()
        return spec is not None and spec.backbone is None

    def untrained(self) -> Recipe:
        """The same without the weights that somebody has trained: for a model that is given others."""
        if not isinstance(self.model, ModelSpec) or self.model.backbone is None or self.model.backbone.name is None:
            return self
        backbone = self.model.backbone.model_copy(update={"weights": "none"})
        return replace(self, model=self.model.model_copy(update={"backbone": backbone}))

    def _network(self) -> Any:
        import keras

        spec = self.spec()
        if spec is not None:
            return self._built(spec)
        if isinstance(self.model, SavedModel):
            model = self.model.load()
            for loss in keras.tree.flatten(model.loss):
                set_dtype(loss, self.precision)
            return model
        if isinstance(self.model, keras.Model):
            return _clone(self.model)
        if not callable(self.model):
            raise TypeError(
                "model must be None, a spec, its path or dict, a callable that returns a keras.Model, or a "
                f"keras.Model, got {type(self.model).__name__}"
            )
        return self._called(self.model)

    def spec(self) -> ModelSpec | None:
        """The network as a spec, if it is given as one."""
        if self.model is None:
            return _perceptron(self.hidden_layer_sizes, self.meta)
        return self.model if isinstance(self.model, ModelSpec) else None

    def _built(self, spec: ModelSpec) -> Any:
        if spec.backbone is not None and spec.backbone.aux_heads:
            raise BuildError("model.backbone.aux_heads: learn in an experiment, by kf.run; leave them out here")
        outputs = spec.outputs or ("head",)
        each = zip(outputs, self._counts(len(outputs)), losses_of(self._loss(), outputs), strict=False)
        heads = {name: head_for(self.task, count, own) for name, count, own in each}
        shape = self.meta["X_shape_"][1:]
        if self.network is not None:
            return onto(_clone(self.network), spec, shape, *heads[outputs[0]])
        if len(outputs) == 1:  # wherever its head stands, and whatever it is called
            return build(spec, shape, *heads[outputs[0]])
        units, tasks = ({name: n for name, (n, _) in heads.items()}, {name: kind for name, (_, kind) in heads.items()})
        return build(spec, shape, units, tasks)

    def _counts(self, n_heads: int) -> list[int]:
        """Classes, labels or quantities of each head."""
        if self.task in ("multilabel", "regression"):
            return [self.meta["n_outputs_"]] if n_heads == 1 else [1] * n_heads
        classes = self.meta["n_classes_"]
        return classes if isinstance(classes, list) else [classes] * n_heads

    def _called(self, given: Callable[..., Any]) -> Any:
        import keras

        function: Any = given
        offered: dict[str, Callable[[], Any]] = {
            "meta": lambda: dict(self.meta),
            "params": lambda: dict(self.params),
            "compile_kwargs": self._compiling,
            "hidden_layer_sizes": lambda: self.hidden_layer_sizes,
        }
        wanted = inspect.signature(function).parameters
        more = {name: value() for name, value in offered.items() if name in wanted and name not in self.arguments}
        name = getattr(function, "__name__", type(function).__name__)
        _check_arguments(name, wanted, self.arguments)
        model = function(**{**more, **self.arguments})
        if not isinstance(model, keras.Model):
            raise TypeError(f"the callable {name} must return a keras.Model, got {type(model).__name__}")
        return model

    def _compiling(self, model: Any = None) -> dict[str, Any]:
        """Arguments of `model.compile`."""
        return {
            "optimizer": self._optimizer(),
            "loss": self._loss(model),
            "metrics": self._metrics(),
            **self.compiling,
        }

    def _loss(self, model: Any = None) -> Any:
        """New ones, or their names; `auto` as the model's outputs ask, or the task alone while there is no model."""
        given, arguments = self.loss
        if given == "auto":
            unknown = [Head(None, "", None)] * (self.meta.get("n_outputs_expected_") or 1)
            given, more = loss_for(self.task, unknown if model is None else heads_of(model, self.sample))
            arguments = {**more, **arguments}
        _check_outputs(given, model)
        return _with_precision(made("losses", given, arguments, {"dtype": self.precision}), self.precision)

    def _optimizer(self) -> Any:
        given, arguments = self.optimizer
        rate = {} if self.learning_rate is None else {"learning_rate": self.learning_rate}
        return made("optimizers", given, {**rate, **arguments})

    def _asks_for(self, name: str) -> bool:
        return callable(self.model) and name in inspect.signature(self.model).parameters

    def _metrics(self) -> Any:
        found = made("metrics", *self.metrics)
        return found if found is None or isinstance(found, list | dict) else [found]

    def _compile_anew(self, model: Any) -> None:
        """Of a model that is compiled already, what is given beside it replaces its own."""
        chosen = {
            "optimizer": bool(self.optimizer[1]) or not _is_default(self.optimizer[0], "adam"),
            "loss": bool(self.loss[1]) or not _is_default(self.loss[0], "auto"),
            "metrics": self.metrics[0] is not None,
        }
        given = {name: value for name, value in self._compiling(model).items() if chosen.get(name, True)}
        if given:
            model.compile(**{**compile_arguments(model), **given})
        rate = self.optimizer[1].get("learning_rate", self.learning_rate)
        if rate is not None:
            model.optimizer.learning_rate = rate


def _check_arguments(name: str, wanted: Mapping[str, inspect.Parameter], given: Mapping[str, Any]) -> None:
    """Whether a callable gets what it needs, and nothing else.

    Raises:
        TypeError: it does not.
    """
    kinds = [parameter.kind for parameter in wanted.values()]
    for argument in given:
        if argument not in wanted and inspect.Parameter.VAR_KEYWORD not in kinds:
            raise TypeError(f"model__{argument}: {name} takes no argument {argument!r}{did_you_mean(argument, wanted)}")
    for argument, parameter in wanted.items():
        needed = parameter.default is parameter.empty and parameter.kind in (
            parameter.POSITIONAL_OR_KEYWORD,
            parameter.KEYWORD_ONLY,
        )
        if needed and argument not in (*given, *PROVIDED):
            raise TypeError(f"{name} needs the argument {argument!r}; give it as model__{argument}=...")


def _check_inputs(model: Any, sample: Any) -> None:
    import keras

    names = [tensor.name for tensor in getattr(model, "inputs", None) or []]
    if len(names) > 1 and len(keras.tree.flatten(sample)) == 1:
        raise TrainingError(
            f"the model takes {len(names)} inputs ({', '.join(names)}) and X is one; override the property "
            "feature_encoder in a subclass, with a transformer that makes a list or a dict of them"
        )


def _check_outputs(loss: Any, model: Any) -> None:
    names = getattr(model, "output_names", None)
    if not isinstance(loss, Mapping) or names is None:
        return
    for name in loss:
        if name not in names:
            raise TrainingError(
                f"loss names the output {name!r}, but the model's outputs are {', '.join(names)}"
                f"{did_you_mean(str(name), names)}"
            )


def _is_default(given: Any, default: str) -> bool:
    return isinstance(given, str) and given == default


def resolved(model: Any, arguments: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """A spec, wherever it stands, with its changes made: what happens to a file later is of no consequence.

    Anything else stays as it is.

    Raises:
        SpecError: with every fault that the spec has.
    """
    if isinstance(model, ExperimentSpec):
        model = model.model
    if isinstance(model, str | Path) and Path(model).suffix in (".keras", ".h5"):
        raise TrainingError(
            f"{model} is a saved network and no spec; give the model itself, keras.models.load_model({str(model)!r})"
        )
    if not isinstance(model, ModelSpec | str | Path | dict):
        return model, arguments
    return load_model_spec(model, {name.replace("__", "."): _plain(value) for name, value in arguments.items()}), {}


def targets_for(heads: list[Head], recipe: Recipe, encoded: Any) -> Any:
    """Encoded labels as the losses of a model's heads want them: indices, one number for each class, or 0 and 1.

    Raises:
        ValueError: the model's outputs do not fit the targets.
    """
    if recipe.task in ("binary", "multiclass") and "n_classes_" in recipe.meta:
        several, n_classes = isinstance(encoded, list), recipe.meta["n_classes_"]
        columns, counts = (encoded, n_classes) if several else ([encoded], [n_classes])
        wanted = class_targets(heads, columns, counts, recipe.precision)
        return wanted if several else wanted[0]
    if not isinstance(encoded, np.ndarray) or encoded.dtype.kind not in "biuf":
        return encoded
    return number_targets(heads, encoded.astype(recipe.precision, copy=False))


def _perceptron(sizes: Any, meta: dict[str, Any]) -> ModelSpec:
    """Dense layers with ReLU, and as many heads as there are targets that exclude each other."""
    widths = [sizes] if isinstance(sizes, Integral) else list(sizes)
    if not all(isinstance(width, Integral) and int(width) >= 1 for width in widths):
        raise ValueError(f"hidden_layer_sizes must hold the units of each layer, integers >= 1, got {sizes!r}")
    layers: list[Any] = ["flatten"] if len(meta["X_shape_"]) > 2 else []
    layers += [{"dense": {"units": int(width), "activation": "relu"}} for width in widths]
    if meta["n_outputs_expected_"] == 1:
        return as_model_spec({"layers": [*layers, "head"]})
    trunk = {"activation": "linear", "name": "trunk"}
    names = [f"output_{place}" for place in range(meta["n_outputs_expected_"])]
    heads = [{"head": None, "name": name, "inputs": ["trunk"]} for name in names]
    return as_model_spec({"layers": [*layers, trunk, *heads], "outputs": names})


def _with_precision(loss: Any, precision: str) -> Any:
    """Losses that are functions, which Keras would compute in its own default precision."""
    import keras

    if isinstance(loss, list | tuple):
        return [_with_precision(item, precision) for item in loss]
    if isinstance(loss, dict):
        return {key: _with_precision(item, precision) for key, item in loss.items()}
    if precision == "float32" or loss is None or isinstance(loss, str):
        return loss
    if isinstance(loss, keras.losses.Loss):
        try:
            return type(loss).from_config(loss.get_config() | {"dtype": precision})
        except (TypeError, ValueError, NotImplementedError):  # one of the user's own, which knows what it does
            return loss
    return loss_of_function(loss, precision)


def _plain(value: Any) -> Any:
    """NumPy's scalars, which searches draw, as Python's."""
    return value.item() if isinstance(value, np.generic) else value


def _clone(model: Any) -> Any:
    """The same network and weights, compiled likewise; the optimizer begins anew."""
    import keras

    if not model.built:
        raise TrainingError("the keras.Model has no weights yet; build it first, or give a callable that makes it")
    try:
        clone = keras.models.clone_model(model)
        clone.set_weights(model.get_weights())
        settle(clone)
        if model.compiled:
            clone.compile_from_config(model.get_compile_config())
    except (ValueError, TypeError, NotImplementedError) as error:
        raise TrainingError(
            f"the keras.Model cannot be cloned: {sentence(error)}; give a callable that makes it instead"
        ) from error
    return clone
