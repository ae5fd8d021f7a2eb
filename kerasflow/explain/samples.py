"""What is asked about: a model that has layers, one sample of it, samples with their targets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol, TypeVar

import numpy as np

from kerasflow.data.target import listed
from kerasflow.errors import BuildError, DataError, TrainingError, did_you_mean
from kerasflow.training.refusal import reason, shapes


class _Named(Protocol):
    @property
    def name(self) -> str: ...


Layer = TypeVar("Layer", bound=_Named)


def check_model(model: Any) -> None:
    """Raises a BuildError for what is no built `keras.Model`."""
    import keras

    if not isinstance(model, keras.Model):
        raise BuildError(f"expected a keras.Model, got {type(model).__name__}")
    if not model.built:
        raise BuildError(f"the model {model.name!r} is not built; call it on samples, or begin it with keras.Input")


def check_compiled(model: Any) -> None:
    """Raises a BuildError or a TrainingError for what has no cost."""
    check_model(model)
    if not getattr(model, "compiled", False):
        raise TrainingError("the model is not compiled; call model.compile(...) with the loss whose cost is asked for")


def one_sample(model: Any, sample: Any) -> Any:
    """A sample as a batch of one, nested as it was given.

    Args:
        sample: of the model's input shape, with or without an axis of one in front; a list or dict of several inputs.

    Raises:
        DataError: it has another shape.
    """
    import keras
    import tensorflow as tf

    wanted = [tuple(tensor.shape[1:]) for tensor in keras.tree.flatten(getattr(model, "inputs", None) or [])]
    leaves = [np.asarray(leaf) for leaf in keras.tree.flatten(_nest(sample, len(wanted)))]
    if not wanted:
        batch = [leaf if len(leaf.shape) and len(leaf) == 1 else leaf[None] for leaf in leaves]
    elif len(leaves) == len(wanted) and all(map(_fits, leaves, wanted)):
        batch = [leaf.reshape((1, *leaf.shape[leaf.ndim - len(w) :])) for leaf, w in zip(leaves, wanted, strict=True)]
    else:
        given = " and ".join(str(leaf.shape) for leaf in leaves)
        takes = " and ".join(map(str, wanted))
        raise DataError(f"the model {model.name!r} takes one sample of shape {takes}, got {given}")
    return keras.tree.pack_sequence_as(_nest(sample, len(wanted)), [tf.convert_to_tensor(leaf) for leaf in batch])


def _nest(sample: Any, n_inputs: int) -> Any:
    """A list of numbers is one array, a list of several inputs is not."""
    if isinstance(sample, dict) or (isinstance(sample, list | tuple) and n_inputs > 1):
        return sample
    return np.asarray(sample)


def _fits(leaf: Any, wanted: tuple[int | None, ...]) -> bool:
    shape = leaf.shape[1:] if leaf.ndim == len(wanted) + 1 and leaf.shape[0] == 1 else leaf.shape
    return len(shape) == len(wanted) and all(b is None or a == b for a, b in zip(shape, wanted, strict=True))


def samples(model: Any, x: Any, y: Any, weight: Any = None) -> tuple[Any, Any, Any]:
    """Arrays as tensors `(n_samples, ...)`, nested as they were given.

    Raises:
        DataError: there are none, or their numbers differ.
    """
    import keras
    import tensorflow as tf

    if y is None:
        raise DataError("the cost needs targets, and no y was given")

    def tensors(part: Any) -> Any:
        return keras.tree.map_structure(lambda leaf: tf.convert_to_tensor(np.asarray(leaf)), part)

    parts = tuple(None if part is None else tensors(part) for part in (x, y, weight))
    lengths = {
        name: {int(leaf.shape[0]) if leaf.shape.rank else 0 for leaf in keras.tree.flatten(part)}
        for name, part in zip(("x", "y", "sample_weight"), parts, strict=True)
        if part is not None
    }
    if any(0 in found for found in lengths.values()):
        raise DataError("there are no samples; x and y are arrays of (n_samples, ...)")
    if len(set.union(*lengths.values())) > 1:
        told = ", ".join(f"{name} has {' and '.join(map(str, sorted(n)))}" for name, n in lengths.items())
        raise DataError(f"x and y need as many samples as each other: {told}")
    return parts[0], parts[1], parts[2]


def outputs_of(model: Any, x: Any, training: bool = False) -> Any:
    """What a model gives for a batch, with its variables only read.

    Raises:
        DataError: it does not take such samples.
    """
    try:
        return model(x, training=training)
    except Exception as error:  # a model's own code may raise anything
        raise DataError(
            f"the model {model.name!r} cannot take samples of shape {shapes(x)}: {reason(error)}"
        ) from error


def row(nest: Any, index: int) -> Any:
    """One sample of a batch, as a batch.

    Raises:
        DataError: there is no such sample.
    """
    import keras

    n = int(keras.tree.flatten(nest)[0].shape[0])
    if isinstance(index, bool) or not isinstance(index, int | np.integer) or not -n <= index < n:
        raise DataError(f"there is no sample {index!r}: x has {n}, counted from 0 to {n - 1}")
    start = int(index) % n
    return keras.tree.map_structure(lambda leaf: None if leaf is None else leaf[start : start + 1], nest)


def layer_named(layers: Iterable[Layer], name: str) -> Layer:
    """The layer of this path among those of a trace, with `/` or `.` between names.

    Raises:
        BuildError: there is none; the message has near names.
    """
    found = {layer.name.replace(".", "/"): layer for layer in layers}
    if (wanted := name.replace(".", "/")) not in found:
        known = [layer.name for layer in found.values()]
        raise BuildError(f"there is no layer {name!r}{did_you_mean(name, known) or f'; there are {listed(known)}'}")
    return found[wanted]
