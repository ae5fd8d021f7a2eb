"""One weight's chain rule, written with its numbers: every way from the weight to the error, and their sum."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from kerasflow.explain.derivatives import of_activation, of_inputs, of_weight
from kerasflow.explain.recorder import Call
from kerasflow.explain.weights import Weight

MOST_PATHS = 1000
"""Ways from one weight to the error that are written out; where there are more, the sum at the weight's layer tells."""

MOST_NUMBERS = 4_000_000
"""Of a layer's derivative by its inputs; a larger one is not written out."""

_SHOWN = 4


@dataclass(frozen=True)
class Pass:
    """One sample forward and back, as tensors with a batch of one.

    Attributes:
        outputs: of the model, flat.
        derivatives: of the error by tensor, by its `id`, without the batch.
        weights: of the error by variable path.
    """

    model: Any
    calls: list[Call]
    outputs: list[Any]
    error: float
    derivatives: Mapping[int, np.ndarray]
    weights: Mapping[str, np.ndarray]

    def gradient_of(self, tensor: Any) -> np.ndarray:
        """dE by a tensor of the pass; zero where the error does not depend on it."""
        return self.derivatives.get(id(tensor), np.zeros(tuple(tensor.shape[1:])))


class Factor(NamedTuple):
    """One derivative of a chain: `dO[0]/dZ` with its value."""

    name: str
    value: float


@dataclass(frozen=True)
class Path:
    """One way from the error back to a weight; the first factor is dE/dO, the last dZ/dw."""

    factors: tuple[Factor, ...]

    @property
    def product(self) -> float:
        """What this way adds to dE/dw."""
        return float(np.prod([factor.value for factor in self.factors]))

    def __str__(self) -> str:
        names, numbers = (" · ".join(parts) for parts in zip(*((n, f"{v:.6g}") for n, v in self.factors), strict=True))
        return f"{names} = {numbers} = {self.product:.6g}"


@dataclass(frozen=True)
class WeightPath:
    """dE/dw of one weight, for one sample.

    Attributes:
        weight: its name, `dense_1/kernel[3,2]`.
        value: w.
        gradient: dE/dw by automatic differentiation.
        units: where the weight acts: `hidden.Z[0]`, of every call of its layer.
        dE_dZ, dZ_dw: for each of them, `(n_units,)`; Σ dE/dZ · dZ/dw is dE/dw.
        paths: every way from the weight to the error; empty where there are more than 1000, where a layer is too large
            or its code takes no copies of the sample, or where the model computes between its layers.
    """

    weight: str
    value: float
    gradient: float
    units: tuple[str, ...]
    dE_dZ: np.ndarray
    dZ_dw: np.ndarray
    paths: tuple[Path, ...]

    @property
    def total(self) -> float:
        """Σ dE/dZ · dZ/dw, which is dE/dw."""
        return float(self.dE_dZ @ self.dZ_dw)

    def __str__(self) -> str:
        if len(self.paths) == 1:
            return f"dE/dw = {self.paths[0]}"
        if self.paths:
            lines = [f"dE/dw = {self.gradient:.6g}, the sum over {len(self.paths)} paths:"]
            strongest = sorted(self.paths, key=lambda path: -abs(path.product))
            return "\n".join(
                lines + [f"  {path}" for path in strongest[:_SHOWN]] + ["  ..."] * (len(strongest) > _SHOWN)
            )
        names = [f"dE/d{unit} · d{unit}/dw" for unit in self.units[:_SHOWN]]
        numbers = [f"{a:.6g}·{b:.6g}" for a, b in zip(self.dE_dZ[:_SHOWN], self.dZ_dw[:_SHOWN], strict=True)]
        more = [f"... ({len(self.units) - _SHOWN} more)"] if len(self.units) > _SHOWN else []
        return f"dE/dw = {' + '.join(names + more)} = {' + '.join(numbers + more)} = {self.gradient:.6g}"


def weight_path(done: Pass, weight: Weight) -> WeightPath:
    """See `Backward.path`."""
    owners = [i for i, call in enumerate(done.calls) if _owns(call.layer, weight.variable)]
    acts = {i: of_weight(done.calls[i], weight.variable, weight.index).reshape(-1) for i in owners}
    units = [(i, u) for i, found in acts.items() for u in np.flatnonzero(found).tolist()]
    gradient = float(done.weights[weight.path][weight.index])
    back = {i: done.gradient_of(done.calls[i].Z).reshape(-1) for i in owners}
    return WeightPath(
        weight.name,
        weight.value,
        gradient,
        tuple(_unit(done.calls[i], "Z", u) for i, u in units),
        np.array([back[i][u] for i, u in units], float),
        np.array([acts[i][u] for i, u in units], float),
        _enumerated(done, [(i, u, float(acts[i][u])) for i, u in units], gradient),
    )


def _owns(layer: Any, variable: Any) -> bool:
    return any(own is variable for own in getattr(layer, "trainable_variables", ()))


def _enumerated(done: Pass, starts: list[tuple[int, int, float]], gradient: float) -> tuple[Path, ...]:
    """All paths, the factors nearest to the error first; none where they are too many or do not add up."""
    walk = _Walk(done)
    found: list[Path] = []
    for i, unit, slope in starts:
        last = Factor(f"d{walk.name(i, 'Z', unit)}/dw", slope)
        for factors in walk.from_z(i, unit):
            found.append(Path((*reversed(factors), last)))
            if len(found) > MOST_PATHS or walk.untold:
                return ()
    total = sum(path.product for path in found)
    return tuple(found) if np.isclose(total, gradient, rtol=1e-3, atol=1e-6) else ()


class _Walk:
    """From units to the error, along what each layer's call gives to the next."""

    def __init__(self, done: Pass) -> None:
        self.done, self.untold = done, False
        self.ends = {id(tensor): place for place, tensor in enumerate(done.outputs)}
        self._slopes: dict[int, tuple[np.ndarray, bool]] = {}
        self._jacobians: dict[int, list[np.ndarray]] = {}

    def name(self, i: int, letter: str, unit: int) -> str:
        return _unit(self.done.calls[i], letter, unit)

    def from_z(self, i: int, unit: int) -> Iterator[list[Factor]]:
        """Chains of factors from one Z to the error, the one nearest to Z first."""
        call = self.done.calls[i]
        if call.activation is None:
            yield from self.from_h(i, unit, self.name(i, "Z", unit))
            return
        for output, value in self._activated(i, unit):
            name = self._output_name(i, output)
            factor = Factor(f"d{name}/d{self.name(i, 'Z', unit)}", value)
            for rest in self.from_h(i, output, name):
                yield [factor, *rest]

    def from_h(self, i: int, unit: int, name: str) -> Iterator[list[Factor]]:
        call = self.done.calls[i]
        if id(call.H) in self.ends:
            value = float(self.done.gradient_of(call.H).reshape(-1)[unit])
            yield [Factor(f"dE/d{name}", value)]
        for j, consumer in enumerate(self.done.calls):
            floats = [tensor for tensor in consumer.inputs if tensor.dtype.is_floating]
            for slot, tensor in enumerate(floats):
                if tensor is call.H and j != i:
                    yield from self._through(j, slot, unit, name)

    def _through(self, j: int, slot: int, unit: int, name: str) -> Iterator[list[Factor]]:
        jacobian = self._jacobian(j)
        if jacobian is None:
            return
        column = jacobian[slot][:, unit]
        for other in np.flatnonzero(column).tolist():
            factor = Factor(f"d{self.name(j, 'Z', other)}/d{name}", float(column[other]))
            for rest in self.from_z(j, other):
                yield [factor, *rest]

    def _activated(self, i: int, unit: int) -> list[tuple[int, float]]:
        """Which H a Z enters, and by how much."""
        if i not in self._slopes:
            self._slopes[i] = of_activation(self.done.calls[i].activation, self.done.calls[i].Z)
        slope, elementwise = self._slopes[i]
        if elementwise:
            return [(unit, float(slope.reshape(-1)[unit]))]
        k = slope.shape[-1]
        first = unit - unit % k
        column = slope.reshape(-1, k, k)[unit // k, :, unit % k]
        return [(first + row, float(value)) for row, value in enumerate(column)]

    def _jacobian(self, j: int) -> list[np.ndarray] | None:
        if j not in self._jacobians:
            call = self.done.calls[j]
            numbers = np.prod(call.Z.shape[1:]) * sum(np.prod(tensor.shape[1:]) for tensor in call.inputs)
            if numbers > MOST_NUMBERS:
                self.untold = True
                return None
            try:
                self._jacobians[j] = of_inputs(call)
            except Exception:  # a layer's own code may take no more than one sample
                self.untold = True
                return None
        return self._jacobians[j]

    def _output_name(self, i: int, unit: int) -> str:
        call = self.done.calls[i]
        if id(call.H) not in self.ends:
            return _unit(call, "H", unit)
        place = "" if len(self.ends) == 1 else f"_{self.ends[id(call.H)]}"
        return f"O{place}{_index(call, unit)}"


def _unit(call: Call, letter: str, unit: int) -> str:
    return f"{call.path}.{letter}{_index(call, unit)}"


def _index(call: Call, unit: int) -> str:
    return f"[{','.join(map(str, np.unravel_index(unit, tuple(call.Z.shape[1:]))))}]"
