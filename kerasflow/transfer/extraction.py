"""Features: images through a network as far as its tapped layers, pooled into one row each."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kerasflow.errors import BuildError, DataError
from kerasflow.training.refusal import explained
from kerasflow.transfer import identity, memory
from kerasflow.transfer.cache import FeatureCache, Features, gigabytes
from kerasflow.transfer.graph import calls_of, graph_of
from kerasflow.transfer.images import Images, Shape, ahead
from kerasflow.transfer.taps import Pooling, Taps

BATCH_BYTES = 24 * 2**20
"""Of the largest layer's output for a batch: about what a processor's cache holds. MobileNetV2 at 160 × 160 pixels
takes half the time in batches of 8 that it takes in batches of 64."""
SMALLEST_BATCH, LARGEST_BATCH = 8, 256

_log = logging.getLogger(__name__)


class Extraction:
    """Resizes, preprocesses, computes and pools, as one compiled call a batch.

    The network is used as it is at the time, and not changed.

    Args:
        model: a `keras.Model` with a graph, whose one input is images `(height, width, channels)`.
        layers: see `Taps`; None for the model's output.
        pooling: see `Taps`; without it, a layer's output is flattened.
        preprocess: of float32 tensors `(n, height, width, channels)` with values 0..255, for those that the network
            takes; None if it takes images as they are.
        image_size: height and width that images are resized to, bilinear; None for images that have their size.
        takes_bytes: whether values must be 0..255; also if the network scales them itself.
        batch_size: images for each forward pass; None for what suits the network and the machine.

    Raises:
        BuildError: a network without a graph, without such a layer, or for something else than images.
    """

    def __init__(
        self,
        model: Any,
        layers: str | Sequence[str] | None,
        pooling: Pooling = "avg",
        preprocess: Callable[[Any], Any] | None = None,
        image_size: tuple[int, int] | None = None,
        takes_bytes: bool = False,
        batch_size: int | None = None,
    ) -> None:
        self.taps = Taps(model, _output(model) if layers is None else layers, pooling)
        self.preprocess, self.image_size = preprocess, image_size
        self.batch_size = batch_size or _batch_for(model)
        self.takes_bytes = takes_bytes or _scales_bytes(model)
        inputs = [tuple(tensor.shape[1:]) for tensor in model.inputs]
        if len(inputs) != 1 or len(inputs[0]) != 3:
            raise BuildError(
                f"features are of images (height, width, channels), and the model {model.name!r} takes samples of "
                f"shape {' and '.join(map(str, inputs))}; use kf.taps for it"
            )
        self.input_shape = inputs[0]
        if image_size is not None and _differ(image_size, self.input_shape):
            raise BuildError(f"image_size is {_pixels(image_size)}, and {self._takes()}")
        self._programs: dict[Any, Any] = {}

    def __call__(self, images: Images, cache: FeatureCache | None = None) -> Features:
        """The features of every image, `(n, n_features)` float32; with a cache, memory-mapped.

        Raises:
            DataError: images that the network cannot take, or features that do not fit in memory or on the disk.
        """
        self._check(images)
        if cache is None:
            return self._in_memory(images)
        with ThreadPoolExecutor(1) as pool:  # digests leave the interpreter to others
            content = pool.submit(images.digest)
            key = cache.key(
                {**self._settings, "weights": identity.weights(self.taps.model), "images": content.result()}
            )
        features = cache.read(key)
        if features is not None:
            return features
        with cache.taking_turns(key):
            features = cache.read(key)  # another process may have been faster
            if features is None:
                assert images.n is not None  # it has been digested
                with cache.writing(key, (images.n, self._width(images))) as found:
                    self._fill(found, images)
                features = cache.read(key)
        assert features is not None
        return features

    def sizes(self, shape: Shape) -> dict[str, int]:
        """How many features of such an image come from each layer.

        Raises:
            DataError: that follows from the image's size, and no size is known.
        """
        shapes = self.taps.shapes
        if any(size is None for found in shapes.values() for size in found):
            size = self.image_size or shape[:2]
            if None in size:
                raise DataError("how many features there are follows from the images' size; give image_size")
            import keras

            found = self.taps.tensors(keras.ops.zeros((1, *size, self.input_shape[-1])))
            shapes = {path: tuple(tensor.shape[1:]) for path, tensor in found.items()}
        return {path: prod(map(int, found)) for path, found in shapes.items()}  # type: ignore[arg-type]  # no None is left

    @cached_property
    def _settings(self) -> dict[str, Any]:
        """All that features depend on but weights and images, as JSON-ready facts: equal where the features are."""
        every = [call.nodes for call in calls_of(self.taps.model)]
        return {
            "structure": identity.structure(self.taps.model),
            "layers": [every.index(call.nodes) for call in self.taps.calls.values()],
            "pooling": self.taps.pooling,
            "image_size": self.image_size,
            "preprocess": identity.effect(
                self.preprocess, (*(self.image_size or self.input_shape[:2]), self.input_shape[-1])
            ),
        }

    def _width(self, images: Images) -> int:
        return sum(self.sizes(images.shape).values())

    def _check(self, images: Images) -> None:
        channels, depth = images.shape[-1], self.input_shape[-1]
        if channels not in (depth, 1):
            remedy = "; leave out the transparency: images[..., :3]" if (channels, depth) == (4, 3) else ""
            raise DataError(
                f"the network {self.taps.model.name!r} takes images of {depth} channels, got {channels}{remedy}"
            )
        if self.image_size is None and _differ(images.shape, self.input_shape):
            height, width, _ = self.input_shape
            raise DataError(
                f"{self._takes()}, got {_pixels(images.shape)}; image_size=({height}, {width}) resizes them"
            )

    def _takes(self) -> str:
        return f"the network {self.taps.model.name!r} takes images of {_pixels(self.input_shape)} pixels"

    def _in_memory(self, images: Images) -> Features:
        if images.n is None:
            return np.concatenate(list(self._parts(images)))
        shape = (images.n, self._width(images))
        wanted, free = shape[0] * shape[1] * 4, memory.available()
        told = f"{shape[0]} × {shape[1]} features take {gigabytes(wanted)} of memory"
        if wanted > free:
            raise DataError(f"{told}, and {gigabytes(free)} are free; pool them, tap fewer layers, or give a cache")
        if self.taps.pooling == "none":
            _log.log(logging.WARNING if wanted > 1e9 else logging.INFO, "%s", told)
        features: Features = np.empty(shape, np.float32)
        self._fill(features, images)
        return features

    def _fill(self, features: Features, images: Images) -> None:
        at = 0
        for rows in self._parts(images):
            features[at : at + len(rows)] = rows
            at += len(rows)

    def _parts(self, images: Images) -> Iterator[Features]:
        """Features batch by batch, the next batch read meanwhile."""
        done, seen = 0, not self.takes_bytes
        for batch in ahead(images.batches(self.batch_size)):
            seen = seen or _are_bytes(np.asarray(batch), self.taps.model.name)
            rows = self._rows(batch).numpy()
            if not np.isfinite(rows).all():
                first = done + int(np.flatnonzero(~np.isfinite(rows).all(axis=1))[0])
                raise DataError(f"the features of image {first} are not finite; are its pixels, and the weights?")
            done += len(rows)
            yield rows

    def _rows(self, batch: Any) -> Any:
        import tensorflow as tf

        batch = tf.convert_to_tensor(batch)
        key = batch.dtype, tuple(batch.shape[1:])
        if key not in self._programs:
            spec = tf.TensorSpec([None, *batch.shape[1:]], batch.dtype)
            self._programs[key] = tf.function(self._row_tensors, input_signature=[spec], autograph=False)
        with explained("graph", batch):
            return self._programs[key](batch)

    def _row_tensors(self, images: Any) -> Any:
        import tensorflow as tf

        pixels = tf.cast(images, tf.float32)
        if self.image_size is not None and tuple(pixels.shape[1:3]) != self.image_size:
            shrinks = any(a is None or a > b for a, b in zip(pixels.shape[1:3], self.image_size, strict=True))
            pixels = tf.image.resize(pixels, self.image_size, antialias=shrinks)
        if pixels.shape[-1] != self.input_shape[-1]:  # gray
            pixels = tf.repeat(pixels, self.input_shape[-1], axis=-1)
        if self.preprocess is not None:
            pixels = self.preprocess(pixels)
        rows = [tf.cast(tensor, tf.float32) for tensor in self.taps.tensors(pixels).values()]
        return tf.concat([tf.reshape(tensor, [tf.shape(tensor)[0], -1]) for tensor in rows], axis=1)


def _output(model: Any) -> str:
    """The path of the layer that gives the model's output."""
    graph = graph_of(model)
    if graph is None:
        return "all"  # which `find` refuses
    if len(graph.outputs) > 1:
        raise BuildError(f"the model {model.name!r} has {len(graph.outputs)} outputs; name the layers to be tapped")
    return next(call.path for call in calls_of(model) if call.outputs[0] is graph.outputs[0])


def _batch_for(model: Any) -> int:
    """Images for each forward pass: a power of two."""
    import tensorflow as tf

    if tf.config.list_physical_devices("GPU"):
        return LARGEST_BATCH // 4
    shapes = [tensor.shape[1:] for call in calls_of(model) for tensor in call.outputs]
    largest = max(4 * prod(size or 64 for size in shape) for shape in shapes)
    fitting = max(BATCH_BYTES // largest, 1)
    return min(max(1 << fitting.bit_length() - 1, SMALLEST_BATCH), LARGEST_BATCH)


def _differ(one: Sequence[int | None], other: Sequence[int | None]) -> bool:
    """Whether two sizes are known not to be the same."""
    return any(None not in pair and pair[0] != pair[1] for pair in zip(one[:2], other[:2], strict=True))


def _pixels(size: Sequence[int | None]) -> str:
    return f"{size[0]} × {size[1]}"


def _scales_bytes(model: Any) -> bool:
    """Whether the network begins by scaling 0..255 itself, as the EfficientNets of `keras.applications` do."""
    import keras

    scales = [call.layer.scale for call in calls_of(model) if isinstance(call.layer, keras.layers.Rescaling)]
    return any(0 < np.max(np.abs(scale)) < 1 / 64 for scale in scales)


def _are_bytes(images: NDArray[Any], name: str) -> bool:
    """Whether these images are known to hold values in 0..255; not if all of them are black.

    Raises:
        DataError: they are known not to.
    """
    if images.dtype.kind != "f":
        return True
    low, high = float(images.min()), float(images.max())
    if low == high == 0:
        return False
    if low < 0 or high <= 1 or high > 256:
        remedy = "; multiply them by 255" if low >= 0 and high <= 1 else "; give them before any scaling"
        raise DataError(
            f"the network {name!r} is fed from values in 0..255, and these images hold {low:.3g}..{high:.3g}{remedy}"
        )
    return True
