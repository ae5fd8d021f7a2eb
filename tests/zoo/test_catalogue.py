"""The cards say what the installed Keras has."""

from __future__ import annotations

import importlib
import inspect
import math
import re
from typing import Any

import numpy as np
import pytest

import kerasflow as kf
from kerasflow.zoo import Card
from kerasflow.zoo.networks import names, own

KERAS = [card for card in kf.zoo.cards() if card.constructor.startswith("keras.")]
OWN = ["alexnet", "efficientnet_lite0", "googlenet", "lenet5"]


def ids(card: Card) -> str:
    return card.name


def test_every_constructor_of_keras_has_a_card() -> None:
    import keras

    exported = {name for name, thing in vars(keras.applications).items() if inspect.isfunction(thing)}
    assert {card.title for card in KERAS} == exported
    for card in KERAS:
        assert getattr(keras.applications, card.title).__module__ == f"keras.src.applications.{card.family}"


def test_the_cards_are_sorted_and_complete() -> None:
    cards = kf.zoo.cards()
    assert [card.name for card in cards] == sorted({card.name for card in cards})
    assert set(OWN) == {card.name for card in cards} - {card.name for card in KERAS} == set(names())
    for card in cards:
        assert card.paper is not None, f"keras_applications.yaml does not know {card.title}"
        assert card.paper.link.startswith("https://")
        assert 1998 <= card.paper.year <= 2022
        assert card.input_shape is not None
        assert card.min_size is not None
        assert card.min_size <= card.input_shape[0]
        assert card.parameters is not None
        assert card.taps


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("mobilenet_v2", "mobilenet_v2"),
        ("MobileNetV2", "mobilenet_v2"),
        ("mobilenetv2", "mobilenet_v2"),
        ("ResNet50", "resnet50"),
        ("resnet50v2", "resnet50_v2"),
        ("EfficientNetV2B0", "efficientnet_v2_b0"),
        ("efficientnet-b7", "efficientnet_b7"),
        ("ConvNeXtXLarge", "convnext_xlarge"),
        ("NASNetMobile", "nasnet_mobile"),
        ("InceptionResNetV2", "inception_resnet_v2"),
        ("VGG16", "vgg16"),
        ("AlexNet", "alexnet"),
        ("LeNet-5", "lenet5"),
        ("EfficientNet-Lite0", "efficientnet_lite0"),
    ],
)
def test_names_may_be_written_as_keras_spells_them(written: str, name: str) -> None:
    assert kf.zoo.card(written).name == name


@pytest.mark.parametrize(("written", "near"), [("mobilnet_v2", "mobilenet_v2"), ("googlnet", "googlenet")])
def test_a_mistyped_name_gets_the_near_one(written: str, near: str) -> None:
    with pytest.raises(kf.BuildError, match=f"there is no network '{written}', did you mean '{near}'"):
        kf.zoo.card(written)


def test_a_name_like_no_other_is_sent_to_the_list() -> None:
    with pytest.raises(kf.BuildError, match="`kerasflow zoo` lists them"):
        kf.zoo.card("qqqqqqq")


@pytest.mark.parametrize("family", sorted({card.family for card in KERAS}))
def test_the_words_for_preprocessing_are_true(family: str) -> None:
    module = importlib.import_module(f"keras.applications.{family}")
    pixel = np.float32([[[[10, 100, 200]]]])
    mean, deviation = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
    meant = {
        "BGR, minus": pixel[..., ::-1] - np.float32([103.939, 116.779, 123.68]),
        "RGB, x/127.5 − 1": pixel / 127.5 - 1,
        "RGB, (x/255": (pixel / 255 - mean) / deviation,
        "RGB, 0..255": pixel,
    }
    card = next(card for card in KERAS if card.family == family)
    (expected,) = (value for words, value in meant.items() if card.preprocessing.startswith(words))
    np.testing.assert_allclose(module.preprocess_input(pixel.copy()), expected, atol=1e-5)


@pytest.mark.parametrize("name", OWN)
def test_the_taps_of_our_networks_are_layers(name: str) -> None:
    from kerasflow.builders.plan import plan

    network = own(name)
    assert network is not None
    assert set(kf.zoo.card(name).taps) <= {step.name for step in plan(network.spec).steps}


def test_a_constructor_that_nobody_has_described_still_has_a_card() -> None:
    from kerasflow.zoo.catalogue import _of_keras

    card = _of_keras("FutureNetV9Tiny", "futurenet", {})
    assert (card.name, card.paper, card.input_shape) == ("futurenet_v9_tiny", None, None)


# Names that Keras makes up, with a number that depends on what was made before; what is added to a sum, not the sum.
NO_TAP = re.compile(
    r"(activation|add|average_pooling2d|batch_normalization|concatenate|conv2d|cropping2d|depthwise_conv2d|input_layer"
    r"|max_pooling2d|multiply|normalization|re_lu|rescaling|separable_conv2d|zero_padding2d)(_\d+)?|convnext_.*_stage_.*"
)


def last_of_each_resolution(model: Any) -> tuple[str, ...]:
    """The layers that end each resolution (Lin et al. 2017, Feature pyramid networks), as far as they have names."""
    size = model.input_shape[1]
    ends: dict[int, str] = {}
    for layer in model.layers:
        shape = tuple(layer.output.shape)
        padded = type(layer).__name__ == "ZeroPadding2D"
        if len(shape) == 4 and shape[1] > 1 and not padded and not NO_TAP.fullmatch(layer.name):
            ends[round(math.log2(size / shape[1]))] = layer.name
    return tuple(ends[halvings] for halvings in sorted(ends) if halvings > 0)


@pytest.mark.exhaustive
@pytest.mark.timeout(900)
@pytest.mark.parametrize("card", KERAS, ids=ids)
def test_the_numbers_of_a_card_are_those_of_its_network(card: Card) -> None:
    import keras

    model = kf.zoo.load(card.name)
    assert model.input_shape[1:] == card.input_shape
    assert model.output_shape == (None, card.classes)
    assert sum(math.prod(variable.shape) for variable in model.trainable_variables) == card.parameters
    assert card.taps == last_of_each_resolution(model)
    assert card.min_size is not None
    del model  # the largest would not fit twice
    shape = (card.min_size, card.min_size, 3)
    features = kf.zoo.load(card.name, input_shape=shape, include_top=False)
    assert features.input_shape[1:] == shape
    with pytest.raises(kf.BuildError, match="at least"):
        kf.zoo.load(card.name, input_shape=(card.min_size - 1, card.min_size, 3), include_top=False)
    with pytest.raises(ValueError, match="at least"):
        getattr(keras.applications, card.title)(
            input_shape=(card.min_size - 1, card.min_size - 1, 3), include_top=False, weights=None
        )
