"""Several replicas train as one device does; what belongs to a cluster is refused, or ends, in a sentence."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as drawn

import kerasflow as kf
from kerasflow.tracking.folder import RunFolder
from kerasflow.training.distribution import dealt, joined

PROGRAM = Path(__file__).with_name("replicas_program.py")
SPEC = Path(__file__).parents[2] / "experiments" / "digits_mlp" / "spec.yaml"


@given(n=drawn.integers(1, 200), size=drawn.one_of(drawn.none(), drawn.integers(1, 70)), replicas=drawn.integers(1, 7))
def test_micro_batches_are_dealt_in_their_order_and_each_once(n, size, replicas) -> None:
    hands = [dealt(n, size, replica, replicas) for replica in range(replicas)]
    assert [row for hand in hands for row in range(hand.begin, hand.end)] == list(range(n))
    whole = size or -(-n // replicas)
    for hand in hands:
        assert (hand.size, hand.total) == (whole, -(-n // whole))
        assert hand.begin == hand.ahead * whole
    passes = [-(-(hand.end - hand.begin) // whole) for hand in hands]
    assert sum(passes) == hands[0].total
    assert max(passes) - min(passes) <= 1
    assert passes[-1] == max(passes)


@pytest.fixture(scope="module")
def alone() -> tf.distribute.Strategy:
    """A strategy with a single replica, which needs no devices but those that there are."""
    return tf.distribute.MirroredStrategy(["CPU:0"])


def test_a_model_comes_back_as_it_was_with_what_it_learned(alone, classifier, data) -> None:
    model, same = classifier(optimizer="adam"), classifier(optimizer="adam")
    before = [variable.value for variable in model.variables]
    kf.fit(same, *data, epochs=2, verbose=0, engine="graph")
    kf.fit(model, *data, epochs=1, verbose=0, strategy=alone)
    assert all(variable.value is home for variable, home in zip(model.variables, before, strict=True))
    kf.fit(model, *data, epochs=2, initial_epoch=1, verbose=0, engine="graph")  # slots are found again
    np.testing.assert_allclose(model.get_weights()[0], same.get_weights()[0], atol=1e-6)
    assert int(model.optimizer.iterations) == int(same.optimizer.iterations)


def test_callbacks_see_what_the_training_has_reached(alone, classifier, data) -> None:
    """Keras keeps what `predict` was compiled to: on the variables of that time."""
    model = classifier()
    x, seen = data[0][:1], []
    seen.append(model.predict(x, verbose=0))
    told = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(model.predict(x, verbose=0)))
    kf.fit(model, *data, epochs=1, verbose=0, callbacks=[told], strategy=alone)
    np.testing.assert_allclose(seen[1], model.predict(x, verbose=0), atol=1e-6)
    assert abs(seen[1] - seen[0]).max() > 1e-3


@pytest.mark.parametrize(
    ("strategy", "words"),
    [("miror", "'miror', did you mean 'mirrored'"), (tf.distribute.OneDeviceStrategy("CPU:0"), "OneDeviceStrategy")],
)
def test_other_strategies_are_refused(strategy, words) -> None:
    with pytest.raises(kf.errors.TrainingError, match=words):
        kf.Trainer(loss="mse", strategy=strategy)


@pytest.mark.parametrize("config", ["", "{bad", "[]", '{"cluster": {"worker": []}, "task": {"type": "worker"}}'])
def test_a_worker_that_does_not_know_its_place_is_told_how_to_say_it(monkeypatch, config) -> None:
    monkeypatch.setenv("TF_CONFIG", config)
    with pytest.raises(kf.errors.TrainingError, match=re.escape(f"got {config!r}")):
        joined("multi_worker")


def test_a_cluster_cannot_be_joined_after_the_first_operation(monkeypatch, classifier, data) -> None:
    worker = {"cluster": {"worker": ["127.0.0.1:1"]}, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(worker))
    with pytest.raises(kf.errors.TrainingError, match="at the program's start"):
        kf.fit(classifier(), *data, verbose=0, strategy="multi_worker")


def test_replicas_run_as_a_graph(alone, classifier, data) -> None:
    with pytest.raises(kf.errors.TrainingError, match="engine 'xla' runs on one device"):
        kf.fit(classifier(), *data, verbose=0, engine="xla", strategy=alone)


def test_layers_that_sum_over_replicas_by_themselves_are_refused(alone, data) -> None:
    layers = [keras.Input((4,)), keras.layers.BatchNormalization(synchronized=True, name="bn"), keras.layers.Dense(3)]
    model = keras.Sequential(layers)
    model.compile("sgd", "mse")
    with pytest.raises(kf.errors.TrainingError, match=r"bn: .*leave synchronized out"):
        kf.fit(model, data[0], np.zeros((len(data[0]), 3), "float32"), verbose=0, strategy=alone)


def test_a_step_of_the_models_own_is_refused(alone, data) -> None:
    class Own(keras.Sequential):
        def train_step(self, data: Any) -> Any:
            return super().train_step(data)

    model = Own([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(kf.errors.TrainingError, match="own train_step runs on one device"):
        kf.fit(model, data[0], data[1].astype("float32")[:, None], verbose=0, strategy=alone)


def cluster() -> list[dict[str, str]]:
    """The environment of each of two workers on this machine."""
    held = [socket.socket() for _ in range(2)]
    for one in held:
        one.bind(("127.0.0.1", 0))
    addresses = [f"127.0.0.1:{one.getsockname()[1]}" for one in held]
    for one in held:
        one.close()
    return [
        dict(
            os.environ, TF_CONFIG=json.dumps({"cluster": {"worker": addresses}, "task": {"type": "worker", "index": i}})
        )
        for i in range(2)
    ]


def started(*command: Any, env: dict[str, str] | None = None, cwd: Path | None = None) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen(list(map(str, command)), env=env, cwd=cwd, stdout=pipe, stderr=pipe, text=True)


def ended(process: subprocess.Popen[str], within: float = 200) -> str:
    """What a process said in the end; it does not outlive this."""
    try:
        out, err = process.communicate(timeout=within)
    finally:
        process.kill()
    return f"{out}\n{err}"


def largest_difference(a: Path, b: Path) -> tuple[float, str]:
    with np.load(a) as one, np.load(b) as other:
        assert set(one.files) >= set(other.files)
        return max((float(np.max(abs(one[k].astype("f8") - other[k]), initial=0)), k) for k in other.files)


@pytest.fixture(scope="module")
def on_one_device(tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("one") / "one.npz"
    process = started(sys.executable, PROGRAM, "one", file, "clipped", "averaged", "streamed")
    said = ended(process)
    assert process.returncode == 0, said
    return file


@pytest.mark.slow
def test_two_devices_agree_with_one(on_one_device, tmp_path) -> None:
    process = started(sys.executable, PROGRAM, "mirrored", tmp_path / "two.npz", "clipped", "averaged", "streamed")
    said = ended(process)
    assert process.returncode == 0, said
    assert largest_difference(on_one_device, tmp_path / "two.npz")[0] < 1e-6


@pytest.mark.slow
def test_two_processes_agree_with_one(on_one_device, tmp_path) -> None:
    processes = [
        started(sys.executable, PROGRAM, "multi_worker", tmp_path / f"{i}.npz", "clipped", env=env)
        for i, env in enumerate(cluster())
    ]
    said = [ended(process) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    for i in range(2):
        assert largest_difference(on_one_device, tmp_path / f"{i}.npz")[0] < 1e-6


@pytest.mark.slow
def test_a_killed_worker_ends_the_other_in_a_sentence_and_both_go_on(tmp_path) -> None:
    settings = "track.uri=none", "train.epochs=36", "train.stop=[]", "train.engine=graph"
    run = [Path(sys.executable).with_name("kerasflow"), "run", SPEC, *(w for s in settings for w in ("--set", s))]
    several = [*run, "--set", "train.strategy=multi_worker"]
    chief, worker = (started(*several, env=env, cwd=tmp_path) for env in cluster())
    assert chief.stderr is not None
    for line in chief.stderr:
        if line.startswith("epoch ") and any((tmp_path / "runs" / "digits").glob("*/checkpoints/*.npz")):
            break
    worker.kill()
    ended(worker)
    said = ended(chief)
    assert chief.returncode == 2, said
    assert "another of the 2 workers no longer answers" in said
    assert "Traceback" not in said
    (folder,) = (tmp_path / "runs" / "digits").iterdir()
    assert json.loads((folder / "status.json").read_text())["state"] == "FAILED"

    both = [started(*several, "--resume", env=env, cwd=tmp_path) for env in cluster()]
    said_both = [ended(process) for process in both]
    assert [process.returncode for process in both] == [0, 0], said_both
    assert "epoch 1/36" not in said_both[0]
    rows = RunFolder.open(folder).rows
    assert [row["epoch"] for row in rows] == list(range(1, 37))
    whole = started(*run, cwd=tmp_path)
    said = ended(whole)
    assert whole.returncode == 0, said
    (other,) = (each for each in (tmp_path / "runs" / "digits").iterdir() if each != folder)
    expected = RunFolder.open(other).rows
    np.testing.assert_allclose([r["loss"] for r in rows], [r["loss"] for r in expected], rtol=1e-6)
