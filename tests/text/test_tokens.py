"""Counts equal tiktoken's, for every text, in one piece or as it streams.

Group 70 of docs/design/cases.md.
"""

import base64
import errno
import hashlib
import random
import socket
import sys
import threading
import time
import unicodedata
from array import array
from importlib.resources import files

import pytest
import regex
import tiktoken
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gptoss_api.text import bpe, ranks, tokens
from gptoss_api.text.tokens import StreamCounter, Tokens, utf8_length
from gptoss_api.text.word_counts import PieceCounts, WordCounts

TOKENS = Tokens()
TOKENS.warm()
PACKED = files("gptoss_api.text").joinpath("data/o200k_base.ranks.xz").read_bytes()
TABLE = ranks.build_table()
RANKS = ranks.Ranks(TABLE)
PIECE_COUNTS = PieceCounts(RANKS)
ALL_RANKS = {token: rank for rank, token in enumerate(RANKS)}
TIKTOKEN = tiktoken.Encoding("o200k_base", pat_str=bpe.PATTERN, mergeable_ranks=ALL_RANKS, special_tokens={})

# regex and tiktoken may follow different versions of Unicode: characters new in one are left out.
CHARACTERS = st.characters(exclude_categories=["Cn"])

# Bits that meet every branch of the pattern and every class of character.
# fmt: off
BITS = st.sampled_from([
    " ", "  ", "\n", "\r\n", "\r", "\t", "\x00", "\x1c", "\x85", "\u00a0", "\u2028", "\ufeff", "\u3000",
    "\u200d", "'", "'s", "'S", "'ll", "'Re", "’t", "ſ", "don't", "I'LL", "it'l", "ǅ", "ʰ", "é", "e\u0301",
    "\u0301", "İ", "hello", "HelloWorld", "ABC", "ABCdef", "a", "Z", "0", "12", "1234567", "٣", "𝟎", "Ⅷ", "½",
    "中", "文字", "中A", "ひらがな", "한국어", "العربية", "\u202eעברית", "ไทย", "हिन्दी", "𝐀", "𠀀",
    "😀", "👨\u200d👩\u200d👧", "🇩🇪", "!", "...", "。", "/", "//", "!/\n", "{", '"', "-", "_", "=" * 70,
    "<|end|>", "\ud83d", "\ude00",
])
# fmt: on
TEXTS = st.one_of(
    st.text(CHARACTERS),
    st.lists(BITS, max_size=30).map("".join),
    st.text(alphabet="aA1 '\n\r/.sé中", max_size=40),
)


def expected(text: str) -> list[int]:
    return TIKTOKEN.encode_ordinary(text)


@given(TEXTS)
@settings(max_examples=600, deadline=None)
@example("\ud83d\ude00 \ud83d x\ude00")
@example("\ufeff\ud83d")
def test_tokens_are_those_of_tiktoken(text: str) -> None:
    assert TOKENS.encode(text) == expected(text)
    assert TOKENS.count(text) == len(expected(text))


def test_every_character_falls_into_pieces_as_in_tiktoken() -> None:
    """All alphabets and symbols; only of code points without a character may the Unicode versions differ."""
    for first in (*range(0, 0x3400, 64), *range(0xA000, 0xAC00, 64), *range(0xE000, 0x20000, 64)):
        block = map(chr, range(first, first + 64))
        texts = {c: f"{c}a {c}1{c} \n{c}A{c}b." for c in block if unicodedata.category(c) not in ("Cn", "Co")}
        joined = "".join(texts.values())
        if TOKENS.encode(joined) != expected(joined):
            assert [hex(ord(c)) for c, text in texts.items() if TOKENS.encode(text) != expected(text)] == []


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("hello world", 2),
        ("\x00", 1),
        ("\ud800", 1),
        ("<|start|>assistant<|message|>", 11),
        ("A" * 1_000_000, 125_000),
        (" " * 1_000_000, 7_813),
        ("中" * 100_000, 100_000),
        ("ab" * 100_000, 50_000),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_golden_counts(text: str, count: int) -> None:
    assert TOKENS.count(text) == count


def test_large_texts_equal_tiktoken() -> None:
    chance = random.Random(7)
    noise = base64.b64encode(chance.randbytes(150_000)).decode()
    words = "".join(chance.choice(["the", "tion", "abc", "hello", "zz"]) for _ in range(50_000))
    mixed = "".join(
        chance.choice(
            ["def f(x):\n    return x\n", "Grüße, Jürgen! ", "你好，世界。", "🙂 ok\r\n", "\n\n\n  "]
        )
        for _ in range(10_000)
    )
    for text in (noise, words, mixed, mixed.encode("ascii", "ignore").decode(), "9" * 99_999, "\n " * 50_000):
        assert TOKENS.encode(text) == expected(text)
        assert TOKENS.count(text) == len(expected(text))


def test_repeated_large_text_is_not_counted_again() -> None:
    tokens = Tokens()
    text = "Some agent's long instructions. " * 2500
    tokens.warm()
    start = time.thread_time()
    first = tokens.count(text)
    cold = time.thread_time() - start
    best = 1.0
    for _ in range(5):
        again = "".join(text)
        start = time.thread_time()
        assert tokens.count(again) == first
        best = min(best, time.thread_time() - start)
    assert best < cold / 10


def test_a_text_that_two_count_at_once_is_remembered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens, text = Tokens(), "some words " * 500
    count_once = Tokens.count_once

    def meanwhile(self: Tokens, text: str, most: int) -> int:
        monkeypatch.setattr(Tokens, "count_once", count_once)
        return tokens.count(text)

    monkeypatch.setattr(Tokens, "count_once", meanwhile)
    assert tokens.count(text) == len(expected(text))
    assert tokens.remembered([text]) == (len(expected(text)), [])


def test_of_a_prompt_that_grows_only_what_is_new_is_left_to_count() -> None:
    tokens = Tokens()
    known = ["Read a file before you change it.\n", "Another line of forty characters or so.\n"]
    parts = [*known, "short", "What is new is forty characters long too."]
    assert tokens.remembered(known) == (0, known)
    count = tokens.count_parts(known)
    assert tokens.remembered(parts) == (count, parts[2:])
    assert count + tokens.count_parts(parts[2:]) == tokens.count_parts(parts)


def test_remembered_texts_are_bounded() -> None:
    tokens = Tokens()
    for number in range(600):
        tokens.count(f"{number} " + "x" * 300)
    for number in range(12):
        tokens.count(f"{number} " + "y " * 500_000)
    tokens.count("z " * 3_000_000)
    memo = tokens._segments
    kept = {**memo._old, **memo._young}
    assert sum(sys.getsizeof(text) + 150 for text in kept) <= 8 << 20
    assert "z " * 3_000_000 not in kept
    assert tokens.count("0 " + "x" * 300) == len(expected("0 " + "x" * 300))


def test_words_and_pieces_remembered_are_bounded() -> None:
    tokens = Tokens()
    text = " ".join(f"w{''.join(chr(97 + int(d)) for d in str(number))}" for number in range(60_000))
    assert tokens.count(text) == len(expected(text))
    words = tokens._words
    assert words is not None
    assert len(words.pieces) <= 50_000
    for number in range(25_000):
        words.of(f"word w{number}")
    assert 1_000 < len(words) <= 20_000


@given(st.lists(st.one_of(BITS, st.sampled_from(["", " ", "\t", "the", "a\n", "\n\n", "x"])), max_size=40))
@settings(max_examples=600, deadline=None)
@example(["a\n", "", "", "b", "", "\n"])
def test_words_between_spaces_have_the_tokens_of_the_text(bits: list[str]) -> None:
    text = " ".join(bits).replace("\ud83d", "").replace("\ude00", "")
    words = WordCounts(PIECE_COUNTS)
    for _ in range(2):
        assert words.of(text) == len(expected(text))


def test_no_white_space_of_pieces_begins_a_word() -> None:
    white = regex.compile(r"\s").fullmatch
    assert [c for c in map(chr, range(sys.maxunicode + 1)) if white(c) and not c.isspace()] == []


def test_words_of_texts_that_are_unlike_all_others_are_not_all_learned() -> None:
    words = WordCounts(PIECE_COUNTS)
    for number in range(200):
        text = " ".join(f"{number}.{place}" for place in range(50))
        assert words.of(text) == len(expected(text))
    assert len(words) < 200 * 50 // 10
    known = "the same words again and again " * 10
    for _ in range(64):
        words.of(known)
    new = f"{known} novelty"
    words.of(new)
    assert "novelty" in words


@given(st.lists(TEXTS, max_size=4))
@settings(deadline=None)
def test_parts_are_counted_each_for_itself(parts: list[str]) -> None:
    assert TOKENS.count_parts(parts) == sum(len(expected(part)) for part in parts)


@given(TEXTS)
@settings(deadline=None)
def test_no_more_tokens_than_bytes(text: str) -> None:
    assert TOKENS.count(text) <= utf8_length(text)
    assert utf8_length(text) == len(text.encode("utf-8", "surrogatepass"))


@given(TEXTS, st.integers(-1, 40))
@settings(max_examples=300, deadline=None)
@example("👨‍👩‍👧👨‍👩‍👧", 3)
@example("a\ud83d\ude00\ud83d\ude00", 2)
def test_cut_keeps_whole_tokens_and_whole_characters(text: str, most: int) -> None:
    valid = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    kept = b"".join(TIKTOKEN.decode_tokens_bytes(expected(valid)[: max(most, 0)])).decode(errors="ignore")
    cut = TOKENS.cut(text, most)
    assert text.startswith(cut)
    assert cut.encode("utf-16", "surrogatepass").decode("utf-16", "replace") == kept


@given(TEXTS, TEXTS)
@settings(max_examples=300, deadline=None)
def test_text_falls_apart_at_its_last_joint_whatever_stands_around_it(text: str, after: str) -> None:
    joint = bpe.last_joint(text)
    longer = text + after
    assert expected(longer[:joint]) + expected(longer[joint:]) == expected(longer)


@given(st.lists(TEXTS, max_size=8), st.data())
@settings(deadline=None)
def test_stream_counter_counts_the_joined_text(deltas: list[str], data: st.DataObject) -> None:
    counter = StreamCounter(TOKENS)
    assert counter.total == 0
    for number, delta in enumerate(deltas):
        counter.add(delta)
        if data.draw(st.booleans()):
            assert counter.total == len(expected("".join(deltas[: number + 1])))
    assert counter.total == len(expected("".join(deltas)))


def test_stream_counter_asked_at_every_delta_stays_linear() -> None:
    counter = StreamCounter(TOKENS)
    delta = "some words, "
    start = time.thread_time()
    for _ in range(20_000):
        counter.add(delta)
        total = counter.total
    assert time.thread_time() - start < 5
    assert total == len(expected(delta * 20_000))


def test_inside_every_token_merges_happen_in_order_of_rank() -> None:
    for token in list(RANKS)[256:20_000:7]:
        merged: list[int] = []
        bpe.merge_short(token, RANKS, merged)
        assert merged == sorted(merged)
        assert merged[-1] == ALL_RANKS[token]


@given(st.binary(min_size=1, max_size=400), st.sampled_from([1, 2, 7, 300]))
@settings(deadline=None)
def test_long_merge_equals_short_merge(data: bytes, times: int) -> None:
    piece = (data * times)[:1500]
    assert bpe.merge_long(piece, RANKS) == bpe.merge_short(piece, RANKS)


@given(st.lists(st.tuples(BITS, st.integers(1, 40)), max_size=12), st.integers(4, 40), st.integers(8, 40))
@settings(max_examples=600, deadline=None)
@example([("中", 1), ("ABC", 30), ("a", 1)], 8, 8)
@example([("\n", 1), (" ", 30), ("\n", 1)], 8, 8)
@example([("\u0301", 30), ("'ll", 1)], 8, 8)
@example([("a", 1), ("!", 30), ("\n", 3), ("a", 1)], 8, 8)
@example([("\n", 1), ("ABC", 30)], 8, 8)
def test_how_a_text_is_divided_for_counting_changes_nothing(
    runs: list[tuple[str, int]], stretch: int, window: int
) -> None:
    text = "".join(bit * times for bit, times in runs)
    valid = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bpe, "_STRETCH", stretch)
        patch.setattr(bpe, "_WINDOW", window)
        patch.setattr(tokens, "_STRETCH", stretch)
        assert TOKENS.count_once(text) == len(expected(text))
        assert [*bpe.pieces(valid)] == bpe._unicode_pieces(valid)
        assert TOKENS.encode(text) == expected(text)
        if data := valid.encode():
            assert bpe.merge(data, RANKS) == bpe.merge_long(data, RANKS)


@given(st.lists(TEXTS, max_size=6), st.integers(0, 60))
@settings(deadline=None)
def test_a_bounded_count_is_exact_up_to_its_bound_and_more_beyond(parts: list[str], most: int) -> None:
    exact = TOKENS.count_parts(parts)
    bounded = TOKENS.count_parts(parts, most)
    assert bounded == exact if exact <= most else most < bounded <= exact


SEVEN_MEGABYTES = 7_000_000


@pytest.mark.parametrize(
    "unit",
    ["x", "<", "!?", " ", "\n", "1", "a b ", "aB", "<|end|>", "```", "中", "😀", "é", "ab\u0301", "\ud83d"],
)
def test_megabytes_of_anything_are_counted_up_to_the_window_in_no_time(unit: str) -> None:
    """A single word of seven megabytes took six seconds."""
    text = unit * (SEVEN_MEGABYTES // len(unit.encode("utf-8", "surrogatepass")))
    start = time.thread_time()
    count = TOKENS.count_parts([text], 131_072)
    assert time.thread_time() - start < 5
    assert count > 131_072 or unit == " "


def test_a_text_of_random_letters_is_counted_no_further_than_its_bound() -> None:
    chance = random.Random(11)
    text = "".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=400_000))
    start = time.thread_time()
    assert 1_000 < TOKENS.count_once(text, 1_000) < 4_000
    assert time.thread_time() - start < 2


@given(TEXTS)
@settings(deadline=None)
def test_pieces_join_to_the_text(text: str) -> None:
    assert "".join(bpe.pieces(text)) == text


def test_every_token_has_its_rank() -> None:
    assert [RANKS.of(token) for token in ALL_RANKS] == [*range(ranks.TOKENS)]


@given(
    st.one_of(
        st.binary(max_size=12),
        st.sampled_from([*ALL_RANKS]),
        TEXTS.map(lambda text: text[:8].encode("utf-8", "replace")),
    ),
    st.binary(max_size=2),
)
@settings(max_examples=2000, deadline=None)
@example(b"", b"")
def test_what_is_no_token_has_no_rank(start: bytes, end: bytes) -> None:
    data = start + end
    assert RANKS.of(data) == ALL_RANKS.get(data, ranks.NO_RANK)
    assert RANKS.of_pairs(data) == [RANKS.of(data[i : i + 2]) for i in range(len(data) - 1)]


def test_the_table_is_the_one_that_is_looked_for() -> None:
    assert hashlib.sha256(TABLE).hexdigest() == ranks.TABLE_SHA256


def test_the_table_is_the_same_where_numbers_stand_the_other_way_round(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    end = TABLE.index(next(iter(ALL_RANKS)) + b'"#$')
    numbers = array("I", TABLE[:end])
    numbers.byteswap()
    monkeypatch.setattr(ranks.sys, "byteorder", "big" if sys.byteorder == "little" else "little")  # type: ignore[attr-defined]  # re-export of a module
    swapped = numbers.tobytes() + TABLE[end:]
    assert ranks.lay_out(ranks.unpack(PACKED)) == swapped
    foreign = ranks.Ranks(swapped)
    assert [foreign.of(token) for token in (b"th", b" hello")] == [ALL_RANKS[b"th"], ALL_RANKS[b" hello"]]
    assert foreign.of_pairs(b"hello") == RANKS.of_pairs(b"hello")


def test_damaged_ranks_are_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ranks.RanksDamaged, match=r"damaged .*reinstall"):
        ranks.unpack(PACKED[:-1] + bytes([PACKED[-1] ^ 1]))
    monkeypatch.setattr(ranks, "_PACKED_FILE", "missing.xz")
    with pytest.raises(ranks.RanksDamaged, match="cannot be read"):
        Tokens().count("x")


def test_ranks_that_no_descriptor_is_left_for_are_not_damaged(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(ranks, "files", none_left)
    with pytest.raises(OSError, match="Too many"):
        Tokens().count("x")


def test_ranks_are_openais() -> None:
    """The original file, written again from the table, has the checksum OpenAI's has."""
    lines = (base64.b64encode(token) + b" %d\n" % rank for rank, token in enumerate(RANKS))
    assert hashlib.sha256(b"".join(lines)).hexdigest() == ranks.SOURCE_SHA256


def test_notice_names_both_checksums_and_the_licence() -> None:
    notice = files("gptoss_api.text").joinpath("data/NOTICE").read_text()
    assert ranks.SOURCE_SHA256 in notice
    assert ranks.PACKED_SHA256 in notice
    assert "MIT License" in notice


def test_counting_opens_no_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    tokens = Tokens()
    assert not tokens.loaded
    assert tokens.count("hello world") == 2
    assert tokens.loaded


def test_threads_share_one_loading() -> None:
    loads = []

    def load() -> ranks.Ranks:
        loads.append(threading.current_thread())
        time.sleep(0.05)
        return RANKS

    tokens = Tokens(load)
    counts: list[int] = []
    threads = [threading.Thread(target=lambda: counts.append(tokens.count("hello world"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [2] * 8
    assert len(loads) == 1
