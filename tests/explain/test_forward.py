"""Forward propagation as numbers: the deck's sums, and for every traced layer what the model itself gives."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import kerasflow as kf
from kerasflow.errors import BuildError, DataError
from tests.explain.conftest import DECK_SAMPLE, vary

LAYERS = keras.layers


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def test_the_decks_first_layer(deck) -> None:
    trace = kf.explain.forward(deck, DECK_SAMPLE)
    x1, x2, x3 = DECK_SAMPLE
    Z = np.array([x1 * 3 + x2 * 7 + x3 * 2 - 40000, x1 * 3 + x2 * 2 + x3 * 4 - 20000])
    hidden = trace["hidden"]
    np.testing.assert_allclose(hidden.Z, Z, rtol=0, atol=1e-10)
    np.testing.assert_allclose(hidden.H, sigmoid(Z), rtol=1e-10)
    np.testing.assert_allclose(trace.output[0], sigmoid(sigmoid(Z) @ [0.5, -1.5] + 0.25), rtol=1e-10)
    np.testing.assert_array_equal(trace.output[0], deck(DECK_SAMPLE[None])[0])
    assert [(layer.name, layer.kind, layer.activation) for layer in trace.layers] == [
        ("hidden", "Dense", "sigmoid"),
        ("output", "Dense", "sigmoid"),
    ]


def test_the_decks_neuron_product_by_product(deck) -> None:
    neuron = kf.explain.forward(deck, DECK_SAMPLE)["hidden"].neuron(0)
    assert neuron.input_names == ("x[0]", "x[1]", "x[2]")
    assert neuron.weight_names == ("kernel[0,0]", "kernel[1,0]", "kernel[2,0]")
    np.testing.assert_array_equal(neuron.products, [2000 * 3, 4500 * 7, 1251 * 2])
    assert (neuron.total, neuron.bias, neuron.Z) == (40002.0, -40000.0, 2.0)
    assert str(neuron) == "Z = 2000·3 + 4500·7 + 1251·2 − 40000 = 2, H = sigmoid(2) = 0.880797"


def test_every_layer_of_a_nested_model_is_what_taps_give(images_model, images) -> None:
    trace = kf.explain.forward(images_model, images[1])
    names = [layer.name for layer in trace.layers]
    assert names[:3] == ["block/conv", "block/norm", "relu"]
    assert {"shared#1", "shared#2"} < set(names)
    tapped = kf.taps(images_model, [name for name in names if "multiply" not in name])(images[1:2])
    for name, expected in tapped.items():
        np.testing.assert_allclose(trace[name].H, expected[0], rtol=1e-5, atol=1e-6, err_msg=name)
    np.testing.assert_array_equal(trace["relu"].H, np.maximum(trace["relu"].Z, 0))
    np.testing.assert_allclose(trace["depthwise"].H, np.tanh(trace["depthwise"].Z), rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "index", "n_terms"),
    [
        ("block/conv", (0, 2, 1), 12),  # at the border: two of three rows
        ("block/conv", (2, 2, 1), 18),
        ("block/norm", (1, 2, 3), 1),
        ("relu", (4, 4, 0), 1),
        ("depthwise", (3, 1, 5), 4),
        ("max", (1, 1, 2), 4),
        ("average", (1, 1, 2), 1),  # at the border, the only one of four
        ("shared#2", (0, 1, 6), 8),
        ("pool", (5,), 4),
        ("head", (2,), 8),
    ],
)
def test_a_neurons_terms_come_to_its_z(images_model, images, name, index, n_terms) -> None:
    layer = kf.explain.forward(images_model, images[2])[name]
    neuron = layer.neuron(index)
    assert len(neuron.products) == len(neuron.input_names) == len(neuron.weight_names) == n_terms
    assert neuron.total + neuron.bias == pytest.approx(float(layer.Z[index]), rel=1e-5, abs=1e-6)
    np.testing.assert_allclose(neuron.H, layer.H[index], rtol=1e-6)


def test_a_term_names_its_input_and_its_weight(images_model, images) -> None:
    layer = kf.explain.forward(images_model, images[2])["block/conv"]
    neuron = layer.neuron((1, 2, 3))
    kernel, x = images_model.get_layer("block").get_layer("conv").kernel.numpy(), images[2]
    for term in range(18):
        place = tuple(map(int, neuron.input_names[term][2:-1].split(",")))
        at = tuple(map(int, neuron.weight_names[term][len("kernel[") : -1].split(",")))
        assert at == (place[0] - 1, place[1] - 3, place[2], 3)  # stride 2, padded by one
        assert (neuron.inputs[term], neuron.weights[term]) == (x[place], kernel[at])


def test_a_neuron_of_a_group_takes_from_its_group_alone() -> None:
    layer = LAYERS.Conv1D(4, 2, groups=2, dilation_rate=2, padding="causal")
    model = vary(keras.Sequential([keras.Input((5, 4)), layer]))
    neuron = kf.explain.forward(model, np.ones((5, 4), "float32")).layers[0].neuron((3, 3))
    assert neuron.input_names == ("x[1,2]", "x[1,3]", "x[3,2]", "x[3,3]")
    assert neuron.weight_names == ("kernel[0,0,3]", "kernel[0,1,3]", "kernel[1,0,3]", "kernel[1,1,3]")


def test_batch_normalisation_tells_its_constants(images_model, images) -> None:
    neuron = kf.explain.forward(images_model, images[2])["block/norm"].neuron((0, 0, 1))
    of = neuron.constants
    scale = of["gamma"] / np.sqrt(of["variance"] + of["epsilon"])
    np.testing.assert_allclose(neuron.weights, [scale], rtol=1e-5)
    assert neuron.bias == pytest.approx(of["beta"] - of["mean"] * scale, rel=1e-4)


RECURRENT = {
    "simple": lambda: LAYERS.SimpleRNN(3, return_sequences=True),
    "lstm": lambda: LAYERS.LSTM(3, return_sequences=True),
    "lstm backwards": lambda: LAYERS.LSTM(3, go_backwards=True, return_sequences=True, use_bias=False),
    "gru": lambda: LAYERS.GRU(3, return_sequences=True),
    "gru before": lambda: LAYERS.GRU(3, return_sequences=True, reset_after=False),
}


@pytest.mark.parametrize("kind", RECURRENT)
def test_recurrent_cells_step_by_step(kind) -> None:
    keras.utils.set_random_seed(1)
    rnn = RECURRENT[kind]()
    model = vary(keras.Sequential([keras.Input((4, 2)), LAYERS.Masking(), rnn]))
    x = np.random.default_rng(1).normal(size=(4, 2)).astype("float32")
    x[2] = 0.0  # masked
    layer = kf.explain.forward(model, x)[rnn.name]
    np.testing.assert_array_equal(layer.H, model(x[None])[0])
    seen = [step for step in layer.steps if not step.masked]
    assert len(seen) == 3
    for step in seen:
        np.testing.assert_allclose(step.h, layer.H[step.time], rtol=1e-5, atol=1e-6)
    masked = next(step for step in layer.steps if step.masked)
    np.testing.assert_array_equal(masked.h, masked.h_before)
    if "lstm" in kind:
        last, gates = layer.steps[-1], layer.steps[-1].gates
        np.testing.assert_allclose(last.c, gates["forget"].H * last.c_before + gates["input"].H * gates["candidate"].H)
        np.testing.assert_allclose(gates["output"].H, sigmoid(gates["output"].Z), rtol=1e-6)


class Own(keras.Model):
    """Code of its own, with layers in it."""

    def __init__(self) -> None:
        super().__init__(name="own")
        self.first, self.second = LAYERS.Dense(3, "relu", name="first"), LAYERS.LayerNormalization(name="second")

    def call(self, x):
        return self.second(self.first(x) * 2.0)


def test_other_layers_are_black_boxes_and_models_with_code_of_their_own_are_followed() -> None:
    model = Own()
    x = np.ones((1, 2), "float32")
    expected = model(x)
    trace = kf.explain.forward(model, x[0])
    first, second = trace.layers
    assert (first.traced, second.traced) == (True, False)
    np.testing.assert_array_equal(second.inputs[0], first.H * 2)
    np.testing.assert_array_equal(second.H, expected[0])
    with pytest.raises(BuildError, match=r"'second' is a LayerNormalization, a black box"):
        second.neuron(0)


def test_nothing_is_changed(images_model, images) -> None:
    before = [variable.numpy() for variable in images_model.variables]
    attributes = {layer.name: set(vars(layer)) for layer in images_model.layers}
    kf.explain.forward(images_model, images[0])["head"].neuron(0)
    for variable, value in zip(images_model.variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)
    assert {layer.name: set(vars(layer)) for layer in images_model.layers} == attributes


def test_wrong_input_gets_a_sentence(deck) -> None:
    with pytest.raises(DataError, match=r"takes one sample of shape \(3,\), got \(4,\)"):
        kf.explain.forward(deck, np.ones(4))
    with pytest.raises(BuildError, match=r"expected a keras\.Model, got str"):
        kf.explain.forward("deck", np.ones(3))
    with pytest.raises(BuildError, match="is not built"):
        kf.explain.forward(keras.Sequential([LAYERS.Dense(1)]), np.ones(3))
    trace = kf.explain.forward(deck, DECK_SAMPLE)
    with pytest.raises(BuildError, match="no layer 'hiden', did you mean 'hidden'"):
        _ = trace["hiden"]
    with pytest.raises(DataError, match=r"no neuron 2 in 'hidden': its Z has shape \(2,\)"):
        trace["hidden"].neuron(2)


def test_a_trace_says_when_it_is_old() -> None:
    model = keras.Sequential([keras.Input((2,)), LAYERS.Dense(1, name="only")])
    trace = kf.explain.forward(model, np.ones(2))
    model.set_weights([weight + 1 for weight in model.get_weights()])
    with pytest.raises(BuildError, match="have changed since this trace"):
        trace["only"].neuron(0)
