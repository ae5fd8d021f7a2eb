"""Text to plain values: YAML 1.2's scalars, JSON, lines; and everything that is no plain document."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasflow.errors import SpecError
from kerasflow.spec.document import dotted, parse_document, parse_value, read_document, split_path


def value(text: str) -> Any:
    return parse_document(text).value


def faults(text: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        parse_document(text, file="spec.yaml")
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1e-3", 0.001),
        ("1E5", 1e5),
        (".5", 0.5),
        ("1.", 1.0),
        ("-2", -2),
        ("+3", 3),
        ("0x1F", 31),
        ("017", 17),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("no", "no"),
        ("on", "on"),
        ("yes", "yes"),
        ("off", "off"),
        ("y", "y"),
        ("12:30", "12:30"),
        ("2020-01-01", "2020-01-01"),
        ("1_000", "1_000"),
        ('"1e-3"', "1e-3"),
        ("!!str 3", "3"),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text: str, expected: Any) -> None:
    got = value(f"a: {text}")["a"]
    assert got == expected
    assert type(got) is type(expected)


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**60), 2**60)
        | st.floats(allow_nan=False, allow_infinity=False)
        # YAML's characters are Unicode's printable ones; what JSON escapes in pairs it reads one by one.
        | st.text(st.characters(min_codepoint=32, max_codepoint=0xD7FF)),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc_", min_size=1), inner, max_size=3),
        max_leaves=12,
    ),
    st.sampled_from([None, 2, "\t"]),
)
def test_json_means_what_it_means_elsewhere(document: Any, indent: Any) -> None:
    assert value(json.dumps({"a": document}, indent=indent)) == {"a": document}


def test_every_value_knows_its_line() -> None:
    document = parse_document("a: 1\nb:\n  - c: 2\n    d: [3,\n      4]\n\n  - e\n", file="spec.yaml")
    lines = {dotted(path): line for path, line in document.lines.items() if path}
    assert lines == {"a": 1, "b": 2, "b[0]": 3, "b[0].c": 3, "b[0].d": 4, "b[0].d[0]": 4, "b[0].d[1]": 5, "b[1]": 7}
    assert document.where(("b", 0, "d")) == "spec.yaml:4"
    assert document.where(("b", 0, "missing", "below")) == "spec.yaml:3"  # the nearest thing that is there


def test_aliases_and_merge_keys_share_values() -> None:
    document = value("base: &b {x: 1, y: 2}\none:\n  <<: *b\n  y: 3\ntwo: *b\nmany: {<<: [{x: 0}, *b], z: 4}\n")
    assert document["one"] == {"x": 1, "y": 3}
    assert document["two"] == {"x": 1, "y": 2}
    assert document["many"] == {"x": 0, "y": 2, "z": 4}  # the first that is merged wins, as YAML says


def test_each_key_that_stands_twice_is_named_with_both_lines() -> None:
    assert faults("a: 1\nb: {c: 1,\n  c: 2}\na: 3\n") == [
        "spec.yaml:4: a: stands twice, first on line 1",
        "spec.yaml:3: b.c: stands twice, first on line 2",
    ]


NESTED_ALIASES = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "\n".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
NESTED_MERGES = "a: &a {x: 1}\n" + "\n".join(
    f"{new}: &{new} {{<<: [{','.join([f'*{old}'] * 9)}], {new}: 1}}" for old, new in zip("abcd", "bcde", strict=True)
)


def test_a_short_file_that_expands_without_end_is_refused() -> None:
    assert "more than 100000 values" in faults(NESTED_ALIASES)[0]
    assert value(NESTED_MERGES)["e"] == {"x": 1, "b": 1, "c": 1, "d": 1, "e": 1}  # merged once, not 9⁴ times


@pytest.mark.parametrize("text", ["a: &a [*a]", "&a {b: *a}", "a: &a\n  <<: *a\n", "a: &a {b: {<<: *a}}"])
def test_an_alias_that_contains_itself_is_refused(text: str) -> None:
    assert "contains itself" in faults(text)[0]


@pytest.mark.parametrize(
    "tag", ["!!python/object/apply:os.system", "!!python/name:os.system", "!foo", "!!set", "!!binary", "!!timestamp"]
)
@pytest.mark.parametrize("body", ["x", "[x]", "{x: y}"])
def test_no_tag_makes_anything_but_plain_values(tag: str, body: str) -> None:
    (fault,) = faults(f"b: 1\na: {tag} {body}\n")
    assert fault.startswith("spec.yaml:2: a: must be text, a number")
    assert fault.endswith(tag)


@pytest.mark.parametrize("text", ["a: !!int x", "a: !!float x", "a: !!bool maybe", "a: " + "9" * 5000])
def test_a_value_that_is_not_what_it_claims_is_refused(text: str) -> None:
    (fault,) = faults(text)
    assert fault.startswith("spec.yaml:1: a: must be a readable ")
    assert len(fault) < 120


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a:\n\tb: 1", "cannot start any token; indent with spaces, not with tabs"),
        ("a: 1\nb: 'c", "spec.yaml:2: is not valid YAML: while scanning a quoted scalar"),
        ("a: b: c", "a name that other keys follow needs a colon of its own"),
        ("a: *b", "found undefined alias"),
        ("a: 1\n---\nb: 2", "spec.yaml:2: is not valid YAML: expected a single document"),
        ("? [a]\n: 1", "spec.yaml:1: a key must be a word"),
        ("a: {<<: 3}", "must be a mapping, or a list of them, behind '<<'"),
        ("a: \0", "is not valid YAML"),
        ("[" * 1200 + "]" * 1200, "nested too deeply"),
        ("[" * 100 + "]" * 100, "nested more than 60 levels deep"),
    ],
)  # fmt: skip
def test_what_is_no_document_is_said_in_one_line(text: str, said: str) -> None:
    (fault,) = faults(text)
    assert said in fault


def test_an_empty_text_is_nothing() -> None:
    assert value("") is None
    assert value("# only a comment\n") is None


class TestFiles:
    def refusal(self, path: Path) -> str:
        with pytest.raises(SpecError) as caught:
            read_document(path)
        (fault,) = caught.value.faults
        assert fault.where == str(path)
        return fault.message

    def test_read_with_a_byte_order_mark(self, tmp_path: Path) -> None:
        path = tmp_path / "spec.yaml"
        path.write_bytes(b"\xef\xbb\xbfa: gr\xc3\xb6\xc3\x9fe\n")
        assert read_document(path).value == {"a": "größe"}
        assert read_document(path).folder == tmp_path.resolve()

    def test_missing_names_its_neighbours(self, tmp_path: Path) -> None:
        (tmp_path / "other.yaml").touch()
        assert self.refusal(tmp_path / "spec.yaml") == "there is no such file; the folder holds other.yaml"

    def test_folder(self, tmp_path: Path) -> None:
        assert self.refusal(tmp_path) == "is a folder; name the spec file in it, such as spec.yaml"

    def test_binary(self, tmp_path: Path) -> None:
        path = tmp_path / "spec.yaml"
        path.write_bytes(b"PK\x03\x04\xff\xfe")
        assert self.refusal(path) == "must be UTF-8 text, but byte 4 is not"

    def test_below_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        assert self.refusal(tmp_path / "file" / "spec.yaml").startswith("cannot be read: ")


def test_values_on_the_command_line_are_read_as_in_a_file() -> None:
    assert parse_value("1e-3") == 0.001
    assert parse_value("[a, {b: no}]") == ["a", {"b": "no"}]
    assert parse_value("a: b: c") == "a: b: c"  # no YAML: text


@pytest.mark.parametrize("path", ["model.layers[3].dense.units", "model.layers.3.dense.units"])
def test_both_ways_to_write_an_index_are_one_path(path: str) -> None:
    assert split_path(path) == ("model", "layers", 3, "dense", "units")
    assert dotted(split_path(path)) == "model.layers[3].dense.units"
