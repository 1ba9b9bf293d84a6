"""What a pattern takes is known before an engine has seen it, and never less than it really takes."""

import time

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gptoss_api.text.patterns import pattern_size
from gptoss_api.text.schema_parts import MAX_PATTERNS

# Bytes that the engine allows itself for each unit of the estimate, and for any pattern.
UNIT = 250
ANY = 20_000


@pytest.mark.parametrize(
    ("pattern", "size", "positions"),
    [
        ("", 0, 0),
        ("abc", 3, 3),
        ("a{1,1000}", 1000, 1000),
        ("a{,30}", 30, 30),
        ("a{7}", 7, 7),
        ("a{7,}", 7, 7),
        (r"a\{1,1000}", 9, 9),
        ("[a{1,1000}]", 1, 1),
        ("[[:alpha:]]{3}", 3, 3),
        ("(abc|def){10}", 71, 60),
        (r"((\w{99}){99})", 9803, 9801),
        ("(?:ab)+c?", 6, 3),
        ("(?P<year>[0-9]{4})", 5, 4),
        ("é{5}", 20, 5),
        (".{10}", 120, 10),
        ("(?i)a{10}", 30, 10),
        (r"\p{L}{10}", 5000, 10),
        ("a{2", 3, 3),
        ("a)b", 3, 3),
        ("(" * 300, 27_000_249, 0),
        ("a{0000000000007}", 7, 7),
    ],
)
def test_counted_repetition_counts_as_often_as_it_may_repeat(pattern: str, size: int, positions: int) -> None:
    measured = pattern_size(pattern)
    assert (measured.size, measured.positions) == (size, positions)


@pytest.mark.parametrize(
    ("pattern", "backtracks"),
    [
        ("^(?=.*a).+$", True),
        ("(?!a)b", True),
        ("(?<=a)b", True),
        ("(?<!a)b", True),
        (r"(a)\1", True),
        (r"(?<n>a)\k<n>", True),
        ("(?>a+)b", True),
        ("a++b", True),
        ("(?<n>a)b", False),
        ("(?:a|b)*c+", False),
        (r"\\1", False),
        (r"a\++", False),
    ],
)
def test_what_looks_around_or_back_is_told_apart(pattern: str, backtracks: bool) -> None:
    assert pattern_size(pattern).backtracks is backtracks


@pytest.mark.parametrize(
    "pattern", [r"(?x) \p{L} {9}", "(?x:\\p{L} # {2}\n{9})", r"[[[\p{L}]]]{9}", r"[](\p{L}{9})]"]
)
def test_blanks_notes_and_sets_in_sets_hide_nothing(pattern: str) -> None:
    assert pattern_size(pattern).size > 9 * 500


@given(st.text(max_size=40) | st.text("(){}[]?*+|\\^$.,019aPpkxDSW:=!<>-i#", max_size=60))
@settings(max_examples=500)
def test_every_text_is_measured(text: str) -> None:
    measured = pattern_size(text)
    assert 0 <= measured.positions <= measured.size


ATOMS = r"a \w \d . [a-z] [^x] \S \s é [\u4e00-\u9fff] \p{L} \W [^\w-] [\p{N}à-ÿ]"
atoms = st.sampled_from(ATOMS.split())
times = st.builds(lambda least, more: f"{{{least},{least + more}}}", st.integers(0, 40), st.integers(1, 30))
patterns = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.builds("{}{}".format, inner, inner),
        st.builds("(?:{}|{})".format, inner, inner),
        st.builds("(?:{}){}".format, inner, st.sampled_from("*+?") | times),
        st.builds("(?i:{})".format, inner),
    ),
    max_leaves=12,
)


@given(patterns)
@settings(max_examples=300, deadline=None)
def test_no_pattern_takes_more_than_was_said(pattern: str) -> None:
    size = pattern_size(pattern).size
    if size <= MAX_PATTERNS:
        options = jsonschema_rs.FancyRegexOptions(size_limit=UNIT * size + ANY)
        jsonschema_rs.validator_for({"pattern": pattern}, pattern_options=options)


def test_measuring_takes_time_in_proportion() -> None:
    def spent(pattern: str) -> float:
        started = time.thread_time()
        pattern_size(pattern)
        return time.thread_time() - started

    for unit in ("(", "[", "{", "a{1,9}", "\\", "(?:a|", "[[", "(?#", r"\p{"):
        assert spent(unit * 16_000) < 40 * max(spent(unit * 1_000), 0.003), unit
