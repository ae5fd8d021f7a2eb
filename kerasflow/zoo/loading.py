"""`kf.zoo.load`: a name becomes a `keras.Model`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerasflow.builders.graph import HeadTask, build
from kerasflow.builders.plan import plan
from kerasflow.errors import BuildError, did_you_mean, sentence
from kerasflow.spec.arguments import whole
from kerasflow.spec.document import dotted
from kerasflow.zoo.catalogue import Card, card, cards
from kerasflow.zoo.networks import Network, own, upto
from kerasflow.zoo.weights import fill, find, not_downloaded

if TYPE_CHECKING:
    import keras

Shape = tuple[int | None, int | None, int | None]

# A head takes its activation from its task.
_TASKS: dict[str, HeadTask] = {"softmax": "classification", "sigmoid": "multilabel", "linear": "regression"}


def load(
    name: str,
    weights: str | Path | Mapping[str, Any] | None = None,
    input_shape: Shape | None = None,
    include_top: bool = True,
    classes: int | None = None,
    classifier_activation: str | None = "softmax",
    aux_heads: bool = False,
) -> keras.Model:
    """A network of the zoo as a plain functional `keras.Model`, channels last.

    Args:
        name: as `kerasflow zoo` lists it, or as Keras spells the constructor.
        weights: None or `"none"` for random ones; `"imagenet"` for the published ones; a path to `.weights.h5`,
            `.keras`, `.pth` or `.safetensors`; or a PyTorch state dict, arrays by name. What belongs to a head that is
            not asked for is left out.
        input_shape: (height, width, channels) of an image; the card's if None. Sizes may be None where no layer needs
            to know them.
        include_top: whether the classifier belongs to it; without, the output is the last feature map.
        classes: of the classifier; as many as the published network has if None (1000, LeNet-5 10).
        classifier_activation: `softmax`, or `sigmoid`; None for logits.
        aux_heads: GoogLeNet's auxiliary classifiers, too: three outputs, `main`, `aux1` and `aux2`, to be compiled with
            `loss_weights=card(name).loss_weights`; without the top, the last feature map in place of `main`.

    Raises:
        BuildError: there is no such network, it cannot have this shape, or the weights are another network's.
        DataError: a file of weights is missing, damaged or holds code, or the published ones are out of reach.
    """
    found = card(name)
    shape = _shape(found, input_shape)
    if classes is not None and not whole(classes):
        raise BuildError(f"{found.name}: classes must be an integer >= 1, got {classes!r}")
    if aux_heads and not found.loss_weights:
        having = ", ".join(other.name for other in cards() if other.loss_weights)
        raise BuildError(f"{found.name} has no auxiliary heads; networks that have: {having}")
    top = _Top(include_top, classes or found.classes, classifier_activation, aux_heads)
    network = own(found.name)
    word = weights if isinstance(weights, str) else ""
    keras_downloads = network is None and word == "imagenet"
    source = None if weights is None or word == "none" or keras_downloads else find(found, weights)
    model = _from_spec(found, network, shape, top) if network else _from_keras(found, keras_downloads, shape, top)
    if source is not None:
        fill(model, found, source)
    return model


@dataclass(frozen=True)
class _Top:
    """What stands above the features."""

    include: bool
    classes: int
    activation: str | None
    aux_heads: bool


def _shape(found: Card, given: Shape | None) -> Shape | None:
    if given is None:
        return found.input_shape
    sizes = tuple(given) if isinstance(given, tuple | list) else ()
    if len(sizes) != 3 or not all(size is None or whole(size) for size in sizes):
        raise BuildError(f"{found.name}: input_shape must be (height, width, channels), got {given!r}")
    height, width, channels = sizes
    if found.min_size and any(size is not None and size < found.min_size for size in (height, width)):
        raise BuildError(
            f"{found.name} takes images of at least {found.min_size}×{found.min_size}, got {height}×{width}; "
            "enlarge them, or choose another network"
        )
    return height, width, channels


def _from_spec(found: Card, network: Network, shape: Shape | None, top: _Top) -> keras.Model:
    activation = top.activation or "linear"
    if activation not in _TASKS:
        hint = did_you_mean(activation, _TASKS) or ""
        known = ", ".join(_TASKS)
        raise BuildError(f"{found.name}: classifier_activation must be one of {known}, got {activation!r}{hint}")
    main, *aux = network.heads
    outputs = (main if top.include else network.features, *(aux if top.aux_heads else ()))
    spec = upto(network.spec, outputs)
    assert shape is not None  # a card of kerasflow's own has one
    adaptive = {step.name for step in plan(spec).steps if step.kind.startswith("adaptive")}
    if adaptive and None in shape:
        raise BuildError(f"{found.name}'s classifier must know the size of its images, got input_shape={shape}")
    model = build(
        spec,
        shape,
        n_outputs=top.classes if top.include or top.aux_heads else None,
        task=_TASKS[activation],
        where=lambda path: f"{found.name}: {dotted(path)}",
    )
    pools = (layer for layer in model.layers if layer.name in adaptive)
    if any(1 in layer.input.shape[1:3] for layer in pools):  # Keras 3.15 pools one pixel in eager mode alone
        raise BuildError(f"{found.name}'s classifier takes larger images than {shape[0]}×{shape[1]}")
    return model


def _from_keras(found: Card, download: bool, shape: Shape | None, top: _Top) -> keras.Model:
    import keras

    try:
        model: keras.Model = getattr(keras.applications, found.title)(
            include_top=top.include,
            weights="imagenet" if download else None,
            input_shape=shape,
            classes=top.classes,
            classifier_activation=top.activation,
        )
    except Exception as error:
        out_of_reach = not_downloaded(found, error)
        if out_of_reach is not None:
            raise out_of_reach from error
        if isinstance(error, ValueError | TypeError):
            raise BuildError(f"{found.name}: {sentence(error)}") from error
        raise
    return model
