"""Who looks for hyperparameters: trials of the digits' perceptron over learning rate and batch size.

One hidden layer of 512 ReLU units, half of them dropped (MLPClassifier knows no dropout), Adam; a third of the rows are
held out, and a trial is judged by their cross-entropy after its last epoch. Everybody draws by the same sampler, but
MLPClassifier, whose trials are drawn beforehand.
"""

from __future__ import annotations

import tempfile
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from contenders import Fit, Job, Mark

TRIALS, UNITS, DROPPED = 60, 512, 0.5
RATES, BATCHES = (1e-4, 1e-1), (32, 64, 128)
HELD_OUT = 1 / 3
LEAST = 64  # samples that a quick run has, too: of fewer no third could be held out


def kerasflow_sweep(job: Job, seed: int, pruner: str = "none") -> Fit:
    """`kf.sweep` in this process."""
    import_module("tensorflow")  # its import is none of the sweep's seconds
    return _Sweep(job, seed, pruner)


def kerasflow_pruned(job: Job, seed: int) -> Fit:
    """The same, with the median pruner."""
    return kerasflow_sweep(job, seed, "median")


def kerasflow_from_the_start(job: Job, seed: int) -> Fit:
    """The same as `kerasflow_sweep`; importing TensorFlow is part of it."""
    return _Sweep(job, seed, "none")


def keras_study(job: Job, seed: int) -> Fit:
    """Optuna around Keras' fit."""
    import keras
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    x, y, held_x, held_y = _parts(job, seed)

    def fit(epochs: int, mark: Mark | None = None) -> str:
        def objective(trial: Any) -> float:
            rate, batch = _drawn(trial)
            layers = [keras.layers.Dense(UNITS, "relu"), keras.layers.Dropout(DROPPED)]
            model = keras.Sequential([keras.Input((64,)), *layers, keras.layers.Dense(10, "softmax")])
            model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
            options = {"batch_size": batch, "epochs": epochs, "verbose": 0}
            return float(model.fit(x, y, validation_data=(held_x, held_y), **options).history["val_loss"][-1])

        study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed, multivariate=True, group=True))
        study.optimize(objective, n_trials=_trials(job))
        return ""

    return fit


def joblib_trials(job: Job, seed: int) -> Fit:
    """`MLPClassifier` in two worker processes of joblib's, which are started, too."""

    def fit(epochs: int, mark: Mark | None = None) -> str:
        from joblib import Parallel, delayed
        from joblib.externals.loky import get_reusable_executor

        drawn = np.random.default_rng(seed)
        rates = np.exp(drawn.uniform(*np.log(RATES), _trials(job)))
        batches = drawn.choice(BATCHES, _trials(job))
        parts = _parts(job, seed)
        calls = [delayed(_sklearn_trial)(parts, r, int(b), epochs) for r, b in zip(rates, batches, strict=True)]
        min(Parallel(n_jobs=2)(calls))
        get_reusable_executor().shutdown()  # a process that was begun by another would wait for them at its end
        return ""

    return fit


def ray_trials(job: Job, seed: int) -> Fit:
    """The same by Ray Tune, on two cores; Ray is started, too."""

    def fit(epochs: int, mark: Mark | None = None) -> str:
        import ray
        from ray import tune

        here = {"env_vars": {"PYTHONPATH": str(Path(__file__).parent)}}
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR", runtime_env=here)
        parts = ray.put(_parts(job, seed))

        def trial(drawn: dict[str, Any]) -> dict[str, float]:
            return {"cost": _sklearn_trial(ray.get(parts), drawn["rate"], drawn["batch"], epochs)}

        space = {"rate": tune.loguniform(*RATES), "batch": tune.choice(BATCHES)}
        wanted = tune.TuneConfig(num_samples=_trials(job), metric="cost", mode="min")
        with tempfile.TemporaryDirectory(prefix="kerasflow-benchmark-") as place:
            quiet = tune.RunConfig(verbose=0, storage_path=place)
            one_core = tune.with_resources(trial, {"cpu": 1})
            tune.Tuner(one_core, param_space=space, tune_config=wanted, run_config=quiet).fit().get_best_result()
        ray.shutdown()
        return ""

    return fit


def _sklearn_trial(parts: tuple[np.ndarray, ...], rate: float, batch: int, epochs: int) -> float:
    from sklearn.metrics import log_loss
    from sklearn.neural_network import MLPClassifier

    warnings.simplefilter("ignore")
    x, y, held_x, held_y = parts
    every = {"n_iter_no_change": epochs + 1, "tol": 0.0}  # it is to pass all of them
    options = {"learning_rate_init": rate, "batch_size": min(batch, len(x)), "max_iter": epochs, "random_state": 0}
    model = MLPClassifier((UNITS,), **options, **every).fit(x, y)
    return float(log_loss(held_y, model.predict_proba(held_x), labels=model.classes_))


class _Sweep:
    """A sweep of kerasflow's.

    Attributes:
        numbers: of the last one: its trials' `updates`, and the best one's `cost`.
    """

    def __init__(self, job: Job, seed: int, pruner: str) -> None:
        self.job, self.seed, self.pruner = job, seed, pruner
        self.place = tempfile.TemporaryDirectory(prefix="kerasflow-benchmark-")
        self.data = Path(self.place.name) / "digits.npz"
        self.numbers: dict[str, float] = {}
        x, y = _digits(job)
        np.savez(self.data, x=x, y=y)

    def __call__(self, epochs: int, mark: Mark | None = None) -> str:
        from kerasflow import sweep

        space = {
            "train.optimizer.adam.learning_rate": {"log": list(RATES)},
            "train.batch_size": {"choice": list(BATCHES)},
        }
        spec = {
            "experiment": "benchmark",
            "seed": self.seed,
            "data": {"source": {"npz": str(self.data)}, "task": "classification", "split": {"validation": HELD_OUT}},
            "model": {"layers": [{"dense": {"units": UNITS, "activation": "relu"}}, {"dropout": DROPPED}, "head"]},
            "train": {"optimizer": {"adam": {"learning_rate": 0.001}}, "metrics": ["accuracy"], "epochs": epochs},
            "track": {"uri": "none"},
            "sweep": {"space": space, "trials": _trials(self.job), "pruner": self.pruner},
        }
        found = sweep(spec, root=Path(self.place.name) / "runs", verbose=0)
        self.numbers = {"updates": float(sum(_updates(found))), "cost": found.best_value}
        return ""


def _updates(found: Any) -> Any:
    from kerasflow.tracking.folder import RunFolder

    for trial in found.trials:
        yield RunFolder.open(found.folder.parent / trial.folder).rows[-1]["updates"]


def _drawn(trial: Any) -> tuple[float, int]:
    return trial.suggest_float("rate", *RATES, log=True), trial.suggest_categorical("batch", BATCHES)


def _trials(job: Job) -> int:
    """All of them, but where the job is a quick one."""
    return TRIALS if job.samples > LEAST else 3


def _parts(job: Job, seed: int) -> tuple[np.ndarray, ...]:
    from sklearn.model_selection import train_test_split

    x, y = _digits(job)
    x, held_x, y, held_y = train_test_split(x, y, test_size=HELD_OUT, random_state=seed)
    return x, y, held_x, held_y


def _digits(job: Job) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    some = max(job.samples, LEAST)
    return (x[:some] / 16).astype("float32"), y[:some]
