"""Drawn cases: an epoch of windows moves the weights as plain gradient descent on whole batches does.

The reference knows nothing of micro-batches: it differentiates Keras' own loss over each batch in one piece.
"""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import kerasflow as kf

LAYERS, RATE = keras.layers, 0.125
TOLERANCES = {"float64": 1e-10, "float32": 1e-5}


@dataclass(frozen=True)
class Case:
    """A training of one epoch, drawn."""

    network: str
    dtype: str
    n: int
    batch: int
    micro: int
    reduction: str
    weighted: bool
    loss_weight: float
    seed: int


@st.composite
def cases(draw):
    n = draw(st.integers(1, 30))
    batch = draw(st.integers(1, n + 3))
    network = draw(st.sampled_from(["dense", "masked", "two outputs"]))
    reductions = ["sum", "sum_over_batch_size", "mean_with_sample_weight"]
    if network != "two outputs":  # Keras adds the outputs' losses, which must have one shape then
        reductions.append("none")
    return Case(
        network=network,
        dtype=draw(st.sampled_from(list(TOLERANCES))),
        n=n,
        batch=batch,
        micro=draw(st.integers(1, batch)),
        reduction=draw(st.sampled_from(reductions)),
        weighted=draw(st.booleans()),
        loss_weight=draw(st.sampled_from([0.25, 1.0, 3.0])),
        seed=draw(st.integers(0, 2**16)),
    )


class Pressed(LAYERS.Layer):
    """Adds a penalty on what passes through it, a mean over samples."""

    def call(self, inputs):
        self.add_loss(0.05 * keras.ops.mean(keras.ops.square(inputs)))
        return inputs


def network(case):
    keras.utils.set_random_seed(case.seed)
    dtype, penalty = case.dtype, keras.regularizers.L2(0.02)
    if case.network == "dense":
        inputs = keras.Input((5,), dtype=dtype)
        hidden = LAYERS.Dense(4, "tanh", dtype=dtype, kernel_regularizer=penalty)(inputs)
        return keras.Model(inputs, LAYERS.Dense(3, "softmax", dtype=dtype)(Pressed(dtype=dtype)(hidden)))
    inputs = keras.Input((6,), dtype="int32")
    embedded = LAYERS.Embedding(9, 3, mask_zero=True, dtype=dtype, embeddings_regularizer=penalty)(inputs)
    if case.network == "masked":
        return keras.Model(inputs, LAYERS.Dense(3, "softmax", dtype=dtype)(embedded))
    hidden = LAYERS.SimpleRNN(4, return_sequences=True, dtype=dtype)(embedded)
    tags = LAYERS.Dense(3, "softmax", dtype=dtype, name="tags")(hidden)
    pooled = LAYERS.GlobalAveragePooling1D(dtype=dtype)(hidden)
    return keras.Model(inputs, {"tags": tags, "value": LAYERS.Dense(1, dtype=dtype, name="value")(pooled)})


def data(case):
    """Inputs, targets and weights; sequences sorted by length, weights that are zero for whole micro-batches."""
    rng = np.random.default_rng(case.seed)
    weights = None
    if case.weighted:
        weights = rng.uniform(0.1, 3, case.n)
        weights[case.micro : 2 * case.micro] = 0.0
    if case.network == "dense":
        return rng.normal(size=(case.n, 5)).astype(case.dtype), rng.integers(0, 3, case.n), weights
    lengths = np.sort(rng.integers(1, 7, case.n))
    x = np.where(np.arange(6) < lengths[:, None], rng.integers(1, 9, (case.n, 6)), 0).astype("int32")
    tags = rng.integers(0, 3, (case.n, 6))
    if case.network == "masked":
        return x, tags, None if weights is None else np.repeat(weights[:, None], 6, 1)
    y = {"tags": tags, "value": rng.normal(size=(case.n, 1)).astype(case.dtype)}
    if weights is None:
        return x, y, None
    return x, y, {"tags": np.repeat(weights[:, None], 6, 1), "value": weights}


def losses(case):
    crossentropy = keras.losses.SparseCategoricalCrossentropy(reduction=case.reduction, dtype=case.dtype)
    if case.network != "two outputs":
        return crossentropy, None
    squared = keras.losses.MeanSquaredError(reduction=case.reduction, dtype=case.dtype)
    return {"tags": crossentropy, "value": squared}, {"tags": case.loss_weight, "value": 1.5}


def cost(case, model, x, y, weights):
    """Keras' losses on the batch as it is, each with its weight, and every penalty once."""
    loss, shares = losses(case)
    outputs = model(x, training=True)
    if shares is None:
        total = tf.reduce_sum(loss(y, outputs, weights))
    else:
        total = tf.add_n(
            [
                shares[name] * tf.reduce_sum(loss[name](y[name], outputs[name], weights and weights[name]))
                for name in shares
            ]
        )
    return total + tf.add_n([tf.cast(penalty, total.dtype) for penalty in model.losses])


def rows(part, start, stop):
    return keras.tree.map_structure(lambda leaf: None if leaf is None else leaf[start:stop], part)


def descended(case, model):
    """The model after gradient descent on each batch in one piece."""
    x, y, weights = data(case)
    for start in range(0, case.n, case.batch):
        batch = [rows(part, start, start + case.batch) for part in (x, y, weights)]
        with tf.GradientTape() as tape:
            value = cost(case, model, *batch)
        for variable, gradient in zip(
            model.trainable_variables,
            tape.gradient(value, [v.value for v in model.trainable_variables]),
            strict=True,
        ):
            if gradient is not None:
                variable.assign(variable - RATE * tf.convert_to_tensor(gradient))
    return model.get_weights()


@pytest.mark.slow
@settings(max_examples=15, deadline=None, derandomize=True)
@given(cases())
def test_an_epoch_is_gradient_descent_on_whole_batches(case):
    check(case, "eager")


@pytest.mark.slow
@settings(max_examples=5, deadline=None, derandomize=True)
@given(cases())
def test_an_epoch_compiled_is_that_too(case):
    check(case, "graph")


def check(case, engine):
    model = network(case)
    start = model.get_weights()
    expected = descended(case, model)
    model.set_weights(start)
    loss, shares = losses(case)
    model.compile(keras.optimizers.SGD(RATE), loss, loss_weights=shares)
    x, y, weights = data(case)
    kf.fit(
        model,
        x,
        y,
        case.batch,
        verbose=0,
        shuffle=False,
        sample_weight=weights,
        micro_batch_size=case.micro,
        engine=engine,
    )
    moved, should = (
        np.concatenate([np.ravel(b - a) for a, b in zip(start, after, strict=True)])
        for after in (model.get_weights(), expected)
    )
    # In float32 a move is only known as well as the weights that it is added to are rounded.
    rounding = 1e-6 * np.linalg.norm(np.concatenate([np.ravel(a) for a in start])) * (case.dtype == "float32")
    assert np.linalg.norm(moved - should) <= TOLERANCES[case.dtype] * np.linalg.norm(should) + rounding
