"""`kf.build`: a `ModelSpec` becomes a `keras.Model`, with a backbone of the zoo at its beginning where it names one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from kerasflow.builders import graph
from kerasflow.builders.graph import HeadTask, Shape
from kerasflow.builders.objects import seeded
from kerasflow.builders.precision import Precision, computing_in
from kerasflow.errors import BuildError
from kerasflow.spec.document import dotted
from kerasflow.spec.model import BackboneSpec, ModelSpec, as_model_spec
from kerasflow.training.window import Auxiliary
from kerasflow.transfer.backbone import Where, network_for, upto
from kerasflow.transfer.graph import calls_of

if TYPE_CHECKING:
    import keras

SAMPLES = 64  # images that are enough to see whether they are scaled already


def build(
    spec: ModelSpec | dict[str, Any],
    input_shape: Shape | Mapping[str, Shape],
    n_outputs: int | Mapping[str, int] | None = None,
    task: HeadTask | Mapping[str, HeadTask] = "classification",
    *,
    seed: int | None = None,
    precision: Precision | None = None,
    where: Where | None = None,
) -> keras.Model:
    """Builds a network with nothing of kerasflow inside: a functional `keras.Model` that saves and loads anywhere.

    Args:
        spec: the layers. With a backbone, the model takes images as they lie on a disk, 0 to 255, and holds whatever
            treats them as the backbone was trained on.
        input_shape: the shape of one sample, without the batch; by input's name for a model with several.
        n_outputs: numbers that each `head` gives: classes, labels or targets (1 for two classes); by the head's name
            if several.
        task: what each `head` is for: `classification` (softmax, or a sigmoid for one output), `multilabel` (a sigmoid
            each) or `regression` (linear); by the head's name if they differ.
        seed: of the initial weights and of every mask; random if None. No global generator is touched.
        precision: what layers compute in (Micikevicius et al. 2018, "Mixed Precision Training"); Keras' global dtype
            policy if None. Weights stay float32, and so do the heads: half precision would spoil softmax and cost.
        where: names the place of a path below the model, for errors; the dotted path if None.

    Raises:
        SpecError: the spec, given as a dict, has faults.
        BuildError: layers do not fit together; the message names the layer and both shapes.
        DataError: a file of weights is missing or damaged.
    """
    checked = as_model_spec(spec)
    if checked.backbone is None:
        return graph.build(checked, input_shape, n_outputs, task, seed=seed, precision=precision, where=where)
    place = where or dotted
    with seeded(seed), computing_in(precision):
        if checked.backbone.name is not None:
            _check_image_shape(input_shape, place)
        return _with_backbone(checked, checked.backbone, tuple(input_shape), n_outputs, task, place)


def onto(
    network: keras.Model,
    spec: ModelSpec,
    input_shape: Shape,
    n_outputs: int | None = None,
    task: Any = "classification",
) -> keras.Model:
    """The same as `build`, on a network in memory.

    Args:
        network: that becomes a part of the model, in place of the one that the spec's backbone names.
        spec, input_shape, n_outputs, task: as for `build`.

    Raises:
        BuildError: as `build`.
    """
    assert spec.backbone is not None
    return _with_backbone(spec, spec.backbone, tuple(input_shape), n_outputs, task, dotted, network)


def _with_backbone(
    spec: ModelSpec,
    backbone: BackboneSpec,
    shape: tuple[Any, ...],
    n_outputs: Any,
    task: Any,
    where: Where,
    network: Any = None,
) -> Any:
    import keras

    inputs = tensor = keras.Input(shape, name="input")
    if backbone.name is not None and len(shape) == 2:
        tensor = keras.layers.Reshape((*shape, 1), name="channel")(tensor)
    if spec.augmentation:
        changing = ModelSpec.model_construct(layers=spec.augmentation)
        (tensor,) = graph.apply(changing, tensor, where=lambda path: where(("augmentation", *path[1:])))
    if backbone.name is not None:
        size = (backbone.size, backbone.size) if backbone.size else shape[:2]
        tensor = preprocessing(backbone.name, tuple(tensor.shape[1:]), size)(tensor)
    network = network_for(backbone, tuple(tensor.shape[1:]), where, n_outputs, task, network)
    tensor, *_ = keras.tree.flatten(upto(network, backbone, where)(tensor))
    if backbone.pooling != "none" and len(tensor.shape) == 4:
        pools = {"avg": keras.layers.GlobalAveragePooling2D, "max": keras.layers.GlobalMaxPooling2D}
        tensor = pools[backbone.pooling](name="pool")(tensor)
    after = spec.model_copy(update={"backbone": None, "augmentation": ()})
    outputs = graph.apply(after, tensor, n_outputs, task, where=where) if after.layers else [tensor]
    return keras.Model(inputs, outputs if len(outputs) > 1 else outputs[0])


def auxiliary_of(spec: ModelSpec, model: keras.Model) -> Auxiliary | None:
    """The auxiliary heads of a model that `build` has made of a spec; None if the spec has none.

    Args:
        model: gives its own head's output alone; the auxiliary ones are outputs of the backbone in it.
    """
    import keras

    from kerasflow import zoo

    if spec.backbone is None or not spec.backbone.aux_heads:
        return None
    _, *weights = zoo.card(str(spec.backbone.name)).loss_weights.values()
    _, *heads = next(call for call in calls_of(model) if call.path == "backbone").outputs
    return Auxiliary(keras.Model(model.inputs, [model.output, *heads]), tuple(weights))


def _check_image_shape(given: Any, where: Where) -> None:
    if isinstance(given, Mapping) or len(given) not in (2, 3) or (len(given) == 3 and given[-1] not in (1, 3)):
        raise BuildError(
            f"{where(('backbone',))}: a backbone takes images of shape (height, width, 1 or 3), got samples of shape "
            f"{given}"
        )


def check_images(spec: ModelSpec, images: Any) -> None:
    """Whether images are what a spec's backbone takes: 0 to 255, not scaled already.

    Args:
        spec: with a backbone of the zoo, or without.
        images: some, `(n, height, width)` or `(n, height, width, 1 or 3)`.

    Raises:
        DataError: they are not.
    """
    if spec.backbone is None or spec.backbone.name is None:
        return
    from kerasflow import zoo

    images = np.asarray(images)
    images = images[..., None] if images.ndim == 3 else images
    name = spec.backbone.name
    zoo.preprocess(name, np.repeat(images, 3, axis=-1) if images.shape[-1] < _channels(name) else images)


def preprocessing(name: str, shape: tuple[int, int, int], size: tuple[int, int]) -> Any:
    """What turns images 0 to 255 into what a network of the zoo was trained on, as a `keras.Model`.

    Every such treatment is affine, y = A x + b over channels, with an A that scales each channel and may turn their
    order; so it is found by asking for the images of black and of each pure color.

    Args:
        name: of the network.
        shape: of an image, (height, width, 1 or 3); gray becomes three equal channels.
        size: that images are resized to.
    """
    import keras

    from kerasflow import zoo

    channels = _channels(name)
    pure = np.concatenate([np.zeros((1, channels)), 255 * np.eye(channels)]).astype("uint8")[:, None, None, :]
    answers = zoo.preprocess(name, pure)[:, 0, 0, :].astype("float64")  # (black, red, green, blue; channel)
    offset, matrix = answers[0], (answers[1:] - answers[0]) / 255
    order = np.abs(matrix).argmax(axis=0)
    inputs = tensor = keras.Input(shape)
    if size != shape[:2]:
        tensor = keras.layers.Resizing(*size, name="resize")(tensor)
    if shape[-1] < channels:
        tensor = keras.layers.Concatenate(name="gray_to_rgb")([tensor] * 3)
    elif order.tolist() == [2, 1, 0]:
        tensor = keras.ops.flip(tensor, axis=-1)
    scale = matrix[order, range(channels)]
    if not (np.allclose(scale, 1) and np.allclose(offset, 0)):
        tensor = keras.layers.Rescaling(scale.tolist(), offset.tolist(), name="rescale")(tensor)
    return keras.Model(inputs, tensor, name="preprocessing")


def _channels(name: str) -> int:
    """Of the images that a network of the zoo takes: 3, or 1 of gray ones."""
    from kerasflow import zoo

    return (zoo.card(name).input_shape or (0, 0, 3))[-1]
