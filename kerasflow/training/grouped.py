"""Several optimizers as one: each group of weights has its own learning rate, moments and count of updates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from kerasflow.training.optimizer_internals import clipped, shared_work_once


class GroupedOptimizer(keras.optimizers.Optimizer):
    """Steps each group of weights by an optimizer of its own.

    What one optimizer would do to all weights together, clipping by the global norm, is done to all of them together.
    A group whose weights are not trained for a while keeps its moments, and one that begins later counts its updates
    from its own first, as the correction of Adam's bias needs (Kingma & Ba 2015, section 3).

    Args:
        like: an optimizer; each group has one of its settings.
        groups: weights by the group's name.

    Attributes:
        optimizers: by the group's name.
    """

    def __init__(self, like: Any, groups: Mapping[str, Sequence[Any]]) -> None:
        settings = like.get_config()
        clips = {name: settings.get(name) for name in ("clipnorm", "clipvalue", "global_clipnorm")}
        super().__init__(0.0, loss_scale_factor=like.loss_scale_factor, name="grouped", **clips)
        alone = {**dict.fromkeys(clips), "loss_scale_factor": None, "learning_rate": 0.0}
        self.optimizers = {
            name: type(like).from_config(settings | alone | {"name": f"{like.name}_{place}"})
            for place, name in enumerate(groups)
        }
        self._group_of = {id(weight): name for name, weights in groups.items() for weight in weights}
        for name, weights in groups.items():
            self.optimizers[name].build(list(weights))
        self.built = True

    def build(self, variables: Any) -> None:
        """Nothing is left to do: every group is built from the start."""

    @property
    def variables(self) -> list[Any]:
        return [variable for optimizer in self.optimizers.values() for variable in optimizer.variables]

    @property
    def iterations(self) -> Any:
        """Updates of the group that has made most."""
        return max((optimizer.iterations for optimizer in self.optimizers.values()), key=int)

    def set_rates(self, rates: Mapping[str, float]) -> None:
        """Gives groups their learning rates; that of the first is the one that is reported.

        Args:
            rates: by the group's name, > 0.
        """
        self._rates = dict(rates)
        for name, rate in rates.items():
            self.optimizers[name].learning_rate = rate
        self._reported = self.optimizers[next(iter(rates))]

    @property
    def learning_rate(self) -> Any:
        return self._reported.learning_rate

    @learning_rate.setter
    def learning_rate(self, rate: Any) -> None:
        """Whoever changes the rate that is reported changes all of them in proportion."""
        first = next(iter(self._rates.values()))
        for name, own in self._rates.items():
            self.optimizers[name].learning_rate = float(rate) * own / first

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        """One update.

        Args:
            grads: a tensor for each weight, or None where it is not connected.
            trainable_variables: the weights, each of a known group.
        """
        scale = self.loss_scale_factor
        grads = [grad if grad is None or scale is None else grad / scale for grad in grads]
        known = [(grad, weight) for grad, weight in zip(grads, trainable_variables, strict=True) if grad is not None]
        by_group: dict[str, tuple[list[Any], list[Any]]] = {}
        for grad, (_, weight) in zip(clipped(self, [grad for grad, _ in known]), known, strict=True):
            mine = by_group.setdefault(self._group_of[id(weight)], ([], []))
            mine[0].append(grad)
            mine[1].append(weight)
        for name, (mine_grads, weights) in by_group.items():
            with shared_work_once(self.optimizers[name]):
                self.optimizers[name].apply(mine_grads, weights)

    def finalize_variable_values(self, var_list: Any) -> None:
        for optimizer in self.optimizers.values():
            optimizer.finalize_variable_values(
                [weight for weight in var_list if self.optimizers[self._group_of[id(weight)]] is optimizer]
            )
