"""Each private name of Keras that the loop leans on, held to the installed Keras."""

from __future__ import annotations

from contextlib import nullcontext

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasflow.training import keras_internals as internals
from kerasflow.training import optimizer_internals

LAYERS = keras.layers


@pytest.fixture
def model():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6,), dtype="int32")
    hidden = LAYERS.BatchNormalization()(LAYERS.Embedding(5, 4, mask_zero=True)(inputs))
    hidden = LAYERS.Dropout(0.5, seed=1)(hidden)
    return keras.Model(inputs, {"a": LAYERS.Dense(1)(hidden), "b": LAYERS.Dense(2)(hidden)})


def test_losses_are_observed_as_keras_calls_them(model) -> None:
    model.compile("sgd", {"a": "mse", "b": keras.losses.MeanAbsoluteError()}, loss_weights={"a": 0.5, "b": 2.0})
    x = np.array([[1, 2, 0, 0, 0, 0], [1, 2, 3, 4, 1, 0]])
    y = {"a": np.ones((2, 6, 1)), "b": np.zeros((2, 6, 2))}
    y_pred = model(x)
    parts = internals.observe_losses(model, y, y_pred, None)
    assert [(part.loss.name, part.weight) for part in parts] == [("mse", 0.5), ("mean_absolute_error", 2.0)]
    whole = sum(part.weight * float(part.value) for part in parts)
    assert whole == pytest.approx(float(model.compute_loss(x, y, y_pred)), rel=1e-6)
    np.testing.assert_array_equal(internals.mask_of(parts[0].y_pred), x != 0)


def test_compiled_losses_are_those_that_compute(model) -> None:
    mine = keras.losses.MeanAbsoluteError()
    model.compile("sgd", {"a": "mse", "b": mine})
    x, y = np.ones((2, 6), int), {"a": np.ones((2, 6, 1)), "b": np.zeros((2, 6, 2))}
    internals.observe_losses(model, y, model(x), None)
    first, second = internals.compiled_losses(model)
    assert (first.name, second) == ("mse", mine)
    internals.set_dtype(first, "float64")
    assert internals.observe_losses(model, y, model(x), None)[0].value.dtype == tf.float64


def test_observing_leaves_the_compiled_loss_as_it_was(model) -> None:
    model.compile("sgd", {"a": "mse", "b": "mae"})
    x, y = np.ones((2, 6), int), {"a": np.ones((2, 6, 1)), "b": np.zeros((2, 6, 2))}
    internals.observe_losses(model, y, model(x), None)
    before = list(model._compile_loss._flat_losses)
    with pytest.raises(tf.errors.InvalidArgumentError):
        internals.observe_losses(model, {"a": np.ones((2, 9, 1)), "b": y["b"]}, model(x), None)
    assert model._compile_loss._flat_losses == before


def test_without_a_loss_there_is_nothing_to_observe(model) -> None:
    model.compile("sgd")
    assert internals.observe_losses(model, None, None, None) == []


def test_state_is_what_a_forward_pass_may_change(model) -> None:
    model.compile("sgd", metrics={"a": ["mae"]})
    state = internals.state_variables(model)
    names = sorted(variable.path.rsplit("/", 1)[-1] for variable in state)
    assert names == ["moving_mean", "moving_variance", "seed_generator_state", "seed_generator_state"]
    assert [internals.is_seed(v) for v in state].count(True) == 2
    before = [v.numpy().copy() for v in state]
    model(np.array([[1, 2, 3, 4, 1, 2]]), training=True)
    keras.random.normal((1,))
    assert all((b != v.numpy()).any() for b, v in zip(before, state, strict=True))


def test_layers_are_found_at_any_depth() -> None:
    deep = LAYERS.Dense(1)
    model = keras.Sequential([keras.Sequential([keras.Sequential([deep]), LAYERS.TimeDistributed(LAYERS.Dense(2))])])
    found = internals.flatten_layers(model)
    assert any(layer is deep for layer in found)
    assert [type(layer).__name__ for layer in found].count("Dense") == 2


def test_inside_inference_only_a_layer_normalises_by_what_it_has_moved() -> None:
    norm = LAYERS.BatchNormalization()
    norm.build((None, 4))
    x = np.random.default_rng(0).normal(3, 2, (8, 4)).astype("float32")
    with internals.inference_only([norm]):
        inside = norm(x, training=True).numpy()
    np.testing.assert_allclose(inside, norm(x, training=False).numpy())
    assert abs(norm(x, training=True).numpy() - inside).max() > 0.5
    assert norm.trainable
    assert len(norm.trainable_variables) == 2


def test_the_restored_epoch_is_the_one_that_the_callback_sets(model, tmp_path) -> None:
    model.compile("sgd", {"a": "mse", "b": "mae"})
    assert internals.restored_epoch(model) == 0
    first = keras.callbacks.BackupAndRestore(str(tmp_path))
    first.set_model(model)
    model.optimizer.build(model.trainable_variables)
    first.on_train_begin()
    first.on_epoch_end(2)
    again = keras.callbacks.BackupAndRestore(str(tmp_path))
    again.set_model(model)
    again.on_train_begin()
    assert internals.restored_epoch(model) == 3
    internals.forget_restored_epoch(model)
    assert internals.restored_epoch(model) == 0


@pytest.mark.parametrize("wrapped", [False, True])
def test_the_last_learning_rate_is_the_one_that_the_latest_update_used(wrapped) -> None:
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([0, 1], [1.0, 0.1, 0.01])  # steps 0, 1 and from 2 on
    optimizer = keras.optimizers.SGD(schedule)
    outer = keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=1.0) if wrapped else optimizer
    variable = keras.Variable([0.0])
    outer.build([variable])
    for rate in (1.0, 0.1, 0.01, 0.01):
        before = float(variable[0])
        outer.apply([tf.constant([1.0])])
        assert before - float(variable[0]) == pytest.approx(rate, rel=1e-4)
        assert float(optimizer_internals.last_learning_rate(outer)) == pytest.approx(rate)
    assert float(optimizer_internals.last_learning_rate(keras.optimizers.Adam(0.3))) == pytest.approx(0.3)


def test_keras_knows_its_parts_by_name() -> None:
    assert {"adam", "sgd"} <= set(internals.names_in(keras.optimizers))
    assert {"mse", "MeanSquaredError", "huber"} <= set(internals.names_in(keras.losses))
    assert {"mae", "AUC", "accuracy"} <= set(internals.names_in(keras.metrics))


ADAMS = {
    "adam": lambda: keras.optimizers.Adam(0.01),
    "schedule": lambda: keras.optimizers.Adam(keras.optimizers.schedules.ExponentialDecay(0.01, 2, 0.5)),
    "decay": lambda: keras.optimizers.AdamW(0.01, clipnorm=0.5, use_ema=True, ema_momentum=0.5),
    "scaled": lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.01), initial_scale=4.0),
    "amsgrad": lambda: keras.optimizers.Adam(0.01, amsgrad=True),
}


@pytest.mark.parametrize("kind", ["float32", "float64", "float16"])
@pytest.mark.parametrize("name", ADAMS)
@pytest.mark.parametrize("jit", [None, False, True], ids=["eager", "graph", "xla"])
@pytest.mark.filterwarnings("ignore:Gradients do not exist")
def test_adam_steps_in_the_bits_of_keras(name: str, kind: str, jit: bool | None) -> None:
    def trained(shared: bool) -> list[np.ndarray]:
        random = np.random.default_rng(0)
        weights = [keras.Variable(random.normal(size=shape), dtype=kind) for shape in ((5, 3), (3,), (2,))]
        optimizer = ADAMS[name]()
        optimizer.build(weights)

        def step(first: tf.Tensor, second: tf.Tensor) -> None:
            with optimizer_internals.shared_work_once(optimizer) if shared else nullcontext():
                optimizer.apply([first, second, None], weights)

        run = step if jit is None else tf.function(step, jit_compile=jit)
        for _ in range(4):
            run(*(tf.constant(random.normal(size=weight.shape), kind) for weight in weights[:2]))
        return [np.asarray(variable.value) for variable in [*weights, *optimizer.variables]]

    for ours, keras_own in zip(trained(shared=True), trained(shared=False), strict=True):
        np.testing.assert_array_equal(ours, keras_own)


def test_a_learning_rate_may_be_a_function() -> None:
    assert float(optimizer_internals.last_learning_rate(keras.optimizers.SGD(lambda: 0.25))) == 0.25


def test_another_optimizer_takes_the_place_of_the_models_own_for_a_while() -> None:
    model = keras.Sequential([keras.Input((3,)), LAYERS.Dense(2)])
    model.compile("sgd", "mse")
    own, before = model.optimizer, {id(variable) for variable in model.variables}
    with optimizer_internals.other_optimizer(model, keras.optimizers.Adam()) as nothing:
        assert nothing is None
        assert isinstance(model.optimizer, keras.optimizers.Adam)
        model.optimizer.build(model.trainable_variables)
        assert {id(variable) for variable in model.variables} == before, "Keras tracks no second optimizer"
    assert model.optimizer is own


def test_what_is_excluded_from_weight_decay_is_copied() -> None:
    decayed, excluded, by_name = (keras.Variable(np.ones(2, "float32"), name=name) for name in ("a", "b", "bias"))
    source = keras.optimizers.SGD(0.1, weight_decay=0.5)
    source.exclude_from_weight_decay(var_list=[excluded], var_names=["bias"])
    twin = keras.optimizers.SGD.from_config(source.get_config())
    optimizer_internals.copy_weight_decay_exclusions(source, twin)
    twin.apply([np.zeros(2, "float32")] * 3, [decayed, excluded, by_name])
    np.testing.assert_allclose(decayed, 0.95)
    np.testing.assert_array_equal(excluded, 1)
    np.testing.assert_array_equal(by_name, 1)
