"""`kf.describe` on the networks of keras.applications: the same layers, the same weights, the same bits."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

import kerasflow as kf

EVERY = (
    "ConvNeXtBase", "ConvNeXtLarge", "ConvNeXtSmall", "ConvNeXtTiny", "ConvNeXtXLarge", "DenseNet121", "DenseNet169",
    "DenseNet201", "EfficientNetB0", "EfficientNetB1", "EfficientNetB2", "EfficientNetB3", "EfficientNetB4",
    "EfficientNetB5", "EfficientNetB6", "EfficientNetB7", "EfficientNetV2B0", "EfficientNetV2B1", "EfficientNetV2B2",
    "EfficientNetV2B3", "EfficientNetV2L", "EfficientNetV2M", "EfficientNetV2S", "InceptionResNetV2", "InceptionV3",
    "MobileNet", "MobileNetV2", "MobileNetV3Large", "MobileNetV3Small", "NASNetLarge", "NASNetMobile", "ResNet101",
    "ResNet101V2", "ResNet152", "ResNet152V2", "ResNet50", "ResNet50V2", "VGG16", "VGG19", "Xception",
)  # fmt: skip
SMALLEST = {"InceptionResNetV2": 75, "InceptionV3": 75, "Xception": 71}

Describes = Callable[..., kf.ModelSpec]


def network(name: str, *, include_top: bool = True) -> Any:
    import keras

    size = SMALLEST.get(name, 32)
    classes = {"classes": 10} if include_top else {}
    make = getattr(keras.applications, name)
    return make(weights=None, include_top=include_top, input_shape=(size, size, 3), **classes)


# What is special in each: operations between layers; a rescaling and a normalization; models in the model, and layers
# that keras.layers does not export.
@pytest.mark.parametrize("name", ["MobileNetV3Small", "EfficientNetB0", "ConvNeXtTiny"])
def test_a_network_of_each_kind(name: str, describes: Describes) -> None:
    describes(network(name))


@pytest.mark.exhaustive
@pytest.mark.parametrize("include_top", [True, False])
@pytest.mark.parametrize("name", EVERY)
def test_every_network(name: str, include_top: bool, describes: Describes) -> None:
    describes(network(name, include_top=include_top), batch=1)


def test_every_constructor_of_keras_is_in_this_list() -> None:
    import keras

    assert {name for name, thing in vars(keras.applications).items() if inspect.isfunction(thing)} == set(EVERY)


def test_the_layer_that_inception_resnet_brings_along(describes: Describes) -> None:
    import keras
    from keras.src.applications.inception_resnet_v2 import inception_resnet_block

    image = keras.Input((4, 4, 8))
    spec = describes(keras.Model(image, inception_resnet_block(image, 0.2, "block17", 1)))
    assert {"custom_scale_layer": {"scale": 0.2}} in [
        {kind: behind for kind, behind in layer.items() if kind == "custom_scale_layer"}
        for layer in spec.model_dump(mode="json")["layers"]
    ]


def test_a_described_network_reads_well() -> None:
    layers = kf.describe(network("MobileNetV2", include_top=False)).model_dump(mode="json")["layers"]
    assert layers[:4] == [
        {
            "conv2d": {"filters": 32, "kernel_size": 3, "strides": 2, "padding": "same", "use_bias": False},
            "name": "Conv1",
        },
        {"batch_normalization": {"momentum": 0.999}, "name": "bn_Conv1"},
        {"relu": {"max_value": 6.0}, "name": "Conv1_relu"},
        {
            "depthwise_conv2d": {"kernel_size": 3, "padding": "same", "use_bias": False},
            "name": "expanded_conv_depthwise",
        },
    ]
    assert {"add": {}, "name": "block_2_add", "inputs": ["block_1_project_BN", "block_2_project_BN"]} in layers
