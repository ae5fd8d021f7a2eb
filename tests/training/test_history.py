"""The history is plain rows, and reads as Keras' own where people expect that."""

from __future__ import annotations

import json

from matplotlib.figure import Figure

from kerasflow.training.history import History


def history() -> History:
    return History(
        rows=[
            {"epoch": 1, "loss": 2.0, "accuracy": 0.4, "updates": 5, "lr": 0.1, "grad_norm": 1.0, "seconds": 0.1},
            {"epoch": 2, "loss": 1.0, "accuracy": 0.6, "val_loss": 1.5, "updates": 10, "lr": 0.1, "seconds": 0.2},
        ],
        stop_reason="threshold: loss = 1 is below 2",
        best_epoch=2,
        engine="graph",
    )


def test_curves_and_epochs_are_those_of_keras() -> None:
    assert history().history == {"loss": [2.0, 1.0], "accuracy": [0.4, 0.6], "val_loss": [1.5]}
    assert history().epoch == [0, 1]


def test_updates_and_best_row() -> None:
    assert history().updates == 10
    assert history().best["loss"] == 1.0


def test_before_the_first_epoch_everything_is_empty() -> None:
    empty = History()
    assert (empty.updates, empty.best, empty.history, empty.epoch, len(empty.to_frame())) == (0, {}, {}, [], 0)


def test_a_frame_has_one_row_an_epoch() -> None:
    frame = history().to_frame()
    assert list(frame.index) == [1, 2]
    assert frame.index.name == "epoch"
    assert frame["val_loss"].isna().tolist() == [True, False]


def test_rows_survive_json() -> None:
    rows = history().rows
    assert json.loads(json.dumps(rows)) == rows


def test_plot_draws_what_the_rows_hold() -> None:
    figure = history().plot()
    assert isinstance(figure, Figure)
    drawn = {line.get_label() for axes in figure.axes for line in axes.get_lines()}
    assert len(drawn) >= 2
