"""Which task a target asks for, and the way from labels to numbers and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kerasflow.data.target import Target, infer
from kerasflow.errors import DataError

ONE = ("y",)


@pytest.mark.parametrize(
    ("y", "task", "classes"),
    [
        (["b", "a", "c"] * 5, "multiclass", ("a", "b", "c")),
        ([True, False] * 5, "binary", (False, True)),
        ([3, 7] * 2, "binary", (3, 7)),
        ([-1, 0, 1] * 10, "multiclass", (-1, 0, 1)),
        (list(range(10)) * 10, "multiclass", tuple(range(10))),
        (list(range(10)) * 9, "regression", None),
        (list(range(51)) * 20, "regression", None),
        ([0.0, 1.0] * 50, "regression", None),
    ],
)
def test_auto_reads_the_task_from_the_values(y: list[Any], task: str, classes: tuple[Any, ...] | None) -> None:
    target = infer(np.array(y), ONE, "auto", "here")
    assert (target.task, target.classes) == (task, classes)


def test_several_columns_are_multilabel_only_if_all_are_zero_and_one() -> None:
    labels = np.array([[0, 1], [1, 1]])
    assert infer(labels, ("a", "b"), "auto", "here").task == "multilabel"
    assert infer(labels, ("a", "b"), "regression", "here").task == "regression"
    assert infer(labels * 2, ("a", "b"), "auto", "here").task == "regression"


def test_the_spec_overrules() -> None:
    assert infer(np.arange(20), ONE, "classification", "here").n_outputs == 20
    assert infer(np.array([0, 1] * 5), ONE, "regression", "here").task == "regression"
    assert infer(np.array([0.0, 1.0] * 5), ONE, "classification", "here").classes == (0.0, 1.0)


@pytest.mark.parametrize(
    ("y", "wanted", "message"),
    [
        (["a", "b"], "regression", "regression needs numbers, but target 'y' holds 'a'"),
        ([0.5, 1.0], "classification", "holds 0.5"),
        (["a", "a"], "auto", "only one class, 'a'"),
        ([0, 1], "multilabel", "several target columns"),
        ([[0, 2], [1, 1]], "multilabel", "holds more"),
        ([[0, 1], [1, 0]], "classification", "one column"),
    ],
)
def test_a_target_that_the_task_cannot_use_is_refused(y: list[Any], wanted: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        infer(np.array(y), ("y", "z") if isinstance(y[0], list) else ONE, wanted, "here")


def test_encode_and_decode_are_inverse() -> None:
    target = Target("multiclass", ONE, ("red", "green", "blue"))
    y = np.array(["blue", "red", "green", "red"], dtype=object)
    encoded = target.encode(y, "here")
    assert encoded.dtype == np.int32
    assert encoded.tolist() == [2, 0, 1, 0]
    assert target.decode(np.eye(3)[encoded])["prediction"].tolist() == y.tolist()


def test_an_unseen_label_is_named() -> None:
    with pytest.raises(DataError, match=r"here: holds labels that the training rows do not: 'violet'; known are 'red'"):
        Target("binary", ONE, ("red", "green")).encode(np.array(["red", "violet"]), "here")


def test_binary_output_becomes_two_probabilities_and_half_is_the_first_class() -> None:
    decoded = Target("binary", ONE, ("no", "yes")).decode(np.array([[0.5], [0.75]]))
    assert decoded["prediction"].tolist() == ["no", "yes"]
    assert decoded["probability_no"].tolist() == [0.5, 0.25]
    assert decoded["probability_yes"].tolist() == [0.5, 0.75]


def test_other_outputs_keep_the_columns_names() -> None:
    labels = Target("multilabel", ("cat", "dog")).decode(np.array([[0.2, 0.9]]))
    assert labels.to_dict("records") == [{"cat": 0, "dog": 1, "probability_cat": 0.2, "probability_dog": 0.9}]
    assert Target("regression", ("w", "h")).decode(np.array([[1.0, 2.0]])).columns.tolist() == ["w", "h"]
    assert Target("regression", ONE).decode(np.array([1.0, 2.0]))["prediction"].tolist() == [1.0, 2.0]


def test_an_output_of_another_width_is_refused() -> None:
    with pytest.raises(DataError, match=r"3 output\(s\) a sample, got 2"):
        Target("multiclass", ONE, ("a", "b", "c")).decode(np.zeros((4, 2)))
