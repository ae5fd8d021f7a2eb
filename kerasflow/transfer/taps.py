"""`kf.taps`: what any layers of a model give, several at once, by one forward pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from kerasflow.data.target import listed
from kerasflow.errors import BuildError, DataError, did_you_mean
from kerasflow.training.program import spec_of
from kerasflow.training.refusal import explained
from kerasflow.transfer.graph import Call, calls_of, graph_of, values

Pooling = Literal["avg", "max", "none"]


class Taps:
    """Layers of a model, to be asked what they give. The model may go on training: its present weights count.

    Args:
        model: a functional or sequential `keras.Model`.
        layers: a path or several, `conv1` or `backbone/block3/out`, with `/` or `.` between names; `all` for every
            layer that is no model itself. Of a layer that is called several times, `conv#2` is its second call.
        pooling: `avg` or `max` over all axes between the first and the last; `none` gives outputs as they are.
        batch_size: samples for each forward pass.

    Raises:
        BuildError: the model has no graph, no such layer, or the layer gives several outputs.
    """

    def __init__(
        self, model: Any, layers: str | Sequence[str], pooling: Pooling = "none", batch_size: int = 32
    ) -> None:
        if pooling not in get_args(Pooling):
            hint = did_you_mean(str(pooling), get_args(Pooling))
            raise BuildError(f"pooling must be one of {', '.join(get_args(Pooling))}, got {pooling!r}{hint}")
        self.model, self.pooling, self.batch_size = model, pooling, batch_size
        self.calls = find(model, layers)
        self._programs: dict[str, Any] = {}

    @property
    def shapes(self) -> dict[str, tuple[int | None, ...]]:
        """The shape of what each layer gives for one sample, pooled."""
        shapes = {path: tuple(call.outputs[0].shape[1:]) for path, call in self.calls.items()}
        return shapes if self.pooling == "none" else {path: shape[-1:] for path, shape in shapes.items()}

    def __call__(self, x: Any) -> dict[str, NDArray[Any]]:
        """What the layers give, by the paths that were asked for, `(n_samples, ...)` each.

        Args:
            x: `(n_samples, ...)`, as the model takes it: an array, or a list or dict of them.

        Raises:
            DataError: samples of another shape than the model takes, or none.
        """
        import keras

        x = keras.tree.map_structure(np.asarray, x)
        check_shapes(self.model, x)
        n = len(keras.tree.flatten(x)[0])
        parts = [self._batch(x, slice(start, start + self.batch_size)) for start in range(0, n, self.batch_size)]
        return {path: np.concatenate([part[path] for part in parts]) for path in self.calls}

    def tensors(self, x: Any) -> dict[str, Any]:
        """The same for tensors, to be part of a program of somebody else's."""
        found = values(self.model, x, {path: call.nodes for path, call in self.calls.items()})
        return {path: pooled(tensor, self.pooling) for path, tensor in found.items()}

    def _batch(self, x: Any, rows: slice) -> dict[str, NDArray[Any]]:
        import keras
        import tensorflow as tf

        batch = keras.tree.map_structure(lambda leaf: tf.convert_to_tensor(leaf[rows]), x)
        specs = keras.tree.map_structure(lambda leaf: spec_of(leaf, any_length=True), batch)
        with explained("graph", batch):
            program = self._programs.get(repr(specs))
            if program is None:
                program = tf.function(self.tensors, input_signature=[specs], autograph=False)
                self._programs[repr(specs)] = program
            return {path: tensor.numpy() for path, tensor in program(batch).items()}


def taps(model: Any, layers: str | Sequence[str], pooling: Pooling = "none", batch_size: int = 32) -> Taps:
    """What layers of a model give: `kf.taps(model, ["conv1", "backbone/block3/out"])(images)` is a dict of arrays.

    Args:
        model, layers, pooling, batch_size: see `Taps`.

    Raises:
        BuildError: the model has no graph, no such layer, or the layer gives several outputs.
    """
    return Taps(model, layers, pooling, batch_size)


def pooled(tensor: Any, pooling: Pooling) -> Any:
    """A layer's output `(n, ..., channels)` with the axes between pooled away, or as it is."""
    import tensorflow as tf

    between = list(range(1, tensor.shape.rank - 1))
    if pooling == "none" or not between:
        return tensor
    return (tf.reduce_mean if pooling == "avg" else tf.reduce_max)(tensor, between)


def find(model: Any, layers: str | Sequence[str]) -> dict[str, Call]:
    """The calls of these layers, by the paths as they were given.

    Raises:
        BuildError: the model has no graph, no such layer, or the layer gives several outputs.
    """
    import keras

    if not isinstance(model, keras.Model):
        raise BuildError(f"layers are tapped in a keras.Model, got {type(model).__name__}")
    if graph_of(model) is None:
        if isinstance(model, keras.Sequential):
            raise BuildError(f"the model {model.name!r} is not built; call it on samples, or begin it with keras.Input")
        raise BuildError(
            f"the model {model.name!r} computes by code of its own ({type(model).__name__}.call), in which no layer "
            "can be found; tap a functional or sequential model, such as the backbone that it holds"
        )
    calls = {_key(call.path): call for call in calls_of(model)}
    if layers == "all":
        return {call.path: call for call in calls.values() if _is_leaf(call)}
    paths = [layers] if isinstance(layers, str) else list(layers)
    if not paths:
        raise BuildError("which layers are to be tapped? Give one path or several, or 'all'")
    return {path: _one(model, path, calls) for path in paths}


def _one(model: Any, path: str, calls: dict[str, Call]) -> Call:
    found = calls.get(_key(path))
    if found is None:
        several = [call.path for call in _calls_without_numbers(path, calls)]
        if several:
            raise BuildError(f"{path!r} is called {len(several)} times in {model.name!r}; name one: {listed(several)}")
        known = [call.path for call in calls.values()]
        hint = did_you_mean(path, known) or f"; its layers are {listed(known)}"
        raise BuildError(f"the model {model.name!r} has no layer {path!r}{hint}")
    if len(found.outputs) > 1:
        raise BuildError(f"{path!r} gives {len(found.outputs)} outputs, and a tap is of one; tap a layer behind it")
    return found


def _calls_without_numbers(path: str, calls: dict[str, Call]) -> Iterator[Call]:
    """The calls that a path means which leaves out the number of one."""
    wanted = _key(path).split("/")
    for key, call in calls.items():
        names = key.split("/")
        pairs = zip(names, wanted, strict=False)
        if len(names) == len(wanted) and all(own == given or own.startswith(f"{given}#") for own, given in pairs):
            yield call


def _key(path: str) -> str:
    """Names may hold dots, and paths may be dotted."""
    return str(path).replace(".", "/")


def _is_leaf(call: Call) -> bool:
    return graph_of(call.layer) is None and len(call.outputs) == 1 and len(call.outputs[0].shape) > 1


def check_shapes(model: Any, x: Any) -> None:
    """Raises a DataError for samples of another shape than the model takes, or for none."""
    import keras

    wanted = [tuple(tensor.shape[1:]) for tensor in keras.tree.flatten(model.inputs)]
    given = [tuple(leaf.shape[1:]) for leaf in keras.tree.flatten(x)]
    if not all(len(leaf.shape) and len(leaf) for leaf in keras.tree.flatten(x)):
        raise DataError("there are no samples to pass through the model")
    check_fit(wanted, given, model.name)


def check_fit(wanted: Sequence[tuple[int | None, ...]], given: Sequence[tuple[int | None, ...]], name: str) -> None:
    """Raises a DataError for shapes of samples, one an input, that are not those that the model of this name takes."""
    if len(wanted) != len(given) or not all(map(_fits, given, wanted)):
        raise DataError(
            f"the model {name!r} takes samples of shape {_shown(wanted)}, got samples of shape {_shown(given)}"
        )


def _fits(given: tuple[int | None, ...], wanted: tuple[int | None, ...]) -> bool:
    return len(given) == len(wanted) and all(b is None or a == b for a, b in zip(given, wanted, strict=True))


def _shown(shapes: Sequence[tuple[int | None, ...]]) -> str:
    return " and ".join(map(str, shapes))
