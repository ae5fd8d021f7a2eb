"""A training as plain data in a folder: whole, the same bits, or a sentence."""

from __future__ import annotations

import dataclasses
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from kerasflow.errors import RunError, TrainingError
from kerasflow.training import archive, callback_state
from kerasflow.training.checkpoint import Checkpoints, TrainingState
from kerasflow.training.interruption import Interruption
from kerasflow.training.keras_internals import all_variables


def network(units: int = 4, *, optimizer: Any = None, **compiling: Any) -> keras.Model:
    """Every kind of state: weights, moving statistics, random generators, slots, a moving average, metrics."""
    keras.utils.set_random_seed(units)
    layers = [
        keras.Input((6, 6, 1)),
        keras.layers.RandomFlip(),
        keras.layers.Conv2D(2, 3),
        keras.layers.BatchNormalization(),
        keras.layers.Flatten(),
        keras.layers.Dropout(0.5),
        keras.layers.Dense(units),
    ]
    model = keras.Sequential(layers)
    settings = {"loss": "mse", "metrics": ["mae"], "run_eagerly": True} | compiling
    model.compile(optimizer or keras.optimizers.Adam(0.01, use_ema=True), **settings)
    rng = np.random.default_rng(units)
    model.train_on_batch(rng.normal(size=(4, 6, 6, 1)), rng.normal(size=(4, units)))
    return model


@pytest.fixture(scope="module")
def trained() -> keras.Model:
    return network()


@pytest.fixture
def state(trained: keras.Model) -> TrainingState:
    rows = [{"epoch": 1, "loss": 0.1 + 0.2, "val_loss": float("nan"), "seconds": 1e-300}]
    return TrainingState.capture(
        trained,
        epoch=1,
        window=3,
        updates=10,
        rows=rows,
        running={"totals": np.array([0.1, 2.0, np.inf]), "seconds": 0.5},
        settings={"engine": "graph", "batch_size": 4},
        weights={"best": trained.get_weights(), "good": None},
        callbacks=[{"class": "EarlyStopping", "attributes": {"wait": 2, "best": np.float32(0.3)}}],
    )


def values(model: keras.Model) -> list[np.ndarray]:
    return [variable.value.numpy() for variable in all_variables(model)]


# --- plain data


@pytest.mark.parametrize(
    "data",
    [
        {"a": [1, 2.5, None, True, "text ü"], "b": {}, "c": ()},
        (1, (2, [3, ({"x": np.arange(3)},)])),
        {1: "int", (2, 3): "tuple", "$array": "a name that is ours"},
        [np.float32(0.1), np.int64(2**62), np.bool_(True), np.str_("s"), np.array("s"), np.zeros((0, 3), "int8")],
        [0.1 + 0.2, 5e-324, -0.0, float("inf"), 10**30],
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    ],
)
def test_plain_data_comes_back_as_it_was(tmp_path: Path, data: Any) -> None:
    archive.write(tmp_path / "data", data)
    found = archive.read(tmp_path / "data")
    assert repr(found) == repr(data)
    assert type(found) is type(data)


def test_numbers_that_numpy_does_not_know_keep_their_bits(tmp_path: Path) -> None:
    variable = keras.Variable([1.0, -2.5, float("nan")], dtype="bfloat16")
    array = variable.value.numpy()
    archive.write(tmp_path / "data", [array, array[1]])
    found, scalar = archive.read(tmp_path / "data")
    assert found.dtype == array.dtype
    assert found.tobytes() == array.tobytes()
    assert scalar == array[1]


@pytest.mark.parametrize("data", [object(), {"f": print}, [np.array([None])], {1, 2}, np.zeros(2, "i4,f4")])
def test_what_is_not_plain_is_refused(tmp_path: Path, data: Any) -> None:
    assert not archive.is_plain(data)
    with pytest.raises(TypeError):
        archive.write(tmp_path / "data", data)


# --- the state of a model


def test_a_checkpoint_brings_every_variable_back_to_the_bit(
    tmp_path: Path, trained: keras.Model, state: TrainingState
) -> None:
    Checkpoints(tmp_path).save(state)
    loaded = Checkpoints(tmp_path).load()
    assert loaded is not None
    other = network(optimizer=keras.optimizers.Adam(0.5, use_ema=True))
    for _ in range(2):  # moves weights, slots, statistics and every random generator
        other.train_on_batch(np.ones((4, 6, 6, 1)), np.ones((4, 4)))
    keras.random.normal((3,))
    loaded.apply(other)
    assert len(values(trained)) > 20
    for name, a, b in zip([v.path for v in all_variables(trained)], values(trained), values(other), strict=True):
        np.testing.assert_array_equal(a, b, err_msg=name)
    x = np.ones((2, 6, 6, 1))
    np.testing.assert_array_equal(trained(x, training=True), other(x, training=True))  # the same masks and flips


def test_what_is_no_variable_comes_back_as_it_was(tmp_path: Path, state: TrainingState) -> None:
    Checkpoints(tmp_path).save(state)
    loaded = Checkpoints(tmp_path).load()
    for field in dataclasses.fields(state):
        assert repr(getattr(loaded, field.name)) == repr(getattr(state, field.name)), field.name


def test_a_state_does_not_change_with_the_model() -> None:
    model = network()
    rows = [{"epoch": 1}]
    state = TrainingState.capture(model, epoch=1, window=0, updates=1, rows=rows)
    before = repr(state)
    model.train_on_batch(np.ones((4, 6, 6, 1)), np.ones((4, 4)))
    rows[0]["epoch"] = 2
    assert repr(state) == before


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: network(5), r"dense.*/kernel of the model had shape \(32, 4\), and .* has \(32, 5\) now"),
        (lambda: network(optimizer=keras.optimizers.SGD(0.1)), "the optimizer had .* variables and has 2 now"),
        (lambda: network(metrics=[]), "the metrics had 4 variables and has 2 now"),
        (lambda: network(optimizer=keras.optimizers.Nadam(0.1, use_ema=True)), "optimizer"),
    ],
    ids=["layer", "optimizer", "metric", "optimizer-of-the-same-size"],
)
def test_a_checkpoint_of_another_training_says_what_differs(state: TrainingState, make: Any, words: str) -> None:
    other = make()
    before = values(other)
    with pytest.raises(TrainingError, match=words) as refused:
        state.apply(other)
    assert "\n" not in str(refused.value)
    for a, b in zip(before, values(other), strict=True):
        np.testing.assert_array_equal(a, b)


def test_settings_that_decide_the_bits_must_be_the_same(trained: keras.Model, state: TrainingState) -> None:
    state.check(trained, {"engine": "graph", "batch_size": 4, "epochs": 99})
    with pytest.raises(TrainingError, match="batch_size was 4 and is 8 now"):
        state.check(trained, {"engine": "graph", "batch_size": 8})


# --- the folder


def files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def numbered(state: TrainingState, updates: int) -> TrainingState:
    return dataclasses.replace(state, updates=updates)


def updates(folder: Path) -> int:
    found = Checkpoints(folder).load()
    assert found is not None
    return found.updates


def test_no_checkpoint_is_none(tmp_path: Path) -> None:
    assert Checkpoints(tmp_path / "nothing").load() is None
    assert not (tmp_path / "nothing").exists()


def test_the_newest_and_the_one_before_are_kept(tmp_path: Path, state: TrainingState) -> None:
    checkpoints = Checkpoints(tmp_path)
    for count in (10, 20, 30):
        checkpoints.save(numbered(state, count))
        assert updates(tmp_path) == count
    assert len(files(tmp_path)) == 2


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("spoil", [cut, flip, Path.unlink], ids=["cut", "one bit", "gone"])
@pytest.mark.filterwarnings("ignore:.*is damaged")
def test_a_damaged_one_gives_way_to_the_one_before(tmp_path: Path, state: TrainingState, spoil: Any) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(numbered(state, 10))
    checkpoints.save(numbered(state, 20))
    spoil(files(tmp_path)[-1])
    again = Checkpoints(tmp_path)
    found = again.load()
    assert found is not None
    assert found.updates == 10
    again.save(numbered(state, 15))
    spoil(files(tmp_path)[-1])
    assert updates(tmp_path) == 10, "the one that was whole is still there"


def test_damage_is_told_and_never_begun_over_in_silence(tmp_path: Path, state: TrainingState) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(state)
    checkpoints.save(state)
    older, newest = files(tmp_path)
    flip(newest)
    with pytest.warns(UserWarning, match=f"{newest.name} is damaged"):
        checkpoints.load()
    flip(older)
    with pytest.raises(RunError, match="every checkpoint is damaged"):
        checkpoints.load()


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path: Path, state: TrainingState) -> None:
    (tmp_path / ".writing-123").write_bytes(b"half")
    (tmp_path / "notes.txt").write_text("mine")
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(state)
    assert [file.name for file in files(tmp_path) if not file.name.endswith(".npz")] == ["notes.txt"]
    checkpoints.clear()
    assert [file.name for file in files(tmp_path)] == ["notes.txt"]
    (tmp_path / "notes.txt").unlink()
    checkpoints.clear()
    assert not tmp_path.exists()


def test_a_disk_that_refuses_is_one_sentence(tmp_path: Path, state: TrainingState) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RunError, match="a checkpoint cannot be written") as refused:
        Checkpoints(tmp_path / "file" / "checkpoints").save(state)
    assert "\n" not in str(refused.value)


def test_saving_takes_no_more_than_its_share_of_the_time(tmp_path: Path, state: TrainingState) -> None:
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += 0.5  # so a checkpoint takes half a second
        return now

    checkpoints = Checkpoints(tmp_path, every=60, apart=5, clock=clock)
    assert not checkpoints.due()
    now += 5
    assert checkpoints.due()
    assert not checkpoints.due(within_epoch=True)
    checkpoints.save(state)
    now += 20
    assert not checkpoints.due()
    now += 10
    assert checkpoints.due()
    now += 40
    assert checkpoints.due(within_epoch=True)


# --- callbacks


def test_callbacks_get_back_what_they_remember(tmp_path: Path) -> None:
    before = [keras.callbacks.ReduceLROnPlateau(patience=3), keras.callbacks.EarlyStopping("loss")]
    before[0].wait, before[0].best, before[0].cooldown_counter = 2, 0.25, 1
    before[1].best_weights = [np.arange(3.0)]
    archive.write(tmp_path / "state", callback_state.kept(before))
    after = [keras.callbacks.ReduceLROnPlateau(patience=3), keras.callbacks.EarlyStopping("loss")]
    callback_state.give_back(after, archive.read(tmp_path / "state"))
    assert (after[0].wait, after[0].best, after[0].cooldown_counter) == (2, 0.25, 1)
    np.testing.assert_array_equal(after[1].best_weights[0], [0.0, 1.0, 2.0])
    with pytest.raises(TrainingError, match="the callbacks ReduceLROnPlateau, EarlyStopping, and this one has no"):
        callback_state.give_back([], archive.read(tmp_path / "state"))


def test_what_cannot_be_kept_of_a_callback_is_named(tmp_path: Path) -> None:
    class Noting(keras.callbacks.Callback):
        pass

    noting, logger = Noting(), keras.callbacks.CSVLogger(str(tmp_path / "log.csv"))
    logger.on_train_begin()
    with (tmp_path / "notes").open("w") as noting.file, logger.csv_file:
        assert callback_state.not_kept([noting, logger]) == ["Noting.file"]


# --- Ctrl-C and SIGTERM


def test_a_signal_waits_for_the_loop_and_a_second_one_does_not() -> None:
    with pytest.raises(KeyboardInterrupt), Interruption() as interruption:  # noqa: PT012  # when it comes is the point
        signal.raise_signal(signal.SIGINT)
        assert interruption.heard
        interruption.check()
    with pytest.raises(KeyboardInterrupt), Interruption():  # noqa: PT012
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), Interruption():  # the loop ended before it asked
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_whoever_handled_a_signal_before_still_does(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[int] = []
    handlers: dict[int, Callable[..., Any] | signal.Handlers] = {
        signal.SIGTERM: lambda number, _: heard.append(number),
        signal.SIGINT: signal.SIG_IGN,
    }
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        with Interruption() as interruption:
            signal.raise_signal(signal.SIGINT)
            assert not interruption.heard
            signal.raise_signal(signal.SIGTERM)
            assert heard == []
            interruption.check()
            assert heard == [signal.SIGTERM]
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
