"""Which layers learn: named by patterns, at any depth."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from kerasflow.errors import TrainingError, did_you_mean
from kerasflow.training.keras_internals import flatten_layers
from kerasflow.training.objective import weight_penalties

HEAD = "head"


class Counts(NamedTuple):
    """Weights of a model, in numbers.

    Attributes:
        trainable: that learn.
        frozen: that do not, moving statistics among them.
    """

    trainable: int
    frozen: int


def count(model: Any) -> Counts:
    """How many weights learn, and how many do not."""
    total = sum(math.prod(weight.shape) for weight in model.weights)
    learning = sum(math.prod(weight.shape) for weight in model.trainable_weights)
    return Counts(learning, total - learning)


def frozen_penalties(model: Any) -> float:
    """What the regularizers of weights that do not learn add to the cost; Keras counts those of the others alone."""
    learning = {id(weight) for weight in model.trainable_weights}
    frozen = [weight for weight in model.weights if id(weight) not in learning]
    return float(sum(float(penalty) for penalty in weight_penalties(frozen)))


def layers_of(model: Any, within: str = "") -> Iterator[tuple[str, Any]]:
    """Every layer that is no model itself, with its dotted path: `backbone.block_13_expand`."""
    for layer in model.layers:
        path = f"{within}{layer.name}"
        if hasattr(layer, "layers") and hasattr(layer, "get_layer"):
            yield from layers_of(layer, f"{path}.")
        else:
            yield path, layer


def freeze(model: Any, unfreeze: Sequence[str] = (), unfreeze_from: str | None = None) -> list[str]:
    """Freezes every layer within a model's models, its backbones, but those named; layers beside them all learn.

    A frozen BatchNormalization normalises by its moving statistics and leaves them alone. The model has to be compiled
    again before it is trained.

    Args:
        model: a `keras.Model`; one without models inside is a backbone as a whole.
        unfreeze: patterns of layers, such as `block_1[456]*`, by their names or dotted paths; `*` is every layer.
        unfreeze_from: a layer; it learns, and so does every layer behind it in its model.

    Returns:
        The paths of the layers with weights that learn.

    Raises:
        TrainingError: no layer has such a name, or `unfreeze` is one text instead of a list.
    """
    check_patterns(unfreeze)
    layers = dict(layers_of(model))
    inside = {path for path in layers if "." in path} or set(layers)
    known = [*inside, *(layers[path].name for path in inside)]
    learning = set(layers) - inside
    for pattern in unfreeze:
        found = {path for path in inside if matches(path, pattern)}
        if not found:
            raise TrainingError(f"no layer is named {pattern!r}{did_you_mean(pattern, known)}")
        learning |= found
    if unfreeze_from is not None:
        learning |= _from(unfreeze_from, {path: layer for path, layer in layers.items() if path in inside}, known)
    thaw(model)
    for path, layer in layers.items():
        layer.trainable = path in learning
    return [path for path, layer in layers.items() if layer.trainable_weights]


def check_patterns(unfreeze: Any) -> None:
    """Refuses a text, which Python would take for a list of its letters.

    Raises:
        TrainingError: it is one.
    """
    if isinstance(unfreeze, str):
        raise TrainingError(f"unfreeze must be a list of patterns, got the text {unfreeze!r}; write [{unfreeze!r}]")


def thaw(model: Any) -> None:
    """Lets every layer learn; Keras' own `trainable = True` does not reach layers that are frozen one by one."""
    for layer in [model, *flatten_layers(model)]:
        layer.trainable = True


def _from(name: str, layers: Mapping[str, Any], known: list[str]) -> set[str]:
    within = {path: path.removesuffix(layer.name) for path, layer in layers.items()}  # names may hold dots themselves
    paths = list(layers)
    place = next((place for place, path in enumerate(paths) if matches(path, name)), None)
    if place is None:
        raise TrainingError(f"no layer is named {name!r}{did_you_mean(name, known)}")
    return {path for path in paths[place:] if within[path] == within[paths[place]]}


def matches(path: str, pattern: str) -> bool:
    """Whether a pattern means the layer of this dotted path: by its name alone, by the path, or by any end of it."""
    parts = path.split(".")
    return any(fnmatchcase(".".join(parts[start:]), pattern) for start in range(len(parts)))
