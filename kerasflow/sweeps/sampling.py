"""Which values come next, and which trials end early: Optuna's samplers and pruners, by their names in a spec."""

from __future__ import annotations

from typing import Any

from kerasflow.spec.sweep import SweepSpec
from kerasflow.sweeps.package import optuna

SLOT = "slot"
"""A trial's attribute: its place among the trials that there are to be, from 0."""
FINAL = "finalist"
"""A trial's attribute: the slot of the trial that it repeats with more seeds."""


def sampler(sweep: SweepSpec, seed: int) -> Any:
    """A sampler whose draws are a function of the seed, the trial's slot and the trials before it.

    So that workers do not draw the same values, and a sweep that is taken up again goes on as it would have.
    """
    package = optuna()
    samplers = package.samplers

    def made(seed: int) -> Any:
        return {
            "tpe": lambda: samplers.TPESampler(seed=seed, multivariate=True, group=True),
            "cma_es": lambda: samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False),
            "random": lambda: samplers.RandomSampler(seed=seed),
            "grid": lambda: samplers.RandomSampler(seed=seed),  # each trial of a grid has its values before it begins
            "quasi_random": lambda: samplers.QMCSampler(
                seed=seed, qmc_type="sobol", scramble=True, warn_independent_sampling=False
            ),
        }[sweep.sampler]()

    class BySlot(samplers.BaseSampler):  # type: ignore[name-defined]
        def __init__(self) -> None:
            self.inner = made(seed)

        def before_trial(self, study: Any, trial: Any) -> None:
            if sweep.sampler != "quasi_random":  # all of whose points are of one sequence
                slot = trial.user_attrs.get(SLOT, trial.user_attrs.get(FINAL, trial.number))
                self.inner = made((seed + 7919 * (1 + slot)) % 2**32)
            self.inner.before_trial(study, trial)

        def infer_relative_search_space(self, study: Any, trial: Any) -> Any:
            return self.inner.infer_relative_search_space(study, trial)

        def sample_relative(self, study: Any, trial: Any, search_space: Any) -> Any:
            return self.inner.sample_relative(study, trial, search_space)

        def sample_independent(self, *arguments: Any) -> Any:
            return self.inner.sample_independent(*arguments)

        def after_trial(self, *arguments: Any) -> None:
            self.inner.after_trial(*arguments)

    return BySlot()


def pruner(sweep: SweepSpec, epochs: int) -> Any:
    """What looks at a trial's objective after each epoch."""
    pruners = optuna().pruners
    if sweep.pruner == "median":
        return pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=max(1, epochs // 10))
    if sweep.pruner == "hyperband":
        return pruners.HyperbandPruner(min_resource=1, max_resource=max(1, epochs), reduction_factor=3)
    return pruners.NopPruner()
