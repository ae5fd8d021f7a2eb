"""Not a test: trains in processes that are killed, for `test_resume.py`.

Importing TensorFlow takes seconds and a kill takes none, so one process imports, and forks before TensorFlow has begun
to work (it has no threads until then); what is killed is the fork.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf  # noqa: F401  # so that no fork has to

import kerasflow as kf
from kerasflow.tracking.folder import RunFolder
from kerasflow.training import archive
from kerasflow.training.checkpoint import Checkpoints

EPOCHS = 7
LONGEST = {"load": 1.0, "due": 0.3}  # seconds from a training's beginning, or its first windows, to its kill
LAYERS: list[Any] = [
    {"reshape": [8, 8, 1]},
    {"random_translation": {"height_factor": 0.1, "width_factor": 0.1}},
    {"conv2d": {"filters": 4, "kernel_size": 3, "activation": "relu"}},
    "batch_normalization",
    "flatten",
    {"dropout": 0.3},
    "head",
]
SPEC: dict[str, Any] = {
    "experiment": "killed",
    "seed": 5,
    "data": {"source": {"sklearn": "digits"}, "scale": "unit"},
    "model": {"layers": LAYERS},
    "train": {
        "optimizer": {"adam": {"learning_rate": 0.01}},
        "batch_size": 96,
        "micro_batch_size": 32,
        "epochs": EPOCHS,
        "stop": [{"plateau": {"monitor": "val_loss", "patience": 3, "restore_best": True}}],
    },
    "track": {"uri": "none"},
}


def run(place: Path) -> None:
    """By `kf.run`, or `kf.resume` where a run has begun."""
    begun = list(place.glob("killed/*/spec.yaml"))
    result = kf.resume(begun[0].parent, verbose=0) if begun else kf.run(SPEC, root=place, verbose=0)
    archive.write(place / "weights", keras.models.load_model(result.folder / "model.keras").get_weights())
    (place / "rows.json").write_text(json.dumps(RunFolder.open(result.folder).rows))


def fit(place: Path) -> None:
    """By `kf.Trainer`, with callbacks that remember."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype("float32")
    model = kf.build({"layers": LAYERS}, input_shape=(64,), n_outputs=10, seed=3)
    trainer = kf.Trainer(
        keras.optimizers.SGD(0.05, momentum=0.9, use_ema=True, ema_momentum=0.9),
        "sparse_categorical_crossentropy",
        ["accuracy"],
        batch_size=100,
        micro_batch_size=32,
        epochs=EPOCHS,
        stop=[kf.stop.Plateau("val_loss", patience=4, restore_best=True)],
        callbacks=[
            keras.callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=0.2),
            keras.callbacks.EarlyStopping("val_accuracy", patience=5, restore_best_weights=True),
        ],
        verbose=0,
    )
    history = trainer.fit(model, x[:1400], y[:1400], validation=(x[1400:], y[1400:]), checkpoints=place / "saved")
    archive.write(place / "weights", model.get_weights())
    (place / "rows.json").write_text(json.dumps(history.rows))


def in_a_process(work: Callable[[Path], None], place: Path, kill_after: str = "", half_written: bool = False) -> bool:
    """Whether the work was done before its process was killed, soon after its first `Checkpoints.load` or `due`."""
    heard, tell = os.pipe()
    process = os.fork()
    if process == 0:
        load = Checkpoints.load

        def call(name: str) -> None:
            if name == kill_after:
                os.write(tell, b".")

        Checkpoints.load = lambda self: (call("load"), load(self))[1]  # type: ignore[method-assign]
        Checkpoints.due = lambda self, **_: (call("due"), True)[1]  # type: ignore[method-assign]  # to be killed at it
        if half_written:
            archive.write = dies_writing(after=random.randrange(4))
        code = 1
        try:
            work(place)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(tell)
    if kill_after:
        os.read(heard, 1)  # nothing, if the process ends without
        time.sleep(random.uniform(0, LONGEST[kill_after]))
        os.kill(process, signal.SIGKILL)
    _, status = os.waitpid(process, 0)
    os.close(heard)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        sys.exit(f"{work.__name__} failed in {place}")
    return os.WIFEXITED(status)


def dies_writing(after: int) -> Callable[[Path, Any], None]:
    """Writes so many files, and is killed with half of the next one written."""
    write, left = archive.write, iter(range(after))

    def write_or_die(file: Path, data: Any) -> None:
        write(file, data)
        if next(left, None) is None:
            os.truncate(file, file.stat().st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)

    return write_or_die


def main(place: Path, kills: int, seed: int) -> None:
    """Each work once undisturbed, in `whole`; then until its last process has been killed `kills` times in all."""
    random.seed(seed)
    for work in (run, fit):
        folder = place / work.__name__
        (folder / "whole").mkdir(parents=True)
        assert in_a_process(work, folder / "whole")
        killed, finished = 0, 0
        while killed < kills:
            (folder / f"{finished}").mkdir(exist_ok=True)
            moment = "load" if killed % 2 else "due"
            if in_a_process(work, folder / f"{finished}", moment, half_written=killed % 4 == 3):
                finished += 1
            else:
                killed += 1
        (folder / f"{finished}").mkdir(exist_ok=True)
        assert in_a_process(work, folder / f"{finished}")
        (folder / "told.json").write_text(json.dumps({"killed": killed, "finished": finished + 1}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
