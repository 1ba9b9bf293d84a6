"""Stop strings and token limits give the same cut however the text is split on its way.

Groups 54 and 55 of docs/design/cases.md.
"""

import time
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gptoss_api.text.stops import StopScanner, TokenLimiter
from gptoss_api.text.tokens import Tokens

TOKENS = Tokens()


def split(text: str, cuts: Sequence[int]) -> list[str]:
    places = [0, *sorted(cut % (len(text) + 1) for cut in cuts), len(text)]
    return [text[i:j] for i, j in pairwise(places)]


# Stop strings


def naive_stop(text: str, stops: Sequence[str]) -> tuple[str, str | None]:
    found = [(text.find(stop), order) for order, stop in enumerate(stops) if stop and stop in text]
    if not found:
        return text, None
    at, order = min(found)
    return text[:at], stops[order]


def scan(deltas: Sequence[str], stops: Sequence[str]) -> tuple[str, str | None]:
    scanner = StopScanner(stops)
    longest = max(map(len, stops), default=1)
    fed = emitted = ""
    for delta in deltas:
        fed += delta
        text, hit = scanner.feed(delta)
        emitted += text
        assert hit == (scanner.matched is not None)
        held = fed[len(emitted) :]
        if not hit:
            assert len(held) < max(longest, 1)
            assert not held or any(stop.startswith(held) for stop in stops)
    text, hit = scanner.finish()
    assert hit == (scanner.matched is not None)
    return emitted + text, scanner.matched


SHORT = st.text(alphabet="ab<", max_size=12)


@given(
    SHORT, st.lists(st.text(alphabet="ab<", max_size=4), max_size=4), st.lists(st.integers(0, 50), max_size=6)
)
@settings(max_examples=600, deadline=None)
@example("abcd", ["abcd", "bc"], [1, 2, 3])
@example("aab", ["abb", "aab"], [2])
@example("ab", ["abb", "ab"], [1])
def test_scanner_equals_the_naive_search_for_every_split(
    text: str, stops: list[str], cuts: list[int]
) -> None:
    expected = naive_stop(text, stops)
    assert scan([text], stops) == expected
    assert scan(list(text), stops) == expected
    assert scan(split(text, cuts), stops) == expected


def test_a_stop_over_several_deltas_ends_the_text_before_it() -> None:
    scanner = StopScanner(["\n\nUser:"])
    assert scanner.feed("Hello.\n") == ("Hello.", False)
    assert scanner.feed("\nUs") == ("", False)
    assert scanner.feed("er: me") == ("", True)
    assert scanner.matched == "\n\nUser:"
    assert scanner.feed("more") == ("", True)
    assert scanner.finish() == ("", True)


def test_the_beginning_of_a_stop_is_given_back_at_the_end() -> None:
    scanner = StopScanner(["STOP"])
    assert scanner.feed("a STO") == ("a ", False)
    assert scanner.finish() == ("STO", False)
    assert scanner.matched is None


def test_of_two_stops_at_one_place_the_first_given_is_named() -> None:
    assert scan(["x", "ab", "c"], ["abc", "ab"]) == ("x", "abc")
    assert scan(["x", "ab", "c"], ["ab", "abc"]) == ("x", "ab")


@pytest.mark.parametrize("stops", [[], [""]])
def test_without_stops_everything_passes(stops: list[str]) -> None:
    assert scan(["", "some", " text"], stops) == ("some text", None)


def test_scanning_near_misses_is_linear() -> None:
    scanner = StopScanner(["a" * 200 + "b"])
    start = time.thread_time()
    for _ in range(20_000):
        scanner.feed("aaaa")
    assert time.thread_time() - start < 3
    assert scanner.finish() == ("a" * 200, False)


# Token limits


Segments = list[tuple[str, str]]


def joined(segments: Segments) -> Segments:
    """Contiguous pieces of one segment become one; empty ones vanish."""
    result: Segments = []
    for name, text in segments:
        if result and result[-1][0] == name:
            result[-1] = (name, result[-1][1] + text)
        elif text:
            result.append((name, text))
    return result


def naive_limit(segments: Segments, limit: int) -> tuple[Segments, bool]:
    left = limit
    kept: Segments = []
    for name, text in segments:
        count = TOKENS.count(text)
        kept.append((name, TOKENS.cut(text, left)))
        if count > left:
            return joined(kept), True
        left -= count
    return joined(kept), False


def limited(deltas: Segments, limit: int) -> tuple[Segments, bool]:
    limiter: TokenLimiter[str] = TokenLimiter(limit, TOKENS)
    passed: Segments = []
    for name, text in deltas:
        out, reached = limiter.feed(name, text)
        passed += out
        assert reached == limiter.reached
        if reached:
            assert limiter.feed(name, "more") == ([], True)
            assert limiter.finish() == ([], True)
            break
    out, reached = limiter.finish()
    assert all(text for _, text in passed + out)
    return joined(passed + out), reached


# fmt: off
WORDS = st.sampled_from([
    " ", "  ", "\n", "\r\n", "'", "'ll", "don't ", "hello", " world", "HelloWorld", "ABC", "A", "b", "1234",
    "中", "中A", "。", "😀", "👨\u200d👩\u200d👧", " token", "ization", ".", "!!/\n", "e\u0301", "=" * 20,
    '{"a": 1}', "𝐀", "\ud83d", "\ude00",
])
# fmt: on
TEXTS = st.one_of(st.lists(WORDS, max_size=20).map("".join), st.text(max_size=30))


@given(TEXTS, st.integers(0, 40), st.lists(st.integers(0, 200), max_size=10))
@settings(max_examples=600, deadline=None)
def test_limit_equals_the_naive_cut_for_every_split(text: str, limit: int, cuts: list[int]) -> None:
    expected = naive_limit([("text", text)], limit)
    assert limited([("text", text)], limit) == expected
    assert limited([("text", c) for c in text], limit) == expected
    assert limited([("text", c) for c in split(text, cuts)], limit) == expected


@given(st.lists(st.tuples(st.sampled_from("rtc"), TEXTS), max_size=5), st.integers(0, 60))
@settings(max_examples=300, deadline=None)
def test_segments_share_the_limit_and_are_counted_each_for_itself(segments: Segments, limit: int) -> None:
    whole = joined(segments)
    expected = naive_limit(whole, limit)
    assert limited(whole, limit) == expected
    assert limited([(name, c) for name, text in whole for c in text], limit) == expected


@pytest.mark.parametrize("limit", [1, 2, 7, 100, 999, 1500])
def test_long_answers_are_cut_like_the_whole(limit: int) -> None:
    text = "The quick brown fox, naïve as ever, said: 「你好，世界」 and\r\n\tran 12345 miles. " * 60
    expected = naive_limit([("text", text)], limit)
    assert limited([("text", text[i : i + 5]) for i in range(0, len(text), 5)], limit) == expected


@pytest.mark.parametrize("unit", ["A", "ab", "9", "!", " ", "中", "中A", "QWxhZGRpbjpvcGVu"])
@pytest.mark.parametrize("limit", [1, 100, 5000])
def test_endless_runs_are_cut_like_the_whole(unit: str, limit: int) -> None:
    text = unit * (200_000 // len(unit))
    expected = naive_limit([("text", text)], limit)
    assert limited([("text", text[i : i + 50]) for i in range(0, len(text), 50)], limit) == expected


def test_text_far_from_the_limit_passes_at_once_and_uncounted() -> None:
    tokens = Tokens()
    limiter: TokenLimiter[str] = TokenLimiter(1000, tokens)
    for _ in range(50):
        assert limiter.feed("text", "unbroken") == ([("text", "unbroken")], False)
    assert not tokens.loaded


def test_an_answer_of_exactly_the_limit_is_complete() -> None:
    text = "one two three four"
    assert TOKENS.count(text) == 4
    assert limited([("text", c) for c in text], 4) == ([("text", text)], False)
    assert limited([("text", c) for c in text + " five"], 4) == ([("text", text)], True)


def test_held_words_come_out_when_the_segment_changes() -> None:
    limiter: TokenLimiter[str] = TokenLimiter(3, TOKENS)
    assert limiter.feed("reasoning", "tokenization") == ([("reasoning", "tok")], False)
    assert limiter.feed("text", "yes") == ([("reasoning", "enization"), ("text", "y")], False)
    assert limiter.finish() == ([("text", "es")], False)


def test_limiting_costs_little_for_each_delta() -> None:
    start = time.thread_time()
    limiter: TokenLimiter[str] = TokenLimiter(30_000, TOKENS)
    for _ in range(40_000):
        if limiter.feed("text", " word")[1]:
            break
    assert limiter.reached
    assert time.thread_time() - start < 3
