"""The table before it is measured: what is trained, against whom, and what kerasflow is to reach."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from contenders import Job, Prepare, keras_fit, kerasflow_fit, sklearn_fit, torch_fit
from estimators import (
    kerasflow_checks,
    kerasflow_folds,
    kerasflow_row,
    kerasflow_search,
    scikeras_row,
    scikeras_search,
    sklearn_checks,
    sklearn_folds,
    sklearn_row,
    sklearn_search,
    skorch_search,
)
from features import (
    bfloat16_features,
    keras_blocks,
    keras_features,
    keras_head,
    kerasflow_blocks,
    kerasflow_cached,
    kerasflow_caching,
    kerasflow_features,
    kerasflow_head,
    openvino_features,
)
from measures import Contender, Measure, counts, peak_memory, per_call, per_epoch, per_update, whole_fit
from records import recorded_in_folder, recorded_in_sqlite
from searches import (
    TRIALS,
    joblib_trials,
    keras_study,
    kerasflow_from_the_start,
    kerasflow_pruned,
    kerasflow_sweep,
    ray_trials,
)
from tasks import CNN, MLP, MOBILENET, MOBILENET_160, RESNET

KERAS, SKLEARN, TORCH = "Keras' fit", "MLPClassifier", "torch loop"
SCIKERAS, SKORCH = "SciKeras", "skorch"
PREDICT = "Keras' predict"
RAY = f"Ray Tune over {SKLEARN}, 2 workers"
Quantity = Literal["wall", "memory", "updates", "cost"]
_NEEDS = {TORCH: "torch", SCIKERAS: "scikeras", SKORCH: "skorch", RAY.partition(",")[0]: "ray"}


@dataclass(frozen=True)
class Peer:
    """Who kerasflow is measured against.

    Attributes:
        reach: what the peer's figure over kerasflow's is to be at least; None promises nothing.
        aim: what it would be at best.
    """

    contender: Contender
    reach: float | None = None
    aim: float | None = None


@dataclass(frozen=True)
class Row:
    """One piece of work.

    Attributes:
        key: names it on the command line and in the results.
        work: what is trained and measured, for people.
        quantity: what the targets are about.
        fresh: whether each measurement is the first of a new process.
        rounds: how often each contender is measured.
    """

    key: str
    work: str
    measure: Measure
    ours: Contender
    peers: tuple[Peer, ...]
    quantity: Quantity = "wall"
    fresh: bool = False
    rounds: int = 9

    @property
    def contenders(self) -> tuple[Contender, ...]:
        """Everybody, kerasflow first."""
        return (self.ours, *(peer.contender for peer in self.peers))

    def quick(self) -> Row:
        """The same row on two updates an epoch, twice: it shows that the scripts work, and no figure worth reading."""
        peers = tuple(replace(peer, contender=_short(peer.contender)) for peer in self.peers)
        return replace(self, ours=_short(self.ours), peers=peers, rounds=2)

    def without(self, modules: set[str]) -> Row:
        """The same row without peers that need these."""
        return replace(self, peers=tuple(peer for peer in self.peers if peer.contender.needs not in modules))


def _short(contender: Contender) -> Contender:
    job = replace(contender.job, samples=2 * contender.job.batch_size)
    return replace(contender, job=job, epochs=1)


def _ours(job: Job, epochs: int, prepare: Prepare = kerasflow_fit, needs: str = "") -> Contender:
    return Contender("kerasflow", prepare, job, epochs, needs)


def _peer(
    name: str, prepare: Prepare, job: Job, epochs: int, reach: float | None = None, aim: float | None = None
) -> Peer:
    return Peer(Contender(name, prepare, job, epochs, _NEEDS.get(name.partition(",")[0], "")), reach, aim)


_DIGITS = Job(MLP, samples=1500, batch_size=32)
_DIGITS_256 = replace(_DIGITS, batch_size=256)
_SMALL_CNN = Job(CNN, samples=1280, batch_size=64)
_MOBILENET = Job(MOBILENET, samples=192, batch_size=32)
_WINDOW = Job(CNN, samples=1024, batch_size=512, micro_batch_size=32)
_TABLE = Job(MLP, samples=1797, batch_size=32)
_PICTURES = Job(MOBILENET_160, samples=256, batch_size=32)
_LARGER_PICTURES = replace(_PICTURES, task=RESNET)
_HEAD = Job(MOBILENET, samples=256, batch_size=32)
_RECORDED = Job(MLP, samples=28_800, batch_size=32)
_WINDOW_MOBILENET = replace(_WINDOW, task=MOBILENET)


def _at_once(job: Job) -> Job:
    return replace(job, micro_batch_size=None)


def _by_openvino(key: str, work: str, job: Job, ours: Prepare, reach: float, rounds: int) -> Row:
    predict = _peer(PREDICT, keras_features, job, 1, reach)
    return Row(key, work, per_call, _ours(job, 1, ours, "openvino"), (predict,), rounds=rounds)


def _pruned(key: str, work: str, quantity: Quantity, reach: float) -> Row:
    without = _peer("no pruner", kerasflow_sweep, _TABLE, 20, reach)
    return Row(key, work, counts, _ours(_TABLE, 20, kerasflow_pruned, "optuna"), (without,), quantity, rounds=3)


# Epochs differ between contenders so that each measurement takes about as long: a second or so.
ROWS = (
    Row(
        "mlp-32",
        "MLP 64-128-64-10, Adam, batch 32: an update, steady state",
        per_update,
        _ours(_DIGITS, 200),
        (
            _peer(KERAS, keras_fit, _DIGITS, 10, reach=18, aim=30),
            _peer(f"{KERAS}, 64 steps a call", keras_fit, replace(_DIGITS, steps_per_execution=64), 20, 9, 15),
            _peer(SKLEARN, sklearn_fit, _DIGITS, 50, reach=3.5, aim=6),
            _peer(TORCH, torch_fit, _DIGITS, 40, reach=4.5, aim=7),
        ),
    ),
    Row(
        "mlp-256",
        "the same, batch 256",
        per_update,
        _ours(_DIGITS_256, 900),
        (
            _peer(KERAS, keras_fit, _DIGITS_256, 30, reach=9, aim=12),
            _peer(SKLEARN, sklearn_fit, _DIGITS_256, 200, reach=1.2, aim=2),
        ),
    ),
    Row(
        "mlp-first-fit",
        "that MLP, batch 32: the first fit of a process, 20 epochs, compiling included",
        whole_fit,
        _ours(_DIGITS, 20),
        (
            _peer(KERAS, keras_fit, _DIGITS, 20, reach=4, aim=6),
            _peer(SKLEARN, sklearn_fit, _DIGITS, 20, aim=1),
        ),
        fresh=True,
        rounds=5,
    ),
    Row(
        "mlp-second-fit",
        "the same in a process that has trained this architecture: other weights, learning rate, seed and data",
        whole_fit,
        _ours(_DIGITS, 20),
        (_peer(SKLEARN, sklearn_fit, _DIGITS, 20, reach=3, aim=5),),
    ),
    Row(
        "cnn-64",
        "CNN (conv 32, pool, conv 64, pool, dense 128), 28×28, Adam, batch 64: an update, steady state",
        per_update,
        _ours(_SMALL_CNN, 4),
        (
            _peer(KERAS, keras_fit, _SMALL_CNN, 4, reach=1.3, aim=1.6),
            _peer(f"{TORCH}, channels last", torch_fit, _SMALL_CNN, 4, reach=1.2, aim=1.5),
        ),
    ),
    Row(
        "mobilenet-32",
        "MobileNetV2, 96×96, Adam, batch 32: an update, steady state",
        per_update,
        _ours(_MOBILENET, 1),
        (
            _peer(KERAS, keras_fit, _MOBILENET, 1, reach=1),
            _peer(f"{TORCH}, channels last", torch_fit, _MOBILENET, 1, aim=1),
        ),
        rounds=7,
    ),
    Row(
        "window-time",
        "that CNN, 512 samples an update as 16 × 32: an update, steady state",
        per_update,
        _ours(_WINDOW, 4),
        (
            _peer(f"{KERAS}, 512 at once", keras_fit, _at_once(_WINDOW), 3, reach=1.3),
            _peer(f"{KERAS}, accumulating", keras_fit, _WINDOW, 2, reach=1.8),
        ),
    ),
    Row(
        "window-memory",
        "the same: peak memory of a fit over the idle process",
        peak_memory,
        _ours(_WINDOW, 2),
        (
            _peer(f"{KERAS}, 512 at once", keras_fit, _at_once(_WINDOW), 2, reach=4),
            _peer(f"{KERAS}, batch 32", keras_fit, replace(_at_once(_WINDOW), batch_size=32), 2, reach=1),
            _peer(f"{KERAS}, accumulating", keras_fit, _WINDOW, 2),
        ),
        quantity="memory",
        fresh=True,
        rounds=3,
    ),
    Row(
        "window-memory-mobilenet",
        "MobileNetV2, 96×96, 512 samples an update as 16 × 32: peak memory of a fit over the idle process",
        peak_memory,
        _ours(_WINDOW_MOBILENET, 1),
        (
            _peer(f"{KERAS}, 512 at once", keras_fit, _at_once(_WINDOW_MOBILENET), 1, reach=8),
            _peer(f"{KERAS}, accumulating", keras_fit, _WINDOW_MOBILENET, 1),
        ),
        quantity="memory",
        fresh=True,
        rounds=2,
    ),
    Row(
        "grid-search",
        "GridSearchCV on scikit-learn's digits in a new process: 3 learning rates × 2 sizes × 2 batch sizes, 5 folds, "
        "20 epochs",
        whole_fit,
        _ours(_TABLE, 20, kerasflow_search),
        (
            _peer(SCIKERAS, scikeras_search, _TABLE, 20, reach=13, aim=25),
            _peer(SKORCH, skorch_search, _TABLE, 20, reach=3.5, aim=7),
            _peer(SKLEARN, sklearn_search, _TABLE, 20, reach=1.25, aim=2.5),
        ),
        fresh=True,
        rounds=3,
    ),
    Row(
        "cross-validation",
        "cross_val_score of one architecture on the digits, 10 folds, 20 epochs",
        whole_fit,
        _ours(_TABLE, 20, kerasflow_folds),
        (_peer(SKLEARN, sklearn_folds, _TABLE, 20, reach=1.5, aim=3),),
    ),
    Row(
        "check-estimator",
        "check_estimator(KerasClassifier()), whole, in a new process; at most 120 s are wanted",
        whole_fit,
        _ours(_TABLE, 1, kerasflow_checks),
        (_peer(SKLEARN, sklearn_checks, _TABLE, 1),),
        fresh=True,
        rounds=2,
    ),
    Row(
        "predict-one-row",
        "predict on one row by a classifier that has predicted before",
        per_call,
        _ours(_TABLE, 1000, kerasflow_row),
        (
            _peer(SCIKERAS, scikeras_row, _TABLE, 15, reach=20),
            _peer(SKLEARN, sklearn_row, _TABLE, 2000),
        ),
    ),
    Row(
        "features-mobilenet",
        "features of 256 images, MobileNetV2, 160×160, preprocessing included",
        per_call,
        _ours(_PICTURES, 1, kerasflow_features),
        (_peer(PREDICT, keras_features, _PICTURES, 1, reach=1.15),),
        rounds=7,
    ),
    _by_openvino("features-mobilenet-openvino", "the same by OpenVINO, float32", _PICTURES, openvino_features, 2, 7),
    _by_openvino("features-mobilenet-bfloat16", "the same by OpenVINO, bfloat16", _PICTURES, bfloat16_features, 4, 7),
    Row(
        "features-resnet",
        "features of 256 images, ResNet50, 224×224, preprocessing included",
        per_call,
        _ours(_LARGER_PICTURES, 1, kerasflow_features),
        (_peer(PREDICT, keras_features, _LARGER_PICTURES, 1, reach=1.15),),
        rounds=5,
    ),
    _by_openvino(
        "features-resnet-openvino", "the same by OpenVINO, float32", _LARGER_PICTURES, openvino_features, 1.3, 5
    ),
    _by_openvino(
        "features-resnet-bfloat16", "the same by OpenVINO, bfloat16", _LARGER_PICTURES, bfloat16_features, 2.5, 5
    ),
    Row(
        "features-blocks",
        "what MobileNetV2's 16 blocks give, averaged, of 64 images of 160×160",
        per_call,
        _ours(replace(_PICTURES, samples=64), 2, kerasflow_blocks),
        (_peer(f"{PREDICT}, a layer each", keras_blocks, replace(_PICTURES, samples=64), 1, reach=8),),
        rounds=5,
    ),
    Row(
        "features-cached",
        "features of 256 images, MobileNetV2, 160×160, that are in the cache",
        per_call,
        _ours(_PICTURES, 20, kerasflow_cached),
        (_peer("their first extraction", kerasflow_caching, _PICTURES, 1, reach=50),),
        rounds=5,
    ),
    Row(
        "stage-frozen",
        "a stage of 10 epochs in which MobileNetV2, 96×96, is frozen and a head learns from 256 images: a whole fit",
        whole_fit,
        _ours(_HEAD, 10, kerasflow_head),
        (_peer(f"{KERAS}, the backbone frozen", keras_head, _HEAD, 10, reach=3),),
        rounds=5,
    ),
    Row(
        "recorded",
        "an epoch of about 50 ms (that MLP, 900 updates), of 400 that are recorded in a SQLite store: journal, the "
        "machine's load, all told to MLflow; not the run's beginning, nor figures and model at its end. Recording is "
        "to take less than 2 %, which is 0.98×",
        per_epoch,
        _ours(_RECORDED, 400, recorded_in_sqlite),
        (
            _peer("the same without a record", kerasflow_fit, _RECORDED, 400, reach=0.98),
            _peer("the same in its folder alone", recorded_in_folder, _RECORDED, 400),
        ),
        rounds=5,
    ),
    Row(
        "sweep",
        f"{TRIALS} trials of the digits' perceptron (512 units, dropout) over learning rate and batch size, 20 epochs, "
        "one worker, in a new process",
        whole_fit,
        _ours(_TABLE, 20, kerasflow_sweep, "optuna"),
        (_peer(f"Optuna around {KERAS}", keras_study, _TABLE, 20, reach=6),),
        fresh=True,
        rounds=3,
    ),
    Row(
        "sweep-start",
        "the same with every import, and the start of workers; CPU counts this process alone",
        whole_fit,
        _ours(_TABLE, 20, kerasflow_from_the_start, "optuna"),
        (
            _peer(RAY, ray_trials, _TABLE, 20, reach=1.5),
            _peer(f"{SKLEARN}, joblib, 2 workers", joblib_trials, _TABLE, 20, aim=1.5),
        ),
        fresh=True,
        rounds=2,
    ),
    _pruned("sweep-pruned", "the same by the median pruner: updates of all trials", "updates", reach=1.5),
    _pruned("sweep-pruned-best", "the same: the best validation cost; within 1 % is 0.99×", "cost", reach=0.99),
)
