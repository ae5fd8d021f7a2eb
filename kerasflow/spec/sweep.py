"""What a sweep tries: ranges of values by their paths in the spec, what they are judged by, and how many of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, GetJsonSchemaHandler, ValidationError, field_validator, model_serializer, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from kerasflow.columns import higher_is_better
from kerasflow.errors import did_you_mean
from kerasflow.spec.base import Listed, Part
from kerasflow.spec.document import clip
from kerasflow.spec.faults import Found, refuse, short
from kerasflow.spec.train import Count, Positive

Kind = Literal["log", "float", "int", "choice"]
KINDS = ("log", "float", "int", "choice")
Chosen = dict[str, Any]
"""Values by dotted path."""


class RangeSpec(Part):
    """The values that a field may have: `{log: [1.0e-4, 0.1]}`, `{float: [0, 0.5]}`, `{int: [16, 256], step: 16}` or
    `{choice: [...]}`.

    Attributes:
        kind: `log` draws numbers evenly by their logarithm.
        low, high: the bounds, both of which may be drawn; None of a choice.
        step: between neighbours; None for any number between the bounds, 1 of whole numbers.
        choices: of a choice: values of any form.
        when: values, or lists of them, by the paths of other ranges: the field is searched only where they are drawn,
            and else stays as the spec has it. What has arguments may be named without them.
    """

    kind: Kind
    low: float | int | None = None
    high: float | int | None = None
    step: float | int | None = None
    choices: Annotated[tuple[Any, ...], Listed] = ()
    when: dict[str, Any] = {}

    @model_validator(mode="before")
    @classmethod
    def _parse(cls, given: Any) -> Any:
        if isinstance(given, cls) or (isinstance(given, Mapping) and "kind" in given):
            return given
        if not isinstance(given, Mapping) or not given:
            raise ValueError(
                f"must be a range, such as {{log: [0.001, 0.1]}} or {{choice: [1, 2]}}, got {short(given)}"
            )
        known = (*KINDS, "step", "when")
        if unknown := [key for key in given if key not in known]:
            hint = did_you_mean(unknown[0], known) or f"; expected one of {', '.join(known)}"
            raise ValueError(f"has no {unknown[0]!r}{hint}")
        kinds = [kind for kind in KINDS if kind in given]
        if len(kinds) != 1:
            raise ValueError(f"must be exactly one of {', '.join(KINDS)}, got {', '.join(kinds) or 'none'}")
        kind, step, when = kinds[0], given.get("step"), given.get("when") or {}
        if not isinstance(when, Mapping):
            raise ValueError(f"when must hold values by the paths of other ranges, got {short(when)}")
        parsed = {"kind": kind, "step": step, "when": dict(when)}
        if kind == "choice":
            return parsed | {"choices": _choices(given[kind], step)}
        low, high = _bounds(kind, given[kind], step)
        return parsed | {"low": low, "high": high}

    @model_serializer
    def _write(self) -> dict[str, Any]:
        value = list(self.choices) if self.kind == "choice" else [self.low, self.high]
        more = {"step": self.step, "when": self.when}
        return {self.kind: value, **{key: own for key, own in more.items() if own}}

    @property
    def extremes(self) -> tuple[Any, ...]:
        """What must fit for all of the range to fit: its bounds, or every choice."""
        return self.choices if self.kind == "choice" else (self.low, self.high)

    def all_values(self) -> tuple[Any, ...] | None:
        """Every value of the range; None where there is no end of them."""
        if self.kind == "choice":
            return self.choices
        step = self.step or (1 if self.kind == "int" else None)
        if step is None or self.low is None or self.high is None:
            return None
        count = math.floor((self.high - self.low) / step + 1e-9) + 1
        return tuple(self.low + index * step for index in range(count))

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        number, whole = {"type": "number"}, {"type": "integer"}
        pair: Any = {"type": "array", "items": number, "minItems": 2, "maxItems": 2}
        kinds: Any = {
            "log": pair,
            "float": pair,
            "int": pair | {"items": whole},
            "choice": {"type": "array", "minItems": 1},
        }
        more = {"step": number, "when": {"type": "object"}}
        forms = [
            {"type": "object", "properties": {kind: value, **more}, "required": [kind], "additionalProperties": False}
            for kind, value in kinds.items()
        ]
        return {"title": cls.__name__, "description": cls.__doc__, "anyOf": forms}


def _choices(given: Any, step: Any) -> list[Any]:
    if not isinstance(given, list | tuple) or not given:
        raise ValueError(f"choice must be a list with at least one value, got {short(given)}")
    if step is not None:
        raise ValueError("a choice has no step; leave it out")
    twice = next(
        (value for index, value in enumerate(given) if any(same(value, other) for other in given[:index])), ...
    )
    if twice is not ...:
        raise ValueError(f"choice holds {short(twice)} twice")
    return list(given)


def same(one: Any, other: Any) -> bool:
    """Whether two values of a choice are one: 1 is not true."""
    return type(one) is type(other) and bool(one == other)


def _bounds(kind: str, given: Any, step: Any) -> tuple[Any, Any]:
    whole = kind == "int"
    numbers = (int,) if whole else (int, float)
    if (
        not isinstance(given, list | tuple)
        or len(given) != 2
        or any(isinstance(bound, bool) or not isinstance(bound, numbers) for bound in given)
        or not all(math.isfinite(bound) for bound in given)
    ):
        raise ValueError(f"{kind} must be [lowest, highest], two {'whole ' * whole}numbers, got {short(given)}")
    low, high = given
    if low == high:
        raise ValueError(
            f"{kind}: [{low}, {high}] is empty: both bounds are the same; write the value where it belongs"
        )
    if low > high:
        raise ValueError(f"{kind}: [{low}, {high}] is reversed; write [{high}, {low}]")
    if kind == "log" and low <= 0:
        raise ValueError(f"log must lie above 0, where logarithms are, got [{low}, {high}]")
    if step is not None:
        if kind == "log":
            raise ValueError("log has no step; leave it out, or list values by choice")
        if isinstance(step, bool) or not isinstance(step, numbers) or not 0 < step <= high - low:
            raise ValueError(
                f"step must be a {'whole ' * whole}number above 0 and at most {high - low:g}, got {step!r}"
            )
    return (low, high) if whole else (float(low), float(high))


class SweepSpec(Part):
    """Many runs of a spec, each with other values; see `kf.sweep`.

    Attributes:
        space: ranges by the dotted paths of what is searched.
        objective: what runs are judged by, or two of them: a column of the history, such as `val_loss`, of the epoch
            whose weights the training ends with; a number of the test part, such as `test/accuracy`; or
            `perf/train_seconds` or `model/parameters`. `{val_f1_score: max}` says which way is better where the name
            does not.
        trials: as many, over all calls; of a grid, all of it if not given.
        minutes: after which no trial begins.
        sampler: what draws the values: `tpe` (Bergstra et al. 2011, 'Algorithms for Hyper-Parameter Optimization'),
            `cma_es` (Hansen 2016, arXiv:1604.00772), `random`, `grid`, or `quasi_random` (Sobol 1967).
        pruner: what ends a trial early that does worse than others did at its epoch: `none`; `median`, from the fifth
            trial on; `hyperband` (Li et al. 2018, arXiv:1603.06560).
        repeats: runs of each trial, with the seeds `seed`, `seed + 1`, ...; the mean is what is judged. A pruner looks
            at the first.
        finalists: of the trials, once all have ended, as many of the best that alone are repeated, each in a run of
            its own; the best of their means is the best.
    """

    space: dict[str, RangeSpec] = Field(min_length=1)
    objective: Annotated[tuple[tuple[str, Literal["min", "max"]], ...], Listed] = (("val_loss", "min"),)
    trials: Count | None = None
    minutes: Positive | None = None
    sampler: Literal["tpe", "cma_es", "random", "grid", "quasi_random"] = "tpe"
    pruner: Literal["none", "median", "hyperband"] = "none"
    repeats: Count = 1
    finalists: Count | None = None

    @field_validator("space", mode="before")
    @classmethod
    def _each_at_its_line(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        read: dict[str, RangeSpec] = {}
        found: Found = []
        for path, one in given.items():
            try:
                read[path] = RangeSpec.model_validate(one)
            except ValidationError as error:
                found.append(((path,), str(error.errors()[0]["ctx"]["error"])))
        refuse(found)
        return read

    @field_validator("objective", mode="before")
    @classmethod
    def _with_direction(cls, given: Any) -> Any:
        several = list(given) if isinstance(given, list | tuple) else [given]
        if not 1 <= len(several) <= 2:
            raise ValueError(f"must be one number's name, or a list of two, got {len(several)}")
        found = tuple(pair for one in several for pair in _directed(one))
        if len({name for name, _ in found}) < len(found):
            raise ValueError(f"names {found[0][0]!r} twice")
        return found

    @model_validator(mode="after")
    def _fits_together(self) -> SweepSpec:
        found: Found = []
        for path, one in self.space.items():
            for other, wanted in one.when.items():
                found += _condition(self.space, path, other, wanted)
            if self.sampler == "grid" and one.all_values() is None:
                message = "a grid of it would be infinite: give it a step, or list values by choice"
                found.append((("space", path), message))
        if self.sampler != "grid" and self.trials is None and self.minutes is None:
            found.append(((), "needs trials, or minutes: else it would never end"))
        if len(self.objective) > 1 and self.pruner != "none":
            found.append((("pruner",), f"must be none where there are two objectives, got {self.pruner!r}"))
        if self.pruner != "none" and "/" in self.objective[0][0]:
            message = f"must be none: {self.objective[0][0]} is known after the last epoch alone, got {self.pruner!r}"
            found.append((("pruner",), message))
        if self.finalists is not None:
            found += _final(self)
        refuse(found or _circle(self.space))
        return self

    @model_serializer(mode="wrap")
    def _write(self, handler: Any) -> dict[str, Any]:
        names = [name if way == _way(name) else {name: way} for name, way in self.objective]
        written: dict[str, Any] = handler(self)
        return written | {"objective": names if len(names) > 1 else names[0]}

    def active(self, path: str, chosen: Chosen) -> bool:
        """Whether a range is searched beside these values."""
        conditions = self.space[path].when.items()
        return all(other in chosen and matches(chosen[other], wanted) for other, wanted in conditions)

    def in_order(self) -> list[str]:
        """The paths, each behind those that it depends on, and parts behind the whole that they lie in."""
        order: list[str] = []
        waiting = sorted(self.space, key=len)  # the whole before its parts
        while waiting:
            path = next((one for one in waiting if not set(self.space[one].when) - set(order)), waiting[0])
            order.append(path)
            waiting.remove(path)
        return order

    def grid(self) -> list[Chosen]:
        """Every choice of values that there is, where each range has an end."""
        found: list[Chosen] = [{}]
        for path in self.in_order():
            values = self.space[path].all_values() or ()
            found = [
                more
                for chosen in found
                for more in ([{**chosen, path: v} for v in values] if self.active(path, chosen) else [chosen])
            ]
        return found

    @property
    def repeats_of_all(self) -> int:
        """Runs of each trial that is no finalist."""
        return 1 if self.finalists else self.repeats

    @property
    def count(self) -> int | None:
        """Trials that there are to be; None where minutes alone decide."""
        if self.sampler != "grid":
            return self.trials
        whole = len(self.grid())
        return whole if self.trials is None else min(self.trials, whole)

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = handler.resolve_ref_schema(handler(core_schema))
        named = {"type": "object", "minProperties": 1, "maxProperties": 2}
        one: Any = {"anyOf": [{"type": "string"}, named | {"additionalProperties": {"enum": ["min", "max"]}}]}
        several = {"type": "array", "items": one, "minItems": 1, "maxItems": 2}
        objective = {"anyOf": [*one["anyOf"], several], "default": "val_loss", "title": "Objective"}
        return {**schema, "properties": {**schema["properties"], "objective": objective}}


def matches(value: Any, wanted: Any) -> bool:
    """Whether a value is the one wanted, or one of them; `adam` stands for it with any arguments."""
    several = wanted if isinstance(wanted, list | tuple) else [wanted]
    name = next(iter(value)) if isinstance(value, Mapping) and len(value) == 1 else value
    return any(same(one, value) or same(one, name) for one in several)


def _directed(given: Any) -> Iterator[tuple[str, str]]:
    if isinstance(given, str) and given:
        yield given, _way(given)
    elif isinstance(given, Mapping) and given:
        for name, way in given.items():
            if way not in ("min", "max"):
                raise ValueError(f"{name} must be min or max, got {short(way)}")
            yield str(name), way
    elif isinstance(given, list | tuple) and len(given) == 2:
        yield given[0], given[1]
    else:
        raise ValueError(f"must be a number's name, such as val_loss, got {short(given)}")


def _way(name: str) -> str:
    return "max" if higher_is_better(name) else "min"


def _final(sweep: SweepSpec) -> Found:
    """What keeps finalists from being told."""
    where = ("finalists",)
    if sweep.repeats == 1:
        return [(where, "are trained with several seeds: set repeats to 2 or more")]
    if len(sweep.objective) > 1:
        return [(where, "are the best by one objective, and there are two; leave it out")]
    if sweep.sampler != "grid" and sweep.trials is None:
        return [(where, "begin when all trials have ended: say how many by trials")]
    return []


def _condition(space: Mapping[str, RangeSpec], path: str, other: str, wanted: Any) -> Found:
    if other not in space:
        known = [name for name in space if name != path]
        hint = did_you_mean(other, known) or f"; searched are {clip(', '.join(known), 80)}" if known else ""
        return [(("space", path, "when"), f"{other!r} is not searched here{hint}")]
    values = space[other].all_values()
    if values is not None and not any(matches(value, wanted) for value in values):
        got = clip(", ".join(map(short, values)), 80)
        return [(("space", path, "when"), f"{other} is never {short(wanted)}; it is one of {got}")]
    return []


def _circle(space: Mapping[str, RangeSpec]) -> Found:
    for path in space:
        seen, above = {path}, list(space[path].when)
        while above:
            other = above.pop()
            if other == path:
                return [(("space", path, "when"), "depends on itself")]
            if other not in seen:
                seen.add(other)
                above += space[other].when
    return []


def corners(sweep: SweepSpec) -> Iterator[tuple[str, Chosen]]:
    """Choices of values that show each range's every extreme: the path that each is for, and the values by path."""
    for path in sweep.space:
        needed = {other: _first_where(sweep, other, path) for other in _needed(sweep, path)}
        for value in sweep.space[path].extremes:
            yield path, {**needed, path: value}


def _needed(sweep: SweepSpec, path: str) -> list[str]:
    """What a range depends on, and what that depends on, in the order in which values are set."""
    found, above = set(), list(sweep.space[path].when)
    while above:
        other = above.pop()
        if other not in found:
            found.add(other)
            above += sweep.space[other].when
    return [other for other in sweep.in_order() if other in found]


def _first_where(sweep: SweepSpec, other: str, path: str) -> Any:
    one, wanted = sweep.space[other], sweep.space[path].when.get(other)
    values = one.all_values() or one.extremes
    return next((value for value in values if wanted is None or matches(value, wanted)), values[0])
