"""docs/design/servers.md, "Rules for any server": each of the twelve for every server and its habits."""

from typing import Any

import pytest

from gptoss_api.core.errors import (
    InsufficientQuota,
    UpstreamFailure,
    UpstreamIncomplete,
    UpstreamRateLimited,
)
from gptoss_api.core.events import Finished, ReasoningDelta, Started, TextDelta, UsageReported
from gptoss_api.core.turn import AssistantMessage, Tool, ToolCall, ToolResultMessage, UserMessage
from gptoss_api.dialects.openai_errors import openai_error
from gptoss_api.upstreams.openai_compatible import PROFILES
from tests.upstreams.chatkit.scripted import Reply, Step
from tests.upstreams.chatkit.transcripts import sse

from .server import Backend, ask, connected, json_reply, streamed, turn
from .shapes import SHAPES, Answer, Shape, kind_of

EVERY_SHAPE = pytest.mark.parametrize("shape", SHAPES)
EVERY_KIND = pytest.mark.parametrize("shape", PROFILES)

WEATHER = Tool("get_weather", "The weather.", {"type": "object", "properties": {"city": {"type": "string"}}})
CALL = ToolCall("call_1", "get_weather", '{"city":"Paris"}')
AFTER_A_CALL = (
    UserMessage("one"),
    AssistantMessage("first answer", reasoning="old thought"),
    UserMessage("weather?"),
    AssistantMessage("Let me look.", reasoning="I need the tool.", tool_calls=(CALL,)),
    ToolResultMessage("sunny", "call_1", "get_weather"),
)


@EVERY_SHAPE
async def test_1_the_chain_of_thought_is_read_once_under_any_name(shape: str) -> None:
    async with connected(Backend(shape)) as upstream:
        collector, events = await ask(upstream, turn())
    (choice,) = collector.choices
    assert (choice.reasoning, choice.text) == ("They greet me. ", "Hello there.")
    assert isinstance(events[0], Started)
    async with connected(Backend(shape)) as upstream:
        collector, _ = await ask(upstream, turn(show_reasoning=False))
    assert collector.choices[0].reasoning == ""


@EVERY_KIND
async def test_2_thoughts_go_back_between_calls_and_only_there(shape: str) -> None:
    backend = Backend(shape)
    async with connected(backend) as upstream:
        await ask(upstream, turn(messages=AFTER_A_CALL))
    profile = PROFILES[backend.kind]
    (asked,) = backend.asked
    messages = asked.body["messages"]
    fields = {"reasoning", "reasoning_content"}
    assert not fields & set(messages[1])
    sent = {name: value for name, value in messages[3].items() if name in fields}
    if profile.reasoning_in == "none":
        assert sent == {}
    else:
        thought = sent.pop(profile.reasoning_in)
        assert thought.startswith("I need the tool.")
        assert sent == {}
    assert [m["role"] for m in messages] == ["user", "assistant", "user", "assistant", "tool"]
    assert messages[3]["tool_calls"][0]["id"] == messages[4]["tool_call_id"] == "call_1"


@pytest.mark.parametrize("shape", [kind for kind, p in PROFILES.items() if p.reasoning_in != "none"])
@pytest.mark.parametrize("flat", [True, False])
@pytest.mark.parametrize("called", ["", "reasoning_content"])
async def test_2_a_server_that_refuses_thoughts_is_asked_without_and_never_again_with(
    shape: str, flat: bool, called: str
) -> None:
    name = PROFILES[shape].reasoning_in
    called = called or name  # Behind a router, others may speak of the field by their own name for it.
    words = f"messages.3.assistant.{called}: property 'messages.3.assistant.{called}' is unsupported"
    error = {"message": words, "type": "invalid_request_error", "param": "validation_error"}
    backend = Backend(
        shape, json_reply(400, error | {"code": "wrong_api_format"} if flat else {"error": error})
    )
    async with connected(backend) as upstream:
        collector, _ = await ask(upstream, turn(messages=AFTER_A_CALL))
        assert collector.choices[0].text == "Hello there."
        await ask(upstream, turn(messages=AFTER_A_CALL))
    assert [name in str(asked.body["messages"]) for asked in backend.asked] == [True, False, False]


@EVERY_KIND
@pytest.mark.parametrize("effort", ["low", "high"])
async def test_3_the_effort_is_said_where_the_server_listens(shape: str, effort: Any) -> None:
    backend = Backend(shape)
    async with connected(backend) as upstream:
        await ask(upstream, turn(effort=effort))
        await ask(upstream, turn())
    body = backend.asked[0].body
    said = {
        "reasoning_effort": body.get("reasoning_effort"),
        "reasoning.effort": body.get("reasoning", {}).get("effort"),
        "chat_template_kwargs": body.get("chat_template_kwargs", {}).get("reasoning_effort"),
    }
    forms = PROFILES[backend.kind].effort
    assert said == {form: effort if form in forms else None for form in said}
    assert not {"reasoning_effort", "reasoning", "chat_template_kwargs"} & set(backend.asked[1].body)


@EVERY_KIND
async def test_4_the_limit_has_the_name_that_the_server_knows(shape: str) -> None:
    backend = Backend(shape, streamed(Shape(), Answer(content="", finish="length")))
    async with connected(backend) as upstream:
        collector, _ = await ask(upstream, turn(max_tokens=77))
    body = backend.asked[0].body
    sent = {name: body[name] for name in ("max_tokens", "max_completion_tokens") if name in body}
    assert sent == {PROFILES[backend.kind].length: 77}
    (choice,) = collector.choices
    assert choice.finish_reason == "length"
    assert "still thinking" in choice.notes[0]


@EVERY_SHAPE
async def test_7_calls_come_whole_numbered_and_with_ids(shape: str) -> None:
    calls = (("get_weather", '{"city": "Paris"}'), ("get_weather", '{"city": "Rome", "days": 2}'))
    backend = Backend(shape, answer=Answer(content="", calls=calls, finish="tool_calls"))
    async with connected(backend) as upstream:
        collector, _ = await ask(upstream, turn(tools=(WEATHER,)))
    (choice,) = collector.choices
    assert [(call.name, call.arguments) for call in choice.tool_calls] == list(calls)
    assert len({call.id for call in choice.tool_calls}) == 2
    assert all(call.id for call in choice.tool_calls)
    assert choice.finish_reason == "tool_calls"
    (tool,) = backend.asked[0].body["tools"]
    assert tool["function"]["parameters"] == WEATHER.parameters


@EVERY_SHAPE
@pytest.mark.parametrize(
    ("finish", "calls", "reason"),
    [
        ("stop", (), "stop"),
        ("stop", (("get_weather", "{}"),), "tool_calls"),
        ("tool_calls", (("get_weather", "{}"),), "tool_calls"),
        ("length", (), "length"),
        ("content_filter", (), "content_filter"),
        ("function_call", (("get_weather", "{}"),), "tool_calls"),
    ],
)
async def test_8_the_reason_of_the_end_is_told(shape: str, finish: str, calls: Any, reason: str) -> None:
    backend = Backend(shape, answer=Answer(calls=calls, finish=finish))
    async with connected(backend) as upstream:
        collector, _ = await ask(upstream, turn(tools=(WEATHER,)))
    assert collector.choices[0].finish_reason == reason


@EVERY_SHAPE
@pytest.mark.parametrize("finish", ["abort", "error", None])
async def test_8_an_answer_without_a_proper_end_is_an_error(shape: str, finish: str | None) -> None:
    backend = Backend(shape, answer=Answer(finish=finish))
    async with connected(backend) as upstream:
        with pytest.raises(UpstreamIncomplete) as raised:
            await ask(upstream, turn())
    assert openai_error(raised.value).code == "upstream_incomplete"


@EVERY_SHAPE
async def test_9_usage_is_reported_once_and_asked_for(shape: str) -> None:
    backend = Backend(shape)
    async with connected(backend) as upstream:
        collector, events = await ask(upstream, turn())
    assert backend.asked[0].body["stream_options"] == {"include_usage": True}
    usage = collector.usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens) == (40, 12, 8)
    assert not usage.estimated
    assert [type(event) for event in events[-2:]] == [Finished, UsageReported]
    assert sum(isinstance(event, UsageReported) for event in events) == 1


@EVERY_SHAPE
async def test_9_an_answer_without_usage_is_an_answer(shape: str) -> None:
    async with connected(Backend(shape, answer=Answer(usage=False))) as upstream:
        collector, _ = await ask(upstream, turn())
    assert (collector.usage, collector.choices[0].text) == (None, "Hello there.")


@EVERY_SHAPE
async def test_10_nothing_empty_is_passed_on(shape: str) -> None:
    async with connected(Backend(shape)) as upstream:
        _, events = await ask(upstream, turn())
    texts = [event.text for event in events if isinstance(event, TextDelta | ReasoningDelta)]
    assert texts == ["They gr", "eet me. ", "Hello ", "there."]
    assert [type(event) for event in events if not hasattr(event, "text")] == [
        Started,
        Finished,
        UsageReported,
    ]


@EVERY_KIND
@pytest.mark.parametrize(
    "form",
    [
        {"error": "You have depleted your monthly included credits."},
        {"error": {"message": "insufficient credits", "code": 402}},
        {"message": "Payment required", "code": "payment_required"},
    ],
)
async def test_11_spent_credits_are_a_quota(shape: str, form: Any) -> None:
    async with connected(Backend(shape, json_reply(402, form))) as upstream:
        with pytest.raises(InsufficientQuota) as raised:
            await ask(upstream, turn())
    assert (openai_error(raised.value).status, openai_error(raised.value).code) == (429, "insufficient_quota")


@EVERY_KIND
async def test_11_a_rate_limit_says_how_long_to_wait(shape: str) -> None:
    reply = json_reply(429, {"error": {"message": "Rate limit reached"}}, ("retry-after", "7"))
    async with connected(Backend(shape, reply)) as upstream:
        with pytest.raises(UpstreamRateLimited) as raised:
            await ask(upstream, turn())
    assert raised.value.retry_after == 7.0


ENDINGS: tuple[list[Step], ...] = ([], ["abort"])
FAULTS: dict[str, list[Any]] = {
    "string": [{"error": "overloaded"}],
    "object": [{"error": {"message": "overloaded", "code": 502, "metadata": {"provider_name": "x"}}}],
    "flat": [{"object": "error", "message": "overloaded", "type": "internal", "code": 500}],
    "detail": [{"detail": "overloaded"}],
    "bare line": ['{"error":"overloaded"}'],
}


@EVERY_SHAPE
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("said", [True, False])
async def test_11_and_12_an_error_inside_the_stream_is_raised_after_what_came_before(
    shape: str, fault: str, said: bool
) -> None:
    events = list(SHAPES[shape].events(Answer(finish=None)))
    events = [event for event in events if event != "data: [DONE]"] if said else []
    backend = Backend(shape, Reply([sse(*events)] * said + [0.01, sse(*FAULTS[fault])]))
    seen: list[Any] = []
    async with connected(backend) as upstream:
        with pytest.raises(UpstreamFailure, match="overloaded"):
            await ask(upstream, turn(), seen)
    text = "".join(event.text for event in seen if isinstance(event, TextDelta))
    assert text == ("Hello there." if said else "")
    assert not any(isinstance(event, Finished) for event in seen)


@EVERY_SHAPE
async def test_12_a_stream_that_ends_in_the_middle_is_an_error(shape: str) -> None:
    events = [
        event for event in SHAPES[shape].events(Answer(finish=None, usage=False)) if event != "data: [DONE]"
    ]
    for ending in ENDINGS:
        backend = Backend(shape, Reply([sse(*events), 0.01, *ending]))
        async with connected(backend) as upstream:
            with pytest.raises(UpstreamIncomplete):
                await ask(upstream, turn())


@EVERY_SHAPE
async def test_12_the_end_counts_without_done_and_with_a_broken_connection(shape: str) -> None:
    events = [event for event in SHAPES[shape].events(Answer()) if event != "data: [DONE]"]
    for ending in ENDINGS:
        backend = Backend(shape, Reply([sse(*events), 0.01, *ending]))
        async with connected(backend) as upstream:
            collector, _ = await ask(upstream, turn())
        assert collector.choices[0].finish_reason == "stop"


@EVERY_SHAPE
async def test_an_answer_that_is_not_streamed_is_read_all_the_same(shape: str) -> None:
    calls = (("get_weather", '{"city": "Paris"}'),)
    answer = Answer(calls=calls, finish="tool_calls")
    async with connected(Backend(shape, json_reply(200, SHAPES[shape].body(answer)))) as upstream:
        collector, _ = await ask(upstream, turn(tools=(WEATHER,)))
    (choice,) = collector.choices
    assert (choice.text, choice.reasoning) == ("Hello there.", "They greet me. ")
    assert [(call.name, call.arguments) for call in choice.tool_calls] == list(calls)
    assert collector.usage is not None


def test_every_profile_has_a_shape() -> None:
    assert {kind_of(shape) for shape in SHAPES} == set(PROFILES)
