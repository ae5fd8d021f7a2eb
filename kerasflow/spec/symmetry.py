"""Hidden layers whose units would all begin as copies of one (Goodfellow, Bengio & Courville 2016, section 8.4)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kerasflow.spec.document import DocumentPath
from kerasflow.spec.faults import Found, short
from kerasflow.spec.layers import LayerSpec
from kerasflow.spec.wiring import HEAD

if TYPE_CHECKING:
    from kerasflow.spec.model import ModelSpec

_SAME = {"zeros": 0, "ones": 1, "constant": 0}
"""Initializers that give every weight one number, and which, where it is not said."""
_KERNELS = ("kernel_initializer", "pointwise_initializer")
"""What tells units apart; a separable convolution's filters differ by their pointwise kernel alone."""
_UNITS = ("units", "filters")
_PASSING = ("activation", "softmax", "reshape", "flatten")
"""Kinds of layers that weigh nothing: what stands before them at a model's end gives its output still."""


def copies(model: ModelSpec) -> Found:
    """The kernels of hidden layers of several units that begin with all weights equal; biases may.

    What gives the model's output may begin so: its units have targets of their own, which tell them apart from the
    first update on, and with nothing before it, as in softmax regression, the cost has one valley.
    """
    found: Found = []
    end = _end(model.layers)
    for index, layer in enumerate(model.layers):
        is_output = index == end or (layer.name is not None and layer.name in model.outputs)
        if not is_output:
            found += _in_layer(layer, ("layers", index))
    for name, block in model.blocks.items():
        for index, layer in enumerate(block.layers):
            found += _in_layer(layer, ("blocks", name, "layers", index))
    return found


def _end(layers: Sequence[LayerSpec]) -> int:
    """The place of the layer whose units the model gives, before what only activates or shapes them."""
    end = len(layers) - 1
    while end > 0 and layers[end].kind in _PASSING and layers[end].inputs is None:
        end -= 1
    return end


def _in_layer(layer: LayerSpec, path: DocumentPath) -> Found:
    if layer.kind == HEAD:
        return []
    told = (
        "begins every weight as {value}, so that all units begin as copies of one; leave it out for a random start, or "
        "write allow_symmetry: true under model and see what comes of it by kerasflow explain SPEC --only symmetry"
    )
    return [(below, told.format(value=short(value))) for below, value in _equal(layer.arguments, (*path, layer.kind))]


def _equal(arguments: Any, path: DocumentPath) -> Iterator[tuple[DocumentPath, float]]:
    """Where a kernel of several units has one value, and which; in wrapped layers and models, too."""
    if isinstance(arguments, Sequence) and not isinstance(arguments, str):
        for index, item in enumerate(arguments):
            yield from _equal(item, (*path, index))
    if not isinstance(arguments, Mapping):
        return
    for kernel in _KERNELS:
        value = _value(arguments.get(kernel))
        if value is not None and all(arguments.get(name) != 1 for name in _UNITS):
            yield (*path, kernel), value
    for key, item in arguments.items():
        if key not in _KERNELS:
            yield from _equal(item, (*path, str(key)))


def _value(initializer: Any) -> float | None:
    """The one number that an initializer gives; None of one that gives several."""
    name, behind = next(iter(initializer.items())) if isinstance(initializer, Mapping) else (initializer, None)
    if name not in _SAME:
        return _without_spread(behind if isinstance(behind, Mapping) else {})
    given = behind.get("value", _SAME[name]) if isinstance(behind, Mapping) else _SAME[name]
    return given if isinstance(given, int | float) else None


def _without_spread(arguments: Mapping[str, Any]) -> float | None:
    """The one number of a distribution that has no width."""
    low, high, mean = (arguments.get(name) for name in ("minval", "maxval", "mean"))
    if isinstance(low, int | float) and low == high:
        return low
    if arguments.get("stddev") == 0:
        return mean if isinstance(mean, int | float) else 0.0
    return None
