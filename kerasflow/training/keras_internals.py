"""The one place that leans on names that Keras does not promise; a test holds each of them to the installed Keras."""

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


def clipped(optimizer: Any, gradients: list[Any]) -> list[Any]:
    """Gradients as the optimizer's `clipnorm`, `clipvalue` or `global_clipnorm` has them."""
    return list(optimizer._clip_gradients(gradients))


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


def last_learning_rate(optimizer: Any) -> Any:
    """The learning rate that the latest update was made with, a scalar tensor; of a schedule, `learning_rate` is the
    next update's.
    """
    import keras
    import tensorflow as tf

    inner = getattr(optimizer, "inner_optimizer", optimizer)  # loss scaling wraps the one that has the schedule
    if isinstance(inner._learning_rate, keras.optimizers.schedules.LearningRateSchedule):
        return tf.convert_to_tensor(inner._learning_rate(tf.maximum(inner._iterations.value - 1, 0)))
    return tf.identity(inner.learning_rate)


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


@contextmanager
def other_optimizer(model: Any, optimizer: Any) -> Iterator[None]:
    """Inside, a compiled model trains with this optimizer; set beside Keras' tracking, which would keep both."""
    attributes = vars(model)
    before = attributes["optimizer"]
    attributes["optimizer"] = optimizer
    try:
        yield
    finally:
        attributes["optimizer"] = before


def copy_weight_decay_exclusions(source: Any, target: Any) -> None:
    """What `exclude_from_weight_decay` has set, which an optimizer's config leaves out."""
    for name in ("_exclude_from_weight_decay", "_exclude_from_weight_decay_pattern"):
        if hasattr(source, name):
            setattr(target, name, getattr(source, name))


@contextmanager
def shared_work_once(optimizer: Any) -> Iterator[None]:
    """Inside, Adam computes once an update what its weights share, the rate corrected for its bias (Kingma & Ba 2015,
    section 2), where Keras' step does so for each weight. The bits are the same; other optimizers step as they do.
    """
    import keras
    import tensorflow as tf

    inner = getattr(optimizer, "inner_optimizer", optimizer)  # of loss scaling
    exact = type(inner) in (keras.optimizers.Adam, keras.optimizers.AdamW) and not inner.amsgrad
    if not exact or "_backend_update_step" in vars(inner):
        yield
        return

    def update(gradients: Any, variables: Any, learning_rate: Any) -> None:
        alphas: dict[Any, Any] = {}
        for gradient, variable in zip(gradients, variables, strict=True):
            place, kind = inner._get_variable_index(variable), variable.dtype
            if kind not in alphas:
                alphas[kind] = alpha(kind, learning_rate)
            m, v = inner._momentums[place].value, inner._velocities[place].value
            gradient = tf.cast(gradient, kind)
            new_m = m.assign_add((gradient - m) * (1 - inner.beta_1), read_value=True)
            new_v = v.assign_add((tf.square(gradient) - v) * (1 - inner.beta_2), read_value=True)
            variable.value.assign_sub(new_m * alphas[kind] / (tf.sqrt(new_v) + inner.epsilon), read_value=False)

    def alpha(kind: Any, learning_rate: Any) -> Any:
        step = tf.cast(inner.iterations.value + 1, kind)
        first, second = (1 - tf.cast(beta, kind) ** step for beta in (inner.beta_1, inner.beta_2))
        return tf.cast(learning_rate, kind) * tf.sqrt(second) / first

    inner._backend_update_step = update
    try:
        yield
    finally:
        del inner._backend_update_step


@contextmanager
def on_replicas(model: Any, strategy: Any) -> Iterator[None]:
    """Inside, every variable of a compiled, built model has a copy on each replica; a write outside of replicas is to
    all of them, a read is of the first.

    Keras' variables stay the objects that they are, and so do layers, slots, metrics and whoever holds them: it is the
    `tf.Variable` inside of each that changes, and its own comes back with the last value.

    So is `optimizer.apply` to be called outside of replicas. Inside, Keras clips gradients and then sums them over
    replicas.
    """
    import tensorflow as tf

    variables = all_variables(model)
    homes = [variable.value for variable in variables]
    programs = {name: getattr(model, name) for name in ("train_function", "test_function", "predict_function")}
    metrics = {id(variable) for variable in model.metrics_variables}
    with strategy.scope():
        for variable in variables:
            each_its_own = id(variable) in metrics  # and a read is of the sum
            copies = tf.Variable(
                variable.numpy(),
                dtype=variable.value.dtype,
                trainable=variable.trainable,
                name=variable.name,
                synchronization=variable._map_synchronization("on_read" if each_its_own else "on_write"),
                aggregation=variable._map_aggregation("sum" if each_its_own else "only_first_replica"),
            )
            variable._initialize(copies)
    vars(model).update(dict.fromkeys(programs))  # compiled by Keras on the variables' own
    inner = getattr(model.optimizer, "inner_optimizer", model.optimizer)  # of loss scaling
    optimizers = [model.optimizer] if inner is model.optimizer else [model.optimizer, inner]
    for optimizer in optimizers:
        _set_strategy(optimizer, strategy)
        vars(optimizer).update(_outside_of_replicas(optimizer, strategy))
    try:
        yield
    finally:
        for variable, home in zip(variables, homes, strict=True):
            home.assign(strategy.experimental_local_results(variable.value)[0])  # other workers may be gone
            variable._initialize(home)
        vars(model).update(programs)
        for optimizer in optimizers:
            _set_strategy(optimizer, tf.distribute.get_strategy())
            for name in _outside_of_replicas(optimizer, strategy):
                del vars(optimizer)[name]


def _set_strategy(optimizer: Any, strategy: Any) -> None:
    """Also where an optimizer finds a variable's slots: it looks for what is inside of the variable."""
    optimizer._distribution_strategy = strategy
    keys = [optimizer._var_key(variable) for variable in optimizer._trainable_variables]
    optimizer._trainable_variables_indices = dict(zip(keys, range(len(keys)), strict=True))


def _outside_of_replicas(optimizer: Any, strategy: Any) -> dict[str, Any]:
    """Methods for those that Keras writes for the inside of a replica: each copy is updated by the same gradient."""
    from keras.src.optimizers.base_optimizer import BaseOptimizer

    def update(gradients: Any, variables: Any, learning_rate: Any) -> None:
        pairs = [(gradient, variable.value) for gradient, variable in zip(gradients, variables, strict=True)]
        with strategy.scope():
            optimizer._distributed_tf_update_step(strategy, pairs, learning_rate)

    neutral = ("_apply_weight_decay", "_overwrite_model_variables_with_average_value")
    return {"_backend_update_step": update} | {n: partial(getattr(BaseOptimizer, n), optimizer) for n in neutral}


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
