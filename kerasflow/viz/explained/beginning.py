"""What the first weights do to learning."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kerasflow.viz.explained.legible import NAMES, clipped, magnitudes, name_columns, name_rows, short, spread
from kerasflow.viz.style import COLOURS, colour, new_figure, note, styled

_FINDINGS = 4
_CURVES = 8


@styled
def initialisation(found: Any) -> Figure:
    """The scale of Z, H and the gradient through the layers, idle units, and each kernel's scale beside the usual ones.

    Args:
        found: a `kerasflow.explain.Initialisation`.
    """
    figure = new_figure(13.0, 8.4)
    figure.suptitle("Initialisation: scales through the layers", x=0.012, ha="left")
    (activations, gradients), (idle, kernels) = figure.subplots(2, 2)
    names = [one.name for one in found.layers]
    for axes, title, parts in (
        (activations, "Activations", (("Z_std", "Z", "s--"), ("H_std", "H", "o-"))),
        (gradients, "Gradient, from the output back to the left", (("gradient_rms", "dcost/dZ", "o-"),)),
    ):
        values = np.array([[getattr(one, attribute) for one in found.layers] for attribute, *_ in parts])
        for row, (_, name, mark), paint in zip(values, parts, (COLOURS[1], COLOURS[0]), strict=False):
            axes.plot(row, mark, color=paint, ms=5, label=name)
        lost = magnitudes(axes, "y", values)
        measure = "standard deviation" if len(parts) > 1 else "root mean square"
        axes.set_ylabel(measure + lost)
        axes.set_title(title)
        axes.legend(loc="best")
        name_columns(axes, names)
    places = np.arange(len(names))
    idle.bar(places - 0.2, [one.dead for one in found.layers], 0.38, color=COLOURS[0], label="dead units")
    idle.bar(places + 0.2, [one.saturated for one in found.layers], 0.38, color=COLOURS[4], label="saturated values")
    idle.set_ylim(0, 1)
    idle.set_ylabel("share")
    idle.set_title("Idle units")
    idle.legend(loc="best")
    name_columns(idle, names)
    _kernels(kernels, {path: scale for one in found.layers for path, scale in one.kernels.items()})
    said = [f"{one.where}: {one.what}; {one.evidence}" for one in found.findings[:_FINDINGS]]
    more = len(found.findings) - len(said)
    said += [f"{more} more findings"] if more > 0 else []
    note(figure, "\n".join(clipped(line, 160) for line in said) or "nothing hinders learning at the beginning")
    return figure


def _kernels(axes: Axes, scales: dict[str, Any]) -> None:
    paths = [list(scales)[i] for i in spread(len(scales), NAMES)]
    axes.set_title(
        "Kernels beside usual scales" + (f" ({len(paths)} of {len(scales)})" if paths != list(scales) else "")
    )
    axes.set_xlabel("standard deviation")
    if not paths:
        axes.text(0.5, 0.5, "no layer has a kernel", ha="center", transform=axes.transAxes)
        return
    usual = list(dict.fromkeys(name for path in paths for name in scales[path].usual))
    for name, mark, paint in zip(usual, ("|", "x", "+"), (COLOURS[2], COLOURS[1], COLOURS[3]), strict=False):
        rows = [row for row, path in enumerate(paths) if name in scales[path].usual]
        axes.plot([scales[paths[r]].usual[name] for r in rows], rows, mark, ms=11, mew=2, color=paint, label=name)
    stds = np.array([scales[path].std for path in paths])
    axes.plot(stds, range(len(paths)), "o", ms=7, color=COLOURS[0], label="here")
    name_rows(axes, paths)
    every = [value for path in paths for value in scales[path].usual.values()]
    axes.set_xlabel("standard deviation" + magnitudes(axes, "x", np.array([*stds, *every])))
    axes.legend(loc="best", fontsize=9)


@styled
def symmetry(found: Any) -> Figure:
    """How far the units of each layer are apart at each step, and the cost.

    Args:
        found: a `kerasflow.explain.Symmetry`.
    """
    figure = new_figure(12.0, 4.8)
    figure.suptitle("Symmetry: units that begin alike stay alike", x=0.012, ha="left")
    left, right = figure.subplots(1, 2, width_ratios=[1.6, 1])
    paths = [list(found.spreads)[i] for i in spread(len(found.spreads), _CURVES)]
    for index, path in enumerate(paths):
        alike = ": alike" if path in found.alike else ""
        mark = "osD^vPX*"[index % 8]
        paint = colour(index, len(paths))
        left.plot(found.spreads[path], marker=mark, ms=6, color=paint, label=f"{short(path)}{alike}")
    left.set_title(
        "Units of a layer" + (f" ({len(paths)} of {len(found.spreads)})" if len(paths) < len(found.spreads) else "")
    )
    left.set_ylabel("largest difference between units")
    left.set_ylim(min(0.0, left.get_ylim()[0]), 1.05 * left.get_ylim()[1])
    left.legend(loc="upper left", bbox_to_anchor=(1.0, 1), fontsize=9)
    right.plot(found.costs, "o-", color=COLOURS[0], ms=5)
    right.set_title("Cost")
    right.set_ylabel("cost of the set")
    for axes in (left, right):
        axes.set_xlabel("steps made")
        axes.locator_params(axis="x", integer=True)
    alike = ", ".join(map(short, found.alike[:4])) + (" …" if len(found.alike) > 4 else "")
    note(figure, f"units stay alike in {alike}: they are one unit" if alike else "in no layer are all units the same")
    return figure
