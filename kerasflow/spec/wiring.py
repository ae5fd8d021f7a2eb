"""Which layer takes which output: names are given once, and used after they are given."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kerasflow.errors import did_you_mean
from kerasflow.spec import catalogue
from kerasflow.spec.document import DocumentPath, clip
from kerasflow.spec.faults import Found, short
from kerasflow.spec.literals import is_array

if TYPE_CHECKING:
    from kerasflow.spec.layers import LayerSpec

INPUT = "input"
HEAD = "head"
MODEL = "model"
REUSE = "reuse"
OP = "op"
# Kinds of layers that mean something of their own here.
OWN = (HEAD, MODEL, REUSE, OP)


def parse_names(given: Any, path: DocumentPath, found: Found, *, different: bool) -> tuple[str, ...]:
    """The names of a model's inputs, which are different, or of its outputs."""
    if given is None:
        return ()
    if (
        isinstance(given, list | tuple)
        and all(isinstance(name, str) for name in given)
        and (not different or len(set(given)) == len(given))
    ):
        return tuple(given)
    found.append((path, f"must be a list of {'different ' if different else ''}names, got {short(given)}"))
    return ()


def split_reference(text: str) -> tuple[str, int | None]:
    """`lstm` is all that the layer gives, in order; `lstm/0` the first of several outputs.

    Raises:
        ValueError: what stands behind the stroke is no number.
    """
    name, stroke, number = text.partition("/")
    return name, int(number) if stroke else None


def references(value: Any, path: DocumentPath = ()) -> Iterator[tuple[DocumentPath, str]]:
    """Every text in what a layer takes, which names a layer or one of its outputs, and where it stands."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from references(item, (*path, index))
    elif isinstance(value, Mapping) and not is_array(value):
        for key, item in value.items():
            yield from references(item, (*path, key))


def each_reference(change: Callable[[str], Any], value: Any) -> Any:
    """The same with every such text changed."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list | tuple):
        return [each_reference(change, item) for item in value]
    if isinstance(value, Mapping) and not is_array(value):
        return {key: each_reference(change, item) for key, item in value.items()}
    return value


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
        taken = list(references(layer.inputs, (*here, "inputs")))
        _check_references(taken, known, "no layer before this one is named", found)
        if index == 0 and not taken and len(inputs) > 1:
            found.append((here, f"must say which of the model's inputs it takes: {', '.join(sorted(inputs))}"))
        if layer.kind == REUSE and "layer" in layer.arguments:
            _check_reused(str(layer.arguments["layer"]), given, here, found)
        if layer.name is not None:
            if layer.name in known:
                found.append(((*here, "name"), f"{short(layer.name)} is taken by another layer or input"))
            given[layer.name] = layer.kind
    _check_references(references(outputs, (*path, "outputs")), {*given, *inputs}, "no layer is named", found)


def _check_references(
    taken: Iterable[tuple[DocumentPath, str]], known: Collection[str], missing: str, found: Found
) -> None:
    for path, text in taken:
        name, stroke, number = text.partition("/")
        if name not in known:
            hint = did_you_mean(name, known) or f"; there are {clip(', '.join(sorted(known)), 200)}"
            found.append((path, f"{missing} {short(name)}{hint}"))
        elif stroke and not number.isdecimal():
            found.append((path, f"must number an output of {short(name)} from 0, as in '{name}/0', got {short(text)}"))


def check_shared(layers: Sequence[Mapping[str, Any]], found: Found) -> None:
    """Checks what is reused from another model, by its path from the outermost: `/encoder/hidden`.

    Args:
        layers: of the outermost model, as they are written.
        found: faults are appended here.
    """
    known: list[str] = []

    def walk(layers: Sequence[Mapping[str, Any]], inside: str, path: DocumentPath) -> None:
        for index, layer in enumerate(layers):
            here = (*path, "layers", index)
            reused = (layer.get(REUSE) or {}).get("layer", "")
            if reused.startswith("/") and reused not in known:
                said = f"no layer or model before this one has the path {short(reused)}{did_you_mean(reused, known)}"
                found.append(((*here, REUSE), said))
            name = f"{inside}/{layer.get('name')}"
            if MODEL in layer:
                walk(layer[MODEL].get("layers", ()), name, (*here, MODEL))
            if layer.get("name"):
                known.append(name)

    walk(layers, "", ())


def _check_reused(name: str, given: dict[str, str], here: DocumentPath, found: Found) -> None:
    if name.startswith("/"):  # of another model, see `check_shared`
        return
    kind = given.get(name)
    if kind is None:
        hint = did_you_mean(name, given) or "; give it a name to reuse it"
        found.append(((*here, REUSE), f"no layer before this one is named {short(name)}{hint}"))
    elif kind not in (HEAD, MODEL) and catalogue.find("layers", kind) is None:
        found.append(
            ((*here, REUSE), f"{short(name)} is a block, an operation or itself a reuse; name a layer or model")
        )
