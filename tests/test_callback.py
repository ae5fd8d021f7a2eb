"""Keras' own `fit`, recorded: several stages in one run, failures told truly. Read back from a real store."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from mlflow import MlflowClient

import kerasflow as kf
from kerasflow.tracking.folder import RunFolder, digest_of
from kerasflow.tracking.mlflow_recorded import of_store

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


PROGRAM = """
import os, pathlib, sys
import keras, numpy as np, kerasflow as kf
for place, ends in zip(sys.argv[1::2], sys.argv[2::2]):
    if os.fork() == 0:
        break  # one process imports, before TensorFlow has begun to work
else:
    while True:
        try:
            os.wait()
        except ChildProcessError:
            sys.exit()
os.chdir(place)
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "softmax")])
model.compile("sgd", "sparse_categorical_crossentropy")
class Ends(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        if epoch == 2:
            exec(ends.partition(";; ")[0])
callbacks = [kf.TrackingCallback("plain", uri="none"), Ends()]
def fit():
    model.fit(np.ones((9, 4)), np.arange(9) % 3, epochs=9, verbose=0, callbacks=callbacks)
if ends.endswith(";; in a notebook"):
    from IPython.core.interactiveshell import InteractiveShell
    shell = InteractiveShell.instance()
    shell.push({"fit": fit})
    shell.run_cell("fit()")
    pathlib.Path("after_the_cell").write_text((callbacks[0].folder / "status.json").read_text())
    shell.run_cell("1 / 0")
else:
    try:
        fit()
    except KeyboardInterrupt:
        if not ends.endswith(";; caught"):
            raise
"""
KILL = "import os, signal; os.kill(os.getpid(), signal.{})"
ENDS = {
    "an error": ("raise ValueError('the third')", "FAILED", "ValueError: the third"),
    "an exit": ("sys.exit(3)", "FAILED", "the script ended within a fit"),
    "Ctrl-C": (KILL.format("SIGINT"), "KILLED", "Ctrl-C"),
    "Ctrl-C that the script catches": (KILL.format("SIGINT") + ";; caught", "KILLED", "Ctrl-C"),
    "Ctrl-C in a notebook": (KILL.format("SIGINT") + ";; in a notebook", "KILLED", "Ctrl-C"),
    "an error in a notebook": ("raise ValueError('the third');; in a notebook", "FAILED", "ValueError: the third"),
    "SIGTERM": (KILL.format("SIGTERM"), "KILLED", "SIGTERM"),
    "SIGKILL": (KILL.format("SIGKILL"), "RUNNING", ""),
}


@pytest.fixture(scope="module")
def ended(tmp_path_factory) -> dict[str, RunFolder]:
    """What is left of a script that ends within a fit, by the way in which it does."""
    places = {way: tmp_path_factory.mktemp(way.replace(" ", "-")) for way in ENDS}
    words = [word for way, place in places.items() for word in (str(place), ENDS[way][0])]
    more = {"PYTHONPATH": os.pathsep.join(sys.path), "IPYTHONDIR": str(tmp_path_factory.mktemp("ipython"))}
    subprocess.run([sys.executable, "-c", PROGRAM, *words], env=os.environ | more, check=True, timeout=120)
    folders = {way: next((place / "runs").glob("*/*/status.json")).parent for way, place in places.items()}
    return {way: RunFolder.open(folder) for way, folder in folders.items()}


@pytest.mark.slow
@pytest.mark.parametrize("way", ENDS)
def test_a_script_that_ends_within_a_fit_says_how(ended, way):
    from kerasflow.synchronizing import sync

    _, state, reason = ENDS[way]
    run = ended[way]
    assert (run.status.state, run.status.reason) == (state, reason)
    assert [row["epoch"] for row in run.rows] == [1, 2, 3]
    assert (run.directory / "traceback.txt").exists() == way.startswith("an error")
    if "notebook" in way:
        assert json.loads((run.directory.parents[2] / "after_the_cell").read_text())["state"] == state
    (found,) = sync(run)
    assert found.closed == (way == "SIGKILL")
    assert run.status.state != "RUNNING"


def test_what_was_logged_has_its_digest_among_the_tags_and_is_read_by_it(two_stages, store):
    tracking, *_ = two_stages
    run = MlflowClient(store).get_run(tracking.run_id)
    for name in ("environment.txt", "history.csv", "model.keras"):
        assert run.data.tags[f"sha256/{name}"] == digest_of(tracking.folder / name), name
    recorded = of_store(store, tracking.run_id)
    assert recorded.text("environment.txt") == (tracking.folder / "environment.txt").read_text()
    with pytest.raises(kf.RunError, match=r"no tag tells the digest of spec\.yaml"):
        kf.rerun(tracking.run_id, uri=store)
    file = Path(run.info.artifact_uri.removeprefix("file://")) / "environment.txt"
    text = file.read_text()
    try:
        file.write_text(text + "evil==1.0\n")
        with pytest.raises(kf.RunError, match=r"environment\.txt is not what the run logged"):
            of_store(store, tracking.run_id).text("environment.txt")
    finally:
        file.write_text(text)


def test_a_short_fit_has_the_machines_load_at_its_first_and_last_epoch(two_stages, store):
    tracking, *_ = two_stages
    points = MlflowClient(store).get_metric_history(tracking.run_id, "system/process_memory_megabytes")
    assert [point.step for point in points] == [1, 3, 4, 5], "of each of two fits"


def test_an_address_that_is_none_is_told_at_once(tmp_path: Path):
    with pytest.raises(kf.TrackingError, match=r"track\.uri: expected"):
        kf.TrackingCallback("plain", uri="ftp://here", root=tmp_path)
