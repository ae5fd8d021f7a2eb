"""Constructor parameters, and those behind a prefix that go to whatever is made: `optimizer__learning_rate`."""

from __future__ import annotations

import inspect
import sys
from typing import Any

from sklearn.base import BaseEstimator

from kerasflow.errors import did_you_mean

PREFIXES = ("model", "optimizer", "loss", "metrics", "compile", "callbacks", "fit", "predict", "score")
OF_PREDICT = ("batch_size", "verbose")
OF_FIT = {  # what a fit gives to `kf.fit` by itself
    "initial_epoch": "is counted by the estimator itself; leave it out",
    "x": "is the X that fit is called with; leave it out",
    "y": "is the y that fit is called with; leave it out",
    "sample_weight": "is what fit is called with: give fit(X, y, sample_weight)",
    "class_weight": "would count the estimator's own indices; give class_weight, by your own labels",
    "on_epoch": "is the estimator's own; give callbacks",
}
PROVIDED = ("meta", "compile_kwargs", "params", "hidden_layer_sizes")  # to a callable that asks for them by name


class RoutedParameters(BaseEstimator):
    """An estimator that takes, beside its own parameters, those of the things that it makes.

    `model__units=8` is the model's argument `units`; an argument of a callable that no parameter is named like may be
    given without the prefix. All of them are parameters for `get_params`, `set_params`, `clone` and searches.
    """

    model: Any
    validation_fraction: Any
    _keras_build_fn: Any = None
    """A method of a subclass that makes the model, where `model` is None; it takes what a callable does."""
    _routed: tuple[str, ...] = ()

    def _route(self, routed: dict[str, Any]) -> None:
        """Stores what the constructor was given beside its own parameters."""
        if routed:
            for name, value in routed.items():
                setattr(self, name, value)
            self._routed = tuple(dict.fromkeys([*self._routed, *routed]))

    def _check_routed(self) -> None:
        """Refuses, when a fit begins, names that are nobody's.

        Raises:
            TypeError: as Python itself would have raised in the constructor, which only stores.
        """
        for name in self._routed:
            if not self._is_routed(name):
                rest = name.partition("__")[2]
                behind = [f"{prefix}__{rest}" for prefix in PREFIXES if rest]
                known = [*self._get_param_names(), *_arguments_of(self._maker), *behind]
                raise TypeError(
                    f"{type(self).__name__} got an unexpected parameter {name!r}{did_you_mean(name, known)}"
                )

        if isinstance(self.model, self._takes_no_arguments()) and self._keras_build_fn is None:
            given = [name for name in self._routed if name.startswith("model__")]
            if given:
                raise TypeError(f"{given[0]} has nothing to go to: model is neither a callable nor a spec")
        for name, instead in OF_FIT.items():
            if f"fit__{name}" in self._routed:
                raise TypeError(f"fit__{name} {instead}")
        if self.validation_fraction and "fit__validation_split" in self._routed:
            raise TypeError("validation_fraction and fit__validation_split both hold out samples; give one of them")

    def _takes_no_arguments(self) -> tuple[type, ...]:
        keras = sys.modules.get("keras")
        return (type(None),) if keras is None else (type(None), keras.Model)

    @property
    def _maker(self) -> Any:
        return self._keras_build_fn if self.model is None else self.model

    def _is_routed(self, name: str) -> bool:
        prefix, behind, rest = name.partition("__")
        if prefix == "predict":
            return rest in OF_PREDICT
        return bool(prefix in PREFIXES if behind else name in _arguments_of(self._maker))

    def routed(self, prefix: str) -> dict[str, Any]:
        """What goes to one of the `PREFIXES`, by the names behind it."""
        given = {name: getattr(self, name) for name in self._routed}
        bare = {name: value for name, value in given.items() if prefix == "model" and "__" not in name}
        return bare | {
            n.removeprefix(f"{prefix}__"): value for n, value in given.items() if n.startswith(f"{prefix}__")
        }

    @classmethod
    def _get_param_names(cls) -> list[str]:
        """Of the constructor, and of those that it hands the rest of its arguments to."""
        names: set[str] = set()
        for base in cls.__mro__:
            if not issubclass(base, RoutedParameters) or "__init__" not in vars(base):
                continue
            parameters = list(inspect.signature(vars(base)["__init__"]).parameters.values())[1:]
            names |= {p.name for p in parameters if p.kind != p.VAR_KEYWORD and "__" not in p.name}
            if all(p.kind != p.VAR_KEYWORD for p in parameters):
                break
        return sorted(names)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Own parameters, and those given behind a prefix.

        Args:
            deep: as scikit-learn's.
        """
        own: dict[str, Any] = super().get_params(deep)
        return own | {name: getattr(self, name) for name in self._routed}

    def set_params(self, **params: Any) -> RoutedParameters:
        """Sets own parameters, and any behind a prefix.

        Raises:
            ValueError: a name that is nobody's, in scikit-learn's words.
        """
        if "model" in params:  # first: it says which arguments there are
            self.model = params.pop("model")
        routed = {name: value for name, value in params.items() if name in self._routed or self._is_routed(name)}
        self._route(routed)
        super().set_params(**{name: value for name, value in params.items() if name not in routed})
        return self


def _arguments_of(model: Any) -> set[str]:
    """Names that a callable takes and that no parameter of the estimator provides; none of anything else."""
    keras = sys.modules.get("keras")
    if not callable(model) or (keras is not None and isinstance(model, keras.Model)):
        return set()
    parameters = inspect.signature(model).parameters.values()
    return {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)} - set(PROVIDED)
