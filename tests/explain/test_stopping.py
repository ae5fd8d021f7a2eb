"""A stop told again from its rows is the stop that the training made."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import kerasflow as kf
from kerasflow.errors import TrainingError

X = np.linspace(-1, 1, 16, dtype="float32").reshape(-1, 1)


def fit(*rules: kf.stop.Rule, learning_rate: float = 0.1, epochs: int = 12):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, kernel_initializer="zeros")])
    trainer = kf.Trainer(
        optimizer=keras.optimizers.SGD(learning_rate), loss="mse", batch_size=16, epochs=epochs, stop=list(rules)
    )
    return trainer.fit(model, X, 2 * X + 1)


@pytest.mark.parametrize(
    ("rules", "learning_rate"),
    [
        ((kf.stop.Threshold("loss", below=0.5), kf.stop.Plateau("loss")), 0.1),
        ((kf.stop.Plateau("loss", patience=3, min_delta=0.2), kf.stop.Deadline(60.0)), 0.1),
        ((kf.stop.AllOf(kf.stop.Threshold("loss", below=1.0), kf.stop.Plateau("loss", min_delta=0.3)),), 0.1),
        ((), 1e30),  # diverges
        ((kf.stop.Threshold("loss", below=0.0),), 0.1),  # never holds
    ],
)
def test_the_stop_is_that_of_the_training(rules, learning_rate) -> None:
    history = fit(*rules, learning_rate=learning_rate)
    found = kf.explain.stopping(history.rows, rules)
    if found.epoch is None:
        assert len(history.rows) == 12
        return
    assert found.reason
    assert history.stop_reason.startswith(found.reason)  # a divergence's has advice behind it
    assert found.epoch == history.rows[-1]["epoch"]
    np.testing.assert_array_equal(found.costs["loss"], [row["loss"] for row in history.rows])


def test_each_rules_counter() -> None:
    rows = [{"epoch": n, "loss": cost, "seconds": 30.0} for n, cost in enumerate([3.0, 2.0, 2.5, 2.4, 1.5], start=1)]

    def my_rule(rows):
        return "enough" if rows[-1]["epoch"] >= 4 else None

    either = kf.stop.AnyOf(kf.stop.Plateau("loss", patience=2), kf.stop.Deadline(2.0))
    found = kf.explain.stopping(rows, [kf.stop.Threshold("accuracy", above=0.9), either, my_rule])
    accuracy, plateau, deadline, own, divergence = found.counters
    assert np.isnan(accuracy.values).all()
    assert accuracy.limit == 0.9
    np.testing.assert_array_equal(plateau.values, [0, 0, 1, 2, 0])
    np.testing.assert_array_equal(plateau.holds, [False, False, False, True, False])
    np.testing.assert_allclose(deadline.values, [0.5, 1, 1.5, 2, 2.5])
    np.testing.assert_array_equal(own.values, [0, 0, 0, 1, 1])
    assert not divergence.holds.any()
    assert found.epoch == 4
    assert found.reason.startswith("plateau: loss has not improved")


def test_wrong_input_gets_a_sentence() -> None:
    with pytest.raises(TrainingError, match="needs the rows of at least one epoch, got none"):
        kf.explain.stopping([])
    with pytest.raises(TrainingError, match="stopping takes rules such as"):
        kf.explain.stopping([{"epoch": 1, "loss": 1.0}], ["plateau"])
