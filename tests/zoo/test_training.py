"""GoogLeNet trains with its auxiliary heads, each of which counts 0.3 (Szegedy et al. 2015, section 5)."""

from __future__ import annotations

import numpy as np
import pytest

import kerasflow as kf


def test_googlenet_trains_with_its_auxiliary_heads_weighted() -> None:
    net = kf.zoo.load("googlenet", input_shape=(32, 32, 3), classes=5, aux_heads=True)
    weights = kf.zoo.card("googlenet").loss_weights
    assert weights == {"main": 1.0, "aux1": 0.3, "aux2": 0.3}
    net.compile(optimizer="sgd", loss=dict.fromkeys(weights, "sparse_categorical_crossentropy"), loss_weights=weights)
    rng = np.random.default_rng(0)
    images, labels = rng.standard_normal((2, 32, 32, 3)).astype("float32"), np.array([1, 3])
    before = {name: net.get_layer(name).get_weights()[0] for name in ("conv1.conv", *weights)}
    history = kf.fit(net, images, dict.fromkeys(weights, labels), epochs=1, batch_size=2, engine="eager", verbose=0)
    (row,) = history.rows
    total = row["main_loss"] + 0.3 * (row["aux1_loss"] + row["aux2_loss"])
    assert row["loss"] == pytest.approx(total, rel=1e-5)
    for name, kernel in before.items():
        assert np.abs(net.get_layer(name).get_weights()[0] - kernel).max() > 0, name
