"""Several optimizers as one: against one optimizer, and against optimizers that each step alone."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasflow.training.grouped import GroupedOptimizer


def weights(*values):
    return [keras.Variable(np.float32(value), name=f"w{place}") for place, value in enumerate(values)]


GRADIENTS = [[np.float32([0.3, -0.2]), np.float32([4.0])], [np.float32([0.1, 0.5]), np.float32([-1.0])]]


def stepped(optimizer, variables, steps=GRADIENTS):
    for step in steps:
        optimizer.apply([tf.constant(gradient) for gradient in step], variables)
    return [variable.numpy() for variable in variables]


@pytest.mark.parametrize(
    "make",
    [
        lambda: keras.optimizers.Adam(0.1),
        lambda: keras.optimizers.SGD(0.1, momentum=0.9),
        lambda: keras.optimizers.AdamW(0.1, weight_decay=0.02),
        lambda: keras.optimizers.Adam(0.1, global_clipnorm=0.5),
        lambda: keras.optimizers.SGD(0.1, clipnorm=0.5),
        lambda: keras.optimizers.Adam(0.1, loss_scale_factor=8.0),
    ],
    ids=["adam", "momentum", "decay", "clipped together", "clipped each", "scaled"],
)
def test_groups_of_one_rate_step_as_one_optimizer_does(make):
    alone, grouped = weights([1.0, 2.0], [3.0]), weights([1.0, 2.0], [3.0])
    together = GroupedOptimizer(make(), {"a": grouped[:1], "b": grouped[1:]})
    together.set_rates({"a": 0.1, "b": 0.1})
    for one, other in zip(stepped(make(), alone), stepped(together, grouped), strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-6)


def test_each_group_has_its_own_rate_and_count_of_updates():
    a, b = weights([1.0, 2.0], [3.0])
    together = GroupedOptimizer(keras.optimizers.Adam(), {"a": [a], "b": [b]})
    together.set_rates({"a": 0.1, "b": 0.1})
    stepped(together, [a], [[step[0]] for step in GRADIENTS])  # b waits
    together.set_rates({"a": 0.01, "b": 0.5})
    stepped(together, [a, b])
    c, d = weights([1.0, 2.0], [3.0])
    of_c, of_d = keras.optimizers.Adam(0.1), keras.optimizers.Adam(0.5)
    stepped(of_c, [c], [[step[0]] for step in GRADIENTS])
    of_c.learning_rate = 0.01
    stepped(of_c, [c], [[step[0]] for step in GRADIENTS])
    stepped(of_d, [d], [[step[1]] for step in GRADIENTS])
    np.testing.assert_allclose(a.numpy(), c.numpy(), rtol=1e-6)
    np.testing.assert_allclose(b.numpy(), d.numpy(), rtol=1e-6)
    assert int(together.iterations) == 4


def test_whoever_sets_the_rate_that_is_reported_sets_all_in_proportion():
    a, b = weights([1.0], [1.0])
    together = GroupedOptimizer(keras.optimizers.SGD(), {"a": [a], "b": [b]})
    together.set_rates({"a": 0.1, "b": 0.02})
    together.learning_rate = 0.05  # as ReduceLROnPlateau does
    assert float(together.learning_rate) == pytest.approx(0.05)
    assert float(together.optimizers["b"].learning_rate) == pytest.approx(0.01)
    together.learning_rate = 0.0  # as a warm-up begins
    together.learning_rate = 0.1
    assert float(together.optimizers["b"].learning_rate) == pytest.approx(0.02)
