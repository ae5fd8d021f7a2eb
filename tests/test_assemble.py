"""From a spec to model and trainer: rules, schedules and precision arrive as they were written."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import kerasflow as kf
from kerasflow.assembly import assemble
from kerasflow.data import load

SPEC = {
    "experiment": "iris",
    "data": {"source": {"sklearn": "iris"}, "scale": "standard"},
    "model": {"layers": ["head"]},
    "track": {"uri": "none"},
}


@pytest.fixture(scope="module")
def data():
    return load(kf.load_spec(SPEC).data, 0)


def assembled(data, **train):
    return assemble(kf.load_spec({**SPEC, "train": {"engine": "eager", **train}}), data)


def test_rules_are_those_of_the_spec_at_any_depth(data) -> None:
    low = {"threshold": {"monitor": "loss", "below": 0.1}}
    best = {"plateau": {"monitor": "val_loss", "patience": 2, "restore_best": True}}
    _, trainer = assembled(data, stop=[{"all": [low, {"any": [best, {"deadline": 5}]}]}, "plateau"])
    stop = kf.stop
    inner = stop.AnyOf(stop.Plateau("val_loss", patience=2, restore_best=True), stop.Deadline(5.0))
    assert list(trainer.settings.stop) == [stop.AllOf(stop.Threshold("loss", below=0.1), inner), stop.Plateau()]


def test_a_monitor_deep_in_a_spec_is_checked_before_anything_is_trained(data) -> None:
    with pytest.raises(kf.TrainingError, match=r"Threshold watches 'acuracy', .* did you mean 'accuracy'"):
        assembled(data, stop=[{"all": ["plateau", {"threshold": {"monitor": "acuracy", "above": 0.5}}]}])


def cosine(step: int) -> float:
    """Loshchilov & Hutter 2017, SGDR, equation 5, after a linear warm-up from 0.01 to 0.1 in 5 updates."""
    if step < 5:
        return 0.01 + (0.1 - 0.01) * step / 5
    return 0.1 * 0.5 * (1 + np.cos(np.pi * min(step - 5, 20) / 20))


def test_a_schedule_gives_each_update_its_rate(data) -> None:
    written = {"initial_learning_rate": 0.01, "warmup_target": 0.1, "warmup_steps": 5, "decay_steps": 20}
    model, trainer = assembled(
        data, optimizer={"sgd": {"learning_rate": {"cosine_decay": written}}}, batch_size=32, epochs=8
    )
    twin = keras.models.clone_model(model)
    twin.set_weights(model.get_weights())
    history = trainer.fit(model, data.train.x, data.train.y)
    per_epoch = history.updates // 8

    loss, order = keras.losses.SparseCategoricalCrossentropy(), np.random.default_rng
    for update in range(history.updates):  # plain gradient descent, by the formula
        epoch, window = divmod(update, per_epoch)
        rows = order([0, epoch]).permutation(len(data.train.x))[window * 32 : window * 32 + 32]
        gradients = gradient(twin, loss, data.train.x[rows], data.train.y[rows])
        for variable, g in zip(twin.trainable_variables, gradients, strict=True):
            variable.assign_sub(cosine(update) * g)
    for ours, plain in zip(model.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_allclose(ours, plain, atol=1e-5)


def gradient(model, loss, x, y):
    import tensorflow as tf

    with tf.GradientTape() as tape:
        cost = loss(y, model(x))
    return tape.gradient(cost, [v.value for v in model.trainable_variables])


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_precision_is_the_specs_and_stays_in_the_model(data, precision) -> None:
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model, trainer = assembled(data, precision=precision, epochs=2)
        assert model.dtype_policy.name == precision
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy("float32")
    history = trainer.fit(model, data.train.x, data.train.y)
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer) == (precision == "mixed_float16")
    assert history.rows[1]["loss"] < history.rows[0]["loss"]


def test_precision_is_a_parameter_of_the_run() -> None:
    from kerasflow.tracking.record import params_of

    spec = kf.load_spec(
        {**SPEC, "train": {"precision": "mixed_float16", "stop": [{"all": ["plateau", {"deadline": 2}]}]}}
    )
    params = params_of(spec.to_document())
    assert params["train/precision"] == "mixed_float16"
    assert params["train/stop"] == "all(plateau(val_loss, 5, 0, auto, False) · deadline(2))"
