"""What a network was trained to see, made from images as they lie on a disk."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kerasflow.errors import DataError
from kerasflow.zoo.catalogue import Card, card
from kerasflow.zoo.networks import own


def preprocess(name: str, images: ArrayLike) -> NDArray[np.float32]:
    """Images as the network was trained on; `card(name).preprocessing` says in words what is done.

    Args:
        name: of the network.
        images: (n, height, width, channels), RGB, values 0..255, of any number type.

    Returns:
        A new float32 array of that shape; where a network scales its input itself, 0..255 still.

    Raises:
        BuildError: there is no such network.
        DataError: images of another rank, number of channels or range.
    """
    found = card(name)
    return np.ascontiguousarray(normalize(found.name, _checked(found, np.asarray(images))), np.float32)


def normalize(name: str, pixels: Any) -> Any:
    """The arithmetic of `preprocess` alone, which a TensorFlow program can hold.

    Args:
        name: of the network.
        pixels: (n, height, width, channels) float32 with values 0..255: a tensor, or an array, which is overwritten.

    Raises:
        BuildError: there is no such network.
    """
    found = card(name)
    network = own(found.name)
    if network is not None:
        pixels -= np.array(network.subtract, np.float32)
        pixels /= np.array(network.divide, np.float32)
        return pixels
    family = import_module(f"keras.applications.{found.family}")
    return family.preprocess_input(pixels, data_format="channels_last")


def _checked(found: Card, images: NDArray[Any]) -> NDArray[np.float32]:
    """A float32 copy, for Keras changes what it is given, of images that are what they should be."""
    channels = found.input_shape[-1] if found.input_shape else 3
    expected = f"{found.name} takes images of shape (n, height, width, {channels}) with values 0..255"
    if images.dtype.kind not in "uif":
        raise DataError(f"{expected}, got values of type {images.dtype}")
    if images.ndim != 4 or images.shape[-1] != channels:
        raise DataError(f"{expected}, got shape {images.shape}{_how_to_reshape(images.shape, channels)}")
    check_range(images, expected)
    return images.astype(np.float32)


def check_range(images: NDArray[Any], expected: str) -> bool:
    """Whether images are known to hold values 0..255; not of such that are all black, whatever their range.

    Args:
        images: of any number type and shape.
        expected: begins the message.

    Raises:
        DataError: they are known to hold others.
    """
    if images.dtype == np.uint8 or not images.size:
        return True
    low, high = images.min(), images.max()
    scaled = images.dtype.kind == "f" and low >= 0 and high <= 1
    if scaled and high > 0:
        raise DataError(f"{expected}, got {low:.4g}..{high:.4g}, which looks like 0..1; multiply them by 255")
    if not (low >= 0 and high < 255.5):  # resizing gives a little more than 255
        raise DataError(f"{expected}, got {low:.4g}..{high:.4g}; give them before any scaling")
    return not scaled


def _how_to_reshape(shape: tuple[int, ...], channels: int) -> str:
    if len(shape) == 3 and shape[-1] == channels:
        return "; one image needs a batch axis: images[None]"
    if len(shape) == 4 and shape[1] == channels:
        return "; channels come last: np.moveaxis(images, 1, -1)"
    if len(shape) == 4 and shape[-1] == 1:
        return "; repeat the gray channel: np.repeat(images, 3, axis=-1)"
    return ""
