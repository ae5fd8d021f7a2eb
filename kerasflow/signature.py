"""What a model takes and gives, in words that every tracking store understands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from kerasflow.tracking.port import Tensor

if TYPE_CHECKING:
    import keras


def signature_of(model: keras.Model, example: Any) -> dict[str, Sequence[Tensor]]:
    """Names, types and shapes of a model's inputs and outputs.

    Args:
        example: a few samples `(n_samples, ...)`, or a list or dict of them where it takes several.
    """
    outputs = model(example, training=False)
    return {"inputs": _tensors(example, model, "inputs"), "outputs": _tensors(outputs, model, "outputs")}


def graph_signature(model: keras.Model) -> dict[str, Sequence[Tensor]] | None:
    """The same without samples, from a model's graph; None if it has none."""
    import keras

    if not getattr(model, "inputs", None) or not getattr(model, "outputs", None):
        return None
    return {side: _symbols(keras.tree.flatten(getattr(model, side))) for side in ("inputs", "outputs")}


def _symbols(tensors: Sequence[Any]) -> list[Tensor]:
    alone = len(tensors) == 1
    return [
        Tensor(None if alone else one.name, one.dtype, [-1, *(size or -1 for size in one.shape[1:])]) for one in tensors
    ]


def _tensors(values: Any, model: keras.Model, side: Literal["inputs", "outputs"]) -> list[Tensor]:
    """One tensor, or several by the names of the model's own."""
    import numpy as np

    if isinstance(values, Mapping):
        named = dict(values)
    elif isinstance(values, list | tuple):
        named = {tensor.name: value for tensor, value in zip(getattr(model, side), values, strict=True)}
    else:
        named = {None: values}
    arrays = {name: np.asarray(value) for name, value in named.items()}
    return [Tensor(name, array.dtype.name, [-1, *array.shape[1:]]) for name, array in arrays.items()]
