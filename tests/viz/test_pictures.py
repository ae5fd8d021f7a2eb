"""The numbers and words in each picture; how it looks was judged by eye."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from kerasflow.viz.architecture import architecture
from kerasflow.viz.curves import comparison, cost_curves
from kerasflow.viz.errors import largest_errors
from kerasflow.viz.outcome import class_balance, confusion_matrix, predicted_vs_actual
from kerasflow.viz.style import save


@dataclass(frozen=True)
class Layer:
    name: str
    kind: str
    output_shape: tuple[int | None, ...]
    parameters: int


def _rows(costs: list[float], **others: list[float]) -> list[dict[str, Any]]:
    return [
        {"epoch": epoch, "updates": 10 * epoch, "loss": cost, "val_loss": cost, "lr": 0.1, "grad_norm": 1.0}
        | {name: values[epoch - 1] for name, values in others.items()}
        for epoch, cost in enumerate(costs, start=1)
    ]


def _words(figure: Figure) -> str:
    from matplotlib.text import Text

    return "\n".join(text.get_text() for text in figure.findobj(Text))  # type: ignore[attr-defined]


def test_the_cost_and_a_panel_for_each_metric() -> None:
    rows = _rows([2.0, 0.5, 0.75], accuracy=[0.1, 0.8, 0.9], val_accuracy=[0.1, 0.7, 0.6])
    figure = cost_curves(rows, cost="mean_squared_error", stop_reason="plateau: val_loss has not improved")
    cost, accuracy = figure.axes
    assert cost.get_ylabel() == "cost (mean squared error)"
    assert cost.get_xlabel() == accuracy.get_xlabel() == "epochs completed"
    assert {line.get_label() for line in cost.lines} == {"training", "validation", "stopped", "best epoch (2): 0.5"}
    np.testing.assert_array_equal(cost.lines[0].get_xydata(), [[1, 2.0], [2, 0.5], [3, 0.75]])
    assert "best epoch (2): 0.7" in {line.get_label() for line in accuracy.lines}
    assert "stopped by plateau: val_loss has not improved" in _words(figure)


def test_the_best_epoch_may_be_given() -> None:
    labels = {line.get_label() for line in cost_curves(_rows([1.0, 3.0, 2.0]), best_epoch=3).axes[0].lines}
    assert "best epoch (3): 2" in labels


@pytest.mark.parametrize("costs", [[], [0.5], [math.nan], [math.inf, math.nan], [0.0, 0.0], [-1.0, -3.0]])
def test_few_or_strange_costs_are_drawn(costs: list[float], tmp_path: Path) -> None:
    save(cost_curves(_rows(costs), stop_reason="diverged"), tmp_path / "cost.png")
    save(comparison({"a": _rows(costs), "b": []}), tmp_path / "comparison.png")


def test_training_is_dashed_validation_solid_and_a_run_has_one_colour() -> None:
    axes = comparison({"one": _rows([3.0, 2.0]), "two": _rows([3.0, 1.0])}).axes[0]
    assert [line.get_linestyle() for line in axes.lines] == ["--", "-", "--", "-"]
    colours = [line.get_color() for line in axes.lines]
    assert colours[0] == colours[1] != colours[2] == colours[3]


def test_costs_that_span_far_are_drawn_on_a_log_scale() -> None:
    assert comparison({"a": _rows([100.0, 0.1])}).axes[0].get_yscale() == "log"
    assert comparison({"a": _rows([3.0, 0.1])}).axes[0].get_yscale() == "linear"
    assert comparison({"a": _rows([100.0, -0.1])}).axes[0].get_yscale() == "linear"


@pytest.mark.parametrize("end", [1e12, math.inf, math.nan])
def test_a_run_that_diverges_leaves_the_others_readable(end: float) -> None:
    curves = {
        "wild": _rows([3.0, 400.0, end]),
        "fast": _rows([2.0, 0.5, 0.2]),
        "slow": _rows([2.5, 2.4, 2.3]),
    }
    figure = comparison(curves)
    assert figure.axes[0].get_ylim()[1] < 10
    assert f"wild leaves the picture at epoch 2 and ends at {end:.3g}" in _words(figure)
    assert "fast leaves" not in _words(figure)


def test_how_often_each_class_was_taken_for_which() -> None:
    figure = confusion_matrix([0, 0, 0, 1, 2], [0, 0, 2, 1, 1], ["cat", "dog", "a name that is far too long"])
    axes = figure.axes[0]
    np.testing.assert_allclose(axes.images[0].get_array(), [[2 / 3, 0, 1 / 3], [0, 1, 0], [0, 1, 0]])
    assert [text.get_text() for text in axes.texts] == ["2", "1", "1", "1"]
    assert axes.get_title(loc="left") == "Confusion matrix: 3 of 5 right (60.0%)"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted class", "true class")
    assert [label.get_text() for label in axes.get_yticklabels()] == ["cat", "dog", "a name that is fa…"]


def test_classes_without_names_are_shown_by_index() -> None:
    axes = confusion_matrix([0, 2], [1, 2], ["cat"]).axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["cat", "1", "2"]


def test_predicted_and_actual_values() -> None:
    actual = np.asarray([[1.0, 0.0], [2.0, 0.0], [3.0, 1.0]])
    figure = predicted_vs_actual(actual, actual + np.asarray([1.0, 0.0]), ["width", "height"])
    first, second = figure.axes
    assert first.get_title(loc="left") == "R² -0.500, mean absolute error 1"
    assert second.get_title(loc="left") == "R² 1.000, mean absolute error 0"
    assert (first.get_xlabel(), first.get_ylabel()) == ("actual width", "predicted width")
    np.testing.assert_array_equal(first.collections[0].get_offsets(), [[1, 2], [2, 3], [3, 4]])


def test_one_column_of_values_may_be_flat_or_not() -> None:
    figure = predicted_vs_actual([1.0, 2.0], [[1.0], [2.0]])
    assert len(figure.axes) == 1


def test_every_layer_has_its_shape_and_parameters() -> None:
    layers = [Layer("conv2d", "conv2d", (None, 26, 32), 320), Layer("my_head", "dense", (10,), 1290)]
    words = _words(architecture(layers, title="small-cnn"))
    assert "small-cnn: 1,610 parameters in 2 layers" in words
    for word in ("conv2d", "? × 26 × 32", "320 parameters", "my_head", "1,290 parameters"):
        assert word in words


def test_a_deep_network_shows_its_ends_and_counts_its_middle() -> None:
    layers = [Layer(f"own{index}", "dense", (8,), 72) for index in range(1, 101)]
    words = _words(architecture(layers)).split("\n")
    assert "… 37 more layers, 2,664 parameters" in words
    assert [f"own{index}" in words for index in (1, 32, 33, 69, 70, 100)] == [True, True, False, False, True, True]


def test_nothing_global_is_touched(tmp_path: Path) -> None:
    from matplotlib import pyplot

    settings, figures = dict(matplotlib.rcParams), pyplot.get_fignums()  # other tests may have left some open
    save(cost_curves(_rows([2.0, 1.0])), tmp_path / "cost.png")
    assert dict(matplotlib.rcParams) == settings
    assert pyplot.get_fignums() == figures
    assert (tmp_path / "cost.png").read_bytes().startswith(b"\x89PNG")


def test_names_of_runs_leave_room_for_the_curves() -> None:
    many = comparison({f"mlp {index}": _rows([1.0, 0.5]) for index in range(60)})
    assert "… mlp 59, 60 runs in all" in _words(many)
    assert "mlp 30" not in _words(many)
    long = comparison({"a" * 200: _rows([1.0, 0.5])})
    assert f"{'a' * 39}…" in _words(long)


def test_a_dollar_in_a_name_begins_no_formula(tmp_path: Path) -> None:
    save(comparison({"costs $5_{ not $10": _rows([1.0, 0.5])}), tmp_path / "x.png")
    assert (tmp_path / "x.png").stat().st_size > 0


def test_each_large_error_stands_against_the_cost_of_the_set() -> None:
    x = np.array([[1.0, -2.0], [0.5, 0.25]])
    figure = largest_errors(
        x, [7, 3], ["cat", "dog"], ["dog", "dog"], [4.0, 2.0], cost=0.5, n_samples=20, features=["a", "b"], error="loss"
    )
    words = _words(figure)
    assert "Largest errors, test part\nerror of one observation: 4 to 2; cost of the set: 0.5" in words
    assert "the mean of the errors (loss) of all 20 observations" in words
    assert "#7: cat, predicted dog" in words
    bars, cells = figure.axes
    assert [bar.get_width() for bar in bars.patches] == [4.0, 2.0]
    assert list(bars.lines[0].get_xdata()) == [0.5, 0.5]
    np.testing.assert_array_equal(cells.images[0].get_array(), x)
    assert [label.get_text() for label in cells.get_xticklabels()] == ["a", "b"]


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 1), (4, 5, 3), (4, 5, 7), (2, 4, 5, 3)])
def test_the_images_with_large_errors_are_shown_as_images(shape: tuple[int, ...], tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(7, *shape))
    names = [str(index) for index in range(7)]
    figure = largest_errors(x, range(7), names, names, [1.0] * 7, cost=0.5, n_samples=7)
    assert [axes.images[0].get_array().shape[:2] for axes in figure.axes] == [(4, 5)] * 7
    save(figure, tmp_path / "errors.png")


def test_the_classes_of_each_part() -> None:
    figure = class_balance({"train": {"cat": 30, "dog": 10}, "test": {"cat": 1, "dog": 1}})
    assert [bar.get_width() for bar in figure.axes[0].patches] == [0.75, 0.25, 0.5, 0.5]
    assert {"30", "10", "train (40)", "test (2)"} <= set(_words(figure).split("\n"))
