"""AlexNet and GoogLeNet answer as torchvision's do; EfficientNet-Lite0 knows a palace from a daisy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import kerasflow as kf

CLOSE = 1e-4
Weights = Callable[[str], dict[str, np.ndarray]]


def off(ours: Any, theirs: np.ndarray) -> float:
    """The largest difference, in units of how far the outputs of two inputs lie apart."""
    return float(np.abs(np.asarray(ours) - theirs).max() / np.abs(theirs[0] - theirs[1]).max())


def last(images: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.moveaxis(images, 1, -1))


@pytest.mark.parametrize("size", [224, 231])
def test_alexnet_is_torchvisions(size: int, parity: Any, torchvision_weights: Weights) -> None:
    images = last(parity[f"alexnet/x{size}"])
    weights = torchvision_weights("alexnet")
    net = kf.zoo.load("alexnet", weights, input_shape=images.shape[1:], classifier_activation=None)
    assert off(net(images), parity[f"alexnet/y{size}"]) < CLOSE
    assert sum(variable.shape.num_elements() for variable in net.trainable_variables) == 61_100_840
    assert "kerasflow" not in net.to_json(), "what is saved must load where kerasflow is not"


@pytest.fixture(scope="module")
def googlenet(torchvision_weights: Weights) -> Any:
    return kf.zoo.load("googlenet", torchvision_weights("googlenet"), classifier_activation=None, aux_heads=True)


def test_googlenet_is_torchvisions_with_its_auxiliary_heads(googlenet: Any, parity: Any) -> None:
    assert googlenet.output_names == ["main", "aux1", "aux2"]
    outputs = googlenet(last(parity["googlenet/x224"]))
    for ours, theirs in zip(outputs, ("y224", "aux1_224", "aux2_224"), strict=True):
        assert off(ours, parity[f"googlenet/{theirs}"]) < CLOSE
    assert sum(variable.shape.num_elements() for variable in googlenet.trainable_variables) == 13_004_888
    assert "kerasflow" not in googlenet.to_json()


@pytest.fixture(scope="module")
def of_any_size(torchvision_weights: Weights) -> Any:
    weights = torchvision_weights("googlenet")
    return kf.zoo.load("googlenet", weights, input_shape=(None, None, 3), classifier_activation=None)


def test_googlenet_takes_other_sizes(parity: Any, of_any_size: Any) -> None:
    images, net = last(parity["googlenet/x231"]), of_any_size
    assert off(net(images), parity["googlenet/y231"]) < CLOSE
    assert sum(variable.shape.num_elements() for variable in net.trainable_variables) == 6_624_904


MEAN, DEVIATION = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])


@pytest.mark.parametrize("size", [224, 231])
def test_googlenet_after_transform_input_is_torchvisions(size: int, of_any_size: Any, parity: Any) -> None:
    normalised, theirs = last(parity[f"googlenet/x{size}"]), parity[f"googlenet/t{size}"]
    transformed = (normalised * DEVIATION + MEAN - 0.5) / 0.5  # torchvision's GoogLeNet._transform_input
    assert off(of_any_size(transformed), theirs) < CLOSE
    assert off(of_any_size(normalised), theirs) > 100 * CLOSE


def test_googlenets_preprocessing_holds_transform_input() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    torchvisions = ((images / 255 - MEAN) / DEVIATION * DEVIATION + MEAN - 0.5) / 0.5
    np.testing.assert_allclose(kf.zoo.preprocess("googlenet", images), torchvisions, atol=1e-6)


def test_efficientnet_lite0_knows_a_palace_from_a_daisy(assets: Path) -> None:
    from sklearn.datasets import load_sample_image

    net = kf.zoo.load("efficientnet_lite0", assets / "weights" / "efficientnet-lite0-57934424.pth")
    assert sum(variable.shape.num_elements() for variable in net.trainable_variables) == 4_652_008
    photos = np.stack([centre(load_sample_image(name)) for name in ("china.jpg", "flower.jpg")])
    answers = np.asarray(net(kf.zoo.preprocess("efficientnet_lite0", photos)))
    assert answers.argmax(axis=-1).tolist() == [698, 985]


def centre(photo: np.ndarray, size: int = 224, part: float = 0.875) -> np.ndarray:
    """The middle of a photograph, as networks are tested on ImageNet."""
    image = Image.fromarray(photo)
    scale = size / part / min(image.size)
    image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)
    left, top = (image.width - size) // 2, (image.height - size) // 2
    return np.asarray(image.crop((left, top, left + size, top + size)))
