"""What a plain client reads of a server's answer: all that is right, and nothing mended."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptoss_api.core.events import Finished, ReasoningDelta, Started, TextDelta, Usage, UsageReported
from gptoss_api.core.result import Collector
from gptoss_api.text.sse import MAX_EVENT_BYTES
from gptoss_api.verification.raw import Counts, RawAnswer, RawCall, delivered, read_raw
from tests.backends.shapes import SHAPES, Answer
from tests.upstreams.chatkit.transcripts import sse

CHAT = "http://127.0.0.1:1/v1/chat/completions"
RESPONSES = "http://127.0.0.1:1/v1/responses?x=1"
CALLS = (("get_weather", '{"city": "Oslo"}'), ("clock", '{"zone": "UTC"}'))


def read(url: str, *events: Any) -> RawAnswer:
    answer = read_raw(url, sse(*events))
    assert answer is not None
    return answer


def chunk(delta: Any, finish: str | None = None) -> Any:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


@pytest.mark.parametrize("shape", ["vllm", "llamacpp", "ollama", "sglang", "groq", "openrouter"])
def test_every_servers_stream_is_read(shape: str) -> None:
    answer = read(CHAT, *SHAPES[shape].events(Answer("Hm. ", "Well.", CALLS, "tool_calls")))
    assert (answer.reasoning, answer.text, answer.finish_reason) == ("Hm. ", "Well.", "tool_calls")
    assert answer.calls == [RawCall(*call) for call in CALLS]
    assert answer.unreadable == 0
    whole = read_raw(CHAT, json.dumps(SHAPES[shape].body(Answer("Hm. ", "Well.", CALLS))).encode())
    assert whole is not None
    assert (whole.text, whole.calls) == ("Well.", answer.calls)
    assert whole.usage == Counts(40, 12, 5)


def test_broken_arguments_stay_broken() -> None:
    broken = "{'city': 'Oslo'"
    call = {"index": 0, "function": {"name": "get_weather", "arguments": broken}}
    answer = read(CHAT, chunk({"tool_calls": [call]}), chunk({}, "tool_calls"))
    assert answer.calls == [RawCall("get_weather", broken)]


def test_arguments_that_are_no_text_are_nothing_that_a_client_can_use() -> None:
    call = {"index": 0, "function": {"name": "get_weather", "arguments": {"city": "Oslo"}}}
    answer = read(CHAT, chunk({"tool_calls": [call]}))
    assert (answer.calls, answer.unreadable) == ([RawCall("get_weather", "")], 1)


def test_calls_without_an_index_are_told_apart_by_their_names() -> None:
    first = {"function": {"name": "one", "arguments": "{"}}
    rest = {"function": {"arguments": "}"}}
    second = {"function": {"name": "two", "arguments": "{}"}}
    answer = read(
        CHAT, chunk({"tool_calls": [first]}), chunk({"tool_calls": [rest]}), chunk({"tool_calls": [second]})
    )
    assert answer.calls == [RawCall("one", "{}"), RawCall("two", "{}")]


@pytest.mark.parametrize("bad", ['data: {"choices": [}', "data: 7", '{"choices": []}\n'])
def test_what_is_no_event_is_counted(bad: str) -> None:
    answer = read(CHAT, chunk({"content": "a"}), bad, chunk({"content": "b"}, "stop"))
    assert (answer.text, answer.finish_reason, answer.unreadable) == ("ab", "stop", 1)


def test_nothing_counts_after_the_end_of_a_stream() -> None:
    answer = read(CHAT, chunk({"content": "a"}, "stop"), "data: [DONE]", chunk({"content": "b"}))
    assert answer.text == "a"


@pytest.mark.parametrize("where", ["content", "name"])
def test_control_tokens_are_seen_where_clients_read(where: str) -> None:
    leaked = "get_weather<|channel|>commentary"
    delta: Any = {"content": leaked}
    if where == "name":
        delta = {"tool_calls": [{"index": 0, "function": {"name": leaked, "arguments": "{}"}}]}
    assert read(CHAT, chunk(delta)).leaks
    assert not read(CHAT, chunk({"content": "fine"})).leaks


def items(*, streamed: bool) -> list[Any]:
    output = [
        {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "Hm."}], "summary": []},
        {"type": "message", "content": [{"type": "output_text", "text": "Well."}]},
        {"type": "function_call", "name": "clock", "arguments": '{"zone"'},
    ]
    usage = {"input_tokens": 9, "output_tokens": 7, "output_tokens_details": {"reasoning_tokens": 3}}
    response = {"object": "response", "status": "completed", "usage": usage, "output": output}
    if not streamed:
        return [response]
    done = [{"type": "response.output_item.done", "item": item} for item in output]
    return [*done, {"type": "response.completed", "response": response | {"output": []}}]


@pytest.mark.parametrize("streamed", [True, False])
def test_items_of_the_responses_api_are_read(streamed: bool) -> None:
    body = sse(*items(streamed=True)) if streamed else json.dumps(items(streamed=False)[0]).encode()
    assert read_raw(RESPONSES, body) == RawAnswer(
        "Well.", "Hm.", [RawCall("clock", '{"zone"')], "tool_calls", Counts(9, 7, 3)
    )


def test_what_a_response_says_of_a_kind_that_nobody_knows_is_passed_over() -> None:
    response = {"object": "response", "status": "failed", "output": [7, {"type": "web_search_call"}]}
    answer = read_raw(RESPONSES, json.dumps(response).encode())
    assert answer == RawAnswer()
    assert read(RESPONSES, {"type": "response.completed", "response": 7}) == RawAnswer()


def test_choices_of_no_known_form_say_nothing() -> None:
    answer = read(CHAT, {"choices": [7, {"index": 0}, {"delta": {"tool_calls": [7]}}]}, {"choices": None})
    assert answer == RawAnswer()


def test_an_event_that_is_longer_than_any_client_reads_is_unreadable() -> None:
    answer = read_raw(CHAT, b"data: " + b" " * (MAX_EVENT_BYTES + 1))
    assert answer is not None
    assert answer.unreadable == 1


def test_what_is_delivered_is_told_with_what_the_gateway_counted() -> None:
    collector = Collector()
    collector.feed([Started("box", "gpt-oss-20b"), ReasoningDelta("Hm."), TextDelta("Hi"), Finished("stop")])
    assert delivered(collector) == RawAnswer("Hi", "Hm.", [], "stop")
    collector.feed([UsageReported(Usage(5, 3, 1))])
    assert delivered(collector).usage == Counts(5, 3, 1)


def test_a_response_that_was_cut_says_so() -> None:
    incomplete = {"type": "response.incomplete", "response": {"status": "incomplete"}}
    assert read(RESPONSES, incomplete).finish_reason == "length"


def test_other_protocols_have_no_such_answers() -> None:
    assert read_raw("https://api.gpt-oss.com/chatkit", b"data: {}\n\n") is None


_MEMBERS = (
    *("choices", "delta", "message", "content", "reasoning", "tool_calls", "index", "function", "name"),
    *("arguments", "usage", "finish_reason", "prompt_tokens", "completion_tokens", "type", "item"),
    *("response", "output", "status", "object"),
)
value = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_MEMBERS), inner, max_size=5),
    max_leaves=15,
)


@given(st.lists(value, max_size=4), st.sampled_from([CHAT, RESPONSES]))
def test_whatever_json_comes_is_read_without_a_failure(values: list[Any], url: str) -> None:
    body = b"".join(b"data: " + json.dumps(each).encode() + b"\n\n" for each in values)
    answer = read_raw(url, body)
    assert answer is not None
    assert answer.unreadable >= sum(not isinstance(each, dict) for each in values)


@given(st.binary(max_size=200), st.sampled_from([CHAT, RESPONSES]))
def test_whatever_bytes_come_are_read_without_a_failure(body: bytes, url: str) -> None:
    assert read_raw(url, body) is not None
