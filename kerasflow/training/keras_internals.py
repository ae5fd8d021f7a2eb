"""With `optimizer_internals` the one place that leans on names that Keras does not promise; a test holds each to it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from typing import Any, NamedTuple


class Observed(NamedTuple):
    """One loss of a compiled model, as Keras calls it: after strings, dicts and lists have found their output.

    `value` is that of the samples given, whatever the number of replicas.
    """

    loss: Any
    weight: float | None
    y_true: Any
    y_pred: Any
    sample_weight: Any
    value: Any
    unreduced: Any


def observe_losses(model: Any, y: Any, y_pred: Any, sample_weight: Any) -> list[Observed]:
    """Calls the compiled loss and gives its parts: Keras resolves the structure, the caller weighs them."""
    compiled = model._compile_loss
    if compiled is None:
        return []
    if not compiled.built:
        compiled(y, y_pred, sample_weight)
    parts: list[Observed] = []
    originals = compiled._flat_losses

    def observer(part: Any) -> Any:
        def call(y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
            seen: list[Any] = []
            own = part.loss.call

            def unreduced(*arguments: Any) -> Any:
                seen.append(own(*arguments))
                return seen[-1]

            part.loss.call = unreduced
            try:
                value = part.loss(y_true, y_pred, sample_weight)
            finally:
                del part.loss.call
            each = seen[-1] if seen else value
            mine = _of_this_replica(part.loss, value, each)
            parts.append(Observed(part.loss, part.loss_weights, y_true, y_pred, sample_weight, mine, each))
            return value

        return part._replace(loss=call)

    compiled._flat_losses = [observer(part) for part in originals]
    try:
        compiled(y, y_pred, sample_weight)
    finally:
        compiled._flat_losses = originals
    return parts


def _of_this_replica(loss: Any, value: Any, unreduced: Any) -> Any:
    """Keras divides a mean by the number of replicas, for optimizers that sum over them: the mean itself."""
    from keras.src.losses.loss import unscale_loss_for_distribution

    if loss.reduction in ("sum", "none", None) or unreduced.shape.rank == 0:
        return value
    return unscale_loss_for_distribution(value)


def n_losses(model: Any) -> int:
    """How many losses a compiled and built model has."""
    return 0 if model._compile_loss is None else len(model._compile_loss._flat_losses)


def compiled_losses(model: Any) -> list[Any]:
    """The `keras.losses.Loss` objects of a compiled model that has been called on outputs once."""
    return [] if model._compile_loss is None else [part.loss for part in model._compile_loss._flat_losses]


def all_variables(model: Any) -> list[Any]:
    """Every variable that training or evaluating a compiled and built model may read or write."""
    found = [*model.variables, *model.optimizer.variables, *model.metrics_variables, _global_seed()]
    return list({id(variable): variable for variable in found}.values())


def mask_of(tensor: Any) -> Any:
    """The mask that travels with a tensor, or None."""
    return getattr(tensor, "_keras_mask", None)


def state_variables(model: Any) -> list[Any]:
    """What a call of the model may change: moving statistics, seeds, counters; not weights that train, not metrics."""
    metrics = {id(variable) for metric in model.metrics for variable in metric.variables}
    own = [v for v in model.non_trainable_variables if id(v) not in metrics]
    return [*own, _global_seed()]


def _global_seed() -> Any:
    """The state of Keras' own generator, which draws its seed from Python's when it is first asked for."""
    from keras.src.random.seed_generator import global_seed_generator

    before = random.getstate()
    try:
        return global_seed_generator().state
    finally:
        random.setstate(before)


def is_seed(variable: Any) -> bool:
    """Whether a variable is the state of a random generator."""
    return bool(variable.path.endswith("seed_generator_state"))


class Made(NamedTuple):
    """A call that made a tensor of a functional model.

    Attributes:
        layer: that was called, or another operation.
        inputs, outputs: all tensors of the call.
        arguments: it was called with beside them, but for those that are None.
    """

    layer: Any
    inputs: list[Any]
    outputs: list[Any]
    arguments: dict[str, Any]


def made_by(tensor: Any) -> Made:
    """The call that made a tensor of a functional model."""
    layer, place, _ = tensor._keras_history
    node = layer._inbound_nodes[place]
    arguments = {name: value for name, value in node.arguments.kwargs.items() if value is not None}
    return Made(layer, list(node.input_tensors), list(node.output_tensors), arguments)


def flatten_layers(model: Any) -> list[Any]:
    """Every layer, at any depth."""
    return list(model._flatten_layers(include_self=False))


def restored_epoch(model: Any) -> int:
    """The epoch that `keras.callbacks.BackupAndRestore` came back to when the training began; 0 if it did not."""
    return int(model._initial_epoch or 0)


def forget_restored_epoch(model: Any) -> None:
    """Keras itself keeps it for the next fit, which would then leave out its first epochs."""
    model._initial_epoch = None


def decide_direction(callback: Any) -> None:
    """Whether less or more is better, as a callback with a monitor finds out at the end of its first epoch.

    Finding out turns the sign of its `min_delta`, so it must be done before a `min_delta` is given back, not after.
    """
    from keras.src.callbacks.monitor_callback import MonitorCallback

    if isinstance(callback, MonitorCallback) and callback.monitor_op is None:
        callback._set_monitor_op()


def names_in(module: Any) -> list[str]:
    """What `keras.optimizers`, `keras.losses` or `keras.metrics` finds by name."""
    return sorted(import_module(f"keras.src.{module.__name__.rpartition('.')[2]}").ALL_OBJECTS_DICT)


@contextmanager
def inference_only(layers: list[Any]) -> Iterator[None]:
    """Inside, these layers act as in inference while their weights go on being trained."""
    before = [layer._trainable for layer in layers]
    for layer in layers:
        layer._trainable = False
    try:
        yield
    finally:
        for layer, trainable in zip(layers, before, strict=True):
            layer._trainable = trainable


def loss_of_function(function: Any, dtype: str) -> Any:
    """The loss that Keras makes of a function `(y_true, y_pred)`, computed in this dtype."""
    from keras.src.losses.losses import LossFunctionWrapper

    return LossFunctionWrapper(function, name=getattr(function, "__name__", None), dtype=dtype)


def compile_arguments(model: Any) -> dict[str, Any]:
    """What a compiled model was compiled with, as objects."""
    metrics = model._compile_metrics
    return {
        "optimizer": model.optimizer,
        "loss": model.loss,
        "loss_weights": model._compile_loss._user_loss_weights if model._compile_loss is not None else None,
        "metrics": metrics._user_metrics if metrics is not None else None,
        "weighted_metrics": metrics._user_weighted_metrics if metrics is not None else None,
        "run_eagerly": model.run_eagerly,
        "jit_compile": model.jit_compile,
    }


def settle(model: Any) -> None:
    """Lets layers that have adapted to data, such as Normalization, compute with weights that were just assigned."""
    for layer in flatten_layers(model):
        if hasattr(layer, "finalize_state"):
            layer.finalize_state()


def set_dtype(loss: Any, dtype: str) -> None:
    """What a `keras.losses.Loss` computes in, which its config leaves out."""
    import keras

    if isinstance(loss, keras.losses.Loss):
        loss._dtype_policy, loss._dtype = keras.DTypePolicy(dtype), dtype


def first_values(model: Any) -> tuple[list[tuple[Any, Any]], list[tuple[Any, Any]]] | None:
    """What the variables of a new, compiled model and of its optimizer begin with.

    Returns:
        Pairs of a variable and its value, and pairs of a variable and a function that draws its value from a seed; None
        where a layer has a variable that is not known to come from an initializer.
    """
    model.optimizer.build(model.trainable_variables)
    fixed = [(variable, _first_value(variable)) for variable in model.optimizer.variables]
    drawn: list[tuple[Any, Any]] = []
    for layer in flatten_layers(model):
        names = {id(value): name.lstrip("_") for name, value in vars(layer).items()}
        for variable in [*layer._trainable_variables, *layer._non_trainable_variables]:
            initializer: Any = getattr(layer, f"{names.get(id(variable))}_initializer", None)
            if not type(initializer).__module__.startswith("keras."):
                return None
            if hasattr(initializer, "_init_seed") and initializer._init_seed is None:
                drawn.append((variable, partial(_drawn, initializer, variable)))
            else:
                fixed.append((variable, _first_value(variable)))
        for generator in layer._seed_generators:
            if getattr(layer, "seed", None) is None:
                drawn.append((generator.state, lambda seed: [seed, 0]))
            else:
                fixed.append((generator.state, generator.state.numpy()))
    told = {id(variable) for variable, _ in [*fixed, *drawn]}
    return (fixed, drawn) if all(id(variable) in told for variable in model.variables) else None


def _first_value(variable: Any) -> Any:
    """What a variable holds; of one that holds the same number everywhere, as most do, without its memory."""
    import numpy as np

    value = variable.numpy()
    same = value.size > 1 and bool((value == value.flat[0]).all())
    return np.broadcast_to(value.flat[0], value.shape) if same else value


def _drawn(initializer: Any, variable: Any, seed: int) -> Any:
    made = type(initializer).from_config({**initializer.get_config(), "seed": seed})
    return made(variable.shape, dtype=variable.dtype)
