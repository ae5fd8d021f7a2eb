"""Every layer of the installed Keras, from the least that a spec must say of it."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

from kerasflow.builders.describe import describe
from kerasflow.builders.graph import build
from kerasflow.builders.objects import imported
from kerasflow.errors import SpecError
from kerasflow.spec import catalogue
from kerasflow.spec.model import as_model_spec

VECTOR, SEQUENCE, IMAGE, VOLUME = (6,), (8, 4), (8, 8, 3), (6, 6, 6, 2)
FILM, SERIES_OF_ROWS = (3, 8, 8, 3), (3, 8, 2)

CONV = {"filters": 2, "kernel_size": 3}

# By the input's shape: layers with their arguments; None for a bare name.
ONE_INPUT: list[tuple[tuple[int, ...], dict[str, Any]]] = [
    (
        VECTOR,
        {
            "activation": "relu",
            "activity_regularization": {"l2": 0.1},
            "alpha_dropout": 0.1,
            "batch_normalization": None,
            "category_encoding": {"num_tokens": 4},
            "dense": 3,
            "discretization": {"bin_boundaries": [0.0, 1.0]},
            "dropout": 0.1,
            "einsum_dense": {"equation": "ab,bc->ac", "output_shape": 5},
            "elu": None,
            "embedding": {"input_dim": 10, "output_dim": 3},
            "flatten": None,
            "gaussian_dropout": 0.1,
            "gaussian_noise": 0.1,
            "hashing": 4,
            "identity": None,
            "integer_lookup": {"vocabulary": [1, 2, 3]},
            "layer_normalization": None,
            "layer_scale": {"init_values": 0.1, "projection_dim": 6},
            "leaky_relu": None,
            "normalization": {"mean": 0.0, "variance": 1.0},
            "prelu": None,
            "relu": None,
            "repeat_vector": 3,
            "rescaling": 0.5,
            "reshape": {"target_shape": [3, 2]},
            "reversible_embedding": {"input_dim": 10, "output_dim": 3},
            "rms_normalization": None,
            "softmax": None,
            "spectral_normalization": {"layer": {"dense": 3}},
            "stochastic_depth": 0.1,
            "unit_normalization": None,
        },
    ),
    (
        SEQUENCE,
        {
            "adaptive_average_pooling1d": 2,
            "adaptive_max_pooling1d": 2,
            "average_pooling1d": 2,
            "bidirectional": {"layer": {"lstm": 2}},
            "conv1d": CONV,
            "conv1d_transpose": CONV,
            "cropping1d": 1,
            "depthwise_conv1d": 3,
            "global_average_pooling1d": None,
            "global_max_pooling1d": None,
            "gru": 2,
            "lstm": 2,
            "masking": None,
            "max_pooling1d": None,
            "permute": {"dims": [2, 1]},
            "rnn": {"cell": {"gru_cell": 2}},
            "separable_conv1d": CONV,
            "simple_rnn": 2,
            "spatial_dropout1d": 0.1,
            "time_distributed": {"layer": {"dense": 2}},
            "up_sampling1d": None,
            "zero_padding1d": None,
        },
    ),
    (
        IMAGE,
        {
            "adaptive_average_pooling2d": 2,
            "adaptive_max_pooling2d": 2,
            "aug_mix": None,
            "auto_contrast": None,
            "average_pooling2d": 2,
            "center_crop": {"height": 4, "width": 4},
            "contrast_limited_adaptive_histogram_equalization": None,
            "conv2d": CONV,
            "conv2d_transpose": CONV,
            "cropping2d": 1,
            "cut_mix": None,
            "depthwise_conv2d": 3,
            "global_average_pooling2d": None,
            "global_max_pooling2d": None,
            "group_normalization": {"groups": 3},
            "max_pooling2d": None,
            "mix_up": None,
            "pipeline": {"layers": [{"random_flip": None}, {"rescaling": 0.5}]},
            "rand_augment": None,
            "random_brightness": 0.1,
            "random_color_degeneration": 0.1,
            "random_color_jitter": {
                "brightness_factor": 0.1,
                "contrast_factor": 0.1,
                "saturation_factor": 0.1,
                "hue_factor": 0.1,
            },
            "random_contrast": 0.1,
            "random_crop": {"height": 4, "width": 4},
            "random_elastic_transform": None,
            "random_erasing": None,
            "random_flip": None,
            "random_gaussian_blur": None,
            "random_grayscale": None,
            "random_hue": 0.1,
            "random_invert": None,
            "random_perspective": None,
            "random_posterization": 4,
            "random_rotation": 0.1,
            "random_saturation": 0.1,
            "random_sharpness": 0.1,
            "random_shear": None,
            "random_translation": {"height_factor": 0.1, "width_factor": 0.1},
            "random_zoom": 0.1,
            "resizing": {"height": 4, "width": 4},
            "separable_conv2d": CONV,
            "solarization": None,
            "spatial_dropout2d": 0.1,
            "up_sampling2d": None,
            "zero_padding2d": None,
        },
    ),
    (
        VOLUME,
        {
            "adaptive_average_pooling3d": 2,
            "adaptive_max_pooling3d": 2,
            "average_pooling3d": 2,
            "conv3d": CONV,
            "conv3d_transpose": CONV,
            "cropping3d": 1,
            "global_average_pooling3d": None,
            "global_max_pooling3d": None,
            "max_pooling3d": None,
            "spatial_dropout3d": 0.1,
            "up_sampling3d": None,
            "zero_padding3d": None,
        },
    ),
    (SERIES_OF_ROWS, {"conv_lstm1d": CONV}),
    (FILM, {"conv_lstm2d": CONV}),
    ((2, *VOLUME), {"conv_lstm3d": CONV}),
    ((256,), {"mel_spectrogram": {"sequence_length": 256, "fft_length": 256}}),
    ((256, 1), {"stft_spectrogram": None}),
]

# Two inputs, each of this shape.
TWO_INPUTS: list[tuple[tuple[int, ...], dict[str, Any]]] = [
    (
        SEQUENCE,
        {
            "add": None,
            "additive_attention": None,
            "attention": None,
            "average": None,
            "concatenate": None,
            "custom_scale_layer": 0.5,
            "dot": {"axes": 1},
            "group_query_attention": {"head_dim": 2, "num_query_heads": 2, "num_key_value_heads": 1},
            "maximum": None,
            "minimum": None,
            "multi_head_attention": {"num_heads": 2, "key_dim": 2},
            "multiply": None,
            "subtract": None,
        },
    ),
]

# What no spec can hold, by the layer's name, and why.
REFUSED = {
    "Lambda": "holds code",
    "FlaxLayer": "holds code",
    "JaxLayer": "holds code",
    "TFSMLayer": "holds code",
    "TorchModuleWrapper": "holds code",
    "InputLayer": "made from the data's shape",
    "GRUCell": "is a cell",
    "LSTMCell": "is a cell",
    "SimpleRNNCell": "is a cell",
    "StackedRNNCells": "is a cell",
    "StringLookup": "takes text",
    "TextVectorization": "takes text",
    "HashedCrossing": "takes integers or text",
    "MaxNumBoundingBoxes": "takes bounding boxes",
    "Equalization": "finds its output to be its input",
}


def written(name: str, arguments: Any, **beside: Any) -> dict[str, Any]:
    return {name: arguments, **beside}


def assert_comes_back(model: Any, shape: Any) -> None:
    """The description of the model builds a layer of the same config."""
    again = build(describe(model), shape)
    assert again.layers[-1].get_config() == model.layers[-1].get_config()


ALONE = [(name, arguments, shape) for shape, layers in ONE_INPUT for name, arguments in layers.items()]
IN_PAIRS = [(name, arguments, shape) for shape, layers in TWO_INPUTS for name, arguments in layers.items()]


@pytest.mark.parametrize(("name", "arguments", "shape"), ALONE, ids=[name for name, _, _ in ALONE])
def test_a_layer_of_one_input_is_built_and_runs(name: str, arguments: Any, shape: tuple[int, ...]) -> None:
    model = build({"layers": [written(name, arguments)]}, shape, seed=0)
    layer = model.layers[-1]
    entry = catalogue.find("layers", name)
    assert entry is not None
    assert (layer.name, type(layer).__name__) == (name, entry.keras_name)
    given = np.ones((2, *shape), "float32")
    got = np.asarray(model(given))
    assert got.shape[1:] == tuple(model.output_shape[1:])
    assert_comes_back(model, shape)


@pytest.mark.parametrize(("name", "arguments", "shape"), IN_PAIRS, ids=[name for name, _, _ in IN_PAIRS])
def test_a_layer_of_two_inputs_is_built_and_runs(name: str, arguments: Any, shape: tuple[int, ...]) -> None:
    spec = {"inputs": ["a", "b"], "layers": [written(name, arguments, inputs=["a", "b"])]}
    model = build(spec, {"a": shape, "b": shape}, seed=0)
    got = np.asarray(model([np.ones((2, *shape), "float32")] * 2))
    assert got.shape[1:] == tuple(model.output_shape[1:])
    assert_comes_back(model, {"a": shape, "b": shape})


@pytest.mark.parametrize(("name", "reason"), REFUSED.items())
def test_what_no_spec_can_hold_is_refused_with_the_reason(name: str, reason: str) -> None:
    for spelled in (name, catalogue.snake_case(name)):
        with pytest.raises(SpecError, match=reason):
            as_model_spec({"layers": [spelled]})


def test_every_layer_of_the_installed_keras_is_in_these_tables() -> None:
    import keras

    classes = {
        thing
        for thing in vars(keras.layers).values()
        if inspect.isclass(thing)
        and issubclass(thing, keras.Layer)
        and thing not in (keras.Layer, keras.layers.Wrapper)
    }
    entries = [catalogue.find("layers", name) for name, _, _ in ALONE + IN_PAIRS]
    built = {imported(entry) for entry in entries if entry and entry.module == "keras.layers"}
    refused = {getattr(keras.layers, name) for name in REFUSED}
    assert built | refused == classes
    assert not built & refused
