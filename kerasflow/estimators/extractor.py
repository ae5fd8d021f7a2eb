"""`kf.FeatureExtractor`."""

from __future__ import annotations

import copy
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from numbers import Integral
from pathlib import Path
from typing import Any, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from kerasflow import zoo
from kerasflow.errors import DataError
from kerasflow.estimators.portable import as_data, from_data, is_portable
from kerasflow.transfer.backbone import load_network
from kerasflow.transfer.cache import FeatureCache, Features
from kerasflow.transfer.extraction import Engine, Extraction
from kerasflow.transfer.images import ArrayImages, as_images
from kerasflow.transfer.openvino_program import Precision
from kerasflow.transfer.taps import Pooling


class FeatureExtractor(TransformerMixin, BaseEstimator):
    """Images become what layers of a trained network make of them: `(n_samples, n_features)` float32.

    Args:
        backbone: a network of the zoo by its name; a `keras.Model`, which is used as it is at the time and never
            changed; or the path of a `.keras` file.
        layer: a path or several, `block_13_expand_relu` or `backbone/block3/out`; `all` for every layer; None for the
            network's output, which of a network of the zoo is the last before its classifier.
        weights: of a network of the zoo: `imagenet`, a path, or None for random ones.
        pooling: `avg` or `max` over height and width; `none` gives a layer's output flattened.
        preprocess: `auto` is the zoo's for a network of the zoo, and none for others; the name of a network of the zoo
            whose preprocessing it is; a function of float32 tensors `(n, height, width, channels)` with values 0..255;
            or None for images as the network takes them.
        image_size: height and width that the network sees; images of other sizes are resized to it. None takes arrays
            as they are, and decodes files to the network's own size.
        batch_size: images for each forward pass; `auto` leaves it to the library.
        engine: who compiles the network: `tensorflow`, or for a processor `openvino`, which the extra of that name
            brings; it is faster there, and its features are TensorFlow's but for rounding.
        precision: `float32`, or of OpenVINO `bfloat16`, whose features deviate by about 0.5 %, faster still on
            processors that have it.
        skip_broken: leaves out files of a folder that are empty, corrupt or no images, with a warning, instead of
            refusing them.
        cache: a folder in which features are kept, and found again by the content of weights, settings and images.
            They are memory-mapped then.

    Attributes:
        n_features_in_: the length of the second axis of the arrays seen in `fit`.

    Example:
        >>> features = kf.FeatureExtractor("mobilenet_v2", layer="block_13_expand_relu", image_size=(96, 96))
        >>> model = make_pipeline(features, StandardScaler(), LinearSVC()).fit(images, labels)
    """

    _parameter_constraints: dict[str, Any] = {
        "pooling": [StrOptions({"avg", "max", "none"})],
        "image_size": ["array-like", None],
        "batch_size": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "engine": [StrOptions(set(get_args(Engine)))],
        "precision": [StrOptions(set(get_args(Precision)))],
        "skip_broken": ["boolean"],
        "cache": [str, os.PathLike, None],
    }

    def __init__(
        self,
        backbone: Any = "mobilenet_v2",
        *,
        layer: str | Sequence[str] | None = None,
        weights: str | os.PathLike[str] | None = "imagenet",
        pooling: Pooling = "avg",
        preprocess: str | Callable[[Any], Any] | None = "auto",
        image_size: tuple[int, int] | None = None,
        batch_size: int | Literal["auto"] = "auto",
        engine: Engine = "tensorflow",
        precision: Precision = "float32",
        skip_broken: bool = False,
        cache: str | os.PathLike[str] | None = None,
    ) -> None:
        self.backbone = backbone
        self.layer = layer
        self.weights = weights
        self.pooling = pooling
        self.preprocess = preprocess
        self.image_size = image_size
        self.batch_size = batch_size
        self.engine = engine
        self.precision = precision
        self.skip_broken = skip_broken
        self.cache = cache

    _network: Any = None
    _extraction: Extraction | None = None
    _shared: dict[Any, Any] | None = None
    """Networks and what was compiled of them, for this one and its clones."""

    # ---- scikit-learn's methods ------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None) -> Self:
        """Loads the network and finds the layers; nothing is learned.

        Args:
            X: images: an array `(n, height, width, channels)`, or `(n, height, width)` of gray ones, uint8 or with
                values 0..255 where they are preprocessed; the path of a folder; or a `tf.data.Dataset` of images or
                batches of them, alone or first of a tuple.
            y: not used.

        Returns:
            The estimator itself.

        Raises:
            ValueError: in scikit-learn's words, for parameters that cannot be.
            BuildError: there is no such network or layer.
            DataError: images that the network cannot take.
            MissingExtra: OpenVINO is asked for and not installed.
        """
        self._validate_params()
        images = None if isinstance(X, str | os.PathLike) else as_images(X, None, 0)
        size = self._size() or (None if images is None or None in images.shape else images.shape[:2])
        self._network, preprocess = self._network_for(size)
        of_zoo = isinstance(preprocess, str)
        self._settings: dict[str, Any] = {
            "layers": copy.copy(self.layer),
            "pooling": self.pooling,
            "preprocess": partial(zoo.normalize, zoo.card(preprocess).name) if of_zoo else preprocess,
            "image_size": self._size(),
            "takes_bytes": of_zoo,
            "batch_size": None if self.batch_size == "auto" else int(self.batch_size),
            "engine": self.engine,
            "precision": self.precision,
        }
        self._extraction = None
        extraction = self._compiled()
        if images is not None:
            extraction.check(images)
        shape = extraction.input_shape if images is None else images.shape
        self._sizes = extraction.sizes(shape)
        if isinstance(images, ArrayImages):
            self.n_features_in_ = images.array.shape[1]
        return self

    def transform(self, X: Any) -> Features:
        """The features of images, in their order; those of a folder by the files' names.

        Args:
            X: as for `fit`.

        Returns:
            `(n_samples, n_features)` float32; read-only and memory-mapped if there is a cache.

        Raises:
            DataError: images that the network cannot take, files that are broken, or features that would fit neither
                memory nor disk.
        """
        check_is_fitted(self)
        extraction = self._compiled()
        size = extraction.image_size or _known(extraction.input_shape[:2])
        images = as_images(X, size, extraction.input_shape[-1], self.skip_broken)
        return extraction(images, None if self.cache is None else FeatureCache(self.cache))

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """`block_13_expand_relu_0`, `block_13_expand_relu_1`, ...: the layer, and the place in it.

        Args:
            input_features: not used; images have no names.
        """
        check_is_fitted(self)
        return np.asarray([f"{path}_{i}" for path, size in self._sizes.items() for i in range(size)], dtype=object)

    @property
    def _n_features_out(self) -> int:
        return sum(self._sizes.values())

    def __sklearn_is_fitted__(self) -> bool:
        return self._network is not None

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        return tags

    def __sklearn_clone__(self) -> Any:
        """A network that nobody changes need not be copied: clones, as a search makes many, share it, and what was
        compiled of it.
        """
        given = self.get_params(deep=False)
        params = {name: value if _is_model(value) else clone(value, safe=False) for name, value in given.items()}
        twin = type(self)(**params)
        twin._shared = self._made()
        for name in ("_sklearn_output_config", "_metadata_request"):
            if hasattr(self, name):
                setattr(twin, name, copy.deepcopy(getattr(self, name)))
        return twin

    def __getstate__(self) -> dict[str, Any]:
        state = {name: value for name, value in super().__getstate__().items() if name not in _LIVE}
        return {name: as_data(value) for name, value in state.items()} if is_portable() else state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__({name: from_data(value) for name, value in state.items()})

    # ---- how -------------------------------------------------------------------------------------------------------

    def _size(self) -> tuple[int, int] | None:
        if self.image_size is None:
            return None
        size = tuple(self.image_size)
        if len(size) != 2 or not all(isinstance(side, Integral) and side > 0 for side in size):
            raise ValueError(f"image_size must be (height, width) in pixels, got {self.image_size!r}")
        return int(size[0]), int(size[1])

    def _network_for(self, size: Any) -> tuple[Any, Any]:
        """The network for images of this size, and its preprocessing: a network of the zoo, a function or None."""
        made, own = self._made(), None
        if _is_model(self.backbone):
            network = self.backbone
        elif isinstance(self.backbone, os.PathLike) or str(self.backbone).endswith(".keras"):
            network = _lent(made, load_network, Path(self.backbone))
        else:
            card = zoo.card(self.backbone)
            shape = card.input_shape or (None, None, 3)
            if self.image_size is None and size is not None and min(size) < (card.min_size or 1):
                raise DataError(
                    f"{card.name} takes images of at least {card.min_size} × {card.min_size} pixels, got "
                    f"{size[0]} × {size[1]}; image_size=(height, width) enlarges them"
                )
            network = _lent(made, _of_zoo, card.name, self.weights, (*(size or shape[:2]), shape[-1]))
            own = card.name
        return network, own if self.preprocess == "auto" else self.preprocess

    def _compiled(self) -> Extraction:
        """The network as it was asked for when it was fitted."""
        if self._extraction is None:
            made, key = self._made(), (id(self._network), repr(self._settings))
            made[key] = made.get(key) or Extraction(self._network, **self._settings)
            self._extraction = made[key]
        return self._extraction

    def _made(self) -> dict[Any, Any]:
        if self._shared is None:
            self._shared = {}
        return self._shared


_LIVE = ("_extraction", "_shared")


def _is_model(value: Any) -> bool:
    keras = sys.modules.get("keras")
    return keras is not None and isinstance(value, keras.Model)


def _known(size: Any) -> tuple[int, int] | None:
    return None if None in size else (int(size[0]), int(size[1]))


def _lent(made: dict[Any, Any], make: Callable[..., Any], *given: Any) -> Any:
    """What was made before of the same, files as they are now included; or it is made."""
    files = [os.stat(item) for item in given if isinstance(item, str | os.PathLike) and os.path.isfile(item)]
    key = (make.__name__, repr(given), tuple((file.st_size, file.st_mtime_ns) for file in files))
    if key not in made:
        made[key] = make(*given)
    return made[key]


def _of_zoo(name: str, weights: Any, shape: Any) -> Any:
    return zoo.load(name, weights=weights, input_shape=shape, include_top=False)
