"""Features: images through a network as far as its tapped layers, pooled into one row each."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from math import prod
from threading import Lock
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from kerasflow.errors import BuildError, DataError, did_you_mean
from kerasflow.training.refusal import explained
from kerasflow.transfer import identity, memory
from kerasflow.transfer.cache import FeatureCache, Features, gigabytes
from kerasflow.transfer.graph import calls_of, graph_of
from kerasflow.transfer.images import Images, Shape, in_order
from kerasflow.transfer.openvino_program import AT_ONCE, OpenVINOProgram, Precision, installed
from kerasflow.transfer.taps import Pooling, Taps, check_fit
from kerasflow.zoo import check_range

BATCH_BYTES = 24 * 2**20
"""Of the largest layer's output for a batch: about what a processor's cache holds. MobileNetV2 at 160 × 160 pixels
takes half the time in batches of 8 that it takes in batches of 64."""
SMALLEST_BATCH, LARGEST_BATCH = 8, 256

Engine = Literal["tensorflow", "openvino"]

SAID_FROM = 10**7  # bytes of unpooled features that nobody need be told of

_log = logging.getLogger(__name__)


class Extraction:
    """Resizes, preprocesses, computes and pools, as one compiled call a batch.

    The network is used as it is at the time, and not changed. Samples of another shape than images go through as they
    are.

    Args:
        model: a `keras.Model` with a graph and one input, such as images `(height, width, channels)`.
        layers: see `Taps`; None for the model's output.
        pooling: see `Taps`; without it, a layer's output is flattened.
        preprocess: of float32 tensors `(n, height, width, channels)` with values 0..255, for those that the network
            takes; None if it takes images as they are.
        image_size: height and width that images are resized to, bilinear; None for images that have their size.
        takes_bytes: whether values must be 0..255; also if the network scales them itself.
        batch_size: images for each forward pass; None for what suits the network and the machine.
        engine: who compiles that call, for a processor: `tensorflow`, or `openvino`, which is another package.
        precision: that it computes in: `float32`, or `bfloat16` of OpenVINO.

    Raises:
        BuildError: a network without a graph, without such a layer, or of several inputs.
        MissingExtra: OpenVINO is not installed.
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
        engine: Engine = "tensorflow",
        precision: Precision = "float32",
    ) -> None:
        _check_engine(engine, precision)
        self.engine, self.precision = engine, precision
        self.taps = Taps(model, _output(model) if layers is None else layers, pooling)
        self.preprocess, self.image_size = preprocess, image_size
        self.batch_size = batch_size or _batch_for(model)
        inputs = [tuple(tensor.shape[1:]) for tensor in model.inputs]
        if len(inputs) != 1:
            raise BuildError(
                f"features are of one input, and the model {model.name!r} takes samples of shape "
                f"{' and '.join(map(str, inputs))}; use kf.taps for it"
            )
        self.input_shape = inputs[0]
        self.takes_bytes = takes_bytes or (self._sees_images and _scales_bytes(model))
        if image_size is not None and _differ(image_size, self.input_shape):
            raise BuildError(f"image_size is {_pixels(image_size)}, and {self._takes()}")
        self._programs: dict[Any, Callable[[Any], Any]] = {}
        self._programming, self._compiled_weights = Lock(), ""

    def __call__(self, images: Images, cache: FeatureCache | None = None) -> Features:
        """The features of every image, `(n, n_features)` float32; with a cache, memory-mapped.

        Raises:
            DataError: images that the network cannot take, or features that do not fit in memory or on the disk.
        """
        self.check(images)
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
                self._say_size(images, f"on the disk of {cache.folder}")
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
            "computed": [self.engine, self.precision],
            "image_size": self.image_size,
            "preprocess": identity.effect(
                self.preprocess, (*(self.image_size or self.input_shape[:2]), self.input_shape[-1])
            ),
        }

    def _width(self, images: Images) -> int:
        return sum(self.sizes(images.shape).values())

    @property
    def _sees_images(self) -> bool:
        return len(self.input_shape) == 3

    def check(self, images: Images) -> None:
        """Whether the network takes images of this shape.

        Raises:
            DataError: it does not.
        """
        if not (self._sees_images and len(images.shape) == 3):
            check_fit([self.input_shape], [images.shape], self.taps.model.name)
            return
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
        self._say_size(images, "of memory")
        if images.n is None:
            return self._as_long_as_they_fit(images)
        shape = (images.n, self._width(images))
        _check_room(shape, shape[0] * shape[1] * 4)
        features: Features = np.empty(shape, np.float32)
        self._fill(features, images)
        return features

    def _as_long_as_they_fit(self, images: Images) -> Features:
        parts: list[Features] = []
        for part in self._parts(images):
            parts.append(part)
            # To join them takes all of it once more.
            _check_room((sum(map(len, parts)), part.shape[1]), sum(part.nbytes for part in parts))
        return np.concatenate(parts)

    def _say_size(self, images: Images, where: str) -> None:
        """Before the work, what features take that are not pooled."""
        if self.taps.pooling != "none":
            return
        width, n = self._width(images), images.n
        wanted = 4 * width * (1000 if n is None else n)
        told = f"every 1000 images' {width}" if n is None else f"{n} × {width}"
        _log.log(
            logging.WARNING if wanted >= SAID_FROM else logging.INFO,
            "%s features take %s %s",
            told,
            gigabytes(wanted),
            where,
        )

    def _fill(self, features: Features, images: Images) -> None:
        at = 0
        for rows in self._parts(images):
            features[at : at + len(rows)] = rows
            at += len(rows)

    def _parts(self, images: Images) -> Iterator[Features]:
        """Features batch by batch, the next batch read meanwhile."""
        self._forget_old_weights()
        done = 0
        at_once = AT_ONCE if self.engine == "openvino" else 1  # TensorFlow divides one call among all processors
        for rows in in_order(self._rows, self._checked(images), at_once):
            _check_finite(rows, "features", done)
            done += len(rows)
            yield rows

    def _forget_old_weights(self) -> None:
        """TensorFlow's programs look weights up in every call; OpenVINO's hold those that they were compiled with."""
        if self.engine != "openvino":
            return
        weights = identity.weights(self.taps.model)
        with self._programming:
            if weights != self._compiled_weights:
                self._compiled_weights, self._programs = weights, {}

    def _checked(self, images: Images) -> Iterator[NDArray[Any]]:
        """Batches of pixels that the network can take."""
        done, seen = 0, not self.takes_bytes
        for batch in map(np.asarray, images.batches(self.batch_size)):
            _check_finite(batch, "pixels", done)  # which need not show in features: a ReLU may make 0 of them
            seen = seen or check_range(batch, f"the network {self.taps.model.name!r} takes images with values 0..255")
            done += len(batch)
            yield batch

    def _rows(self, batch: NDArray[Any]) -> Features:
        with explained("graph", batch):
            if self.engine == "openvino" and self._resizes(batch):  # which it cannot do as TensorFlow does
                batch = self._program(self._sized, batch)(batch).numpy()
            return np.asarray(self._program(self._row_tensors, batch)(batch))

    def _program(self, function: Callable[[Any], Any], batch: NDArray[Any]) -> Callable[[Any], Any]:
        """What has been compiled of a function for such batches, or is compiled now."""
        import tensorflow as tf

        key = function.__name__, batch.dtype, batch.shape[1:]
        with self._programming:
            if key not in self._programs:
                spec = tf.TensorSpec([None, *batch.shape[1:]], batch.dtype)
                program = tf.function(function, input_signature=[spec], autograph=False)
                if self.engine == "openvino" and function == self._row_tensors:
                    program = OpenVINOProgram(program.get_concrete_function(), self.precision)
                self._programs[key] = program
            return self._programs[key]

    def _resizes(self, images: Any) -> bool:
        return self.image_size is not None and tuple(images.shape[1:3]) != self.image_size

    def _sized(self, images: Any) -> Any:
        import tensorflow as tf

        pixels = tf.cast(images, tf.float32)
        if self.image_size is None or not self._resizes(images):
            return pixels
        shrinks = any(a is None or a > b for a, b in zip(images.shape[1:3], self.image_size, strict=True))
        return tf.image.resize(pixels, self.image_size, antialias=shrinks)

    def _row_tensors(self, images: Any) -> Any:
        import tensorflow as tf

        pixels = self._sized(images)
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


def _check_engine(engine: str, precision: str) -> None:
    for name, value, known in (("engine", engine, get_args(Engine)), ("precision", precision, get_args(Precision))):
        if value not in known:
            raise BuildError(
                f"{name} must be one of {', '.join(known)}, got {value!r}{did_you_mean(str(value), known)}"
            )
    if engine == "openvino":
        installed()
    elif precision != "float32":
        raise BuildError(f"precision={precision!r} is of engine='openvino'; TensorFlow computes in the network's own")


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


def _check_room(shape: tuple[int, int], wanted: int) -> None:
    free = memory.available()
    if wanted > free:
        raise DataError(
            f"{shape[0]} × {shape[1]} features take {gigabytes(wanted)} of memory, and {gigabytes(free)} are free; "
            "pool them, tap fewer layers, or give a cache"
        )


def _check_finite(values: NDArray[Any], what: str, before: int) -> None:
    """Of a batch before which there were so many images."""
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        broken = ~np.isfinite(values).reshape(len(values), -1).all(axis=1)
        remedy = "; are the network's weights?" if what == "features" else ""
        raise DataError(f"the {what} of image {before + int(np.argmax(broken))} are not finite{remedy}")
