"""What an estimator's parameters say to `kf.fit`."""

from __future__ import annotations

from typing import Any

from kerasflow.estimators.objects import made
from kerasflow.estimators.parameters import RoutedParameters


def arguments_of(estimator: RoutedParameters) -> dict[str, Any]:
    """Arguments of `kf.fit`, but for the data and how many epochs.

    Args:
        estimator: whose parameters of its own give way to those behind `fit__`.

    Raises:
        TrainingError: callbacks cannot be made.
    """
    own, routed = estimator.get_params(deep=False), estimator.routed("fit")
    of_callbacks = {name[11:]: routed.pop(name) for name in list(routed) if name.startswith("callbacks__")}
    callbacks = [
        *listed(made("callbacks", own["callbacks"], estimator.routed("callbacks"))),
        *listed(made("callbacks", routed.pop("callbacks", None), of_callbacks)),
    ]
    micro = own["micro_batch_size"]
    return {
        "batch_size": int(own["batch_size"]),
        "micro_batch_size": None if micro is None else int(micro),
        "engine": own["engine"],
        "stop": listed(own["stop"]),
        "callbacks": callbacks,
        "verbose": own["verbose"],
        **routed,
    }


def listed(given: Any) -> list[Any]:
    """One thing, several or none as a list."""
    return [] if given is None else list(given) if isinstance(given, list | tuple) else [given]
