"""Events of the site that cannot be read strictly, or not at all: healed by the full text, or an error."""

import itertools
import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gptoss_api.core.errors import GatewayError, UpstreamFailure, UpstreamIncomplete
from gptoss_api.core.events import Event, Finished, TextDelta
from gptoss_api.text.sse import SseDecoder
from gptoss_api.upstreams.chatkit.wire import ChatKitWire

from .transcripts import THINKING, Json, Old, new, old, reasoning_of, sse, text_of

both = pytest.mark.parametrize("dialect", [old, new], ids=["old", "new"])
SMILE = "\U0001f600"


def read(chunks: Sequence[bytes]) -> tuple[list[Event], GatewayError | None]:
    wire, decoder = ChatKitWire(), SseDecoder()
    events = [event for chunk in chunks for event in wire.feed(decoder.feed(chunk))]
    events += wire.feed_rest(decoder.finish())
    try:
        return events + wire.finish(), None
    except GatewayError as error:
        return events, error


def escaped(*events: Json | str) -> bytes:
    """The stream with every character beyond ASCII written as an escape, so that halves can be written."""
    return b"".join(
        (event if isinstance(event, str) else f"data: {json.dumps(event)}").encode() + b"\n\n"
        for event in events
    )


def answer(*chunks: bytes) -> list[Event]:
    events, failure = read(chunks)
    assert failure is None
    assert (text_of(events) + reasoning_of(events)).encode()
    return events


def gap(*chunks: bytes) -> list[Event]:
    events, failure = read(chunks)
    assert type(failure) is UpstreamIncomplete
    assert Finished("stop") not in events
    return events


def cut(event: Json) -> str:
    written = f"data: {json.dumps(event)}"
    return written[: len(written) * 2 // 3]


# Characters cut in half


@both
@pytest.mark.parametrize(
    ("deltas", "full", "text"),
    [
        (["a\ud83d", "\ude00b"], f"a{SMILE}b", f"a{SMILE}b"),
        (["a\ud83d", "\ude00b", "c"], "", f"a{SMILE}bc"),
        (["a\ud83d", "b"], "a\ud83db", "a\ufffdb"),
        (["\ud83d", "\ude00"], SMILE, SMILE),
        (["a\ud83d"], f"a{SMILE}", f"a{SMILE}"),
        (["a\ud83d"], "a\ud83d", "a\ufffd"),
        (["a\ud83d"], "", "a\ufffd"),
        (["a", "\ude00"], "a\ude00", "a\ufffd"),
        (["a\ud83d\ude00", "b"], f"a{SMILE}b", f"a{SMILE}b"),
    ],
)
def test_halves_are_joined_and_what_is_left_over_is_replaced(
    dialect: Old, deltas: list[str], full: str, text: str
) -> None:
    events = [dialect.message_added(), *map(dialect.delta, deltas), dialect.message_done(full)]
    assert text_of(answer(escaped(*dialect.opening(), *events))) == text


@both
def test_thoughts_with_halves_are_read(dialect: Old) -> None:
    thinking = dialect.thinking(f"so{SMILE}", "well\ud83d")
    events = answer(escaped(*dialect.opening(), *thinking, *dialect.message(["x"])))
    assert reasoning_of(events) == f"so{SMILE}\n\nwell\ufffd"


def test_a_growing_thought_is_not_given_out_with_half_a_character() -> None:
    tasks = [new.task(0, "so\ud83d", added=True), new.task(0, f"so{SMILE}!")]
    events = answer(escaped(*new.opening(), *tasks, new.thinking_done(f"so{SMILE}!"), *new.message(["x"])))
    assert reasoning_of(events) == f"so{SMILE}!"


def test_a_thread_has_a_name_that_can_be_sent() -> None:
    wire, decoder = ChatKitWire(), SseDecoder()
    wire.feed(decoder.feed(escaped({"type": "thread.created", "thread": {"id": "thr_\ud83d"}})))
    assert wire.thread_id == "thr_\ufffd"


# Nearly JSON


@both
@pytest.mark.parametrize(
    ("old_bytes", "new_bytes", "text"),
    [
        (b'"lo"', b'"lo", "at": NaN', "Hello"),
        (b'"lo"', b'"l\to"', "Hell\to"),
        (b'"lo"', b'"l\xffo"', "Hell\ufffdo"),
        (b'"lo"', b'"l\ndata: o"', "Hell\no"),
    ],
    ids=["NaN", "tab", "no UTF-8", "line break"],
)
def test_what_is_nearly_json_is_read(dialect: Old, old_bytes: bytes, new_bytes: bytes, text: str) -> None:
    events = sse(*dialect.opening(), dialect.message_added(), *map(dialect.delta, ["Hel", "lo", "!"]))
    seen = answer(events.replace(old_bytes, new_bytes) + escaped(dialect.message_done(f"{text}!")))
    assert text_of(seen) == f"{text}!"
    assert len([event for event in seen if isinstance(event, TextDelta)]) == 3


@both
def test_events_without_a_blank_line_between_them_are_read(dialect: Old) -> None:
    events = [*dialect.opening(), *dialect.thinking("hm"), *dialect.message(["Hel", "lo"])]
    lines = "\n".join(f"data: {json.dumps(event)}" for event in events)
    assert read([lines.encode() + b"\n\n"]) == read([sse(*events)])


@both
def test_an_error_among_several_events_ends_them(dialect: Old) -> None:
    events = [*dialect.opening(), dialect.message_added(), dialect.delta("a")]
    rest = [{"type": "error", "message": "it broke"}, dialect.delta("b")]
    lines = "\n".join(f"data: {json.dumps(event)}" for event in [*events, *rest])
    seen, failure = read([lines.encode() + b"\ndata: [DONE]\n\n"])
    assert type(failure) is UpstreamFailure
    assert text_of(seen) == "a"
    ended = f"data: {json.dumps(dialect.message_done('a'))}\ndata: [DONE]"
    assert text_of(answer(escaped(*events, ended))) == "a"


# Gaps


@both
@pytest.mark.parametrize("where", range(1, 12))
def test_an_answer_with_a_cut_event_is_healed_or_fails(dialect: Old, where: int) -> None:
    events: list[Any] = [
        *dialect.opening(),
        *dialect.thinking("hm", "so"),
        *dialect.message(["Hel", "lo ", "you"]),
    ]
    if where < len(events):
        events[where] = cut(events[where])
    seen, failure = read([escaped(*events)])
    if failure is None:
        assert text_of(seen) == "Hello you"
    else:
        assert type(failure) is UpstreamIncomplete


@both
@pytest.mark.parametrize("lost", [[0], [1], [2], [0, 1], [1, 2], [0, 1, 2]])
def test_the_full_text_of_the_item_heals_lost_deltas(dialect: Old, lost: list[int]) -> None:
    events: list[Any] = [*dialect.opening(), *dialect.message(["Hel", "lo ", "you"])]
    for index in lost:
        place = len(dialect.opening()) + 2 + index
        events[place] = cut(events[place])
    for ending in (events, [*events[:-2], events[-1]]):
        seen = answer(escaped(*ending))
        assert text_of(seen) == "Hello you"
        assert seen[-1] == Finished("stop")


@both
def test_what_is_heard_after_a_gap_waits_for_the_full_text(dialect: Old) -> None:
    wire, decoder = ChatKitWire(), SseDecoder()
    begin: list[Json | str] = [
        *dialect.opening(),
        dialect.message_added(),
        dialect.delta("a"),
        "data: {broken",
        dialect.delta("b"),
    ]
    assert text_of(wire.feed(decoder.feed(escaped(*begin)))) == "a"
    assert not wire.answered
    assert text_of(wire.feed(decoder.feed(escaped(dialect.message_done("a..b"))))) == "..b"
    second = [dialect.message_added("m2"), dialect.delta("c", "m2")]
    assert text_of(wire.feed(decoder.feed(escaped(*second)))) == "\n\nc"


@both
@pytest.mark.parametrize("full", ["", "b", "ab", "something else"])
def test_a_gap_that_the_full_text_does_not_heal_is_an_error(dialect: Old, full: str) -> None:
    begin: list[Json | str] = [dialect.message_added(), dialect.delta("abc")]
    begin += ["data: {broken", dialect.delta("def")]
    events = gap(escaped(*dialect.opening(), *begin, dialect.message_done(full)))
    assert text_of(events) == "abc"


@both
def test_a_gap_before_the_end_of_a_part_alone_is_an_error(dialect: Old) -> None:
    whole = [*dialect.opening(), *dialect.message(["Hel", "lo"])]
    gap(escaped(*whole[:-1], "data: {broken"))
    assert text_of(answer(escaped(*whole[:-1]))) == "Hello"


@both
def test_a_delta_that_is_no_text_is_a_gap(dialect: Old) -> None:
    odd = dialect.delta("x") | {}
    odd["update"] = odd["update"] | {"delta": {"text": "b"}}
    begin = [*dialect.opening(), dialect.message_added(), dialect.delta("a"), odd, dialect.delta("c")]
    assert text_of(answer(escaped(*begin, dialect.message_done("abc")))) == "abc"
    assert text_of(gap(escaped(*begin, dialect.message_done("bc")))) == "a"


@both
def test_what_cannot_be_read_after_the_answer_takes_nothing_away(dialect: Old) -> None:
    whole = escaped(*dialect.opening(), *dialect.message(["a"]))
    assert text_of(answer(whole, b"data: {broken\n\n")) == "a"
    assert text_of(answer(whole, b"data: {bro")) == "a"


@both
def test_an_end_that_is_cut_inside_its_event_is_like_one_before_it(dialect: Old) -> None:
    whole = [*dialect.opening(), *dialect.message(["a"])]
    assert text_of(answer(escaped(*whole[:-1]) + cut(whole[-1]).encode())) == "a"
    gap(escaped(*whole[:-2]) + cut(whole[-2]).encode())


@both
def test_json_outside_of_any_event_is_a_gap(dialect: Old) -> None:
    begin: list[Json | str] = [*dialect.opening(), dialect.message_added(), dialect.delta("a")]
    lost = json.dumps(dialect.delta("b"))
    for stray in (lost, lost[:-2]):
        said = [*begin, f"data:\n{stray}", dialect.delta("c")]
        assert text_of(answer(escaped(*said, dialect.message_done("abc")))) == "abc"
        assert text_of(gap(escaped(*said, dialect.message_done("c")))) == "a"


@both
def test_an_error_outside_of_any_event_is_the_error(dialect: Old) -> None:
    begin = [*dialect.opening(), dialect.message_added(), dialect.delta("a")]
    events, failure = read([escaped(*begin, '{"error": {"message": "it broke", "x": NaN}}')])
    assert type(failure) is UpstreamFailure
    assert "it broke" in failure.message
    assert text_of(events) == "a"


@both
@pytest.mark.parametrize("loose", [[], ["data: {NaN}"], ['data: {"type": "notice", "x": NaN}']])
def test_text_that_another_item_seems_to_say_is_none(dialect: Old, loose: list[str]) -> None:
    begin: list[Json | str] = [*dialect.opening(), dialect.thinking_added(), *loose]
    begin += [dialect.delta("x", THINKING), dialect.part_done("x", THINKING), dialect.message_added()]
    assert text_of(answer(escaped(*begin, dialect.delta("a"), dialect.message_done("a")))) == "a"


@both
def test_after_something_nearly_json_an_ended_message_says_no_more(dialect: Old) -> None:
    loose = 'data: {"type": "notice", "x": NaN}'
    whole: list[Json | str] = [*dialect.opening(), loose, *dialect.message(["a"]), dialect.delta("b")]
    assert text_of(answer(escaped(*whole))) == "a"


# Any cut

_PIECE = st.sampled_from(["a", "\ud83d", "\ude00", SMILE, "\n", '"', "é", ""])
_BREAK = st.sampled_from(["cut", "stray", "nearly", ""])


@settings(deadline=None)
@given(
    st.sampled_from([old, new]),
    st.lists(st.lists(_PIECE, min_size=1, max_size=3).map("".join), min_size=1, max_size=4),
    st.lists(_BREAK, min_size=8, max_size=8),
    st.lists(st.integers(min_value=0), max_size=8),
)
def test_any_cut_of_the_bytes_gives_the_same_events(
    dialect: Old, deltas: list[str], breaks: list[str], cuts: list[int]
) -> None:
    blocks: list[str] = []
    for event, broken in itertools.zip_longest(dialect.message(deltas), breaks[:8], fillvalue=None):
        if event is None:
            break
        written = json.dumps(event)
        match broken:
            case "cut":
                blocks.append(cut(event))
            case "stray":
                blocks.append(written)
            case "nearly":
                blocks.append(f'data: {{"at": NaN, {written[1:]}')
            case _:
                blocks.append(f"data: {written}")
    stream = escaped(*dialect.opening(), *blocks)
    whole, failed = read([stream])
    if failed is None:
        full = "".join(deltas)
        assert (
            text_of(whole).encode()
            == full.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()
        )
    places = [0, *sorted(each % (len(stream) + 1) for each in cuts), len(stream)]
    for pieces in (
        [stream[at : at + 1] for at in range(len(stream))],
        [stream[begin:end] for begin, end in itertools.pairwise(places)],
    ):
        again, failed_again = read(pieces)
        assert again == whole
        assert type(failed_again) is type(failed)
