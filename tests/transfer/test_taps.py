"""Taps give what layers give, from anywhere in a model, and leave the model as it was."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import kerasflow as kf
from kerasflow.errors import BuildError, DataError

LAYERS = keras.layers
PATHS = ["conv1", "backbone/first", "backbone.block3.out", "backbone/skip", "backbone", "shared#1", "shared#2", "head"]


@pytest.fixture(scope="module")
def tapped(nested, images):
    """All of them at once."""
    return kf.taps(nested, PATHS)(images)


def plain(nested) -> dict[str, keras.Model]:
    """What each path means, as sub-models of Keras' own that are called one after the other."""
    backbone = nested.get_layer("backbone")
    block = backbone.get_layer("block3")
    conv1 = keras.Model(nested.input, nested.get_layer("conv1").output)
    inner = keras.Model(backbone.input, [backbone.get_layer("first").output, backbone.get_layer("skip").output])
    out = keras.Model(block.inputs, block.get_layer("out").output)
    return {"conv1": conv1, "inner": inner, "out": out, "shared": nested.get_layer("shared")}


def test_every_tap_is_what_keras_own_sub_models_give_to_the_bit(nested, images, tapped) -> None:
    parts = plain(nested)
    for rows in (slice(0, 32), slice(32, 37)):  # as many at once, for sums are rounded by the size of a batch
        conv1 = parts["conv1"](images[rows], training=False)
        first, skip = parts["inner"](conv1, training=False)
        once = parts["shared"](skip)
        expected = {
            "conv1": conv1,
            "backbone/first": first,
            "backbone.block3.out": parts["out"](first, training=False),
            "backbone/skip": skip,
            "backbone": skip,
            "shared#1": once,
            "shared#2": parts["shared"](once),
            "head": nested(images[rows], training=False),
        }
        assert list(tapped) == PATHS
        for path, value in expected.items():
            np.testing.assert_array_equal(tapped[path][rows], value.numpy(), err_msg=path)


def test_tapping_leaves_no_trace_in_the_model(nested, images) -> None:
    layers = list(nested._flatten_layers())
    before = [(len(layer._inbound_nodes), len(layer._outbound_nodes)) for layer in layers]
    kf.taps(nested, "backbone/block3/norm")(images)
    assert [(len(layer._inbound_nodes), len(layer._outbound_nodes)) for layer in layers] == before


class Alarm(LAYERS.Layer):
    armed = False

    def call(self, x):
        assert not self.armed, "computed, and nobody asked for it"
        return x


def test_nothing_behind_the_last_tap_is_computed() -> None:
    inside = keras.Input((4,))
    inner = keras.Model(inside, Alarm()(LAYERS.Dense(4, name="early")(inside)), name="inner")
    x = keras.Input((4,))
    model = keras.Model(x, Alarm(name="alarm")(inner(LAYERS.Dense(4, name="before")(x))))
    Alarm.armed = True
    try:
        found = kf.taps(model, ["before", "inner/early"])(np.ones((3, 4), "float32"))
        assert found["inner/early"].shape == (3, 4)
        with pytest.raises(AssertionError, match="nobody asked"):
            kf.taps(model, "alarm")(np.ones((3, 4), "float32"))
    finally:
        Alarm.armed = False


def test_taps_see_the_weights_of_the_moment() -> None:
    model = keras.Sequential([keras.Input((4,)), LAYERS.Dense(2, name="a"), LAYERS.Dense(1, name="b")])
    x = np.ones((5, 4), "float32")
    taps = kf.taps(model, "a")
    before = taps(x)["a"]
    model.set_weights([2 * weight for weight in model.get_weights()])
    np.testing.assert_array_equal(taps(x)["a"], 2 * before)


def test_pooling_is_that_of_keras_own_layers(nested, images, tapped) -> None:
    first = slice(0, 32)
    for pooling, layer in (("avg", LAYERS.GlobalAveragePooling2D()), ("max", LAYERS.GlobalMaxPooling2D())):
        taps = kf.taps(nested, ["conv1", "head"], pooling)
        assert taps.shapes == {"conv1": (4,), "head": (3,)}
        found = taps(images)
        np.testing.assert_array_equal(found["conv1"][first], layer(tapped["conv1"][first]).numpy())
        np.testing.assert_array_equal(found["head"], tapped["head"])


def test_all_is_every_layer_that_is_no_model_itself(nested) -> None:
    paths = list(kf.taps(nested, "all").shapes)
    assert paths[0] == "conv1"
    assert {"backbone/first", "backbone/block3/in", "backbone/block3/norm", "backbone/skip", "shared#2"} <= set(paths)
    assert not {"backbone", "backbone/block3"} & set(paths)
    assert len(paths) == 12


def test_several_inputs_are_taken_as_the_model_takes_them() -> None:
    left, right = keras.Input((2,), name="left"), keras.Input((2,), name="right")
    model = keras.Model({"left": left, "right": right}, LAYERS.Dense(1)(LAYERS.Add(name="sum")([left, right])))
    x = {"left": np.full((3, 2), 1.0, "float32"), "right": np.full((3, 2), 2.0, "float32")}
    np.testing.assert_array_equal(kf.taps(model, "sum")(x)["sum"], np.full((3, 2), 3.0))


def test_a_mask_reaches_the_tapped_layer() -> None:
    layers = [keras.Input((4,), dtype="int32"), LAYERS.Embedding(5, 3, mask_zero=True), LAYERS.LSTM(2, name="lstm")]
    model = keras.Sequential([*layers, LAYERS.Dense(1)])
    x = np.array([[1, 2, 0, 0], [3, 4, 1, 2]])
    expected = keras.Model(model.inputs[0], model.get_layer("lstm").output)(x).numpy()
    np.testing.assert_array_equal(kf.taps(model, "lstm")(x)["lstm"], expected)


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("conv2", "no layer 'conv2', did you mean 'conv1'?"),
        ("backbone/blok3/out", "did you mean 'backbone/block3/out'?"),
        ("zzzzzz", "its layers are 'conv1', 'backbone/first'"),
        ("shared", "'shared' is called 2 times in 'nested'; name one: 'shared#1', 'shared#2'"),
    ],
)
def test_an_unknown_layer_is_told_with_the_near_name(nested, path, told) -> None:
    with pytest.raises(BuildError) as refused:
        kf.taps(nested, path)
    assert told in str(refused.value)


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = LAYERS.Dense(2)

    def call(self, x):
        return self.dense(x)


def test_a_model_without_a_graph_is_refused() -> None:
    with pytest.raises(BuildError, match=r"computes by code of its own \(Subclassed.call\)"):
        kf.taps(Subclassed(), "dense")
    with pytest.raises(BuildError, match="is not built"):
        kf.taps(keras.Sequential([LAYERS.Dense(2)]), "dense")
    with pytest.raises(BuildError, match=r"in a keras\.Model, got str"):
        kf.taps("mobilenet_v2", "Conv1")


def test_a_layer_that_gives_several_outputs_is_refused() -> None:
    x = keras.Input((4, 3))
    _, state, _ = LAYERS.LSTM(2, return_state=True, name="lstm")(x)
    with pytest.raises(BuildError, match="'lstm' gives 3 outputs"):
        kf.taps(keras.Model(x, LAYERS.Dense(1)(state)), "lstm")


def test_samples_and_settings_that_cannot_be_are_refused(nested) -> None:
    taps = kf.taps(nested, "conv1")
    with pytest.raises(DataError, match=r"takes samples of shape \(8, 8, 3\), got samples of shape \(28, 28\)"):
        taps(np.zeros((2, 28, 28)))
    with pytest.raises(DataError, match="no samples"):
        taps(np.zeros((0, 8, 8, 3)))
    with pytest.raises(BuildError, match=r"pooling must be one of avg, max, none, got 'mean'"):
        kf.taps(nested, "conv1", "mean")  # type: ignore[arg-type]  # that is what is tested
    with pytest.raises(BuildError, match="which layers"):
        kf.taps(nested, [])
