"""Each drawing shows the numbers that it is given; how it looks was judged by eye, from one layer to sixty."""

from __future__ import annotations

from dataclasses import replace

import keras
import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

import kerasflow as kf
from kerasflow import explain
from kerasflow.explain.initial import Finding
from kerasflow.viz import explained
from tests.explain.conftest import DECK_SAMPLE, make_deck

X = DECK_SAMPLE + np.array([[0.0, 0.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, -1.0], [0.0, 1.0, -3.0]])
Y = np.array([[0.0], [1.0], [1.0], [1.0]])


@pytest.fixture(scope="module")
def deck() -> keras.Model:
    return make_deck()


@pytest.fixture(scope="module")
def back(deck) -> explain.Backward:
    return explain.backward(deck, X, Y)


@pytest.fixture(autouse=True)
def _nothing_global_is_touched():
    before = dict(matplotlib.rcParams)
    yield
    assert dict(matplotlib.rcParams) == before


def words(figure: Figure) -> str:
    figure.canvas.draw()
    return "\n".join(text.get_text() for text in figure.findobj(Text)).replace("\N{MINUS SIGN}", "-")


def curve(figure: Figure, label: str) -> np.ndarray:
    """The points of the first line with such a label."""
    lines = [line for axes in figure.axes for line in axes.lines if str(line.get_label()).startswith(label)]
    return np.asarray(lines[0].get_xydata(), float)


def widths(figure: Figure, panel: int) -> list[float]:
    return [float(bar.get_width()) for bar in figure.axes[panel].patches]


def heights(figure: Figure, panel: int) -> list[float]:
    return [float(bar.get_height()) for bar in figure.axes[panel].patches]


def test_every_question_has_its_drawing() -> None:
    questions = {name for name in explain.__all__ if name.islower()} - {"diagnosis"}  # which is told in words
    assert set(explained.__all__) == questions


def test_forward_shows_z_and_h_and_the_decks_sum(deck) -> None:
    trace = explain.forward(deck, DECK_SAMPLE)
    figure = explained.forward(trace)
    np.testing.assert_allclose(widths(figure, 0), [*trace["hidden"].Z, *trace["hidden"].H])
    assert "hidden[0]:  Z = 2000·3 + 4500·7 + 1251·2 - 40000 = 2, H = sigmoid(2) = 0.880797" in words(figure)
    sizes = [np.sqrt(np.mean(layer.H**2)) for layer in trace.layers]
    np.testing.assert_allclose(figure.axes[2].lines[1].get_ydata(), sizes)


def test_backward_shows_the_chain_the_gradients_and_one_weights_way(back) -> None:
    figure = explained.backward(back, weight="hidden/kernel[1,1]")
    np.testing.assert_allclose(curve(figure, "dE/dZ")[:, 1], [np.sqrt(np.mean(one.dE_dZ**2)) for one in back.layers])
    np.testing.assert_allclose(curve(figure, "largest")[:, 0], [np.abs(g).max() for g in back.gradients.values()])
    path = back.path("hidden/kernel[1,1]")
    np.testing.assert_allclose(widths(figure, 2), [way.product for way in path.paths])
    assert f"{path.gradient:.4g}" in words(figure)
    assert len(explained.backward(back).axes) == 2


def test_cost_shows_each_error_and_the_derivative_both_ways(deck) -> None:
    found = explain.cost(deck, X, Y)
    figure = explained.cost(found)
    np.testing.assert_allclose(heights(figure, 0), found.errors)
    np.testing.assert_allclose(curve(figure, "analytic")[:, 0], found.only.analytic[0])
    np.testing.assert_allclose(curve(figure, "numeric")[:, 0], found.only.numeric[0])
    assert f"cost {found.cost:.4g}: {found.reduction}" in words(figure)


def test_the_gradient_check_names_the_worst(deck) -> None:
    found = explain.check_gradients(deck, X, Y)
    figure = explained.check_gradients(found)
    assert len(curve(figure, f"{len(found.rows)} agree")) == len(found.rows)
    assert figure.axes[1].get_yticklabels()[0].get_text() == found.worst.weight
    assert found.summary in words(figure)


def test_a_step_shows_each_weight_before_and_after(deck) -> None:
    found = explain.descent(deck, X, Y, 0.1)
    figure = explained.descent(found)
    np.testing.assert_allclose(heights(figure, 1), [found.cost_before, found.cost_after])
    path = next(path for path in found.before if path.endswith("output/bias"))
    said = f"{found.before[path][0]:.5g} → {found.after[path][0]:.5g}".replace("\N{MINUS SIGN}", "-")
    assert said in words(figure)


def test_slices_and_the_plane_are_as_computed(deck) -> None:
    cut = explain.along_weight(deck, X, Y, "output/kernel[1,0]", points=7)
    figure = explained.along_weight(cut)
    np.testing.assert_array_equal(curve(figure, "cost"), np.column_stack([cut.positions, cut.costs]))
    np.testing.assert_array_equal(curve(figure, "here"), [[cut.here, cut.cost_here]])
    assert "learning rate of one step" in words(explained.along_gradient(cut))
    found = explain.plane(deck, X, Y, weights=("output/kernel[0,0]", "output/bias"), steps=3, points=5)
    figure = explained.plane(found)
    np.testing.assert_array_equal(curve(figure, "each step"), found.path)
    assert "3 steps" in words(figure)


def test_learning_rates_are_named_on_their_curves(deck) -> None:
    found = explain.learning_rates(deck, X, Y, rates=(1.0, 1e-9), epochs=5)
    figure = explained.learning_rates(found)
    for one in found.curves:
        label = f"α = {one.learning_rate:g}: {one.behaviour}"
        assert label in words(figure)
        np.testing.assert_array_equal(curve(figure, label)[:, 1], one.costs)


def test_luck_is_drawn_beside_descent(deck) -> None:
    found = explain.random_search(deck, X, Y, "output/bias", 6)
    figure = explained.random_search(found)
    np.testing.assert_array_equal(curve(figure, "lowest")[:, 1], found.lowest)
    np.testing.assert_array_equal(curve(figure, "gradient descent")[:, 1], found.descent_costs)


def test_the_beginning_shows_scales_findings_and_symmetry(deck) -> None:
    found = explain.initialisation(deck, X, Y)
    figure = explained.initialisation(found)
    np.testing.assert_allclose(curve(figure, "H")[:, 1], [one.H_std for one in found.layers])
    np.testing.assert_allclose(
        curve(figure, "here")[:, 0], [k.std for one in found.layers for k in one.kernels.values()]
    )
    assert "nothing hinders learning at the beginning" in words(figure)
    fault = Finding("hidden", "dead units", "2 of 2 units give 0", "a smaller bias")
    assert "hidden: dead units; 2 of 2 units give 0" in words(
        explained.initialisation(replace(found, findings=(fault,)))
    )
    alike = explain.symmetry(deck, X, Y, learning_rate=1e-6, steps=2)
    figure = explained.symmetry(alike)
    for path, spreads in alike.spreads.items():
        np.testing.assert_array_equal(curve(figure, path)[:, 1], spreads)


def test_micro_batches_add_up_to_the_whole(deck) -> None:
    found = explain.accumulation(deck, X, Y, 1)
    figure = explained.accumulation(found)
    path = next(iter(found.whole))
    at = int(np.abs(found.whole[path]).argmax())
    parts = [float(np.ravel(one[path])[at]) for one in found.micro_batches]
    np.testing.assert_allclose(heights(figure, 0), parts)
    np.testing.assert_allclose(curve(figure, "their sum")[:, 1], np.cumsum(parts))
    assert "the weights stay as they are" in words(figure)


def test_stopping_marks_instant_reason_and_counters() -> None:
    rows = [{"epoch": n, "loss": cost, "seconds": 1.0} for n, cost in enumerate([3.0, 2.0, 2.5, 2.4, 2.3], start=1)]
    found = explain.stopping(rows, [kf.stop.Plateau("loss", patience=2), kf.stop.Threshold("loss", below=1.0)])
    figure = explained.stopping(found)
    np.testing.assert_array_equal(figure.axes[1].lines[0].get_ydata(), [0, 0, 1, 2, 3])
    assert "stopped after epoch 4" in words(figure)
    assert "stopped by plateau: loss has not improved by 0 for 2 epochs" in words(figure)
    assert "no rule says stop" in words(explained.stopping(explain.stopping(rows)))


def test_histograms_show_a_ridge_for_each_epoch_the_last_in_front(deck) -> None:
    start = explain.histograms(deck, bins=6)
    later = [replace(one, epoch=5, counts=one.counts[::-1]) for one in start]
    figure = explained.histograms([*start, *later])
    assert [axes.get_title("left") for axes in figure.axes if axes.get_visible()] == [one.path for one in start]
    first, _, last, _ = (patch for patch in figure.axes[0].patches)
    assert first.get_zorder() < last.get_zorder()
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["5", "0"]
    for ridge, base, one in ((first, 1, start[0]), (last, 0, later[0])):
        np.testing.assert_allclose((ridge.get_data().values - base) * one.counts.max(), 1.6 * one.counts)
        np.testing.assert_allclose(ridge.get_data().edges, one.edges)
