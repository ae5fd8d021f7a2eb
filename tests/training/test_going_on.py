"""A training that goes on from its checkpoint sees what it would have seen: the same batches, the same callbacks."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerasflow as kf
from kerasflow.training.checkpoint import Checkpoints

EPOCHS = 5


class Killed(Exception):
    pass


class Rows(keras.utils.PyDataset):
    """Five batches of eight samples, which are other ones after each pass."""

    def __init__(self, x: np.ndarray, y: np.ndarray) -> None:
        super().__init__()
        self.x, self.y = x, y

    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return self.x[index * 8 : index * 8 + 8], self.y[index * 8 : index * 8 + 8]

    def on_epoch_end(self) -> None:
        self.x, self.y = np.roll(self.x, 3, axis=0), np.roll(self.y, 3)


def generator(x: np.ndarray, y: np.ndarray) -> Any:
    rng = np.random.default_rng(0)
    while True:
        chosen = rng.integers(0, len(x), 8)
        yield x[chosen], y[chosen]


def shuffled(x: np.ndarray, y: np.ndarray) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices((x, y)).shuffle(40, seed=3).batch(8)


def in_order(x: np.ndarray, y: np.ndarray) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices((x, y)).batch(8)


def assert_goes_on(
    fit: Callable[[Any, Path], tuple[Any, kf.History]], folder: Path, kill: Callable[[int], Any], moments: list[int]
) -> None:
    """`fit(kill(moment), folder)` for each moment, and to its end; against one that nobody kills."""
    for moment in moments:
        with suppress(Killed):
            fit(kill(moment), folder / "interrupted")
    never = 1000
    model, history = fit(kill(never), folder / "interrupted")
    whole_model, whole = fit(kill(never), folder / "whole")
    for name in ("loss", "lr", "grad_norm", "updates", "val_loss"):
        assert [row.get(name) for row in history.rows] == [row.get(name) for row in whole.rows], name
    for a, b in zip(model.get_weights(), whole_model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def _kill() -> None:
    raise Killed


def before_epoch(index: int) -> Any:
    return keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: epoch == index and _kill())


class AfterBatch(keras.callbacks.Callback):
    """Kills when it has seen so many batches."""

    def __init__(self, batches: int) -> None:
        super().__init__()
        self.left = iter(range(batches))  # not kept by a checkpoint

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if next(self.left, None) is None:
            raise Killed


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Checkpoints, "due", lambda self, within_epoch=False: True)


@pytest.fixture
def dies_saving(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Any]:
    """Kills after so many checkpoints, without a callback that wants to see every batch."""

    def after(saved: int) -> Any:
        save, left = _SAVE, iter(range(saved))

        def save_or_die(self: Checkpoints, state: Any) -> None:
            save(self, state)
            if next(left, None) is None:
                raise Killed

        monkeypatch.setattr(Checkpoints, "save", save_or_die)
        return keras.callbacks.LambdaCallback()

    return after


_SAVE = Checkpoints.save


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize(
    ("source", "steps", "moment"),
    [
        (in_order, 7, "after a batch"),
        (in_order, 7, "after a call"),
        (shuffled, None, "between epochs"),
        (shuffled, None, "after a call"),
        (shuffled, 3, "between epochs"),
        (shuffled, 3, "after a call"),
        (Rows, None, "between epochs"),
        (Rows, 3, "after a batch"),
        (generator, 7, "between epochs"),
        (generator, 7, "after a batch"),
    ],
)
@pytest.mark.filterwarnings("ignore:no checkpoint can keep AfterBatch.left")
def test_a_dataset_goes_on_with_the_batches_that_would_have_come(
    classifier: Any, data: Any, tmp_path: Path, dies_saving: Any, source: Any, steps: int | None, moment: str
) -> None:
    held_out = generator if source is generator else shuffled
    validation_steps = 2 if source is generator else None

    def fit(callback: Any, folder: Path) -> tuple[Any, kf.History]:
        model = classifier()
        history = kf.fit(
            model,
            source(*data),
            epochs=EPOCHS,
            steps_per_epoch=steps,
            validation_data=held_out(*data),
            validation_steps=validation_steps,
            callbacks=[callback],
            engine="graph",
            verbose=0,
            checkpoints=folder,
        )
        return model, history

    kill, moments = {
        "between epochs": (before_epoch, [1, 3]),
        "after a batch": (AfterBatch, [2, 6]),
        "after a call": (dies_saving, [1, 3]),
    }[moment]
    assert_goes_on(fit, tmp_path, kill, moments)


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize(
    "make",
    [
        lambda: keras.callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=0.05, cooldown=1),
        lambda: keras.callbacks.EarlyStopping("loss", patience=2, min_delta=0.03),
    ],
)
def test_callbacks_with_a_least_delta_decide_as_if_never_interrupted(
    make: Callable[[], Any], classifier: Any, data: Any, tmp_path: Path
) -> None:
    def fit(callback: Any, folder: Path) -> tuple[Any, kf.History]:
        model = classifier()
        trainer = kf.Trainer(
            keras.optimizers.SGD(0.1),
            "sparse_categorical_crossentropy",
            batch_size=16,
            epochs=9,
            seed=1,
            callbacks=[make(), callback],
            engine="eager",
            verbose=0,
        )
        return model, trainer.fit(model, *data, checkpoints=folder)

    assert_goes_on(fit, tmp_path, before_epoch, [1, 3, 4, 7])


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("settings", [{}, {"separator": ";"}, {"append": True}])
def test_a_csv_logger_goes_on_in_its_file(classifier: Any, data: Any, tmp_path: Path, settings: Any) -> None:
    """Which may have rows that the checkpoint does not know, the last of them torn."""

    def fit(log: Path, folder: Path, *callbacks: Any) -> None:
        logger = keras.callbacks.CSVLogger(str(log), **settings)
        kf.fit(
            classifier(),
            *data,
            validation_data=data,
            epochs=4,
            callbacks=[logger, *callbacks],
            verbose=0,
            engine="eager",
            checkpoints=folder,
        )

    for moment in (0, 2):
        folder, whole, log = (tmp_path / f"{name}{moment}" for name in ("checkpoints", "whole.csv", "log.csv"))
        if settings.get("append"):
            for file in (whole, log):
                file.write_text("epoch,of,an,older,training\n7,1,1,1,1\n")
        fit(whole, tmp_path / f"whole{moment}", before_epoch(1000))
        with pytest.raises(Killed):
            fit(log, folder, before_epoch(moment))
        written = log.read_bytes()
        if moment:  # else there is no checkpoint yet, and nothing to go on after
            with pytest.raises(kf.TrainingError, match="give the same callbacks"):
                fit(log, folder)
            log.write_bytes(written + b'2,0.5,"of two\r\n lines",0.')
        fit(log, folder, before_epoch(1000))
        assert log.read_bytes() == whole.read_bytes()
        assert log.read_bytes().startswith(written)


def test_fewer_epochs_than_the_checkpoint_has_begun_are_refused(classifier: Any, data: Any, tmp_path: Path) -> None:
    def fit(callback: Any, epochs: int) -> None:
        checkpoints = Checkpoints(tmp_path, every=0.0, share=1e9)
        kf.fit(
            classifier(), *data, epochs=epochs, batch_size=8, callbacks=[callback], verbose=0, checkpoints=checkpoints
        )

    with pytest.raises(Killed), pytest.warns(UserWarning, match="AfterBatch.left"):
        fit(AfterBatch(8), 9)
    saved = sorted(tmp_path.iterdir())
    with pytest.raises(kf.TrainingError, match="within epoch 2, and epochs=1 ends before it"):
        fit(AfterBatch(1000), 1)
    assert sorted(tmp_path.iterdir()) == saved
