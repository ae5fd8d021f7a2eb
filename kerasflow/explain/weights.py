"""Weights by the names that people type: `dense_1/kernel[3,2]`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from kerasflow.data.target import listed
from kerasflow.errors import BuildError, did_you_mean

_WRITTEN = re.compile(r"\s*(?P<path>[^\[\]]+?)\s*(\[(?P<index>[^\[\]]*)\])?\s*")


@dataclass(frozen=True)
class Weight:
    """One number of a variable.

    Attributes:
        path: of the variable, as `named_weights` has it.
        variable: the `keras.Variable`.
        index: into it.
    """

    path: str
    variable: Any
    index: tuple[int, ...]

    @property
    def name(self) -> str:
        """`dense_1/kernel[3,2]`."""
        return f"{self.path}[{','.join(map(str, self.index))}]" if self.index else self.path

    @property
    def value(self) -> float:
        return float(self.variable.numpy()[self.index])


def named_weights(model: Any) -> dict[str, Any]:
    """The trainable variables by Keras' `variable.path`; a path that comes again has its number, `#2`, at its end."""
    found: dict[str, Any] = {}
    for variable in model.trainable_variables:
        number, path = 1, variable.path
        while path in found:
            number += 1
            path = f"{variable.path}#{number}"
        found[path] = variable
    return found


def find_weight(model: Any, name: str) -> Weight:
    """The weight of this name; names of outer models or of a cell may be left out where it is clear.

    Args:
        name: a variable's path and an index, `dense_1/kernel[3,2]`, or the path alone of a variable of one number.

    Raises:
        BuildError: there is none; the message has near names, or the variable's shape.
    """
    known = named_weights(model)
    read = _WRITTEN.fullmatch(str(name))
    path = read["path"] if read else str(name)
    found = _meant(path, known) or _meant(path.replace(".", "/"), known)  # a layer of a block has a dot in its name
    if not found:
        short = ["/".join(own.split("/")[-2:]) for own in known]
        hint = did_you_mean(path, [*known, *short]) or f"; its weights are {listed(known)}"
        raise BuildError(f"the model {model.name!r} has no weight {name!r} that learns{hint}")
    if len(found) > 1:
        raise BuildError(f"{name!r} could be several weights of {model.name!r}; name one: {listed(found)}")
    variable = known[found[0]]
    return Weight(found[0], variable, _index(name, read["index"] if read else None, tuple(variable.shape)))


def _meant(path: str, known: Iterable[str]) -> list[str]:
    return [own for own in known if own == path] or [own for own in known if _shortened(path, own)]


def _shortened(given: str, own: str) -> bool:
    """Whether a path is another one with names left out, but not the last."""
    *outer, last = given.split("/")
    *names, end = own.split("/")
    rest = iter(names)
    return last == end and all(name in rest for name in outer)


def _index(name: str, written: str | None, shape: tuple[int, ...]) -> tuple[int, ...]:
    if written is None and all(n == 1 for n in shape):
        return (0,) * len(shape)
    try:
        index = tuple(int(part) for part in (written or "").split(",") if part.strip())
    except ValueError:
        index = ()
    if len(index) != len(shape) or not all(-n <= i < n for i, n in zip(index, shape, strict=True)):
        raise BuildError(
            f"{name!r} is no weight: the variable has shape {shape}, so an index is of {len(shape)} numbers from 0, "
            f"such as [{','.join(str(n - 1) for n in shape)}], its last"
        )
    return tuple(i % n for i, n in zip(index, shape, strict=True))
