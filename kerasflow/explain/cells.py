"""A recurrent layer unrolled: its cell's gates at each step, by the equations of the field.

Written a second time, in NumPy, because Keras computes a sequence at once; what comes out is held to what the layer
gave.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kerasflow.errors import BuildError
from kerasflow.explain.recorder import Call

_LAYERS = {"SimpleRNN", "LSTM", "GRU"}


@dataclass(frozen=True)
class Gate:
    """A gate, or the candidate state: `Z` before its activation, `H` after it, `(units,)` each."""

    Z: np.ndarray
    H: np.ndarray
    activation: str


@dataclass(frozen=True)
class Step:
    """A cell at one step of a sequence.

    Attributes:
        time: the step, from 0, in the order in which the layer takes them.
        x: what it takes, `(features,)`.
        h_before, h: the state, `(units,)`.
        c_before, c: an LSTM's memory, `(units,)`; None of other cells.
        gates: by name. SimpleRNN: `state`. LSTM: `input`, `forget`, `candidate`, `output`. GRU: `update`, `reset`,
            `candidate`.
        masked: whether the step was left out by a mask, so that the state stays as it was.
    """

    time: int
    x: np.ndarray
    h_before: np.ndarray
    h: np.ndarray
    c_before: np.ndarray | None
    c: np.ndarray | None
    gates: Mapping[str, Gate]
    masked: bool


@dataclass(frozen=True)
class _Weights:
    """Of a cell, in float64; `bias` has a second row where the recurrent side has a bias of its own."""

    kernel: np.ndarray
    recurrent: np.ndarray
    bias: np.ndarray
    activation: Callable[[np.ndarray], Gate]
    recurrent_activation: Callable[[np.ndarray], Gate] | None


def is_recurrent(layer: Any) -> bool:
    """Whether a layer's cell is told step by step."""
    return type(layer).__name__ in _LAYERS and type(layer).__module__.startswith("keras.src.layers.rnn.")


def steps_of(call: Call) -> tuple[Step, ...]:
    """Every step of a recurrent layer's cell; none of another layer.

    Raises:
        BuildError: the weights have changed since the trace.

    Source:
        Elman 1990 (SimpleRNN); Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000 (LSTM); Cho et
        al. 2014 (GRU).
    """
    if not is_recurrent(call.layer):
        return ()
    layer, cell = call.layer, call.layer.cell
    x = np.asarray(call.inputs[0])[0].astype(np.float64)
    order = range(len(x) - 1, -1, -1) if layer.go_backwards else range(len(x))
    mask = np.ones(len(x), bool) if call.mask is None else np.asarray(call.mask).reshape(-1, len(x))[0].astype(bool)
    weights, states, steps = _weights(cell), _begin(call, cell.units), []
    for time, position in enumerate(order):
        now, gates = _ADVANCE[type(layer).__name__](cell, weights, x[position], states)
        if not mask[position]:
            now = states
        c_before, c = (states[1], now[1]) if len(states) > 1 else (None, None)
        steps.append(Step(time, x[position], states[0], now[0], c_before, c, gates, not mask[position]))
        states = now
    _check(call, steps)
    return tuple(steps)


def _check(call: Call, steps: list[Step]) -> None:
    given = np.asarray(call.H)[0]
    given = given[-1] if call.layer.return_sequences else given
    close = 1e-4 if given.dtype.itemsize < 8 else 1e-9
    if not np.allclose(steps[-1].h, given, rtol=close, atol=close) and not steps[-1].masked:
        raise BuildError(
            f"the weights of {call.layer.name!r} have changed since this trace; call kf.explain.forward again"
        )


def _begin(call: Call, units: int) -> list[np.ndarray]:
    given = call.kwargs.get("initial_state")
    if given is None and call.layer.stateful and call.layer.states is not None:
        given = [state.value for state in call.layer.states]
    if given is None:
        given = call.inputs[1:]
    if given is not None and len(given):
        return [np.asarray(state)[0].astype(np.float64) for state in given]
    return [np.zeros(units)] * (2 if type(call.layer).__name__ == "LSTM" else 1)


def _weights(cell: Any) -> _Weights:
    kernel, recurrent = (np.asarray(v.value).astype(np.float64) for v in (cell.kernel, cell.recurrent_kernel))
    bias = np.zeros(kernel.shape[1]) if cell.bias is None else np.asarray(cell.bias.value).astype(np.float64)
    inner = getattr(cell, "recurrent_activation", None)
    return _Weights(kernel, recurrent, bias, _gate(cell.activation), None if inner is None else _gate(inner))


def _gate(activation: Any) -> Callable[[np.ndarray], Gate]:
    name = str(getattr(activation, "__name__", type(activation).__name__.lower()))
    return lambda z: Gate(z, np.asarray(activation(z)), name)


Advanced = tuple[list[np.ndarray], dict[str, Gate]]


def _simple(cell: Any, w: _Weights, x: np.ndarray, states: list[np.ndarray]) -> Advanced:
    """h = f(x·W + h·U + b)."""
    state = w.activation(x @ w.kernel + states[0] @ w.recurrent + w.bias)
    return [state.H], {"state": state}


def _lstm(cell: Any, w: _Weights, x: np.ndarray, states: list[np.ndarray]) -> Advanced:
    """c = f∘c + i∘g, h = o∘tanh(c)."""
    assert w.recurrent_activation is not None
    h, c = states
    i, f, g, o = np.split(x @ w.kernel + h @ w.recurrent + w.bias, 4)
    gates = {
        "input": w.recurrent_activation(i),
        "forget": w.recurrent_activation(f),
        "candidate": w.activation(g),
        "output": w.recurrent_activation(o),
    }
    c = gates["forget"].H * c + gates["input"].H * gates["candidate"].H
    return [gates["output"].H * w.activation(c).H, c], gates


def _gru(cell: Any, w: _Weights, x: np.ndarray, states: list[np.ndarray]) -> Advanced:
    """h = z∘h + (1 − z)∘g; the reset gate acts after the recurrent product if `reset_after`, else before it."""
    assert w.recurrent_activation is not None
    (h,), n = states, cell.units
    inner, outer = w.bias if w.bias.ndim == 2 else (w.bias, np.zeros(3 * n))
    of_x, of_h = x @ w.kernel + inner, h @ w.recurrent + outer
    update = w.recurrent_activation(of_x[:n] + of_h[:n])
    reset = w.recurrent_activation(of_x[n : 2 * n] + of_h[n : 2 * n])
    again = reset.H * of_h[2 * n :] if cell.reset_after else (reset.H * h) @ w.recurrent[:, 2 * n :]
    candidate = w.activation(of_x[2 * n :] + again)
    gates = {"update": update, "reset": reset, "candidate": candidate}
    return [update.H * h + (1 - update.H) * candidate.H], gates


_ADVANCE = {"SimpleRNN": _simple, "LSTM": _lstm, "GRU": _gru}
