"""The reader of chat completion streams: cuts, odd members, and what is not part of an answer."""

import json
import random
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gptoss_api.core.errors import UpstreamEmpty, UpstreamFailure, UpstreamIncomplete
from gptoss_api.core.events import ReasoningDelta, TextDelta
from gptoss_api.core.result import Choice, Collector
from gptoss_api.core.servers import SERVER_KINDS
from gptoss_api.text.sse import SseDecoder
from gptoss_api.upstreams.openai.usage import read_timings, read_usage
from gptoss_api.upstreams.openai_compatible.wire import AFTER_ANSWER, ChatWire
from tests.backends.shapes import SHAPES, Answer, kind_of
from tests.upstreams.chatkit.transcripts import sse


def read(chunks: list[bytes], kind: str = "generic") -> Collector:
    wire, decoder, collector = ChatWire(SERVER_KINDS[kind]), SseDecoder(), Collector()
    for chunk in chunks:
        collector.feed(wire.feed(decoder.feed(chunk)))
    collector.feed(wire.feed_rest(decoder.finish()))
    collector.feed(wire.finish())
    return collector


def chunk(delta: Any = None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta or {}, "finish_reason": finish}]} | more


def said(*events: Any) -> Choice:
    return read([sse(*events)]).choices[0]


END = chunk(finish="stop")

TEXTS = st.text(st.sampled_from('ab _\\"\n<é😀'), max_size=4)
DELTAS = st.one_of(
    TEXTS.map(lambda text: {"content": text}),
    TEXTS.map(lambda text: {"content": text, "reasoning": "", "tool_calls": []}),
    TEXTS.map(lambda text: {"reasoning": text}),
    TEXTS.map(lambda text: {"reasoning_content": text, "content": None}),
    TEXTS.map(lambda text: {"reasoning": text, "reasoning_content": text}),
    TEXTS.map(lambda text: {"thinking": text}),
    TEXTS.map(lambda text: {"content": [{"type": "text", "text": text}]}),
    TEXTS.map(lambda text: {"refusal": text}),
    st.just({"content": "x", "tool_calls": [{"index": 0, "id": "1", "function": {"name": "f"}}]}),
    st.just({}),
)
MORE: list[dict[str, Any]] = [
    *[{}] * 8,
    {"usage": {"prompt_tokens": 1, "completion_tokens": 2}},
    {"timings": {"prompt_n": 3}},
    {"choices": []},
    {"choices": [{"delta": {"content": "m"}, "message": {"content": "m"}}]},
    {"choices": [{"message": {"content": "m"}}]},
    {"choices": [{"delta": {"content": "1"}}, {"delta": {"content": "2"}}]},
    {"choices": [{"delta": {"content": "1"}, "logprobs": {"content": [{"token": "1"}]}}]},
    {"choices": [{"delta": {"content": "a"}, "finish_reason": "length"}]},
]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(DELTAS, st.sampled_from(MORE)), max_size=12),
    st.sampled_from([(",", ":"), (", ", ": ")]),
    st.booleans(),
    st.booleans(),
)
def test_chunks_that_are_alike_read_like_those_that_are_not(
    said: list[tuple[Any, dict[str, Any]]], separators: tuple[str, str], escaped: bool, shown: bool
) -> None:
    def events(ids: bool) -> tuple[list[Any], Any]:
        wire = ChatWire(SERVER_KINDS["generic"], show_reasoning=shown)
        payloads = [
            json.dumps(
                {"id": str(number * ids)} | chunk(delta) | more, separators=separators, ensure_ascii=escaped
            ).encode()
            for number, (delta, more) in enumerate(said)
        ]
        return [wire.feed([payload]) for payload in payloads], wire.answered

    without_ids = [[str(event) for event in batch] for batch in events(ids=False)[0]]
    with_ids = [[str(event) for event in batch] for batch in events(ids=True)[0]]
    pattern = r"call_[0-9a-f]+"
    assert re.sub(pattern, "", str(without_ids)) == re.sub(pattern, "", str(with_ids))


def test_what_only_begins_and_ends_like_the_last_text_is_read_whole() -> None:
    wire = ChatWire(SERVER_KINDS["generic"])
    first = json.dumps(chunk({"content": "a"}), separators=(",", ":")).encode()
    odd = first.replace(b'"a"', b'"a","reasoning":"b"')
    texts = [event.text for event in wire.feed([first, odd, first]) if isinstance(event, TextDelta)]
    assert texts == ["a", "a", "a"]
    wire.feed([first.replace(b'"a"', b'{"a')])
    assert wire.failure is not None or not wire.answered


@pytest.mark.parametrize("content", ["Hello", {"text": "Hello"}], ids=["strict", "loose"])
@pytest.mark.parametrize(("reason", "known"), [("stop", "END"), ("length", None)])
def test_the_stop_string_is_that_of_an_answer_that_stopped(content: Any, reason: str, known: Any) -> None:
    wire, collector = ChatWire(SERVER_KINDS["vllm"], stop=("END",)), Collector()
    ending = chunk({"content": content}, finish=reason)
    ending["choices"][0]["stop_reason"] = "END"
    collector.feed(wire.feed([json.dumps(ending).encode()]))
    collector.feed(wire.finish())
    assert (collector.choices[0].text, collector.choices[0].stop_sequence) == ("Hello", known)


@pytest.mark.parametrize("blank", [chunk(finish=""), chunk({"content": ""}, finish="")])
def test_an_empty_reason_before_the_mark_of_the_end_is_an_end(blank: Any) -> None:
    begun, done = chunk({"content": "Hello"}, finish=""), "data: [DONE]"
    ended = said(begun, blank, done)
    assert (ended.text, ended.finish_reason) == ("Hello", "stop")
    assert said(begun, chunk(finish="length"), done).finish_reason == "length"
    for broken in ((begun, blank), (chunk({"content": "Hello"}), done)):
        with pytest.raises(UpstreamIncomplete):
            said(*broken)


def test_thoughts_that_are_not_shown_are_told_of_once() -> None:
    wire = ChatWire(SERVER_KINDS["generic"], show_reasoning=False)
    told = wire.feed([json.dumps(chunk({"reasoning": text})).encode() for text in ("Hm.", "Oh.")])
    assert told == [ReasoningDelta("")]


def test_an_end_without_a_delta_is_worth_some_patience() -> None:
    wire = ChatWire(SERVER_KINDS["generic"])
    wire.feed([json.dumps(chunk({"content": "a"})).encode()])
    assert (wire.answered, wire.patience) == (False, None)
    wire.feed([b'{"choices":[{"finish_reason":"stop"}]}'])
    assert (wire.answered, wire.patience, wire.carried) == (True, AFTER_ANSWER, 1)


def test_a_limit_that_ends_a_thought_is_noted_also_where_it_is_not_shown() -> None:
    wire, collector = ChatWire(SERVER_KINDS["generic"], show_reasoning=False), Collector()
    for each in (chunk({"reasoning": "a"}), chunk(finish="length")):
        collector.feed(wire.feed([json.dumps(each).encode()]))
    collector.feed(wire.finish())
    [choice] = collector.choices
    assert (choice.text, choice.reasoning, choice.finish_reason) == ("", "", "length")
    assert choice.notes == ("the completion limit was reached while the model was still thinking",)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(SHAPES)), st.integers(0, 10_000))
def test_cuts_make_no_difference(shape: str, seed: int) -> None:
    calls = (("f", '{"a": "b"}'), ("g", "{}"))
    data = sse(*SHAPES[shape].events(Answer(calls=calls, finish="tool_calls")))
    chance = random.Random(seed)
    marks = sorted(chance.sample(range(1, len(data)), chance.randint(1, 40)))
    pieces = [data[begin:end] for begin, end in zip([0, *marks], [*marks, len(data)], strict=True)]
    whole, cut = read([data], kind_of(shape)), read(pieces, kind_of(shape))
    assert [(c.name, c.arguments) for c in cut.choices[0].tool_calls] == list(calls)
    assert (cut.choices[0].text, cut.choices[0].reasoning) == ("Hello there.", "They greet me. ")
    assert cut.usage == whole.usage


@pytest.mark.parametrize(
    ("delta", "text", "reasoning"),
    [
        ({"content": [{"type": "text", "text": "a"}, {"type": "x"}]}, "a", ""),
        ({"content": 5, "reasoning": "b"}, "5", "b"),
        ({"content": 0.5}, "0.5", ""),
        ({"content": True, "refusal": False, "reasoning": "b"}, "", "b"),
        ({"content": {"type": "text", "text": "a"}, "tool_calls": ""}, "a", ""),
        ({"content": {"type": "text", "text": {"value": "a", "annotations": []}}}, "a", ""),
        ({"content": ["a", {"text": "b"}, None]}, "ab", ""),
        ({"content": "a", "reasoning": ["b"]}, "a", "b"),
        ({"content": "a", "function_call": "none"}, "a", ""),
        ("a", "a", ""),
        ({"content": "a", "tool_calls": "odd"}, "a", ""),
        ({"reasoning": {"content": "b"}}, "", "b"),
        ({"reasoning": None, "reasoning_content": "b"}, "", "b"),
        ({"reasoning": "", "reasoning_content": "b"}, "", "b"),
        ({"reasoning": "b", "reasoning_content": "b", "reasoning_details": [{"text": "b"}]}, "", "b"),
        ({"reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}, {"text": "b"}]}, "", "b"),
        ({"thinking": "b", "content": "a"}, "a", "b"),
        ({"content": None, "role": None, "tool_calls": None}, "", ""),
        ({"content": "a", "unknown": {"x": [1]}}, "a", ""),
    ],
)
def test_odd_members_of_a_delta_are_read_or_passed_over(delta: Any, text: str, reasoning: str) -> None:
    choice = said(chunk(delta), END)
    assert (choice.text, choice.reasoning) == (text, reasoning)


def test_refusals_and_the_older_form_of_calls_are_read() -> None:
    assert said(chunk({"refusal": "No."}), END).refusal == "No."
    older = said(
        chunk({"function_call": {"name": "f", "arguments": '{"a"'}}),
        chunk({"function_call": {"arguments": ": 1}"}}),
        chunk(finish="function_call"),
    )
    assert [(call.name, call.arguments) for call in older.tool_calls] == [("f", '{"a": 1}')]


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"choices": []},
        {"choices": None},
        {"choices": [], "prompt_filter_results": [{}]},
        {"object": "ping", "message": "hello"},
        ": comment",
        "event: ping\ndata: {}",
        "data: not json",
        "data: 7",
        "data:",
    ],
)
def test_what_is_no_part_of_the_answer_is_passed_over(event: Any) -> None:
    assert said(event, chunk({"content": "a"}), event, END, event).text == "a"


def test_nothing_counts_after_done() -> None:
    assert said(chunk({"content": "a"}), END, "data: [DONE]", chunk({"content": "b"})).text == "a"


def test_an_answer_that_is_nothing_is_empty_and_rubbish_is_a_failure() -> None:
    with pytest.raises(UpstreamEmpty):
        read([])
    with pytest.raises(UpstreamEmpty):
        read([b": ping\n\n", b"data: [DONE]\n\n"])
    with pytest.raises(UpstreamFailure, match="nothing that could be read"):
        read([b"data: rubbish\n\n"])
    with pytest.raises(UpstreamIncomplete):
        read([sse(chunk({"content": "a"}), "data: [DONE]")])


LEAK = "__LM_STUDIO_INTERNAL_LSEP_SYNTHETIC_REASONING_END_0aF9__"


@pytest.mark.parametrize("size", [1, 2, 7, 30, 200])
def test_the_separator_of_lm_studio_is_taken_out(size: int) -> None:
    text = f'{LEAK}{{"a_b": "__LM"}} __ _{LEAK}'
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    choice = said(*(chunk({"content": piece}) for piece in pieces), END)
    assert choice.text == '{"a_b": "__LM"} __ _'


def test_what_only_begins_like_the_separator_is_text() -> None:
    text = LEAK[:-2] + "0" * 200
    assert said(chunk({"content": text}), END).text == text


@pytest.mark.parametrize(
    ("value", "counts"),
    [
        ({"prompt_tokens": 1, "completion_tokens": 2}, (1, 2, 0, 0)),
        (
            {"input_tokens": 1, "output_tokens": 2, "output_tokens_details": {"reasoning_tokens": 1}},
            (1, 2, 1, 0),
        ),
        ({"prompt_eval_count": 1, "eval_count": 2}, (1, 2, 0, 0)),
        (
            {"prompt_tokens": 3, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 9}},
            (3, 2, 0, 3),
        ),
        ({"prompt_tokens": 3, "completion_tokens": 2, "prompt_tokens_details": None}, (3, 2, 0, 0)),
        ({"prompt_tokens": 3, "completion_tokens": 2, "reasoning_tokens": 1}, (3, 2, 1, 0)),
    ],
)
def test_usage_is_read_in_every_form(value: Any, counts: tuple[int, ...]) -> None:
    usage = read_usage(value)
    assert usage is not None
    assert (
        usage.prompt_tokens,
        usage.completion_tokens,
        usage.reasoning_tokens,
        usage.cached_tokens,
    ) == counts


@pytest.mark.parametrize(
    "value", [None, [], "x", {}, {"prompt_tokens": 1}, {"prompt_tokens": 0, "completion_tokens": 0}]
)
def test_usage_that_says_nothing_is_none(value: Any) -> None:
    assert read_usage(value) is None
    assert read_timings(value) is None


@pytest.mark.parametrize(
    "body",
    [
        "\n".join(json.dumps(event) for event in (chunk({"content": "a"}), END)).encode(),
        sse(chunk({"content": "a"}), END, "data: [DONE]"),
        sse(": ping", chunk({"content": "a"}), END),
        json.dumps({"choices": [{"message": {"content": "a"}, "finish_reason": "stop"}]}, indent=1).encode(),
    ],
)
def test_a_stream_may_be_called_json(body: bytes) -> None:
    wire = ChatWire(SERVER_KINDS["generic"])
    collector = Collector()
    collector.feed([*wire.feed_body(body), *wire.finish()])
    assert collector.choices[0].text == "a"
