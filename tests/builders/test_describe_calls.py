"""`kf.describe` of calls that are more than one layer on the one before: several outputs, arguments by name, slices,
arrays, and layers that several models share. Each comes back by way of YAML with the same weights and the same bits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kerasflow as kf

Describes = Callable[..., kf.ModelSpec]


def several_outputs(series: Any, vector: Any, layers: Any, ops: Any) -> Iterator[tuple[Any, Any]]:
    _, hidden, cell = layers.LSTM(3, return_state=True, name="lstm")(series)
    yield series, [cell, hidden]
    yield series, layers.LSTM(3, return_state=True, name="lstm")(series)
    yield series, layers.Add(name="sum")(ops.split(series, 2, axis=2)[::-1])
    yield series, layers.Concatenate(name="joined")(ops.unstack(series, axis=1))
    yield series, ops.top_k(series, 2)[0]
    both = layers.Bidirectional(layers.GRU(2, return_state=True, name="gru"), name="both")(series)
    yield series, both[1:]
    inner = model(vector, [layers.Dense(2, name="a")(vector), layers.Dense(3, name="b")(vector)], "inner")
    a, b = inner(vector)
    yield vector, [b, layers.Dense(2, name="last")(a)]


def by_argument(series: Any, vector: Any, layers: Any, ops: Any) -> Iterator[tuple[Any, Any]]:
    known = ops.any(series > 1, axis=-1)
    state = [layers.Dense(3, name="h")(vector), layers.Dense(3, name="c")(vector)]
    yield [vector, series], layers.LSTM(3, name="lstm")(series, initial_state=state)
    yield series, layers.LSTM(3, name="lstm")(series, mask=known)
    yield series, layers.GlobalAveragePooling1D(name="mean")(series, mask=known)
    yield series, layers.MultiHeadAttention(2, 2, name="mha")(series, series, use_causal_mask=True)
    value = layers.Dense(4, name="value")(series)
    yield series, layers.MultiHeadAttention(2, 2, name="mha")(series, value, return_attention_scores=True)
    yield series, layers.Attention(name="attention")([series, value])
    yield series, layers.Attention(name="attention")([series, value], use_causal_mask=True)
    yield vector, layers.Dropout(0.5, name="drop")(layers.Dense(3, name="d")(vector), training=False)
    yield vector, ops.where(vector > 1, vector, -vector)
    yield vector, ops.where(vector > 1, vector, 0.5)
    yield vector, ops.concatenate([vector])


def literals(series: Any, vector: Any, layers: Any, ops: Any) -> Iterator[tuple[Any, Any]]:
    yield series, series[:, 1:]
    yield series, series[:, -1, None, ..., ::2]
    yield vector, vector * np.array([0.5, 1, 2, 3])  # float64, and so is what it gives
    yield vector, ops.subtract(np.ones((4,), "float32"), vector)
    yield vector, vector + np.float32(0.1)
    yield vector, ops.cast(ops.cast(vector, "int32") * np.array([1, 2, 3, 4], "int32"), "float32")
    yield vector, ops.multiply(ops.cast(vector, "bfloat16"), ops.convert_to_tensor([0.1, 1, 2, 3], "bfloat16"))
    yield vector, ops.concatenate([vector, np.ones((1, 4), "float32")], axis=0)


def several_models(series: Any, vector: Any, layers: Any, ops: Any) -> Iterator[tuple[Any, Any]]:
    dense = layers.Dense(4, name="dense")
    first = model(vector, dense(vector), "first")
    second = model(vector, layers.ReLU(name="bend")(dense(vector)), "second")
    yield vector, [dense(vector), first(vector)]
    yield vector, layers.Subtract(name="difference")([first(vector * 2), dense(vector)])
    yield vector, second(first(vector))
    yield vector, model(vector, first(vector), "outer")(first(-vector))
    ahead = layers.Add(name="add")([vector, layers.Dense(4, name="within")(vector)])
    yield series, layers.TimeDistributed(model(vector, ahead, "residual"), name="each")(series)
    stack = [layers.Dense(3, name="d"), layers.ReLU(name="r")]
    yield series, layers.TimeDistributed(sequential(stack, "stack"), name="each")(series)


def ends(series: Any, vector: Any, layers: Any, ops: Any) -> Iterator[tuple[Any, Any]]:
    dense = layers.Dense(3, name="dense")(vector)
    yield vector, [dense, dense]
    yield vector, [vector, dense]
    _, *state = layers.LSTM(3, return_state=True, name="lstm")(series)
    yield series, [*state, state[0], series]


def model(inputs: Any, outputs: Any, name: str) -> Any:
    import keras

    return keras.Model(inputs, outputs, name=name)


def sequential(layers: list[Any], name: str) -> Any:
    import keras

    return keras.Sequential(layers, name=name)


@pytest.mark.parametrize("kind", [several_outputs, by_argument, literals, several_models, ends])
def test_comes_back(kind: Callable[..., Iterator[tuple[Any, Any]]], describes: Describes) -> None:
    import keras

    series, vector = keras.Input((5, 4), name="series"), keras.Input((4,), name="vector")
    for inputs, outputs in kind(series, vector, keras.layers, keras.ops):
        describes(keras.Model(inputs, outputs))


def test_models_called_by_the_names_of_their_inputs(describes: Describes) -> None:
    import keras

    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    inner = model([b, a], keras.layers.Subtract(name="difference")([a, b]), "inner")
    describes(keras.Model([a, b], inner({"a": b, "b": a})))


def test_it_reads_well(describes: Describes) -> None:
    import keras

    layers, x = keras.layers, keras.Input((5, 4), name="input")
    _, *state = layers.LSTM(3, return_state=True, name="encoder")(x[:, 1:])
    decoded = layers.LSTM(3, return_sequences=True, name="decoder")(x, initial_state=state)
    attended = layers.MultiHeadAttention(1, 3, name="attention")(decoded, decoded, use_causal_mask=True)
    spec = describes(keras.Model(x, [attended * np.array([0.5, 1, 2], "float32"), state[0]]))
    first, *rest, attention, last = spec.model_dump(mode="json")["layers"]
    assert first["op"] == {"get_item": {"key": "[:, 1:]"}}
    assert rest == [
        {"lstm": {"units": 3, "return_state": True}, "name": "encoder"},
        {
            "lstm": {"units": 3, "return_sequences": True},
            "name": "decoder",
            "inputs": {"sequences": "input", "initial_state": ["encoder/1", "encoder/2"]},
        },
    ]
    assert attention["inputs"] == {"use_causal_mask": True}
    assert last["op"] == {"multiply": {"x2": {"float32": [0.5, 1.0, 2.0]}}}
    assert spec.outputs == (last["name"], "encoder/1")


def test_what_inference_is_told_stays_with_the_layer() -> None:
    import keras

    x = keras.Input((4,), name="input")
    spec = kf.describe(keras.Model(x, keras.layers.Dropout(0.5, name="drop")(x, training=True)))
    assert spec.layers[0].inputs == {"training": True}
    given = kf.build(spec, (4,))(np.ones((50, 4), "float32"))
    assert set(np.unique(given)) == {0.0, 2.0}


def test_arrays_and_slices_travel_with_a_saved_model(tmp_path: Path) -> None:
    import keras

    layers = [
        {"op": {"multiply": {"x2": {"float32": [0.5, 1, 2]}}}},
        {"op": {"get_item": {"key": "[:, ::-1]"}}},
    ]
    kf.build({"layers": layers}, (3,)).save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(loaded(np.ones((1, 3), "float32")), [[2, 1, 0.5]])


def test_a_layer_inside_another_belongs_to_it_alone() -> None:
    import keras

    x = keras.Input((5, 4), name="x")
    dense = keras.layers.Dense(3, name="dense")
    each = keras.layers.TimeDistributed(dense, name="each")
    for outputs, said in (
        ([each(x), dense(x)], "dense: is the layer inside each, too, and a spec cannot name that one"),
        ([dense(x), each(x)], "each: the layer inside it, dense, is dense, too, and a spec cannot name it"),
    ):
        with pytest.raises(kf.BuildError) as caught:
            kf.describe(keras.Model(x, outputs))
        assert str(caught.value) == said


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        (
            [{"lstm": {"units": 3, "return_state": True}, "name": "l"}, {"dense": 2, "inputs": ["l/3"]}],
            "layers[1].dense: layer 'l' gives outputs 'l/0' to 'l/2', got 'l/3'",
        ),
        ([{"dense": 3, "name": "d"}, {"dense": 2, "inputs": ["d/1"]}], "layer 'd' gives one output, got 'd/1'"),
        (
            [{"dropout": 0.5, "inputs": {"trainin": True}}],
            "trainin is no argument of its call, did you mean 'training'?",
        ),
        ([{"lstm": {"units": 3, "return_state": True}}, {"dense": 2}], "layer 'dense' cannot take an input of shape"),
        (
            [{"time_distributed": {"layer": {"model": {"layers": [{"dense": 3, "name": "d"}, {"reuse": "d"}]}}}}],
            "layers[0].time_distributed.layer.model.layers[1].reuse: layer 'reuse' cannot take an input of shape (3,)",
        ),
    ],
)
def test_what_does_not_fit_is_named(layers: Any, said: str) -> None:
    with pytest.raises(kf.KerasflowError) as caught:
        kf.build({"layers": layers}, (5, 4))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
