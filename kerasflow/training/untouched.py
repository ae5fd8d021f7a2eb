"""Training that leaves no trace: a twin of the optimizer takes the steps, and every variable goes back afterwards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from kerasflow.errors import TrainingError
from kerasflow.training.optimizer_internals import copy_weight_decay_exclusions, other_optimizer
from kerasflow.training.refusal import reason


@contextmanager
def restored(variables: Sequence[Any]) -> Iterator[None]:
    """Afterwards these `keras.Variable`s hold the same bits as before, whatever happened inside."""
    before = [variable.numpy() for variable in variables]
    try:
        yield
    finally:
        for variable, value in zip(variables, before, strict=True):
            variable.assign(value)


@contextmanager
def twin_optimizer(model: Any) -> Iterator[Any]:
    """Inside, the model trains with a twin of its optimizer; gives the twin's learning rate, a variable.

    The twin begins in the optimizer's state: moments, iterations, loss scale. Its learning rate is a variable where the
    optimizer's is a schedule, too. The optimizer itself is not even built.

    Raises:
        TrainingError: the optimizer cannot be copied, or has several learning rates.
    """
    own = model.optimizer
    if not hasattr(own, "learning_rate"):
        raise TrainingError(f"the optimizer {type(own).__name__} has no single learning rate that could be swept")
    twin = _twin(own)
    if own.built:
        _take_state(twin, own, model.trainable_variables)
    with other_optimizer(model, twin):
        yield twin.learning_rate


def _twin(optimizer: Any) -> Any:
    """An optimizer of the same settings, whose learning rate is a number."""
    import keras

    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return keras.optimizers.LossScaleOptimizer(
            _twin(optimizer.inner_optimizer),
            initial_scale=optimizer.initial_scale,
            dynamic_growth_steps=optimizer.dynamic_growth_steps,
            name=optimizer.name,
        )
    try:
        twin = type(optimizer).from_config(optimizer.get_config() | {"learning_rate": 0.0})
    except Exception as error:  # an optimizer's own code may raise anything
        raise TrainingError(
            f"the optimizer {type(optimizer).__name__} cannot be copied, and a copy is what tries the learning rates; "
            f"its get_config must give all arguments that its constructor needs: {reason(error)}"
        ) from error
    copy_weight_decay_exclusions(optimizer, twin)
    return twin


def _take_state(twin: Any, own: Any, variables: Sequence[Any]) -> None:
    twin.build(variables)
    mine, theirs = ([v for v in optimizer.variables if v is not optimizer.learning_rate] for optimizer in (twin, own))
    if [v.shape for v in mine] != [v.shape for v in theirs]:
        raise TrainingError(
            "the optimizer has been used for other weights than those that are trainable now; compile the model again"
        )
    for variable, value in zip(mine, theirs, strict=True):
        variable.assign(value)
