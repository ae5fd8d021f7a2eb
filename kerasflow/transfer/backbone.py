"""The network at the beginning of a model: loaded, and cut off behind the layers that are asked for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerasflow.errors import BuildError, sentence
from kerasflow.spec.document import DocumentPath
from kerasflow.spec.model import BackboneSpec
from kerasflow.transfer.freezing import thaw
from kerasflow.transfer.graph import Nodes, graph_of
from kerasflow.transfer.taps import find

if TYPE_CHECKING:
    import keras

Where = Callable[[DocumentPath], str]


def load_network(path: str | Path) -> keras.Model:
    """A network from a `.keras` file, in safe mode and not compiled.

    Raises:
        BuildError: there is none in the file, or it holds code.
    """
    import keras

    try:
        network: keras.Model = keras.models.load_model(path, compile=False, safe_mode=True)
    except (ValueError, TypeError, OSError) as error:
        raise BuildError(f"{path} cannot be loaded: {sentence(error)}") from error
    return network


def network_for(
    spec: BackboneSpec, shape: tuple[Any, ...], where: Where, n_outputs: Any, task: Any, network: Any = None
) -> keras.Model:
    """The whole network of a backbone.

    Args:
        shape: of a sample that it takes.
        where: names the place of a path below the model, for errors.
        n_outputs, task: of auxiliary heads, see `build`.
        network: in place of a file that the spec names.

    Raises:
        BuildError: there is no such network, or it takes other samples.
        DataError: a file of weights is missing or damaged.
    """
    if spec.model is None:
        return _of_the_zoo(spec, shape, where, n_outputs, task)
    found = _saved(spec.model, where) if network is None else network
    _check_samples(found, spec.model, shape, where)
    thaw(found)  # what was frozen before is for the route to say
    return found


def upto(network: keras.Model, spec: BackboneSpec, where: Where) -> keras.Model:
    """A network up to its last layer that is kept, as a model called `backbone`; its auxiliary heads, where they are
    asked for, are outputs behind the first.

    Of several layers it gives one vector: what each gives, pooled or flattened, one behind the other.

    Args:
        where: names the place of a path below the model, for errors.

    Raises:
        BuildError: there is no such layer.
    """
    import keras

    if spec.layer is None:
        output = network.layers[-2].output if spec.model else network.output
        return keras.Model(network.inputs, output, name="backbone")
    try:
        calls = find(network, spec.layer)
    except BuildError as error:
        raise BuildError(f"{where(('backbone', 'layer'))}: {error}") from error
    tensors = list(_tensors(network, {path: call.nodes for path, call in calls.items()}).values())
    if len(tensors) > 1:
        vectors = [_vector(tensor, spec.pooling, f"pool_{place}") for place, tensor in enumerate(tensors)]
        tensors = [keras.layers.Concatenate(name="features")(vectors)]
    return keras.Model(network.inputs, tensors[0], name="backbone")


def _of_the_zoo(spec: BackboneSpec, shape: tuple[Any, ...], where: Where, n_outputs: Any, task: Any) -> Any:
    from kerasflow import zoo

    weights = None if spec.weights == "none" else spec.weights
    heads: dict[str, Any] = {}
    if spec.aux_heads:
        if not isinstance(n_outputs, int) or not isinstance(task, str):
            raise BuildError(f"{where(('backbone', 'aux_heads'))}: learn what one head learns; pass its n_outputs")
        activation = {"regression": "linear", "multilabel": "sigmoid"}.get(task, "softmax")
        heads = {"aux_heads": True, "classes": n_outputs, "classifier_activation": activation}
    try:
        return zoo.load(str(spec.name), weights=weights, input_shape=shape, include_top=False, **heads)
    except BuildError as error:
        raise BuildError(f"{where(('backbone',))}: {error}") from error


def _saved(path: str, where: Where) -> Any:
    try:
        return load_network(path)
    except BuildError as error:
        raise BuildError(f"{where(('backbone', 'model'))}: {error}") from error


def _check_samples(network: Any, name: str, shape: tuple[Any, ...], where: Where) -> None:
    place = where(("backbone", "model"))
    if graph_of(network) is None:
        raise BuildError(f"{place}: {name} is {type(network).__name__}, whose layers stand in no graph that can be cut")
    expected = tuple(network.input_shape[1:])
    if len(expected) != len(shape) or any(
        size not in (None, given) for size, given in zip(expected, shape, strict=True)
    ):
        raise BuildError(f"{place}: {name} takes samples of shape {expected}, got {shape}")


def _tensors(model: Any, wanted: Mapping[str, Nodes]) -> dict[str, Any]:
    """What calls give, in a model or in models within it, as symbolic tensors that follow from the model's inputs."""
    import keras

    found = {path: nodes[0].outputs[0] for path, nodes in wanted.items() if len(nodes) == 1}
    inside: dict[Any, dict[str, Nodes]] = defaultdict(dict)
    for path, (node, *rest) in wanted.items():
        if rest:
            inside[node][path] = tuple(rest)
    for node, within in inside.items():
        outputs = _tensors(node.operation, within)
        alone = len(within) == len(wanted)  # else the whole of it may be needed, too, and names are given once
        name = node.operation.name if alone else f"{node.operation.name}_tapped"
        part = keras.Model(node.operation.inputs, list(outputs.values()), name=name)
        found |= zip(outputs, keras.tree.flatten(part(node.input_tensors)), strict=True)
    return {path: found[path] for path in wanted}


def _vector(tensor: Any, pooling: str, name: str) -> Any:
    import keras

    layers = keras.layers
    pools = {
        "avg": (layers.GlobalAveragePooling1D, layers.GlobalAveragePooling2D, layers.GlobalAveragePooling3D),
        "max": (layers.GlobalMaxPooling1D, layers.GlobalMaxPooling2D, layers.GlobalMaxPooling3D),
    }
    axes = len(tensor.shape) - 2  # between the samples and the channels
    if axes == 0:
        return tensor
    return pools[pooling][axes - 1](name=name)(tensor) if pooling in pools else layers.Flatten(name=name)(tensor)
