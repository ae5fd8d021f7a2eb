"""Which layer takes which output: names are given once, and used after they are given."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from kerasflow.errors import did_you_mean
from kerasflow.spec import catalogue
from kerasflow.spec.document import DocumentPath, clip
from kerasflow.spec.faults import Found, short

if TYPE_CHECKING:
    from kerasflow.spec.layers import LayerSpec

INPUT = "input"
HEAD = "head"
MODEL = "model"
REUSE = "reuse"
OP = "op"
# Kinds of layers that mean something of their own here.
OWN = (HEAD, MODEL, REUSE, OP)


def parse_names(given: Any, path: DocumentPath, found: Found) -> tuple[str, ...]:
    """The names of a model's inputs or outputs."""
    if given is None:
        return ()
    if (
        isinstance(given, list | tuple)
        and all(isinstance(name, str) for name in given)
        and len(set(given)) == len(given)
    ):
        return tuple(given)
    found.append((path, f"must be a list of different names, got {short(given)}"))
    return ()


def check_wiring(
    layers: Sequence[LayerSpec], inputs: Collection[str], outputs: Sequence[str], path: DocumentPath, found: Found
) -> None:
    """Checks what each layer takes and what the model gives, and adds what is wrong to `found`.

    Args:
        layers: in their order.
        inputs: names of what the layers are given from outside.
        outputs: names of the layers whose outputs are given on.
        path: of the thing that holds `layers` and `outputs`.
        found: faults are appended here.
    """
    given: dict[str, str] = {}  # by a layer's name, its kind
    for index, layer in enumerate(layers):
        here = (*path, "layers", index)
        known = {*given, *inputs}
        for position, name in enumerate(layer.inputs or ()):
            if name not in known:
                hint = did_you_mean(name, known) or f"; there are {clip(', '.join(sorted(known)), 200)}"
                found.append(((*here, "inputs", position), f"no layer before this one is named {short(name)}{hint}"))
        if index == 0 and layer.inputs is None and len(inputs) > 1:
            found.append((here, f"must say which of the model's inputs it takes: {', '.join(sorted(inputs))}"))
        if layer.kind == REUSE and "layer" in layer.arguments:
            _check_reused(str(layer.arguments["layer"]), given, here, found)
        if layer.name is not None:
            if layer.name in known:
                found.append(((*here, "name"), f"{short(layer.name)} is taken by another layer or input"))
            given[layer.name] = layer.kind
    for index, name in enumerate(outputs):
        if name not in given:
            found.append(((*path, "outputs", index), f"no layer is named {short(name)}{did_you_mean(name, given)}"))


def _check_reused(name: str, given: dict[str, str], here: DocumentPath, found: Found) -> None:
    kind = given.get(name)
    if kind is None:
        hint = did_you_mean(name, given) or "; give it a name to reuse it"
        found.append(((*here, REUSE), f"no layer before this one is named {short(name)}{hint}"))
    elif kind not in (HEAD, MODEL) and catalogue.find("layers", kind) is None:
        found.append(
            ((*here, REUSE), f"{short(name)} is a block, an operation or itself a reuse; name a layer or model")
        )
