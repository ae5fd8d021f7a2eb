"""Names of Keras' optimizers that it does not promise; as those of `keras_internals`, held to Keras by a test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from kerasflow.training.keras_internals import all_variables


def clipped(optimizer: Any, gradients: list[Any]) -> list[Any]:
    """Gradients as the optimizer's `clipnorm`, `clipvalue` or `global_clipnorm` has them."""
    return list(optimizer._clip_gradients(gradients))


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
