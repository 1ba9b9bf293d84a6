"""Patterns as JSON Schema has them are held to, or left out; only what is no pattern is refused."""

import contextlib
import re
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gptoss_api.text.ecma import MalformedPattern, translated
from gptoss_api.text.schema import SchemaRefused, SchemaTooLarge, compile_schema

# The pattern, a text that has it and one that has not, as ECMA-262 says (with its Annex B).
VALID = [
    (r"(?<n>a)\k<n>", "aa", "ab"),
    (r"^(?<n>a|b)\k<n>1$", "bb1", "ab1"),
    (r"^(?<$a>x)(?<é>y)\k<é>\1$", "xyyx", "xyxx"),
    (r"^\k<n>$", "k<n>", "k"),
    (r"^(?P<year>\d{4})-\k<year>$", "2024-2024", "2024-2025"),
    (r"^\1(a)\0?$", "a", "aa"),
    (r"^(a)\1\u0031$", "aa1", "a1"),
    (r"^(a)\2$", "a\x02", "aa"),
    (r"^\ud83d\ude00$", "\U0001f600", "x"),
    (r"^\u{1F600}[^]$", "\U0001f600\n", "\U0001f600"),
    (r"^[\ud83d\ude00-\ud83d\ude4f]$", "\U0001f601", "\U0001f680"),
    (r"^[^\ud800-\udfff]+$", "ok \U0001f600", ""),
    (r"^[\ud700-\udfff]$", "\ud700", "a"),
    (r"^[\ud800-\ue000]$", "\ue000", "\ue001"),
    (r"^\ud800?a$", "a", "b"),
    (r"^[^]$", "\n", ""),
    (r"^a[]?$", "a", "b"),
    (r"^\0?x$", "\x00x", "0x"),
    (r"^\07\x41\cA$", "\x07A\x01", "7AA"),
    (r"^[\0\1\cZ]$", "\x1a", "0"),
    (r"^[\w-.]+$", "a-.b", "a b"),
    (r"^[a-\d-x]+$", "a-1x", "b"),
    (r"^[--/]+$", "-./", "+"),
    (r"^[^-x]$", "a", "-"),
    (r"^[\b\t\n\v\f\r]$", "\b", "b"),
    (r"^a{$", "a{", "a"),
    (r"^{}a{x}$", "{}a{x}", "a"),
    (r"^\8\-\ \é$", "8- é", "8-é"),
    (r"^[a&&[b]\0?$", "&", "c"),
    (r"^(?:\0|b{2,3}?|c{2,}|(?<=a)d|(?!e)f)$", "bb", "b"),
    (r"^(?i:\0|AB)$", "ab", "x"),
]


@pytest.mark.parametrize(("pattern", "has", "has_not"), VALID)
def test_a_valid_pattern_is_held_to(pattern: str, has: str, has_not: str) -> None:
    schema = compile_schema({"type": "string", "pattern": pattern})
    assert schema.left_out == ()
    assert schema.is_valid(has)
    assert not schema.is_valid(has_not)


@pytest.mark.parametrize(
    "pattern",
    [
        r"^\h+\Z", r"^(?<a>x)|(?<a>y)\k<a>$", r"\p{Nonsense}", r"a{,3}", r"^(?=a)*a$", r"(?>a)b", r"\x4",
        r"[\q]", r"\u{FFFFFF}", r"(?#note)a",
    ],
)  # fmt: skip
def test_what_the_engine_cannot_read_is_left_out_and_named(pattern: str) -> None:
    source = {
        "type": "object",
        "properties": {"a": {"type": "string", "pattern": pattern, "minLength": 2}, "b": {"pattern": "^b"}},
    }
    schema = compile_schema(source)
    assert schema.left_out == (pattern,)
    assert schema.source == source
    assert schema.is_valid({"a": "anything", "b": "b"})
    assert not schema.is_valid({"a": "x"})
    assert not schema.is_valid({"b": "a"})


@pytest.mark.parametrize(
    "pattern",
    [
        "(", "a)", "[a", r"[a\]", "*a", "a**", "(?:*)", "a|+?", "a{3,1}", "[z-a]", "a\\", r"[\x62-\x61]",
        r"(?<n>a)\k<m>", "[^",
    ],
)  # fmt: skip
def test_what_is_no_pattern_is_refused_with_the_reason(pattern: str) -> None:
    with pytest.raises(MalformedPattern):
        translated(pattern)
    with pytest.raises(SchemaRefused, match=r"not valid: the pattern '.*' cannot be read"):
        compile_schema({"properties": {"a": {"pattern": pattern}}})


UNREADABLE = r"\h"


@pytest.mark.parametrize(
    ("source", "fits"),
    [
        ({"not": {"pattern": UNREADABLE}}, "x"),
        ({"oneOf": [{"pattern": UNREADABLE}, {"type": "string"}]}, "x"),
        ({"oneOf": [{"pattern": UNREADABLE}, {"minLength": 1}], "anyOf": [{"type": "string"}]}, "x"),
        ({"if": {"pattern": UNREADABLE}, "then": {"minLength": 9}, "else": {"minLength": 9}}, "x"),
        ({"contains": {"pattern": UNREADABLE}, "maxContains": 1}, ["x", "y"]),
        ({"patternProperties": {UNREADABLE: {"type": "integer"}}, "additionalProperties": False}, {"x": "y"}),
        (
            {"patternProperties": {UNREADABLE: True, "": {"type": "string"}}, "unevaluatedProperties": False},
            {"x": "y"},
        ),
        (
            {
                "if": {"pattern": UNREADABLE},
                "then": {"properties": {"a": True}},
                "unevaluatedProperties": False,
            },
            {"a": 1},
        ),
        ({"additionalProperties": {"const": {"pattern": UNREADABLE}}}, {"a": {"pattern": UNREADABLE}}),
        ({"properties": {"pattern": {"pattern": UNREADABLE}}}, {"pattern": "x"}),
        ({"$ref": "#/other/x", "other": {"x": {"pattern": UNREADABLE}}}, "x"),
    ],
)
def test_without_a_pattern_no_more_is_refused_than_with_it(source: dict[str, Any], fits: Any) -> None:
    schema = compile_schema({"allOf": [{"pattern": UNREADABLE}], **source})
    assert schema.left_out == (UNREADABLE,)
    assert schema.is_valid(fits)


def test_beside_a_pattern_that_is_left_out_everything_else_still_binds() -> None:
    schema = compile_schema(
        {
            "oneOf": [{"type": "object"}, {"type": "array"}],
            "properties": {"a": {"pattern": UNREADABLE}},
            "patternProperties": {r"^\0?x$": {"type": "integer"}, "^y": {"type": "integer"}},
            "allOf": [{"required": ["a"]}],
        }
    )
    assert schema.is_valid({"a": "z", "x": 1, "y": 1})
    for misfit in ({}, {"a": "z", "x": "1"}, {"a": "z", "y": "1"}, "z"):
        assert not schema.is_valid(misfit), misfit


def test_two_spellings_of_one_pattern_both_bind() -> None:
    schema = compile_schema(
        {"patternProperties": {r"^\x00$": {"type": "integer"}, r"^\0$": {"minimum": 3}, UNREADABLE: False}}
    )
    assert schema.is_valid({"\0": 3})
    assert not schema.is_valid({"\0": 2})
    assert not schema.is_valid({"\0": "3"})


def test_a_translation_is_bound_by_the_same_limits() -> None:
    # A set of 200 characters that are written with escapes counts as so many.
    long = "[" + "".join(f"\\0{n:o}" for n in range(10, 60)) + "]"
    compile_schema({"pattern": long + "{9}"})
    with pytest.raises(SchemaTooLarge, match="patterns"):
        compile_schema({"pattern": long + "{15999}"})


ATOMS = (
    r"a b c \d \w \. \x41 \u0042 \- . [a-c] [^a] [\d.] [a\-c] (a) (?:b|c) (?=a) (?!b) $ ^ a{2} b{1,3} c* {"
)
atoms = st.sampled_from(ATOMS.split())


@given(st.lists(atoms, max_size=6).map("".join), st.text("abcAB1.-{", max_size=6))
@settings(max_examples=300, deadline=None)
def test_a_translation_means_what_the_pattern_means(pattern: str, text: str) -> None:
    expected = re.search(pattern.replace("$", r"\Z"), text, re.ASCII) is not None
    assert compile_schema({"pattern": translated(pattern)}).is_valid(text) == expected


@given(st.text(max_size=40) | st.text("(){}[]?*+|\\^$.,019aPpkxucDSW:=!<>-i#n", max_size=60))
@settings(max_examples=500, deadline=None)
def test_every_text_is_a_pattern_or_told_to_be_none(text: str) -> None:
    with contextlib.suppress(MalformedPattern):
        assert isinstance(translated(text), str)


def test_to_translate_takes_time_in_proportion() -> None:
    def spent(pattern: str) -> float:
        started = time.thread_time()
        with contextlib.suppress(MalformedPattern):
            translated(pattern)
        return time.thread_time() - started

    for unit in (
        "(",
        "[",
        "[a",
        "{",
        "a{1,9}",
        "\\",
        "(?:a|",
        "(?<a",
        r"\k<",
        r"\p{",
        "(?",
        r"\u{",
        "[a-",
        "()\\1",
    ):
        assert spent(unit * 16_000) < 40 * max(spent(unit * 1_000), 0.003), unit
