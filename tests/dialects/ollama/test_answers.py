"""Answers in the lines and objects of Ollama's API."""

import json
import re
from typing import Any

import pytest

from gptoss_api.core.errors import ContextLengthExceeded, Overloaded, UpstreamFailure, UpstreamUnavailable
from gptoss_api.core.events import (
    Event,
    Finished,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
    ToolCallFinished,
    ToolCallStarted,
)
from gptoss_api.core.result import Collector
from tests.dialects.events import STARTED, THOUGHT_AND_TEXT, USAGE, rendered

from .asking import DIALECT, chat, lines, text

CALLS: list[Event] = [
    STARTED,
    TextDelta("Looking."),
    ToolCallStarted(0, "call_a", "weather"),
    ToolCallDelta(0, '{"city":'),
    ToolCallStarted(1, "call_b", "clock"),
    ToolCallDelta(0, '"Paris"}'),
    ToolCallFinished(0),
    ToolCallFinished(1),
    Finished("tool_calls"),
    USAGE,
]
METRICS = {"done", "done_reason", "total_duration", "load_duration", "prompt_eval_count"} | {
    "prompt_eval_duration",
    "eval_count",
    "eval_duration",
}


def whole(events: list[Event], request: Any = None) -> Any:
    collector = Collector()
    for event in events:
        collector.feed([event])
    return json.loads((request or chat()).render(collector))


def streamed(events: list[Event], batch: int = 1, request: Any = None) -> list[Any]:
    return lines(rendered((request or chat()).renderer(), events, batch))


def stripped(line: Any) -> Any:
    """A line without its time."""
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", line.pop("created_at"))
    return line


@pytest.mark.parametrize("batch", [1, 3, 100])
def test_a_stream_has_a_line_for_each_piece_and_ends_with_the_counts(batch: int) -> None:
    *pieces, last = map(stripped, streamed(THOUGHT_AND_TEXT, batch))
    line = {"model": "gpt-oss:20b", "done": False}
    assert pieces == [
        line | {"message": {"role": "assistant", "content": "", "thinking": "They "}},
        line | {"message": {"role": "assistant", "content": "", "thinking": "greet."}},
        line | {"message": {"role": "assistant", "content": "Hello"}},
        line | {"message": {"role": "assistant", "content": ' "world"\n'}},
    ]
    assert last["message"] == {"role": "assistant", "content": ""}
    assert (last["done"], last["done_reason"]) == (True, "stop")
    assert (last["prompt_eval_count"], last["eval_count"]) == (11, 7)
    assert set(last) == METRICS | {"model", "message"}


def test_durations_are_nanoseconds_and_sum_up() -> None:
    for answer in (streamed(THOUGHT_AND_TEXT)[-1], whole(THOUGHT_AND_TEXT)):
        parts = [answer[f"{part}_duration"] for part in ("load", "prompt_eval", "eval")]
        assert all(isinstance(part, int) and part >= 0 for part in parts)
        assert parts[2] > 0, "clients divide by it"
        assert sum(parts) == pytest.approx(answer["total_duration"], abs=1_000_000)


def test_a_whole_answer_is_one_object() -> None:
    answer = stripped(whole(THOUGHT_AND_TEXT))
    assert answer["message"] == {
        "role": "assistant",
        "content": 'Hello "world"\n',
        "thinking": "They greet.",
    }
    assert set(answer) == METRICS | {"model", "message"}
    assert (answer["done_reason"], answer["prompt_eval_count"], answer["eval_count"]) == ("stop", 11, 7)


def test_calls_are_told_whole_with_objects_and_end_with_stop() -> None:
    calls = [
        {"id": "call_a", "function": {"index": 0, "name": "weather", "arguments": {"city": "Paris"}}},
        {"id": "call_b", "function": {"index": 1, "name": "clock", "arguments": {}}},
    ]
    said = streamed(CALLS)
    assert [line["message"].get("tool_calls") for line in said] == [None, [calls[0]], [calls[1]], None]
    assert all(line["message"]["role"] == "assistant" and "content" in line["message"] for line in said)
    assert said[-1]["done_reason"] == "stop"
    answer = whole(CALLS)
    assert answer["message"] == {"role": "assistant", "content": "Looking.", "tool_calls": calls}
    assert answer["done_reason"] == "stop"


def test_a_call_that_a_limit_cut_is_left_out() -> None:
    cut: list[Event] = [
        STARTED,
        ToolCallStarted(0, "call_a", "weather"),
        ToolCallDelta(0, '{"city": "Par'),
        ToolCallFinished(0, complete=False),
        Finished("length"),
        USAGE,
    ]
    (last,) = streamed(cut)
    assert last["done_reason"] == "length"
    assert "tool_calls" not in last["message"]
    assert "tool_calls" not in whole(cut)["message"]


@pytest.mark.parametrize("written", ['{"city": "Par', "[1]", "Paris"])
def test_a_call_without_an_object_is_a_failure(written: str) -> None:
    broken: list[Event] = [
        STARTED,
        ToolCallStarted(0, "call_a", "weather"),
        ToolCallDelta(0, written),
        ToolCallFinished(0),
        Finished("tool_calls"),
        USAGE,
    ]
    for render in (streamed, whole):
        with pytest.raises(UpstreamFailure, match="'weather' with arguments that are no JSON object"):
            render(broken)


def test_a_refusal_is_what_was_said() -> None:
    refused: list[Event] = [STARTED, RefusalDelta("I cannot."), Finished("content_filter"), USAGE]
    first, last = streamed(refused)
    assert first["message"]["content"] == "I cannot."
    assert last["done_reason"] == whole(refused)["done_reason"] == "stop"
    assert whole(refused)["message"]["content"] == "I cannot."


def test_a_text_has_a_response_in_place_of_a_message() -> None:
    request = text(prompt="Hello")
    *pieces, last = map(stripped, streamed(THOUGHT_AND_TEXT, request=request))
    line = {"model": "gpt-oss:20b", "done": False}
    assert pieces[0] == line | {"response": "", "thinking": "They "}
    assert pieces[2] == line | {"response": "Hello"}
    assert set(last) == METRICS | {"model", "response"}
    assert last["response"] == ""
    answer = whole(THOUGHT_AND_TEXT, request)
    assert (answer["response"], answer["thinking"]) == ('Hello "world"\n', "They greet.")
    assert "message" not in answer


def test_a_stream_that_breaks_ends_with_one_string() -> None:
    renderer = chat().renderer()
    renderer.feed(THOUGHT_AND_TEXT[:4])
    assert lines(renderer.fail(UpstreamFailure("It broke."))) == [{"error": "It broke."}]


def test_the_sign_of_life_is_a_line_that_says_nothing() -> None:
    forms = {endpoint.path: endpoint.operation for endpoint in DIALECT.endpoints}
    for path, said in (
        ("/api/chat", {"message": {"role": "assistant", "content": ""}}),
        ("/api/generate", {"response": ""}),
    ):
        (line,) = lines(forms[path].stream.keep_alive)  # type: ignore[attr-defined]
        assert said.items() <= line.items()
        assert line["done"] is False


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (
            ContextLengthExceeded(140_000, 131_072),
            400,
            "the prompt is too long: 140000 tokens, the model's limit is 131072",
        ),
        (
            ContextLengthExceeded(131_000, 131_072, 100),
            400,
            "the prompt is too long: 131100 tokens, the model's limit is 131072",
        ),
        (Overloaded("Full."), 503, "server busy, please try again.  Full."),
        (UpstreamUnavailable("It is not there."), 502, "It is not there."),
    ],
)
def test_failures_are_one_string(error: Any, status: int, said: str) -> None:
    response = DIALECT.error(error, "req_1", {})
    assert (response.status, json.loads(response.body)) == (status, {"error": said})
