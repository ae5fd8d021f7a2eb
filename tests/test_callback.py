"""Keras' own `fit`, recorded: several stages in one run, failures told truly. Read back from a real store."""

from __future__ import annotations

import copy
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from mlflow import MlflowClient

import kerasflow as kf
from kerasflow.tracking.folder import RunFolder

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(90, 4)).astype("float32"), np.arange(90) % 3


def network(**options) -> keras.Model:
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(6, "relu"), keras.layers.Dense(3, "softmax")])
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"], **options)
    return model


@pytest.fixture(scope="module")
def two_stages(store, tmp_path_factory):
    """A callback that has seen two fits, and what Keras gave for them."""
    place = tmp_path_factory.mktemp("callback")
    tracking = kf.TrackingCallback("plain", "two stages", uri=store, root=place, params={"data": {"rows": 90}})
    model = network()
    first = model.fit(X, Y, epochs=3, validation_split=0.2, verbose=0, callbacks=[tracking])
    model.optimizer.learning_rate = 0.001
    second = model.fit(X, Y, epochs=2, validation_split=0.2, verbose=0, callbacks=[tracking])
    return tracking, model, first, second


def test_stages_are_one_run_whose_epochs_are_counted_on(two_stages, store):
    tracking, _, first, second = two_stages
    client = MlflowClient(store)
    run = client.get_run(tracking.run_id)
    assert (run.info.status, run.info.run_name) == ("FINISHED", "two stages")
    for key, name in (("train/loss", "loss"), ("val/accuracy", "val_accuracy")):
        points = client.get_metric_history(tracking.run_id, key)
        assert [point.step for point in points] == [1, 2, 3, 4, 5]
        expected = [*first.history[name], *second.history[name]]
        assert [point.value for point in points] == pytest.approx(expected)
    rates = [point.value for point in client.get_metric_history(tracking.run_id, "optim/lr")]
    assert rates == pytest.approx([0.01] * 3 + [0.001] * 2)
    assert run.data.tags["stop_reason"] == "all epochs are completed, after epoch 5"
    costs = [*first.history["val_loss"], *second.history["val_loss"]]
    assert run.data.metrics["best/epoch"] == 1 + int(np.argmin(costs)), "of both stages, and not the first one's"
    assert run.data.metrics["best/val_loss"] == pytest.approx(min(costs))
    assert run.data.params["optimizer/Adam/learning_rate"] == str(np.float32(0.01).item())
    assert run.data.params["data/rows"] == "90"


def test_files_are_in_the_folder_and_in_mlflow(two_stages, store):
    tracking, model, *_ = two_stages
    names = {item.path for item in MlflowClient(store).list_artifacts(tracking.run_id)}
    assert {"environment.txt", "history.csv", "images"} <= names
    loaded = keras.models.load_model(tracking.folder / "model.keras")
    np.testing.assert_array_equal(loaded.predict(X, verbose=0), model.predict(X, verbose=0))
    assert RunFolder.open(tracking.folder).status.state == "FINISHED"
    assert kf.compare([tracking.folder]).runs[0].metrics["train/loss"] == pytest.approx(
        MlflowClient(store).get_run(tracking.run_id).data.metrics["train/loss"]
    )


def test_the_training_is_the_same_to_the_bit(two_stages):
    _, model, *_ = two_stages
    plain = network()
    plain.fit(X, Y, epochs=3, validation_split=0.2, verbose=0)
    plain.optimizer.learning_rate = 0.001
    plain.fit(X, Y, epochs=2, validation_split=0.2, verbose=0)
    for a, b in zip(plain.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_callback_that_stops_is_named_as_the_reason(tmp_path):
    tracking = kf.TrackingCallback("plain", uri="none", root=tmp_path)
    stops = keras.callbacks.EarlyStopping("loss", patience=1, min_delta=1e9)
    network().fit(X, Y, epochs=9, verbose=0, callbacks=[stops, tracking])
    assert RunFolder.open(tracking.folder).status.reason == "a callback stopped it, after epoch 2"


def test_a_metric_of_several_numbers_is_several_curves_and_a_search_may_copy_the_callback(tmp_path):
    tracking = copy.deepcopy(kf.TrackingCallback("plain", uri="none", root=tmp_path))
    model = network()
    model.compile("adam", "categorical_crossentropy", metrics=[keras.metrics.F1Score(name="f1")])
    model.fit(X, np.eye(3)[Y], epochs=1, verbose=0, callbacks=[tracking])
    (row,) = RunFolder.open(tracking.folder).rows
    assert {"f1_0", "f1_1", "f1_2"} <= set(row)


def test_a_model_that_cannot_be_saved_costs_nobody_the_training(tmp_path, monkeypatch):
    def refuses(*_, **__):
        raise ValueError("no such thing in a file")

    tracking = kf.TrackingCallback("plain", uri="none", root=tmp_path)
    model = network()
    monkeypatch.setattr(model, "save", refuses)
    with pytest.warns(UserWarning, match="lacks a file: no such thing in a file"):
        assert len(model.fit(X, Y, epochs=2, verbose=0, callbacks=[tracking]).history["loss"]) == 2
    assert RunFolder.open(tracking.folder).status.state == "FINISHED"


def test_it_records_kerasflows_own_fit_too(tmp_path):
    tracking = kf.TrackingCallback("plain", uri="none", root=tmp_path)
    history = kf.fit(network(), X, Y, epochs=2, verbose=0, callbacks=[tracking])
    assert [row["loss"] for row in RunFolder.open(tracking.folder).rows] == [row["loss"] for row in history.rows]


SCRIPT = """
import sys
import keras, numpy as np, kerasflow as kf
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "softmax")])
model.compile("sgd", "sparse_categorical_crossentropy")
class Ends(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        if epoch == 2:
            exec(sys.argv[1])
callbacks = [kf.TrackingCallback("plain", uri="none"), Ends()]
model.fit(np.ones((9, 4)), np.arange(9) % 3, epochs=9, verbose=0, callbacks=callbacks)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ends", "state", "reason"),
    [
        ("raise ValueError('the third')", "FAILED", "ValueError: the third"),
        ("sys.exit(3)", "FAILED", "the script ended within a fit"),
        ("raise KeyboardInterrupt", "KILLED", "Ctrl-C"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "KILLED", "its process is gone; last heard of at "),
    ],
)
def test_a_script_that_ends_within_a_fit_is_not_finished(tmp_path, ends, state, reason):
    from kerasflow.synchronizing import sync

    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", SCRIPT, ends], cwd=tmp_path, env=environment, check=False, timeout=120)
    assert done.returncode in (1, 3, -signal.SIGINT, -signal.SIGKILL)
    (folder,) = (path.parent for path in (tmp_path / "runs").glob("*/*/status.json"))
    list(sync(root=tmp_path / "runs"))
    status = json.loads((folder / "status.json").read_text())
    assert status["state"] == state
    assert status["reason"].startswith(reason)
    assert [row["epoch"] for row in RunFolder.open(folder).rows] == [1, 2, 3]
    assert (folder / "traceback.txt").exists() == (ends.startswith("raise V"))


def test_an_address_that_is_none_is_told_at_once(tmp_path: Path):
    with pytest.raises(kf.TrackingError, match=r"track\.uri: expected"):
        kf.TrackingCallback("plain", uri="ftp://here", root=tmp_path)
