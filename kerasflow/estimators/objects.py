"""Keras objects from whatever a parameter holds: a name, a class, an object, or lists and dicts of them."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping
from typing import Any

from kerasflow.builders.objects import make
from kerasflow.errors import TrainingError, sentence
from kerasflow.spec import catalogue
from kerasflow.training.names import check_names

_BY_TARGET = ("accuracy", "acc", "crossentropy", "ce")


def made(kind: Any, given: Any, arguments: Mapping[str, Any], defaults: Mapping[str, Any] | None = None) -> Any:
    """A new object; what was given is not changed.

    Args:
        kind: such as `optimizers`, where names are looked up; or `callbacks`.
        given: a name, a class, an object, or a list or dict of them.
        arguments: of the constructor, by name; of an item of a list or dict, behind its place and two underscores, or
            of all its items without. Of an argument that is a class, likewise.
        defaults: arguments that names and classes are given where they take them.

    Raises:
        TrainingError: the constructor refuses its arguments, or an object cannot be made anew with others.
    """
    if given is None:
        _all_taken(kind, arguments, ())
        return None
    if isinstance(given, list | tuple):
        return [made(kind, item, _of(arguments, str(place), _places(given)), defaults) for place, item in _items(given)]
    if isinstance(given, Mapping):
        return {
            key: made(kind, item, _of(arguments, str(key), _places(given)), defaults) for key, item in given.items()
        }
    if inspect.isclass(given):
        arguments = _by_their_names(given, arguments)
    own = {name: _argument(name, value, arguments) for name, value in arguments.items() if "__" not in name}
    _all_taken(kind, {name: value for name, value in arguments.items() if "__" in name}, own)
    if isinstance(given, str) and kind != "callbacks":
        return _by_name(kind, given, own, defaults or {})
    if inspect.isclass(given):
        taken = inspect.signature(given).parameters
        more = {name: value for name, value in (defaults or {}).items() if name in taken}
        return _called(given, {**more, **own})
    if own:
        if not hasattr(given, "get_config"):
            raise TrainingError(f"{', '.join(own)} cannot be set on {type(given).__name__}; give its class instead")
        return _called(type(given).from_config, {"config": given.get_config() | own})
    if kind == "optimizers":
        return type(given).from_config(given.get_config())
    if kind == "metrics":
        return _copied(given)
    if kind != "callbacks":
        return given
    if not hasattr(given, "set_model"):
        raise TrainingError(f"callbacks must be those of Keras, as classes or objects, got {given!r}")
    return copy.copy(given)  # what a callback collects is its giver's to read


def _copied(metric: Any) -> Any:
    """Another metric of the same settings; the same where it wraps a function, which Keras cannot copy."""
    try:
        return copy.deepcopy(metric)
    except (TypeError, ValueError):
        return metric


def _by_name(kind: Any, name: str, own: dict[str, Any], defaults: Mapping[str, Any]) -> Any:
    entry = catalogue.find(kind, name)
    if entry is None:
        check_names(*(name if kind == known else None for known in ("optimizers", "losses", "metrics")))
    if own and kind == "metrics" and name in _BY_TARGET:
        raise TrainingError(
            f"metrics__{next(iter(own))}: {name!r} means one metric or another, as the target is, and takes no "
            "arguments; name the one that is meant, such as sparse_categorical_accuracy"
        )
    if not own and (entry is None or kind == "metrics"):
        return name  # Keras looks it up: `accuracy` means one metric or another, as the target is
    taken = {} if entry is None else {key: value for key, value in defaults.items() if key in entry.arguments}
    return _called(make, {"kind": kind, "name": name, "arguments": {**taken, **own}})


def _all_taken(kind: str, arguments: Mapping[str, Any], takers: Any) -> None:
    """Refuses arguments that would be dropped in silence."""
    lost = [name for name in arguments if name.partition("__")[0] not in takers]
    if lost:
        prefix = {"optimizers": "optimizer", "losses": "loss"}.get(kind, kind)
        raise TrainingError(
            f"{prefix}__{lost[0]} has nothing to go to; give what it is an argument of, as {prefix}, or leave it out"
        )


def _by_their_names(constructor: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments that are given by their place, `0` or `0__coef`, get the constructor's names."""
    names = list(inspect.signature(constructor).parameters)

    def named(name: str) -> str:
        place, between, rest = name.partition("__")
        is_place = place.isdigit() and int(place) < len(names)
        return f"{names[int(place)]}{between}{rest}" if is_place else name

    return {named(name): value for name, value in arguments.items()}


def _argument(name: str, value: Any, arguments: Mapping[str, Any]) -> Any:
    """An argument that is a class is made, too, of the arguments behind its name."""
    behind = _of(arguments, name, ())
    return (
        made("schedules", value, behind) if inspect.isclass(value) or (behind and not isinstance(value, str)) else value
    )


def _of(arguments: Mapping[str, Any], place: str, places: Any) -> dict[str, Any]:
    """Arguments for one item: those for all, and over them its own."""
    general = {name: value for name, value in arguments.items() if name.partition("__")[0] not in places}
    own = {name.partition("__")[2]: value for name, value in arguments.items() if name.startswith(f"{place}__")}
    return {**(general if places else {}), **own}


def _places(given: Any) -> set[str]:
    return {str(place) for place, _ in _items(given)}


def _items(given: Any) -> list[tuple[Any, Any]]:
    return list(given.items() if isinstance(given, Mapping) else enumerate(given))


def _called(constructor: Any, arguments: dict[str, Any]) -> Any:
    try:
        return constructor(**arguments)
    except (TypeError, ValueError) as error:
        name = getattr(constructor, "__self__", constructor).__name__
        shown = arguments.get("name") if constructor is make else name
        raise TrainingError(f"{shown}: {sentence(error)}") from error
