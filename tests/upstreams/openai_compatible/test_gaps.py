"""The reader of chat completion streams where something cannot be read strictly, or not at all."""

import gc
import itertools
import json
import time
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gptoss_api.core.errors import (
    ContextLengthExceeded,
    GatewayError,
    UpstreamFailure,
    UpstreamIncomplete,
    UpstreamRateLimited,
)
from gptoss_api.core.events import Event, TextDelta, ToolCallFinished, ToolCallStarted
from gptoss_api.core.result import Choice, Collector
from gptoss_api.core.servers import SERVER_KINDS
from gptoss_api.dialects.openai_errors import openai_error
from gptoss_api.text.sse import SseDecoder
from gptoss_api.upstreams.openai_compatible.wire import ChatWire

END = '{"choices":[{"delta":{},"finish_reason":"stop"}]}'


def chunk(delta: str, finish: str = "null") -> str:
    """A chunk whose delta is JSON text as it stands."""
    return '{"choices":[{"index":0,"delta":' + delta + ',"finish_reason":' + finish + "}]}"


def call(arguments: str, *, index: str = "0", begin: bool = False) -> str:
    """A delta of a call; ``arguments`` is JSON text as it stands."""
    head = '"id":"c' + index + '","function":{"name":"f",' if begin else '"function":{'
    return chunk('{"tool_calls":[{"index":' + index + "," + head + '"arguments":' + arguments + "}}]}")


def sse(*payloads: str | bytes) -> bytes:
    return b"".join(b"data: %b\n\n" % (p if isinstance(p, bytes) else p.encode()) for p in payloads)


def read(chunks: Iterable[bytes]) -> tuple[list[Event], GatewayError | None]:
    """Every event, and the failure if the answer ended with one."""
    wire, decoder = ChatWire(SERVER_KINDS["generic"]), SseDecoder()
    events: list[Event] = []
    for each in chunks:
        events += wire.feed(decoder.feed(each))
    events += wire.feed_rest(decoder.finish())
    try:
        return events + wire.finish(), None
    except GatewayError as failure:
        return events, failure


def answer(*payloads: str | bytes) -> Choice:
    events, failure = read([sse(*payloads, END, "[DONE]")])
    assert failure is None
    collector = Collector()
    collector.feed(events)
    json.dumps([choice.text for choice in collector.choices]).encode()
    return collector.choices[0]


def fails(*payloads: str | bytes) -> list[Event]:
    events, failure = read([sse(*payloads, END, "[DONE]")])
    assert type(failure) is UpstreamIncomplete
    assert "has a gap" in failure.message
    return events


# Characters cut in half


@pytest.mark.parametrize("name", ["content", "reasoning", "reasoning_content", "thinking", "refusal"])
@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        ([r"a\ud83d", r"\ude00b"], "a\U0001f600b"),
        ([r"\ud83d", r"\ude00"], "\U0001f600"),
        ([r"\ud83d", "", r"\ude00"], "\U0001f600"),
        ([r"a\ud83d", "b"], "a\ufffdb"),
        ([r"a\ud83d", r"\ud83d\ude00"], "a\ufffd\U0001f600"),
        ([r"a\ud83d"], "a\ufffd"),
        ([r"\ude00a"], "\ufffda"),
        ([r"\ude00\ud83d", "a"], "\ufffd\ufffda"),
    ],
)
def test_halves_are_joined_and_what_is_left_over_is_replaced(name: str, pieces: list[str], text: str) -> None:
    choice = answer(*(chunk(f'{{"{name}":"{piece}"}}') for piece in pieces))
    assert {"content": choice.text, "refusal": choice.refusal}.get(name, choice.reasoning) == text


def test_halves_are_joined_within_their_own_channel() -> None:
    choice = answer(
        chunk(r'{"content":"a\ud83d","reasoning":"b\ud83d"}'),
        chunk(r'{"refusal":"c\ud83d"}'),
        call(r'"{\"d\":\"\ud83d"', begin=True),
        chunk(r'{"reasoning":"\ude00"}'),
        call(r'"\ude01\"}"'),
        chunk(r'{"content":"\ude02"}'),
        chunk(r'{"refusal":"\ude03"}'),
    )
    assert (choice.text, choice.reasoning, choice.refusal) == ("a\U0001f602", "b\U0001f600", "c\U0001f603")
    assert choice.tool_calls[0].arguments == '{"d":"\U0001f601"}'


@pytest.mark.parametrize(
    ("pieces", "city"),
    [
        ([r"Oslo \ud83d"], "Oslo \ufffd"),
        ([r"Oslo \ud83d", r"\ude00"], "Oslo \U0001f600"),
        ([r"\ude00 Oslo"], "\ufffd Oslo"),
        ([r"\ud83d", r"\ude00", r"\ud83d"], "\U0001f600\ufffd"),
    ],
)
def test_arguments_keep_what_the_model_wrote(pieces: list[str], city: str) -> None:
    choice = answer(
        call(r'"{\"city\":\""', begin=True), *(call(f'"{piece}"') for piece in pieces), call(r'"\"}"')
    )
    assert json.loads(choice.tool_calls[0].arguments) == {"city": city}
    assert choice.finish_reason == "tool_calls"


def test_halves_are_joined_within_their_own_call() -> None:
    choice = answer(
        call(r'"{\"a\":\"\ud83d"', begin=True),
        call(r'"{\"a\":\"\ud83d"', index="1", begin=True),
        call(r'"\ude00\"}"'),
        call(r'"\ude01\"}"', index="1"),
    )
    assert [each.arguments for each in choice.tool_calls] == ['{"a":"\U0001f600"}', '{"a":"\U0001f601"}']


def test_a_call_whose_arguments_end_in_half_a_character_still_ends() -> None:
    choice = answer(call(r'"{\"a\":\"\ud83d"', begin=True))
    assert choice.tool_calls[0].arguments == '{"a":"\ufffd'
    assert choice.notes == ("the arguments of the call to 'f' end in the middle",)


@pytest.mark.parametrize(
    ("value", "arguments"),
    [
        (r'{"a":"x\ud83d","b":"\ud83d\ude00"}', {"a": "x\ufffd", "b": "\U0001f600"}),
        ('{"a":NaN}', {"a": None}),
        ('{"a":"x\ty"}', {"a": "x\ty"}),
    ],
)
def test_arguments_that_are_an_object_are_read_leniently_too(value: str, arguments: Any) -> None:
    choice = answer(call(value, begin=True))
    assert json.loads(choice.tool_calls[0].arguments) == arguments


def test_names_and_errors_are_text_that_can_be_sent() -> None:
    delta = r'{"tool_calls":[{"index":0,"id":"\ud83d","function":{"name":"f\ud83d","arguments":"{}"}}]}'
    assert answer(chunk(delta)).tool_calls[0].name == "f\ufffd"
    error = r'{"error":{"message":"bad \ud83d","code":"\ud83d","param":"\ud83d","status":400}}'
    _, failure = read([sse(error)])
    assert failure is not None
    assert f"{failure.message}{openai_error(failure).code}{failure.param}".encode()
    _, failure = read([sse(chunk(r'{"content":"a\ud83d"}', r'"odd\ud83d"'))])
    assert type(failure) is UpstreamIncomplete
    assert failure.message.encode()


@pytest.mark.parametrize("mark", ["data: [DONE]", "data:  [DONE] ", 'data: {"choices":[]}\ndata: [DONE]'])
def test_nothing_counts_after_an_end_mark_in_any_form(mark: str) -> None:
    late = sse(chunk('{"content":"b"}'))
    events, failure = read([sse(chunk('{"content":"a"}'), END), mark.encode() + b"\n\n", late])
    assert failure is None
    assert events[0] == TextDelta("a")
    assert TextDelta("b") not in events


def test_bytes_of_no_text_beside_nothing_that_counts_are_passed_over() -> None:
    events, failure = read([sse(chunk('{"content":"a"}'), b'{"x":"\xff"}', END)])
    assert failure is None
    assert events[0] == TextDelta("a")


# Members of odd types


@pytest.mark.parametrize("index", ['"0"', "0.0", "null"])
def test_pieces_with_an_index_of_another_type_belong_to_the_call(index: str) -> None:
    choice = answer(call(r'"{\"a\":"', begin=True), call(r'"1}"', index=index))
    assert [each.arguments for each in choice.tool_calls] == ['{"a":1}']


@pytest.mark.parametrize(
    ("calls", "arguments"),
    [
        ('{"index":0,"id":1.5,"function":{"name":"f","arguments":"{}"}}', "{}"),
        ('[null,{"function":{"name":"f","arguments":{"a":1}}}]', '{"a": 1}'),
        (r'"[{\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]"', "{}"),
        ('[{"index":"0","function":{"name":"f","arguments":5}}]', "5"),
        ('[{"index":"' + "9" * 5000 + '","id":' + "9" * 5000 + ',"function":{"name":"f"}}]', "{}"),
    ],
    ids=["object", "null beside", "string", "a number for arguments", "long numbers"],
)
def test_calls_in_another_form_are_calls(calls: str, arguments: str) -> None:
    choice = answer(chunk('{"tool_calls":' + calls + "}"))
    assert [(each.name, each.arguments) for each in choice.tool_calls] == [("f", arguments)]


@pytest.mark.parametrize(
    "delta",
    [
        '{"tool_calls":["Oslo"]}',
        '{"tool_calls":[{"index":0,"function":"Oslo"}]}',
        '{"tool_calls":"{Oslo"}',
        '{"content":{"unknown":"Oslo"}}',
        '{"reasoning":[{"text":"a"}],"content":{"unknown":"Oslo"}}',
        '["Oslo"]',
        "7",
    ],
)
def test_a_part_that_cannot_be_made_out_is_a_gap(delta: str) -> None:
    fails(chunk('{"content":"a"}'), chunk(delta), chunk('{"content":"b"}'))


def test_other_choices_of_an_odd_chunk_count_too() -> None:
    chunks = '{"choices":[{"index":"0","delta":{"content":"a"}},null,{"index":0,"delta":{"content":"b"}}]}'
    assert answer(chunks).text == "ab"


def test_what_came_with_an_error_comes_before_it() -> None:
    odd = '{"choices":[{"index":"0","delta":{"content":"a"}}],"error":{"message":"Too many requests"}}'
    events, failure = read([sse(odd, END)])
    assert type(failure) is UpstreamRateLimited
    assert len(events) == 1


# Gaps


def test_a_call_with_a_gap_never_ends() -> None:
    events = fails(
        call(r'"{\"city\":\""', begin=True), '{"choices":[{"delta":{"tool_calls":[{"ind', call(r'"\"}"')
    )
    assert [type(event) for event in events if isinstance(event, ToolCallStarted | ToolCallFinished)] == [
        ToolCallStarted
    ]


def test_calls_side_by_side_lose_nothing_where_an_inner_object_ends() -> None:
    choice = answer(
        call(r'"{\"a\":{\"b\":1"', begin=True),
        call(r'"{}"', index="1", begin=True),
        call('"}"'),
        call(r'",\"c\":2}"'),
    )
    assert [each.arguments for each in choice.tool_calls] == ['{"a":{"b":1},"c":2}', "{}"]


def test_a_gap_after_a_finish_reason_is_one_too() -> None:
    events, failure = read([sse(chunk('{"content":"a"}', '"stop"'), '{"choices":[{"delta":{"conte', END)])
    assert type(failure) is UpstreamIncomplete
    assert len(events) == 1


def test_what_the_end_cuts_off_after_the_answer_is_no_gap() -> None:
    begin = sse(chunk('{"content":"a"}'), END)
    for rest in (b'data: {"choices":[],"usa', b'{"err', b"data: "):
        assert read([begin + rest])[1] is None
    assert type(read([sse(chunk('{"content":"a"}')) + b'data: {"choi'])[1]) is UpstreamIncomplete


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"choices":[{"message":{"content":"a', UpstreamIncomplete),
        (b"", UpstreamFailure),
        (b"rubbish", UpstreamFailure),
        (b"[[[", UpstreamIncomplete),
        (b'{"error": {"message": "Too many requests", "x": NaN}}', UpstreamRateLimited),
        (b'[{"error": {"message": "Too many requests"}}]', UpstreamRateLimited),
    ],
)
def test_a_body_that_is_no_answer_is_a_failure(body: bytes, kind: type[GatewayError]) -> None:
    wire = ChatWire(SERVER_KINDS["generic"])
    assert wire.feed_body(body) == []
    with pytest.raises(kind):
        wire.finish()


@pytest.mark.parametrize(
    ("lines", "kind"),
    [
        ('{"error": {"message": "Too many requests"}}', UpstreamRateLimited),
        ('{"error": {"message": "Too many requests", "x": NaN}}', UpstreamRateLimited),
        ('{\n  "error": {\n    "message": "Too many requests"\n  }\n}', UpstreamRateLimited),
        ('{"error": "prompt is too long: 200000 tokens > 131072 maximum"}', ContextLengthExceeded),
        ('{"object": "error", "message": "Too many requests"}', UpstreamRateLimited),
        ('{"usage": {}}', UpstreamIncomplete),
        ('{"usage": {}} [{}]', UpstreamIncomplete),
        ('{"usage', UpstreamIncomplete),
    ],
)
def test_an_error_outside_of_any_event_is_the_error(lines: str, kind: type[GatewayError]) -> None:
    stream = sse(chunk('{"content":"a"}')) + lines.encode() + b"\n\n" + sse("[DONE]")
    whole, failure = read([stream])
    assert type(failure) is kind
    assert len(whole) == 1
    again, failure = read([stream[at : at + 1] for at in range(len(stream))])
    assert type(failure) is kind
    assert again == whole


# Any cut


_TEXT = st.sampled_from(
    ["a", "\\ud83d", "\\ude00", "\\ud83d\\ude00", "é🙂", "\t", "\\n", "@", "\\\\", "data: {", "[DONE]", "_"]
)
_STRING = st.lists(_TEXT, max_size=4).map("".join)
_PAYLOAD = st.one_of(
    st.builds(
        lambda name, text: chunk('{"' + name + '":"' + text + '"}'),
        st.sampled_from(["content", "reasoning", "refusal"]),
        _STRING,
    ),
    st.builds(lambda text, index: call(f'"{text}"', index=index), _STRING, st.sampled_from(["0", '"1"'])),
    st.sampled_from(
        [
            call(r'"{\"a\":\"\ud83d"', begin=True),
            END,
            "[DONE]",
            "ping",
            "",
            '{"choices":[{"delta":{"content":"a"}}],"timings":{"x":NaN}}',
            '{"choices":[{"delta":{"content":5}}]}',
        ]
    ),
    st.sampled_from(['{"choices":[{"delta":{"conte', '{"error":{"message":"no"}}', "[[", '"}}]}']),
)
_BLOCK = st.one_of(
    _PAYLOAD.map("data: {}".format),
    st.lists(_PAYLOAD, min_size=1, max_size=3).map(
        lambda payloads: "\n".join(f"data:{each}" for each in payloads)
    ),
    st.sampled_from([": comment", "event: x", 'data:\n{"choices":[]}', '{"error":"no"}', "data"]),
)


@settings(deadline=None)
@given(
    st.lists(_BLOCK, max_size=8),
    st.lists(st.integers(min_value=0), max_size=8),
    st.sampled_from(["\n", "\r\n"]),
)
def test_any_cut_of_the_bytes_gives_the_same_events(blocks: list[str], cuts: list[int], end: str) -> None:
    text = "".join(block.replace("\n", end) + end + end for block in [*blocks, f"data: {END}"])
    stream = text.encode().replace(b"@", b"\xff")
    places = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    for part in (stream, stream[: places[len(places) // 2]]):
        whole, failed = read([part])
        for pieces in (
            [part[at : at + 1] for at in range(len(part))],
            [part[begin:end] for begin, end in itertools.pairwise(places)],
        ):
            again, failed_again = read(pieces)
            assert _without_ids(again) == _without_ids(whole)
            assert (type(failed_again), str(failed_again)) == (type(failed), str(failed))


def _without_ids(events: list[Event]) -> list[Any]:
    return [event.name if isinstance(event, ToolCallStarted) else event for event in events]


# A megabyte of anything


def _seconds(work: Callable[[int], object], size: int) -> float:
    # A collection looks at all that the process has, which has nothing to do with the work.
    gc.disable()
    try:
        started = time.thread_time()
        work(size)
        return time.thread_time() - started
    finally:
        gc.enable()


def _said(text: str) -> Callable[[int], object]:
    return lambda size: read([sse(chunk(json.dumps({"content": text})))] * size)


def _argued(text: str, *, beside: bool = False, begin: str = '"{\\"a\\":\\""') -> Callable[[int], object]:
    def work(size: int) -> object:
        opened = [sse(call(begin, begin=True))]
        if beside:
            opened.append(sse(call('"{"', index="1", begin=True)))
        return read([*opened, *[sse(call(text))] * size])

    return work


@pytest.mark.parametrize(
    "work",
    [
        *(_said(text) for text in ("x", "_", "\ud83d", "__LM_STUDIO", "{", "\x00")),
        *(_argued(text) for text in ('"x"', '"}"', '" "', r'"\\"', '"<"', r'"\ud83d"', r'"\""')),
        *(_argued(text, beside=True) for text in ('"}"', r'"\"}"')),
        *(_argued(text, begin='""') for text in ('" "', '"<"', '"<|"', '"["', '"}"', '"<|message|>"')),
        lambda size: read([sse(*(call('"}"', index=str(at), begin=True) for at in range(size)))]),
    ],
)
def test_time_is_linear_in_what_arrives(work: Callable[[int], object]) -> None:
    few = max(min(_seconds(work, 500) for _ in range(3)), 1e-3)
    # Quadratic work would make the factor four hundred.
    assert _seconds(work, 10_000) < 80 * few
