"""Mixed precision: layers compute in half, weights and heads do not, and the loss is scaled once an update."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import kerasflow as kf

MIXED = ["mixed_bfloat16", "mixed_float16"]
FIT = {"batch_size": 40, "micro_batch_size": 9, "engine": "eager", "verbose": 0}
LAYERS = [{"dense": {"units": 8, "activation": "relu"}}, "batch_normalization", "head"]


def network(precision, layers=LAYERS):
    return kf.build({"layers": layers}, (4,), 3, seed=0, precision=precision)


def compiled(precision, optimizer, layers=LAYERS):
    model = network(precision, layers)
    model.compile(optimizer, "sparse_categorical_crossentropy", jit_compile=False)
    return model


def flat(weights) -> np.ndarray:
    return np.concatenate([np.ravel(w) for w in weights])


def step(model, data, **fit) -> tuple[np.ndarray, kf.History]:
    """What one update changed of the trained weights, and the history."""
    before = [v.numpy() for v in model.trainable_variables]
    history = kf.fit(model, *data, **(FIT | fit))
    assert history.updates == 1
    return flat(before) - flat([v.numpy() for v in model.trainable_variables]), history


@pytest.mark.parametrize("precision", MIXED)
def test_layers_compute_in_half_but_heads_and_weights_do_not(precision, data) -> None:
    model = network(precision)
    assert [layer.compute_dtype for layer in model.layers] == [precision.removeprefix("mixed_")] * 3 + ["float32"]
    assert {str(v.dtype) for v in model.weights} == {"float32"}
    assert model(data[0]).dtype == "float32"
    for ours, plain in zip(model.get_weights(), network("float32").get_weights(), strict=True):
        np.testing.assert_array_equal(ours, plain)


def test_the_policy_does_not_leak_and_a_global_one_is_heeded() -> None:
    network("mixed_float16")
    with pytest.raises(kf.BuildError):
        network("mixed_float16", [{"conv2d": {"filters": 1, "kernel_size": 3}}, "head"])  # no picture
    assert keras.config.dtype_policy().name == "float32"
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        assert network(None).layers[1].compute_dtype == "bfloat16"
        assert network("float32").layers[1].compute_dtype == "float32"
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize("engine", ["xla", "eager"])
@pytest.mark.parametrize(("precision", "off"), [("mixed_bfloat16", 0.05), ("mixed_float16", 0.01)])
def test_an_update_is_that_of_float32_but_for_rounding(precision, off, engine, data) -> None:
    exact, _ = step(compiled("float32", keras.optimizers.SGD(1.0)), data)
    mixed, _ = step(compiled(precision, keras.optimizers.SGD(1.0)), data, engine=engine)
    assert 0 < np.linalg.norm(mixed - exact) < off * np.linalg.norm(exact)


def scaled(rate: float = 1.0, scale: float = 2.0**10, **inner):
    return keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(rate, **inner), initial_scale=scale)


def test_the_gradient_is_unscaled_once_an_update_before_it_is_clipped(data) -> None:
    free, history = step(compiled("mixed_float16", scaled()), data)
    norm = np.linalg.norm(free)
    assert history.rows[0]["grad_norm"] == pytest.approx(norm, rel=1e-3)
    for clip, expected in ((2 * norm, norm), (norm / 2, norm / 2)):  # a scaled gradient would be clipped in both
        clipped, history = step(compiled("mixed_float16", scaled(global_clipnorm=clip)), data)
        assert np.linalg.norm(clipped) == pytest.approx(expected, rel=1e-3)
        assert history.rows[0]["grad_norm"] == pytest.approx(norm, rel=1e-3)


@pytest.mark.parametrize("engine", ["graph", "xla", "eager"])
def test_an_overflow_halves_the_scale_and_skips_the_whole_window(engine, data) -> None:
    model = compiled("mixed_float16", scaled(scale=2.0**40), LAYERS[::2])
    before = model.get_weights()
    history = kf.fit(model, *data, batch_size=20, micro_batch_size=5, epochs=2, engine=engine, verbose=0)
    assert history.updates == 4
    assert float(model.optimizer.dynamic_scale) == 2.0 ** (40 - 4)  # once for each window, not for each micro-batch
    assert int(model.optimizer.iterations) == 0
    assert [row["grad_norm"] for row in history.rows] == [0.0, 0.0]  # no gradient was applied
    for now, then in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)
    assert history.stop_reason == "epochs: all 2 are completed"


def test_a_scale_that_is_too_large_finds_its_way_down(data) -> None:
    model = compiled("mixed_float16", scaled(scale=2.0**40), LAYERS[::2])
    history = kf.fit(model, *data, batch_size=10, epochs=10, engine="eager", verbose=0)
    skipped = 40 - np.log2(float(model.optimizer.dynamic_scale))
    assert 0 < skipped < 40
    assert int(model.optimizer.iterations) == history.updates - skipped
    assert history.rows[-1]["loss"] < history.rows[0]["loss"]
    assert np.isfinite([row["grad_norm"] for row in history.rows]).all()


def test_keras_scales_the_loss_of_a_trainers_model_by_itself(data) -> None:
    model = network("mixed_float16")
    trainer = kf.Trainer("adam", "sparse_categorical_crossentropy", ["accuracy"], epochs=2, verbose=0, engine="eager")
    history = trainer.fit(model, *data, validation=data)
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert np.isfinite([row["val_loss"] for row in history.rows]).all()
