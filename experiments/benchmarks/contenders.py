"""Who trains: each contender makes its network and data ready, and gives a function that fits.

All of them lower the same cross-entropy by Adam over the same number of samples in a new order each epoch, in float32,
with the data in memory, no validation and no progress bar, and report cost and accuracy (scikit-learn: the cost alone).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from tasks import HIDDEN, Task, keras_model


@dataclass(frozen=True)
class Job:
    """A training to be done.

    Attributes:
        samples: in the data, all of them passed in each epoch.
        batch_size: samples for each update.
        micro_batch_size: samples for each pass through the network, where the contender accumulates.
        steps_per_execution: of `keras.Model.compile`.
    """

    task: Task
    samples: int
    batch_size: int
    micro_batch_size: int | None = None
    steps_per_execution: int = 1

    @property
    def updates(self) -> int:
        """Updates in an epoch, a smaller last batch included."""
        return -(-self.samples // self.batch_size)


Mark = Callable[[], None]


class Fit(Protocol):
    """Trains for a number of epochs; `mark`, if given, is called after the first and after the last at least.

    Returns how it ran, if there is a choice: kerasflow's engine.
    """

    def __call__(self, epochs: int, mark: Mark | None = None) -> str: ...


@runtime_checkable
class Counting(Fit, Protocol):
    """A fit that counts what it does.

    Attributes:
        numbers: of the last one, by quantity.
    """

    numbers: dict[str, float]


Prepare = Callable[[Job, int], Fit]


def repeated(call: Callable[[], Any], engine: str = "", keeps: Any = None) -> Fit:
    """A fit whose epochs are calls of something else.

    Args:
        keeps: lives as long as the fit does.
    """

    def fit(epochs: int, mark: Mark | None = None, kept: Any = keeps) -> str:
        for _ in range(epochs):
            call()
        return engine

    return fit


def kerasflow_fit(job: Job, seed: int) -> Fit:
    """`kf.fit`, its engine left to choose for itself."""
    from kerasflow import fit as train

    model, (x, y) = _compiled(job, seed), job.task.data(job.samples, seed)

    def fit(epochs: int, mark: Mark | None = None) -> str:
        history = train(
            model,
            x,
            y,
            batch_size=job.batch_size,
            micro_batch_size=job.micro_batch_size,
            epochs=epochs,
            seed=seed,
            verbose=0,
            callbacks=_after_each_epoch(mark),
        )
        return history.engine

    return fit


def keras_fit(job: Job, seed: int) -> Fit:
    """`keras.Model.fit`; micro-batches by the optimizer's own `gradient_accumulation_steps`."""
    size = job.micro_batch_size or job.batch_size
    passes = job.batch_size // size
    accumulation = {"gradient_accumulation_steps": passes} if passes > 1 else {}
    model, (x, y) = _compiled(job, seed, **accumulation), job.task.data(job.samples, seed)

    def fit(epochs: int, mark: Mark | None = None) -> str:
        model.fit(x, y, batch_size=size, epochs=epochs, verbose=0, callbacks=_after_each_epoch(mark))
        return ""

    return fit


def sklearn_fit(job: Job, seed: int) -> Fit:
    """`MLPClassifier`, which knows no callback: the first epoch is a fit of its own where a mark is wanted."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    x, y = job.task.data(job.samples, seed)
    network = MLPClassifier(
        HIDDEN, batch_size=job.batch_size, learning_rate_init=_rate(seed), tol=0.0, warm_start=True, random_state=seed
    )

    def train(epochs: int) -> None:
        network.set_params(max_iter=epochs, n_iter_no_change=epochs + 1)  # it is to pass all of them
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            network.fit(x, y)

    def fit(epochs: int, mark: Mark | None = None) -> str:
        if mark is None:
            train(epochs)
        else:
            train(1)
            mark()
            train(epochs - 1)
            mark()
        _check_size(job.task, sum(part.size for part in [*network.coefs_, *network.intercepts_]))
        return ""

    return fit


def torch_fit(job: Job, seed: int) -> Fit:
    """A loop as a careful author writes it: data resident, fused Adam, channels last, nothing read before the end."""
    import torch
    from torch.nn.functional import cross_entropy
    from torch_networks import torch_model

    images = len(job.task.input_shape) == 3
    model = torch_model(job.task, seed)
    if images:
        model = model.to(memory_format=torch.channels_last)
    _check_size(job.task, sum(part.numel() for part in model.parameters() if part.requires_grad))
    x, y = (torch.from_numpy(part) for part in job.task.data(job.samples, seed))
    y = y.long()
    optimizer = torch.optim.Adam(model.parameters(), lr=_rate(seed), fused=True)

    def fit(epochs: int, mark: Mark | None = None) -> str:
        model.train()
        for _ in range(epochs):
            cost, correct = torch.zeros(()), torch.zeros((), dtype=torch.long)
            for rows in torch.randperm(job.samples).split(job.batch_size):
                inputs, targets = x[rows], y[rows]
                if images:
                    inputs = inputs.permute(0, 3, 1, 2)  # a view: as it lies in memory, this is channels last
                logits = model(inputs)
                loss = cross_entropy(logits, targets)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                cost += loss.detach() * len(rows)
                correct += (logits.detach().argmax(1) == targets).sum()
            float(cost), int(correct)
            if mark is not None:
                mark()
        return ""

    return fit


def _rate(seed: int) -> float:
    """A learning rate; another for another seed, so that a second fit cannot live on the first one's constants."""
    return 0.001 * (1 + seed / 10)


def _compiled(job: Job, seed: int, **accumulation: int) -> Any:
    from kerasflow.cli.startup import load_tensorflow

    load_tensorflow()  # which would talk on a plain import
    import keras

    model = keras_model(job.task, seed)
    _check_size(job.task, sum(int(variable.value.shape.num_elements()) for variable in model.trainable_variables))
    model.compile(
        keras.optimizers.Adam(_rate(seed), **accumulation),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        steps_per_execution=job.steps_per_execution,
    )
    return model


def _after_each_epoch(mark: Mark | None) -> list[Any]:
    import keras

    return [keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: mark())] if mark is not None else []


def _check_size(task: Task, parameters: int) -> None:
    if parameters != task.parameters:
        raise RuntimeError(
            f"the contenders' {task.network} must have {task.parameters:,} parameters, got {parameters:,}"
        )
