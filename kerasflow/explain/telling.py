"""What each answer says: sentences, tables and curves of plain values, the same for a terminal and for a page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from kerasflow.explain.alike import Symmetry
from kerasflow.explain.chain import Backward
from kerasflow.explain.costs import Cost
from kerasflow.explain.distribution import Histogram
from kerasflow.explain.forms import MOST_ROWS, Cell, Chart, Told, line, spread, table
from kerasflow.explain.gradient_check import GradientCheck
from kerasflow.explain.initial import Initialisation
from kerasflow.explain.micro_batches import Accumulation
from kerasflow.explain.rates import LearningRates
from kerasflow.explain.search import RandomSearch
from kerasflow.explain.slices import Plane, Slice
from kerasflow.explain.step import Descent
from kerasflow.explain.trace import LayerTrace, Trace
from kerasflow.explain.waiting import Stopping

MOST_NEURONS = 3
"""Of each layer, whose sum is written out."""


def told(numbers: Any, weight: str = "") -> Told:
    """An answer of `kf.explain` in words, tables and curves.

    Args:
        numbers: one of its dataclasses.
        weight: the one whose path and step are written out.
    """
    return _TOLD[type(numbers)](numbers, weight)


def written(layer: LayerTrace, places: Sequence[int]) -> list[str]:
    """The sums of these neurons, by their flat places; none of a black box, or of a recurrent layer."""
    if not layer.traced or layer.steps or not layer.Z.ndim:
        return []
    return [str(layer.neuron(tuple(int(i) for i in np.unravel_index(place, layer.Z.shape)))) for place in places]


def index(place: int, shape: tuple[int, ...]) -> str:
    """`[3,2]`, of a flat place."""
    return f"[{','.join(str(int(i)) for i in np.unravel_index(place, shape))}]" if shape else ""


def _trace(trace: Trace, _: str) -> Told:
    layers = [
        (
            one.name,
            one.kind,
            _shape(one.Z),
            one.activation,
            _range(one.Z),
            _range(one.H),
            "known" if one.traced else "black box",
        )
        for one in trace.layers
    ]
    sums: list[tuple[Cell, ...]] = []
    for one in trace.layers:
        places = spread(one.Z.size, MOST_NEURONS)
        sums += [
            (f"{one.name}{index(p, one.Z.shape)}", said) for p, said in zip(places, written(one, places), strict=False)
        ]
    unknown = [one.name for one in trace.layers if not one.traced]
    words = [f"One sample passes {len(trace.layers)} layers; each takes H of the layer before and gives its own."]
    words += [f"Black boxes, whose input and output alone are known: {', '.join(unknown)}."] if unknown else []
    outputs = [(f"O{index(i, o.shape)}", float(o.reshape(-1)[i])) for o in trace.output for i in range(min(o.size, 50))]
    return Told(
        tuple(words),
        (
            table("Layer by layer", ("layer", "kind", "shape", "activation", "Z", "H", "inside"), layers),
            table("Neurons written out", ("neuron", "arithmetic"), sums),
            table("The output O", ("output", "value"), outputs),
        ),
    )


def _backward(back: Backward, weight: str) -> Told:
    layers = [(one.name, _size(one.dE_dH), _size(one.dH_dZ), _size(one.dE_dZ)) for one in back.layers]
    weights = [(path, _shape(g), _size(g), float(np.abs(g).max(initial=0))) for path, g in back.gradients.items()]
    words, tables = [f"The sample's error E is {back.error:.6g}; the batch's cost is {back.cost:.6g}."], []
    if weight:
        path = back.path(weight)
        words += [f"{path.weight} is {path.value:.6g}, and its dE/dw is {path.gradient:.6g}."]
        strongest = sorted(path.paths, key=lambda one: -abs(one.product))
        if strongest:
            rows = [
                (" · ".join(f.name for f in p.factors), " · ".join(f"{f.value:.6g}" for f in p.factors), p.product)
                for p in strongest
            ]
        else:
            rows = [
                (f"dE/d{u} · d{u}/dw", f"{a:.6g} · {b:.6g}", float(a * b))
                for u, a, b in zip(path.units, path.dE_dZ, path.dZ_dw, strict=True)
            ]
        tables = [table(f"The chain of {path.weight}, strongest ways first", ("way", "numbers", "product"), rows)]
    return Told(
        tuple(words),
        (
            *tables,
            table(
                "Layer by layer, from the output back (root mean square)", ("layer", "dE/dH", "dH/dZ", "dE/dZ"), layers
            ),
            table("The batch's gradients", ("weights", "shape", "root mean square", "largest"), weights),
        ),
    )


def _cost(cost: Cost, _: str) -> Told:
    words, tables = [f"The cost of the set is {cost.cost:.6g}, with penalties {cost.total:.6g}."], []
    for part in cost.parts:
        words.append(
            f"{part.name}: {part.loss}, {part.reduction}; dE/dO by differentiation and by differences are "
            f"{part.difference:.2g} apart at most."
        )
        if part.errors is not None:
            rows = [(i, float(error)) for i, error in enumerate(part.errors)]
            tables.append(table(f"Errors of {part.name}", ("observation", "error"), rows))
        flat = [(i, index(i, part.analytic[0].shape)) for i in range(min(part.analytic[0].size, MOST_ROWS))]
        first: list[tuple[Cell, ...]] = [
            (f"O{at}", *(float(a[0].reshape(-1)[i]) for a in (part.outputs, part.analytic, part.numeric)))
            for i, at in flat
        ]
        tables.append(table(f"dE/dO of the sample, {part.name}", ("output", "O", "analytic", "numeric"), first))
    return Told(tuple(words), tuple(tables))


def _check(check: GradientCheck, _: str) -> Told:
    worst = sorted(check.rows, key=lambda row: (row.ok, -row.difference))
    rows = [
        (r.weight, r.analytic, r.numeric, r.difference, "kink" if r.kink else "yes" if r.ok else "NO") for r in worst
    ]
    columns = ("weight", "analytic", "numeric", "difference", "agree")
    said = check.summary[0].upper() + check.summary[1:] + "."
    return Told((said,), (table("Largest differences first", columns, rows),))


def _descent(step: Descent, weight: str) -> Told:
    rows = []
    for path, g in step.gradients.items():
        at = np.unravel_index(int(np.abs(g).argmax()), g.shape) if g.ndim else ()
        w, new = (float(part[path][at]) for part in (step.before, step.after))
        rows.append((f"{path}[{','.join(str(int(i)) for i in at)}]", w, float(g[at]), new))
    change = f"from {step.cost_before:.6g} to {step.cost_after:.6g}"
    flat = f"on a slope without curvature it would change by {step.expected:.6g}"
    words = [f"One step with α = {step.learning_rate:g} takes the cost {change}; {flat}."]
    words += [step.update(weight)] if weight else []
    caption = "The weight of each variable with the largest gradient"
    return Told(tuple(words), (table(caption, ("weight", "before", "dE/dw", "after"), rows),))


def _slice(cut: Slice, _: str) -> Told:
    lowest = int(np.nanargmin(cut.costs))
    x = "learning rate of one step" if cut.along == "gradient" else cut.along
    words = (
        f"Here, at {cut.here:.6g}, the cost is {cut.cost_here:.6g} and its slope {cut.slope:.6g}; the lowest of "
        f"{len(cut.costs)} points is {cut.costs[lowest]:.6g}, at {cut.positions[lowest]:.6g}."
    )
    rows = [(float(cut.positions[i]), float(cut.costs[i])) for i in spread(len(cut.costs), 11)]
    lines = (line("cost", cut.positions, cut.costs), line("here", [cut.here], [cut.cost_here]))
    return Told((words,), (table("Cost along it", (x, "cost"), rows),), (Chart(f"Cost along {x}", x, "cost", lines),))


def _plane(plane: Plane, _: str) -> Told:
    words = (
        f"Gradient descent takes {len(plane.path) - 1} steps from a cost of {plane.path_costs[0]:.6g} to "
        f"{plane.path_costs[-1]:.6g}; {plane.share:.0%} of the way lies in this plane."
    )
    rows = [
        (i, *(float(v) for v in plane.path[i]), float(plane.path_costs[i])) for i in spread(len(plane.path), MOST_ROWS)
    ]
    grid = (tuple(map(float, plane.first)), tuple(map(float, plane.second)))
    costs = tuple(tuple(map(float, row)) for row in plane.costs)
    path = (line("path", plane.path[:, 0], plane.path[:, 1]),)
    chart = Chart("Cost over two directions, with the path taken", *plane.along, path, grid=grid, costs=costs)
    return Told((words,), (table("The path", ("step", *plane.along, "cost"), rows),), (chart,))


def _rates(found: LearningRates, _: str) -> Told:
    rows = [(c.learning_rate, c.behaviour, c.evidence) for c in found.curves]
    lines = tuple(line(f"α = {c.learning_rate:g}: {c.behaviour}", range(len(c.costs)), c.costs) for c in found.curves)
    words = "; ".join(f"α = {c.learning_rate:g} {c.behaviour}" for c in found.curves) + "."
    chart = Chart("Cost by update", "update", "cost", lines, log=all((c.costs > 0).all() for c in found.curves))
    return Told((words,), (table("What each α does", ("α", "it", "evidence"), rows),), (chart,))


def _search(found: RandomSearch, _: str) -> Told:
    trials = range(len(found.costs))
    words = (
        f"After {len(found.costs)} trials of {found.weight} luck has found {found.lowest[-1]:.6g}, and gradient "
        f"descent in that weight is at {found.descent_costs[-1]:.6g}, from {found.costs[0]:.6g}."
    )
    lines = (line("lowest by luck", trials, found.lowest), line("gradient descent", trials, found.descent_costs))
    rows = [
        (i, *(float(p[i]) for p in (found.tried, found.costs, found.lowest, found.descent_costs)))
        for i in spread(len(trials), 11)
    ]
    columns = ("trial", "tried", "cost", "lowest so far", "gradient descent")
    return Told((words,), (table("Trials", columns, rows),), (Chart("Cost against trials", "trial", "cost", lines),))


def _initialisation(found: Initialisation, _: str) -> Told:
    layers = [(s.name, s.Z_mean, s.Z_std, s.H_mean, s.H_std, s.gradient_rms, s.dead, s.saturated) for s in found.layers]
    columns = ("layer", "Z mean", "Z std", "H mean", "H std", "dE/dZ rms", "dead", "saturated")
    findings = [(f.where, f.what, f.evidence, f.advice) for f in found.findings]
    words = f"{len(findings)} findings." if findings else "Nothing hinders learning at the beginning."
    tables = [table("Findings", ("where", "what", "evidence", "try"), findings)] if findings else []
    return Told((words,), (*tables, table("Layer by layer, over the set", columns, layers)))


def _accumulation(found: Accumulation, _: str) -> Told:
    words = (
        f"Micro-batches of {', '.join(map(str, found.sizes))} samples give the whole batch's gradient, but for "
        f"{found.difference:.2g} at most ({found.relative:.2g} of its length); within the window the weights "
        f"{'stay as they are' if found.unchanged else 'HAVE CHANGED'}."
    )
    rows = []
    for path, whole in found.whole.items():
        at = int(np.abs(whole).argmax())
        parts = " + ".join(f"{float(np.ravel(one[path])[at]):.6g}" for one in found.micro_batches[:6])
        more = " + …" if len(found.micro_batches) > 6 else ""
        rows.append(
            (
                f"{path}{index(at, whole.shape)}",
                parts + more,
                float(np.ravel(found.total[path])[at]),
                float(np.ravel(whole)[at]),
            )
        )
    columns = ("weight", "micro-batches", "their sum", "whole batch")
    return Told((words,), (table("The largest gradient of each variable", columns, rows),))


def _symmetry(found: Symmetry, _: str) -> Told:
    alike = ", ".join(found.alike)
    words = f"Units stay alike in {alike}: they are one unit." if alike else "In no layer are all units the same."
    rows = [(path, float(s[0]), float(s[-1])) for path, s in found.spreads.items()]
    lines = tuple(line(path, range(len(s)), s) for path, s in found.spreads.items())
    chart = Chart("How far the units of a layer are apart", "step", "largest difference", lines[:8])
    return Told((words,), (table("Largest difference between units", ("weights", "before", "after"), rows),), (chart,))


def _histograms(found: tuple[Histogram, ...], _: str) -> Told:
    paths = list(dict.fromkeys(one.path for one in found))
    epochs = sorted({one.epoch for one in found})
    rows = []
    for one in found:
        if one.epoch in (epochs[0], epochs[-1]):
            rows.append((one.path, one.epoch, int(one.counts.sum()), float(one.edges[0]), float(one.edges[-1])))
    ordered = sorted(rows, key=lambda row: (paths.index(row[0]), row[1]))
    spread_out = [path for path in paths if any(one.path == path and len(one.counts) > 1 for one in found)]
    charts = [_distribution([one for one in found if one.path == path]) for path in spread_out[:6]]
    words = (
        f"As a training begins, and over {epochs[-1]} epochs of a copy on this set, by the model's own optimizer."
        if len(epochs) > 1
        else "As a training begins."
    )
    columns = ("weights", "epochs", "numbers", "smallest", "largest")
    return Told((words,), (table("The span of each variable", columns, ordered),), tuple(charts))


def _distribution(found: Sequence[Histogram]) -> Chart:
    """One variable: the share of its numbers in each bin, by the bins' middles."""
    lines = []
    for place in spread(len(found), 4):
        one = found[place]
        middles = (one.edges[:-1] + one.edges[1:]) / 2
        lines.append(line(f"after {one.epoch} epochs", middles, one.counts / max(1, one.counts.sum())))
    return Chart(found[0].path, "weight", "share of the weights", tuple(lines))


def _stopping(found: Stopping, _: str) -> Told:
    words = f"Stopped by {found.reason}." if found.reason else "No rule says stop."
    rows = [
        (
            counter.rule,
            float(counter.values[-1]) if np.isfinite(counter.values[-1]) else None,
            float(counter.limit) if np.isfinite(counter.limit) else None,
            next((int(epoch) for epoch, holds in zip(found.epochs, counter.holds, strict=True) if holds), None),
        )
        for counter in found.counters
    ]
    costs = tuple(line(name, found.epochs, values) for name, values in found.costs.items())
    charts = [Chart("Cost by epoch", "epochs completed", "cost", costs)]
    for counter in found.counters:
        if np.isfinite(counter.limit):
            lines = (
                line(counter.rule, found.epochs, counter.values),
                line("limit", found.epochs[[0, -1]], np.full(2, counter.limit)),
            )
            charts.append(Chart(f"The counter of {counter.rule}", "epochs completed", "counter", lines))
    columns = ("rule", "in the end", "stops at", "first says stop after epoch")
    return Told((words,), (table("Each rule's counter", columns, rows),), tuple(charts))


def _shape(array: np.ndarray) -> str:
    return " × ".join(map(str, array.shape)) or "1"


def _size(array: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(array, dtype=np.float64)))) if array.size else 0.0


def _range(array: np.ndarray) -> str:
    low, high = float(array.min()), float(array.max())
    return f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"


_TOLD: Mapping[type, Callable[[Any, str], Told]] = {
    Accumulation: _accumulation,
    Backward: _backward,
    Cost: _cost,
    Descent: _descent,
    GradientCheck: _check,
    Initialisation: _initialisation,
    LearningRates: _rates,
    Plane: _plane,
    RandomSearch: _search,
    Slice: _slice,
    Stopping: _stopping,
    Symmetry: _symmetry,
    Trace: _trace,
    tuple: _histograms,
}
