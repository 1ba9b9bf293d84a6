"""The decoder of server-sent events; group 19 of docs/design/cases.md."""

import itertools
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptoss_api.core.errors import UpstreamFailure
from gptoss_api.text import sse
from gptoss_api.text.sse import SseDecoder, Stray


def decode(*chunks: bytes, max_event_bytes: int = 1 << 20) -> list[bytes]:
    decoder = SseDecoder(max_event_bytes)
    payloads = [payload for chunk in chunks for payload in decoder.feed(chunk)]
    return payloads + decoder.finish()


def cut_at(stream: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    return [stream[start:end] for start, end in itertools.pairwise(places)]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_every_line_end_is_understood(end: bytes) -> None:
    stream = end.join([b"data: one", b"", b"data: two", b"data: more", b"", b""])
    assert decode(stream) == [b"one", b"two\nmore"]


def test_line_ends_may_be_mixed() -> None:
    assert decode(b"data: a\r\n\ndata: b\n\r\ndata: c\r\r\n") == [b"a", b"b", b"c"]


def test_an_event_does_not_wait_for_the_line_feed_after_its_last_carriage_return() -> None:
    decoder = SseDecoder()
    assert decoder.feed(b"data: now\r\n\r") == [b"now"]
    assert decoder.feed(b"\ndata: next\r\n\r\n") == [b"next"]


def test_the_space_after_the_colon_is_optional_and_only_one_is_taken() -> None:
    assert decode(b"data:{}\n\ndata: {}\n\ndata:  {}\n\n") == [b"{}", b"{}", b" {}"]


def test_comments_and_other_fields_are_dropped() -> None:
    stream = b": keep-alive\n\nevent: message\nid: 7\nretry: 10\ndata: x\n: inside\n\ndatabase: y\n\n"
    assert decode(stream) == [b"x"]


@pytest.mark.parametrize(
    "lines",
    [
        b'{"a": 1}',
        b'{"a": 1}\n{"b": 2}',
        b'{\n  "a": 1\n}',
        b' data: {"a": 1}',
        b'Data: {"a": 1}',
        b'\xef\xbb\xbfdata: {"a": 1}',
    ],
)
def test_an_object_outside_of_any_field_is_not_dropped(lines: bytes) -> None:
    payloads = decode(b"data: x\n\ndata:\n" + lines + b"\nid: 7\n\ndata: y\n\n")
    assert payloads == [b"x", b"", lines, b"y"]
    assert [type(payload) for payload in payloads] == [bytes, bytes, Stray, bytes]
    assert decode(b"data: x\n\n" + lines) == [b"x", lines]


def test_empty_data_is_an_event_and_no_data_is_none() -> None:
    assert decode(b"data\n\ndata:\n\ndata\ndata:\n\nevent: x\n\n\n\n") == [b"", b"", b"\n"]


def test_a_byte_order_mark_is_only_one_at_the_very_start() -> None:
    assert decode(b"\xef\xbb\xbfdata: x\n\n\xef\xbb\xbfdata: y\n\n") == [b"x"]


def test_a_last_event_without_its_blank_line_counts() -> None:
    assert decode(b"data: a\n\ndata: b\n") == [b"a", b"b"]
    assert decode(b"data: a\n\ndata: b") == [b"a", b"b"]
    assert decode(b"\xef\xbb\xbfdata: alone") == [b"alone"]


def test_events_that_arrive_together_are_returned_together() -> None:
    assert SseDecoder().feed(b"data: a\n\ndata: b\n\ndata: c") == [b"a", b"b"]


def test_empty_chunks_change_nothing() -> None:
    assert decode(b"", b"data: a\r", b"", b"\n", b"", b"\r\n", b"") == [b"a"]


def test_an_event_over_the_limit_fails_however_it_arrives() -> None:
    fits, too_long = b"data: " + b"x" * 10, b"data: " + b"x" * 11
    for chunks in ([fits + b"\n\n"], [bytes([byte]) for byte in fits + b"\n\n"], [fits]):
        assert decode(*chunks, max_event_bytes=16) == [b"x" * 10]
    for chunks in ([too_long + b"\n\n"], [bytes([byte]) for byte in too_long + b"\n\n"], [too_long]):
        with pytest.raises(UpstreamFailure, match="more than 16 bytes"):
            decode(*chunks, max_event_bytes=16)


def test_the_limit_is_for_one_event_not_for_a_chunk() -> None:
    assert len(decode(b"data: 0123456789\n\n" * 100, max_event_bytes=16)) == 100


def test_a_long_line_byte_by_byte_takes_linear_time() -> None:
    def seconds(size: int) -> float:
        decoder = SseDecoder()
        started = time.thread_time()
        for _ in range(size):
            decoder.feed(b"x")
        return time.thread_time() - started

    # Quadratic copying would make the factor a hundred.
    assert seconds(200_000) < 40 * max(min(seconds(20_000) for _ in range(3)), 1e-4)


_LINE = st.one_of(
    st.just(b""),
    st.builds(
        bytes.__add__,
        st.sampled_from(
            [
                b"data: ",
                b"data:",
                b": ",
                b"event: ",
                b"data",
                b"\xef\xbb\xbfdata: ",
                b"id",
                b"",
                b"Data : ",
            ]
        ),
        st.text(st.sampled_from('a{}": é—🙂'), max_size=6).map(str.encode),
    ),
)
_STREAM = st.lists(st.tuples(_LINE, st.sampled_from([b"\n", b"\r\n", b"\r"]))).map(
    lambda lines: b"".join(line + end for line, end in lines)
)


def reference(stream: bytes) -> list[bytes]:
    """The standard's algorithm, line by line over the whole text, and what strays outside of its fields."""
    stream = stream.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    payloads: list[bytes] = []
    data: list[bytes] = []
    stray: list[bytes] = []
    for line in [*stream.split(b"\n"), b""]:
        if not line:
            payloads += [b"\n".join(lines) for lines in (data, stray) if lines]
            data, stray = [], []
            continue
        field, _, value = line.partition(b":")
        if field == b"data":
            data.append(value.removeprefix(b" "))
        elif field not in (b"", b"event", b"id", b"retry") and (
            stray or re.match(rb"(\xef\xbb\xbf|\s)*(data\s*:\s*)?\{", line, re.I)
        ):
            stray.append(line)
    return payloads


@given(_STREAM, st.lists(st.integers(min_value=0), max_size=8))
def test_cuts_change_nothing(stream: bytes, cuts: list[int]) -> None:
    expected = reference(stream)
    assert decode(stream) == expected
    assert decode(*(stream[i : i + 1] for i in range(len(stream)))) == expected
    assert decode(*cut_at(stream, cuts)) == expected
    # As if all that is not short were a long event.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sse, "LONG_EVENT", 6)
        assert decode(*(stream[i : i + 1] for i in range(len(stream)))) == expected
        assert decode(*cut_at(stream, cuts)) == expected


@pytest.mark.parametrize("line", ["a", "data: x", "data", ": x", "{", "id", "data:" + "x" * 5_000])
def test_a_long_event_is_its_lines(line: str) -> None:
    event = (f"{line}\n" * (200_000 // len(line)) + "\n").encode()
    assert decode(*cut_at(event, [65_535, 65_536, 131_000]), max_event_bytes=1 << 24) == reference(event)


def test_the_lines_of_a_long_event_count_towards_the_limit() -> None:
    lines = b"data: 0123456789\n" * 20_000
    assert len(decode(*cut_at(lines + b"\n", [100_000, 200_000]), max_event_bytes=len(lines))) == 1
    for end in (b"\n", b": more\n\n", b": m", b": more" + b"\n: e" * 20_000):
        with pytest.raises(UpstreamFailure, match="more than"):
            decode(*cut_at(lines + end, [100_000, 200_000, 330_000]), max_event_bytes=len(lines) - 2)
    assert decode(lines, b"\n", b"data: x\n\n" * 50_000, max_event_bytes=len(lines))[1:] == [b"x"] * 50_000
