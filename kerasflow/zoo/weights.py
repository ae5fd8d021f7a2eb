"""Weights from wherever they lie, into a model."""

from __future__ import annotations

import hashlib
import traceback
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from kerasflow.errors import BuildError, DataError, sentence
from kerasflow.zoo.catalogue import Card
from kerasflow.zoo.keras_file import differences
from kerasflow.zoo.networks import Network, names, own
from kerasflow.zoo.state_dict import assign, listed
from kerasflow.zoo.torch_file import read_state_dict

if TYPE_CHECKING:
    import keras

_TORCH = (".pth", ".pt", ".safetensors")
_KERAS = (".keras", ".h5")


class Source(NamedTuple):
    """Weights at hand: PyTorch's arrays by name, or a file of Keras'; `where` names them in messages."""

    where: str
    held: Mapping[str, Any] | Path


def find(found: Card, weights: str | Path | Mapping[str, Any]) -> Source:
    """What was asked for, read as far as can be without a model, so that no model is built for nothing.

    Args:
        found: the network that they are for.
        weights: `"imagenet"` for one of kerasflow's own networks, a path, or a PyTorch state dict.

    Raises:
        BuildError: they are of a kind that the network does not take.
        DataError: the file is missing, damaged or of another kind.
    """
    network = own(found.name)
    if isinstance(weights, Mapping):
        source = Source("the state dict", weights)
    else:
        path = download(found, network) if network and weights == "imagenet" else Path(weights)
        if path.suffix not in _TORCH + _KERAS:
            known = "'imagenet', 'none', or a path to .weights.h5, .keras, .pth or .safetensors"
            raise DataError(f"weights must be {known}, got {str(weights)!r}")
        if not path.is_file():
            raise DataError(f"{path}: there is no such file of weights")
        if path.suffix in _KERAS:
            return Source(str(path), path)
        source = Source(str(path), read_state_dict(path))
    if network is None:
        takes = f"{', '.join(names())} take PyTorch's weights, {found.name} those of Keras"
        raise BuildError(f"{source.where}: {takes} (.weights.h5, .keras, 'imagenet')")
    return source


def fill(model: keras.Model, found: Card, source: Source) -> None:
    """Gives a model of the card's network its weights.

    Raises:
        BuildError: they are another network's; the message names layers and shapes that differ.
        DataError: the file is damaged.
    """
    prefix = f"{source.where} does not fit {found.name}"
    if isinstance(source.held, Mapping):
        network = own(found.name)
        assert network is not None  # `find` gives arrays for no other
        assign(model, network, source.held, prefix)
        return
    try:
        with warnings.catch_warnings(record=True) as told:  # of a file that does not fit, one for each layer
            model.load_weights(source.held)
    except ValueError as error:
        raise BuildError(f"{prefix}: {listed(differences(model, source.held)) or sentence(error)}") from error
    except Exception as error:  # h5py and zipfile have many
        raise DataError(f"{source.where}: cannot be read as weights of Keras: {sentence(error)}") from error
    for one in told:
        warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)


def download(found: Card, network: Network) -> Path:
    """The published weights of one of kerasflow's own networks, from Keras' cache or the network.

    Raises:
        DataError: none are published, neither has them, or what came is not what was published.
    """
    if not network.url:
        raise DataError(f"{found.name} has no weights to download: {found.weights}; load with weights=PATH, or none")
    import keras

    file = network.url.rpartition("/")[2]
    try:
        path = Path(keras.utils.get_file(file, origin=network.url, cache_subdir="models"))
    except Exception as error:
        said = not_downloaded(found, error)
        if said is None:
            raise
        raise said from error
    with path.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    if not digest.startswith(path.stem.rpartition("-")[2]):
        raise DataError(f"{path}: is not what was published; delete it, and it is downloaded again")
    return path


def not_downloaded(found: Card, error: Exception) -> DataError | None:
    """What to say of an error on the way to published weights; None if that is not where it came from."""
    # Keras names the address but not the path; the call that failed knows both.
    calls = {frame.f_code.co_name: frame.f_locals for frame, _ in traceback.walk_tb(error.__traceback__)}
    if "get_file" in calls:
        path = calls["get_file"].get("download_target", "~/.keras/models")
        return DataError(
            f"the weights of {found.name} are neither in Keras' cache nor to be had ({sentence(error)}); "
            f"connect to a network, put the file at {path}, or load with weights=PATH or none"
        )
    if isinstance(error, OSError):
        said = sentence(error)
        return DataError(f"the weights of {found.name} in Keras' cache cannot be read ({said}); delete the file")
    return None
