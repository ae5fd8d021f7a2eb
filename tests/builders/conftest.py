"""What it means that a description is exact: the network built from it has the same weights and gives the same bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import yaml

import kerasflow as kf
from kerasflow.spec.model import load_model_spec


@pytest.fixture(scope="session")
def describes() -> Callable[..., kf.ModelSpec]:
    """Describes a model, builds it by way of YAML, compares both on random inputs and gives the description."""

    def check(model: Any, *, batch: int = 2) -> kf.ModelSpec:
        spec, built = _rebuilt(model)
        random = np.random.default_rng(0)
        # No bias and no scale as it begins.
        begin = model.get_weights()
        model.set_weights([w + 0.01 * random.normal(size=w.shape).astype(w.dtype) if w.ndim < 2 else w for w in begin])
        built.set_weights(model.get_weights())
        shapes = [[batch, *(size or 5 for size in tensor.shape[1:])] for tensor in model.inputs]
        inputs = [random.uniform(0, 3, size=shape).astype("float32") for shape in shapes]
        _assert_equal(model, built, inputs if len(inputs) > 1 else inputs[0])
        return spec

    return check


def _rebuilt(model: Any) -> tuple[kf.ModelSpec, Any]:
    import keras

    spec = kf.describe(model)
    assert load_model_spec(yaml.safe_dump(spec.model_dump(mode="json"))) == spec
    names = [tensor._keras_history.operation.name for tensor in model.inputs]
    built = kf.build(spec, {name: tuple(tensor.shape[1:]) for name, tensor in zip(names, model.inputs, strict=True)})
    assert kf.describe(built) == spec
    assert [v.shape for v in built.weights] == [v.shape for v in model.weights]
    ours, theirs = (
        [layer for layer in m.layers if not isinstance(layer, keras.layers.InputLayer)] for m in (built, model)
    )
    assert [layer.name for layer in ours] == [layer.name for layer in theirs]
    assert [v.trainable for v in built.weights] == [v.trainable for v in model.weights]
    return spec, built


def _assert_equal(model: Any, built: Any, inputs: Any) -> None:
    import keras

    expected, got = (keras.tree.flatten(m(inputs)) for m in (model, built))
    for one, other in zip(expected, got, strict=True):
        reference = np.asarray(one)
        assert np.isfinite(reference).all()
        assert reference.size == 1 or reference.std() > 0
        np.testing.assert_array_equal(np.asarray(other), reference)
