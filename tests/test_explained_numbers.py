"""What stands on the page of an explanation, read from the page, against TensorFlow's own gradients and costs."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasflow.explanation import Explanation, explanation, write_page

PLAIN = {
    "experiment": "plain",
    "data": {"source": {"sklearn": "iris"}, "scale": "standard"},
    "model": {"layers": [{"dense": {"units": 6, "activation": "tanh"}}, "head"]},
    "train": {"epochs": 1, "optimizer": {"sgd": {"learning_rate": 0.1}}},
}
WEIGHT = "dense/kernel[1,2]"
CLOSE = {"rtol": 1e-4, "atol": 1e-6}


@pytest.fixture(scope="module")
def found() -> Explanation:
    return explanation(PLAIN, sample=70, weight=WEIGHT)


@pytest.fixture(scope="module")
def text(found: Explanation, tmp_path_factory: pytest.TempPathFactory) -> str:
    return Path(write_page(found, tmp_path_factory.mktemp("page") / "page.html")).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def drawn(text: str) -> dict[str, Any]:
    numbers = re.search(r'<script id="numbers" type="application/json">(.*?)</script>', text, re.S)
    assert numbers is not None
    return dict(json.loads(numbers[1]))


def rows(text: str, section: str, caption: str) -> list[list[Any]]:
    """A table of the page: numbers with all their digits, and texts."""
    part = re.search(rf'<section id="{section}".*?</section>', text, re.S)
    assert part is not None
    (table,) = (one for one in re.findall(r"<table>.*?</table>", part[0], re.S) if caption in html.unescape(one))
    found = []
    for row in re.findall(r"<tr>(<td.*?)</tr>", table, re.S):
        cells = re.findall(r'<td(?: class="number" title="([^"]*)")?>(.*?)</td>', row, re.S)
        found.append([float(number) if number else html.unescape(said) for number, said in cells])
    return found


def cost_of(found: Explanation, weights: list[Any]) -> tuple[float, list[np.ndarray]]:
    """The set's cost with these weights, and its gradient, by TensorFlow."""
    model, subject = keras.models.clone_model(found.subject.model), found.subject
    model.set_weights(weights)
    with tf.GradientTape() as tape:
        errors = keras.losses.sparse_categorical_crossentropy(subject.y, model(subject.x))
        cost = tf.reduce_mean(errors)
    gradients = tape.gradient(cost, [variable.value for variable in model.trainable_variables])
    return float(cost), [np.asarray(g) for g in gradients]


def test_the_walk_forward_and_back_is_the_tapes(found: Explanation, drawn: dict[str, Any]) -> None:
    _, hidden, head = drawn["diagram"]["columns"]
    model, subject = found.subject.model, found.subject
    dense, out = model.get_layer("dense"), model.get_layer("head")
    with tf.GradientTape(persistent=True) as tape:
        first = tf.convert_to_tensor(subject.x[:1]) @ dense.kernel + dense.bias
        tape.watch(first)
        H = tf.tanh(first)
        tape.watch(H)
        second = H @ out.kernel + out.bias
        tape.watch(second)
        output = tf.nn.softmax(second)
        error = keras.losses.sparse_categorical_crossentropy(subject.y[:1], output)[0]
    np.testing.assert_allclose(drawn["diagram"]["error"], error, **CLOSE)
    for column, z, h, after in ((hidden, first, H, H), (head, second, output, None)):
        np.testing.assert_allclose(column["Z"], z[0], **CLOSE)
        np.testing.assert_allclose(column["H"], h[0], **CLOSE)
        np.testing.assert_allclose(column["dE_dZ"], tape.gradient(error, z)[0], **CLOSE)
        if after is not None:
            np.testing.assert_allclose(column["dE_dH"], tape.gradient(error, after)[0], **CLOSE)
    np.testing.assert_allclose(hidden["weights"], dense.kernel, **CLOSE)


def test_errors_and_their_slopes_are_the_losses(found: Explanation, text: str) -> None:
    model, subject = found.subject.model, found.subject
    outputs = tf.constant(np.asarray(model(subject.x)))
    with tf.GradientTape() as tape:
        tape.watch(outputs)
        errors = keras.losses.sparse_categorical_crossentropy(subject.y, outputs)
    slopes = tape.gradient(errors, outputs)[0]
    told = rows(text, "cost", "Errors of")
    np.testing.assert_allclose([row[1] for row in told], errors[: len(told)], **CLOSE)
    told = rows(text, "cost", "dE/dO of the sample")
    np.testing.assert_allclose([row[1] for row in told], outputs[0], **CLOSE)
    # Keras' own cross-entropy of softmax outputs divides by their sum; its slope along the others is not 0.
    for column in (2, 3):
        np.testing.assert_allclose([row[column] for row in told], slopes, rtol=1e-3, atol=1e-3)


def test_one_step_goes_down_the_tapes_gradient(found: Explanation, text: str) -> None:
    subject = found.subject
    _, gradients = cost_of(found, subject.model.get_weights())
    names = [variable.path for variable in subject.model.trainable_variables]
    for weight, before, slope, after in rows(text, "descent", "largest gradient"):
        path, at = weight[:-1].split("[")
        place = next(i for i, name in enumerate(names) if name.endswith(path))
        index = tuple(int(i) for i in at.split(","))
        assert slope == pytest.approx(gradients[place][index], rel=1e-4)
        assert before == pytest.approx(subject.model.get_weights()[place][index], rel=1e-6)
        assert after == pytest.approx(before - 0.1 * slope, rel=1e-5)
    whole = {row[0]: row for row in rows(text, "accumulation", "largest gradient of each variable")}
    for name, gradient in zip(names, gradients, strict=True):
        told = next(row for weight, row in whole.items() if name.endswith(weight.split("[")[0]))
        assert told[3] == pytest.approx(gradient.reshape(-1)[np.abs(gradient).argmax()], rel=1e-4)
        assert told[2] == pytest.approx(told[3], rel=1e-4)


def test_curves_of_the_cost_are_the_cost(found: Explanation, drawn: dict[str, Any], text: str) -> None:
    start = found.subject.model.get_weights()
    _, gradients = cost_of(found, start)

    def moved(value: float) -> list[Any]:
        kernel = start[0].copy()
        kernel[1, 2] = value
        return [kernel, *start[1:]]

    def stepped(rate: float) -> list[Any]:
        return [weights - rate * gradient for weights, gradient in zip(start, gradients, strict=True)]

    for section, changed in (("weight", moved), ("gradient", stepped)):
        curve = drawn["charts"][section][0]["lines"][0]
        for place in (0, len(curve["x"]) // 2, -1):
            assert curve["y"][place] == pytest.approx(cost_of(found, changed(curve["x"][place]))[0], rel=1e-4)
    for _, tried, cost, *_ in rows(text, "search", "Trials"):
        assert cost == pytest.approx(cost_of(found, moved(tried))[0], rel=1e-4)


def test_curves_of_learning_rates_are_those_of_gradient_descent(found: Explanation, drawn: dict[str, Any]) -> None:
    for line in drawn["charts"]["rates"][0]["lines"]:
        rate = float(line["name"].split(":")[0].removeprefix("α = "))
        if rate > 1:
            continue  # which diverges: every rounding grows
        weights = found.subject.model.get_weights()
        for told in line["y"][:6]:
            cost, gradients = cost_of(found, weights)
            assert told == pytest.approx(cost, rel=1e-4)
            weights = [w - rate * g for w, g in zip(weights, gradients, strict=True)]


def test_statistics_of_layers_and_the_gradient_check_are_of_the_set(found: Explanation, text: str) -> None:
    model, subject = found.subject.model, found.subject
    dense = model.get_layer("dense")
    Z = subject.x @ dense.kernel.numpy() + dense.bias.numpy()
    first = rows(text, "initialisation", "Layer by layer")[0]
    np.testing.assert_allclose(first[1:5], [Z.mean(), Z.std(), np.tanh(Z).mean(), np.tanh(Z).std()], **CLOSE)
    checked = rows(text, "check", "Largest differences first")
    assert checked
    for _, analytic, numeric, difference, agree in checked:
        assert agree == "yes"
        assert abs(analytic - numeric) == pytest.approx(difference, abs=1e-6)
