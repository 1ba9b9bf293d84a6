"""Whole and streamed answers: their members, their order, and that both say the same."""

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptoss_api.core.errors import UpstreamFailure, UpstreamIncomplete
from gptoss_api.core.events import (
    ChoiceStarted,
    Event,
    Finished,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallFinished,
    ToolCallStarted,
)
from gptoss_api.core.result import Collector

from .answering import STARTED, USAGE, streamed, whole
from .asking import read

TEXT: list[Event] = [
    STARTED,
    ReasoningDelta("They "),
    ReasoningDelta("greet."),
    TextDelta("Hello "),
    TextDelta('"world"\n\u2028🙂'),
    Finished("stop"),
    USAGE,
]
CALLS: list[Event] = [
    STARTED,
    TextDelta("Looking."),
    ToolCallStarted(0, "call_a", "weather"),
    ToolCallDelta(0, '{"city":'),
    ToolCallDelta(0, '"Paris"}'),
    ToolCallFinished(0),
    ToolCallStarted(1, "call_b", "patch", "custom"),
    ToolCallDelta(1, "*** Begin"),
    ToolCallFinished(1),
    Finished("tool_calls"),
    USAGE,
]
ONLY_A_CALL: list[Event] = [
    STARTED,
    ToolCallStarted(0, "call_a", "f"),
    ToolCallDelta(0, "{}"),
    ToolCallFinished(0),
    Finished("tool_calls"),
]
USAGE_OBJECT = {
    "prompt_tokens": 11,
    "completion_tokens": 7,
    "total_tokens": 18,
    "prompt_tokens_details": {"cached_tokens": 2},
    "completion_tokens_details": {"reasoning_tokens": 3},
}


# Whole


def test_a_completion() -> None:
    completion = whole(read(), TEXT)
    assert completion.pop("id").startswith("chatcmpl-")
    assert time.time() - 5 < completion.pop("created") <= time.time()
    assert completion.pop("system_fingerprint").startswith("gptoss-")
    assert completion == {
        "object": "chat.completion",
        "model": "gpt-oss-120b",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": 'Hello "world"\n\u2028🙂',
                    "refusal": None,
                    "annotations": [],
                    "reasoning": "They greet.",
                    "reasoning_content": "They greet.",
                },
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": USAGE_OBJECT,
    }


def test_content_is_null_where_there_are_only_calls() -> None:
    message = whole(read(), ONLY_A_CALL)["choices"][0]["message"]
    assert message["content"] is None
    assert message["tool_calls"] == [
        {"id": "call_a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    ]


def test_calls_of_both_kinds_beside_text() -> None:
    [choice] = whole(read(), CALLS)["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] == "Looking."
    assert choice["message"]["tool_calls"] == [
        {
            "id": "call_a",
            "type": "function",
            "function": {"name": "weather", "arguments": '{"city":"Paris"}'},
        },
        {"id": "call_b", "type": "custom", "custom": {"name": "patch", "input": "*** Begin"}},
    ]


def test_an_empty_answer_is_an_empty_string() -> None:
    message = whole(read(), [STARTED, Finished("stop")])["choices"][0]["message"]
    assert message["content"] == ""
    assert "tool_calls" not in message
    assert "reasoning" not in message


def test_a_refusal_takes_the_place_of_content() -> None:
    message = whole(read(), [STARTED, RefusalDelta("No, "), RefusalDelta("sorry."), Finished("stop")])[
        "choices"
    ][0]["message"]
    assert (message["content"], message["refusal"]) == (None, "No, sorry.")


def test_an_answer_that_was_never_finished_is_none() -> None:
    unfinished: list[list[Event]] = [[], [STARTED, TextDelta("Hel")]]
    for events in unfinished:
        collector = Collector()
        collector.feed(events)
        with pytest.raises(UpstreamIncomplete):
            read().render(collector)


def test_what_was_emulated_is_said() -> None:
    started = Started(
        "site", "gpt-oss-20b", emulated=("tools", "history"), ignored=("temperature",), repairs=1
    )
    events: list[Event] = [started, TextDelta("x"), Finished("stop", 1, ("mended a comma",))]
    said = {
        "emulated": ["tools", "history"],
        "ignored": ["temperature"],
        "repairs": 1,
        "notes": ["mended a comma"],
    }
    completion = whole(read(), events)
    assert (completion["x_gptoss"], completion["system_fingerprint"]) == (said, "gptoss-emulated")
    chunks = streamed(read(stream=True), events)
    assert chunks[-1]["x_gptoss"] == said
    assert all("x_gptoss" not in chunk for chunk in chunks[:-1])
    *_, finish, usage = streamed(read(stream=True, stream_options={"include_usage": True}), [*events, USAGE])
    assert finish["x_gptoss"] == usage["x_gptoss"] == said


# Streamed


def test_a_stream() -> None:
    chunks = streamed(read(stream=True), TEXT)
    assert {(chunk["object"], chunk["model"]) for chunk in chunks} == {
        ("chat.completion.chunk", "gpt-oss-120b")
    }
    assert len({(chunk["id"], chunk["created"]) for chunk in chunks}) == 1
    assert all("usage" not in chunk for chunk in chunks)
    assert [chunk["choices"][0]["delta"] for chunk in chunks] == [
        {"role": "assistant", "content": ""},
        {"reasoning": "They ", "reasoning_content": "They "},
        {"reasoning": "greet.", "reasoning_content": "greet."},
        {"content": "Hello "},
        {"content": '"world"\n\u2028🙂'},
        {},
    ]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None] * 5 + ["stop"]


def test_usage_in_a_stream_that_asks_for_it() -> None:
    *chunks, last = streamed(read(stream=True, stream_options={"include_usage": True}), TEXT)
    assert (last["choices"], last["usage"]) == ([], USAGE_OBJECT)
    assert all(chunk["usage"] is None for chunk in chunks)


def test_calls_in_a_stream() -> None:
    deltas = [chunk["choices"][0]["delta"] for chunk in streamed(read(stream=True), CALLS)]
    assert [delta["tool_calls"][0] for delta in deltas if "tool_calls" in delta] == [
        {
            "index": 0,
            "id": "call_a",
            "type": "function",
            "function": {"name": "weather", "arguments": ""},
        },
        {"index": 0, "function": {"arguments": '{"city":'}},
        {"index": 0, "function": {"arguments": '"Paris"}'}},
        {"index": 1, "id": "call_b", "type": "custom", "custom": {"name": "patch", "input": ""}},
        {"index": 1, "custom": {"input": "*** Begin"}},
    ]


def test_no_delta_is_empty_but_the_last() -> None:
    events: list[Event] = [STARTED, ReasoningDelta(""), TextDelta(""), RefusalDelta(""), *TEXT[1:]]
    assert streamed_deltas(events) == streamed_deltas(TEXT)


def streamed_deltas(events: list[Event]) -> list[Any]:
    return [chunk["choices"][0]["delta"] for chunk in streamed(read(stream=True), events)]


def test_reasoning_that_is_not_shown() -> None:
    for asked in ({"include_reasoning": False}, {"reasoning": {"exclude": True}}):
        assert "reasoning" not in json.dumps(streamed(read(stream=True, **asked), TEXT[:-1]))
        assert "reasoning" not in json.dumps(whole(read(**asked), TEXT[:-1]))


def test_a_stream_that_breaks_ends_with_an_error() -> None:
    renderer = read(stream=True).renderer()
    renderer.feed(TEXT[:4])
    failure = UpstreamFailure('It said "no"\n\nand left.')
    data = renderer.fail(failure)
    assert data.startswith(b"data: ")
    assert data.endswith(b"\n\n")
    assert data.count(b"\n") == 2
    assert json.loads(data.removeprefix(b"data: ")) == {
        "error": {
            "message": 'It said "no"\n\nand left.',
            "type": "api_error",
            "param": None,
            "code": "upstream_error",
        }
    }


# The legacy form


def test_a_legacy_call() -> None:
    request = read(functions=[{"name": "weather"}], stream=True)
    [choice] = whole(request, CALLS)["choices"]
    assert choice["finish_reason"] == "function_call"
    assert choice["message"]["function_call"] == {"name": "weather", "arguments": '{"city":"Paris"}'}
    assert "tool_calls" not in choice["message"]
    deltas = streamed_choices(request, CALLS)
    assert [delta["function_call"] for delta in deltas if "function_call" in delta] == [
        {"name": "weather", "arguments": ""},
        {"arguments": '{"city":'},
        {"arguments": '"Paris"}'},
    ]
    assert all("tool_calls" not in delta for delta in deltas)


def streamed_choices(request: Any, events: list[Event]) -> list[Any]:
    return [choice["delta"] for chunk in streamed(request, events) for choice in chunk["choices"]]


# Both say the same

_TEXTS = st.text(max_size=8)
_PLAIN = st.lists(st.builds(TextDelta, _TEXTS) | st.builds(ReasoningDelta, _TEXTS), max_size=6)


@st.composite
def choices(draw: st.DrawFn) -> list[Event]:
    events: list[Event] = [*draw(_PLAIN)]
    calls = draw(st.integers(0, 3))
    for index in range(calls):
        custom = draw(st.booleans())
        name = f"tool_{index}"
        events.append(ToolCallStarted(index, f"call_{index}", name, "custom" if custom else "function"))
        events += [ToolCallDelta(index, piece) for piece in draw(st.lists(_TEXTS, max_size=3))]
        events.append(ToolCallFinished(index))
    events.append(Finished("tool_calls" if calls else draw(st.sampled_from(("stop", "length")))))
    return events


@st.composite
def turns(draw: st.DrawFn) -> list[Event]:
    events: list[Event] = [STARTED]
    for index, choice in enumerate(draw(st.lists(choices(), min_size=1, max_size=3))):
        if index:
            events.append(ChoiceStarted(index))
        events += choice
    return [*events, USAGE] if draw(st.booleans()) else events


@given(turns(), st.integers(1, 9))
def test_a_stream_adds_up_to_the_whole_answer(events: list[Event], batch: int) -> None:
    chunks = streamed(read(stream=True, stream_options={"include_usage": True}), events, batch)
    added: dict[int, dict[str, Any]] = {}
    for chunk in chunks:
        for choice in chunk["choices"]:
            message = added.setdefault(choice["index"], {"tool_calls": {}})
            assert "finish_reason" not in message
            for name, value in choice["delta"].items():
                if name != "tool_calls":
                    message[name] = message.get(name, "") + value
            for delta in choice["delta"].get("tool_calls", ()):
                kind = "custom" if "custom" in delta else "function"
                text = "input" if kind == "custom" else "arguments"
                call = message["tool_calls"].setdefault(
                    delta["index"], {**delta, kind: {**delta[kind], text: ""}}
                )
                call[kind][text] += delta[kind][text]
            if choice["finish_reason"]:
                message["finish_reason"] = choice["finish_reason"]
    completion = whole(read(), events)
    assert list(added) == list(range(len(completion["choices"])))
    for choice in completion["choices"]:
        message, streamed_message = choice["message"], added[choice["index"]]
        assert streamed_message["content"] == (message["content"] or "")
        assert streamed_message["finish_reason"] == choice["finish_reason"]
        assert streamed_message.get("reasoning") == message.get("reasoning")
        assert streamed_message.get("reasoning_content") == message.get("reasoning_content")
        calls = [
            {name: value for name, value in call.items() if name != "index"}
            for call in streamed_message["tool_calls"].values()
        ]
        assert calls == message.get("tool_calls", [])
    usage = chunks[-1]["usage"] if chunks[-1]["choices"] == [] else None
    assert usage == completion["usage"]
