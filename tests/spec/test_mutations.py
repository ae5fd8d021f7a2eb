"""Whatever a person does to a spec, it is accepted, or refused in sentences that say where."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from kerasflow.errors import KerasflowError, SpecError
from kerasflow.spec.document import parse_document
from kerasflow.spec.experiment import load_spec

SAMPLE = 12

Path = tuple[str | int, ...]
Plain = Callable[[KerasflowError], None]

REPLACEMENTS: dict[str, Any] = {
    "nothing": None,
    "text": "abc",
    "empty text": "",
    "text with a blank and a slash": "a b/c",
    "unicode": "größe\u202e😀",
    "endless text": "x" * 1500,
    "a number as text": "64",
    "zero": 0,
    "negative": -1,
    "a fraction": 0.5,
    "a whole fraction": 1000.0,
    "huge": 10**30,
    "not a number": float("nan"),
    "infinite": float("inf"),
    "true": True,
    "an empty list": [],
    "an empty mapping": {},
    "a list": [1, "a", None],
    "a mapping": {"units": 3},
    "nested junk": {"a": [{"b": [None, {"c": "$d"}]}]},
    "a parameter": "$units",
}


def paths(value: Any, above: Path = ()) -> Iterator[Path]:
    if above:
        yield above
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from paths(item, (*above, key))


def at(value: Any, path: Path) -> Any:
    for part in path:
        value = value[part]
    return value


def changed(document: Any, path: Path, change: Callable[[Any, Any], None]) -> Any:
    """A copy in which `change(container, key)` has been done to the thing at a path."""
    new = copy.deepcopy(document)
    change(at(new, path[:-1]), path[-1])
    return new


def replaced(document: Any, path: Path, value: Any) -> Any:
    return changed(document, path, lambda container, key: container.__setitem__(key, value))


def mistyped(word: str) -> str:
    return word[:1] + word[2:] if len(word) > 2 else word + "x"


def mutants(document: Any) -> Iterator[tuple[str, Any]]:
    """What was done and where, and the document after it."""
    for path in paths(document):
        here = ".".join(map(str, path))
        yield f"{here} deleted", changed(document, path, lambda container, key: container.pop(key))
        for name, value in REPLACEMENTS.items():
            yield f"{here} = {name}", replaced(document, path, value)
        old = at(document, path)
        if isinstance(old, str):
            yield f"{here} mistyped", replaced(document, path, mistyped(old))
        if isinstance(old, dict):
            yield f"{here} with an unknown key", changed(document, path, lambda c, k: c[k].update(surprise=1))
        if isinstance(old, list):
            yield f"{here} without its list", replaced(document, path, old[0])
            yield f"{here} twice", replaced(document, path, old + old)
        if isinstance(path[-1], str):
            new = mistyped(path[-1])
            yield f"{here} misnamed", changed(document, path, lambda c, k, new=new: c.update({new: c.pop(k)}))


def outcome(source: Any, plain: Plain) -> bool:
    """Whether it is accepted; any other end than acceptance or a plain refusal is a failure."""
    try:
        load_spec(source)
    except SpecError as error:
        plain(error)
        return False
    return True


@pytest.fixture(scope="session")
def all_mutants(in_a_row: str, graph: str) -> list[tuple[str, Any]]:
    return [mutant for text in (in_a_row, graph) for mutant in mutants(parse_document(text).value)]


def test_every_mutant_is_accepted_or_refused_in_sentences(all_mutants: list[tuple[str, Any]], plain: Plain) -> None:
    accepted = 0
    for what, document in all_mutants:
        try:
            accepted += outcome(document, plain)
        except Exception as error:
            raise AssertionError(f"{what}: {error!r}") from error
    assert len(all_mutants) >= 300
    assert 0.02 < accepted / len(all_mutants) < 0.5  # else the mutations are not what they say, or nothing is checked


def test_a_mutant_in_a_file_is_refused_with_the_line_of_each_fault(
    all_mutants: list[tuple[str, Any]], plain: Plain
) -> None:
    refused = 0
    for what, document in random.Random(0).sample(all_mutants, 150):
        text = json.dumps(document, indent=1).replace("NaN", ".nan").replace("Infinity", ".inf")
        try:
            load_spec(text)
        except SpecError as error:
            refused += 1
            plain(error)
            lines = [int(fault.where.rpartition(":")[2]) for fault in error.faults]
            assert lines == sorted(lines), what
            assert all(1 <= line <= len(text.splitlines()) for line in lines), what
    assert refused > 75


def test_accepted_mutants_are_built_or_refused_in_sentences(all_mutants: list[tuple[str, Any]], plain: Plain) -> None:
    from kerasflow.inspection import inspect

    survivors: dict[str, Any] = {}
    for _, document in all_mutants:
        if outcome(document, plain):
            spec = load_spec(document)
            survivors[repr((spec.model, spec.train.optimizer, spec.train.loss, spec.train.metrics))] = document
    endings = set()
    for name in random.Random(0).sample(sorted(survivors), SAMPLE):
        try:
            inspect(survivors[name])
            endings.add("built")
        except KerasflowError as error:
            plain(error)
            endings.add("refused")
        except Exception as error:
            raise AssertionError(f"{name}: {error!r}") from error
    assert endings == {"built", "refused"}


words = st.one_of(
    st.sampled_from(["experiment", "data", "source", "sklearn", "train", "optimizer", "adam", "stop", "metrics"]),
    st.sampled_from(["model", "layers", "dense", "units", "head", "blocks", "name", "inputs", "repeat", "input", "$n"]),
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | words | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words | st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=150, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(words, anything, max_size=6))
@example({})
@example({"experiment": "a", "data": {"source": {"sklearn": "digits"}}, "model": {"layers": [{"head": {"head": {}}}]}})
def test_any_mapping_is_accepted_or_refused_in_sentences(plain: Plain, document: dict[str, Any]) -> None:
    outcome(document, plain)
    outcome(yaml.safe_dump(document, allow_unicode=True) + "\n", plain)


@settings(max_examples=150, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_value_at_any_place_is_accepted_or_refused_in_sentences(
    plain: Plain, in_a_row: str, graph: str, data: st.DataObject
) -> None:
    document = parse_document(data.draw(st.sampled_from([in_a_row, graph]))).value
    path = data.draw(st.sampled_from(list(paths(document))))
    outcome(replaced(document, path, data.draw(anything)), plain)


@settings(max_examples=100, derandomize=True, deadline=None)
@given(data=st.data())
def test_any_slip_in_the_text_is_accepted_or_refused_in_sentences(
    plain: Plain, in_a_row: str, data: st.DataObject
) -> None:
    begin = data.draw(st.integers(0, len(in_a_row)))
    end = data.draw(st.integers(begin, min(len(in_a_row), begin + 30)))
    slip = data.draw(st.text(alphabet=":-[]{}&*!|>'\"#%@`,?\t\n ab1.\0\ud800é", max_size=5))
    outcome(in_a_row[:begin] + slip + in_a_row[end:] + "\n", plain)
