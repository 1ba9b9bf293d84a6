"""Anthropic's Messages over a server that takes conversations and tools itself."""

import asyncio
import json
from typing import Any

import anthropic
import pytest
from anthropic import AsyncAnthropic

from tests.backends.server import Backend
from tests.backends.shapes import Answer
from tests.conftest import RunningGateway, StartGateway

from .test_serving import address

HELLO: Any = [{"role": "user", "content": "hello"}]
WEATHER: Any = {"name": "weather", "input_schema": {"type": "object", "properties": {"city": {}}}}


def sdk(running: RunningGateway) -> AsyncAnthropic:
    return AsyncAnthropic(base_url=running.base_url, api_key="none", max_retries=0, timeout=30)


async def asked(gateway: StartGateway, answer: Answer | None = None, **body: Any) -> tuple[Any, Any]:
    """The message that a request is answered with, and what the server was asked for it."""
    backend = Backend("generic", answer=answer)
    async with backend.running():
        running = await asyncio.to_thread(gateway, GPTOSS_UPSTREAM=address(backend))
        async with sdk(running) as client:
            whole: Any = {"model": "gpt-oss-120b", "max_tokens": 1000, "messages": HELLO, **body}
            message = await client.messages.create(**whole)
        return message, backend.asked[-1].body


async def test_a_limit_that_the_window_has_no_room_for_is_taken_down(gateway: StartGateway) -> None:
    text = "word " * 20_000
    _, sent = await asked(gateway, messages=[{"role": "user", "content": text}], max_tokens=128_000,
                          thinking={"type": "adaptive"})  # fmt: skip
    assert 110_000 < sent["max_tokens"] < 131_072 - 20_000


async def test_a_limit_that_fits_is_told_as_it_is(gateway: StartGateway) -> None:
    _, sent = await asked(gateway, max_tokens=32_000, thinking={"type": "adaptive"})
    assert sent["max_tokens"] == 32_000


async def test_without_thinking_the_limit_bounds_the_text_and_the_stop_string_is_told(
    gateway: StartGateway,
) -> None:
    thought = "It is harmless, " * 40
    message, sent = await asked(
        gateway,
        Answer(thought, "<block>no</block> because"),
        model="claude-sonnet-5",
        max_tokens=64,
        stop_sequences=["</block>"],
        thinking={"type": "disabled"},
    )
    assert [block.text for block in message.content] == ["<block>no"]
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", "</block>")
    assert sent["max_tokens"] > 10_000
    assert sent["reasoning_effort"] == "low"
    assert "stop" not in sent


async def test_without_thinking_a_long_text_is_cut_at_the_limit(gateway: StartGateway) -> None:
    message, _ = await asked(gateway, Answer("Hm. " * 100, "one two three four five six"), max_tokens=3)
    assert message.content[0].text == "one two three"
    assert message.stop_reason == "max_tokens"


async def test_calls_tools_and_thoughts_travel_both_ways(gateway: StartGateway) -> None:
    long_name = "mcp__a_server_with_a_long_name__" + "x" * 80
    history: Any = [
        *HELLO,
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Look it up.", "signature": ""},
                {"type": "tool_use", "id": "toolu_1", "name": long_name, "input": {"city": "Rome"}},
            ],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "sun"}]},
    ]
    message, sent = await asked(
        gateway,
        Answer("Now Paris.", "", (("weather", '{"city": "Paris"}'),), "tool_calls"),
        messages=history,
        tools=[{**WEATHER, "name": long_name}, WEATHER],
        tool_choice={"type": "auto", "disable_parallel_tool_use": True},
        thinking={"type": "enabled", "budget_tokens": 2000},
    )
    assert [block.type for block in message.content] == ["thinking", "tool_use"]
    assert message.content[1].input == {"city": "Paris"}
    assert message.stop_reason == "tool_use"
    assert (sent["tool_choice"], sent["parallel_tool_calls"]) == ("auto", False)
    shown = sent["tools"][0]["function"]["name"]
    assert len(shown) <= 64
    call, result = sent["messages"][1:]
    assert call["tool_calls"][0]["function"] == {"name": shown, "arguments": '{"city":"Rome"}'}
    assert (result["role"], result["content"]) == ("tool", "sun")


async def test_a_thought_that_the_client_cut_is_given_back_to_the_model_whole(gateway: StartGateway) -> None:
    thought = "Rome first, because it is the nearest. Then Paris."
    backend = Backend("vllm", answer=Answer(thought, "", (("weather", '{"city": "Rome"}'),), "tool_calls"))
    async with backend.running():
        servers = json.dumps([{"name": "box", "kind": "vllm", "url": address(backend)}])
        running = await asyncio.to_thread(gateway, GPTOSS_UPSTREAM="box", GPTOSS_UPSTREAMS=servers)
        ask: Any = {"model": "gpt-oss-120b", "max_tokens": 1000, "tools": [WEATHER],
                    "thinking": {"type": "adaptive"}}  # fmt: skip
        async with sdk(running) as client:
            first = await client.messages.create(**ask, messages=HELLO)
            shown, called = (block.model_dump() for block in first.content)
            assert shown["thinking"] == thought
            result = {"type": "tool_result", "tool_use_id": called["id"], "content": "sun"}
            cut = {**shown, "thinking": "Rome first"}
            for said in ([shown, called], [cut, called], [called]):
                more = [*HELLO, {"role": "assistant", "content": said}, {"role": "user", "content": [result]}]
                await client.messages.create(**ask, messages=more)
                assert backend.asked[-1].body["messages"][1]["reasoning"] == thought
            # Once the user has said something else, it is over.
            later = [*more, {"role": "assistant", "content": "It is sunny."}, *HELLO]
            await client.messages.create(**ask, messages=later)
            assert "reasoning" not in backend.asked[-1].body["messages"][1]


async def test_a_tool_that_only_an_instruction_names_may_be_called(gateway: StartGateway) -> None:
    tools = [WEATHER, {"name": "DeferredToolPlaceholder", "defer_loading": True}]
    listed = [*HELLO, {"role": "system", "content": "More tools:\nWebFetch\nTaskStop"}]
    call = Answer("", "", (("WebFetch", '{"url": "x"}'),), "tool_calls")
    message, sent = await asked(gateway, call, messages=listed, tools=tools)
    assert [(block.name, block.input) for block in message.content] == [("WebFetch", {"url": "x"})]
    assert [tool["function"]["name"] for tool in sent["tools"]] == ["weather"]


async def test_an_upstream_that_dies_mid_stream_is_an_error_event(gateway: StartGateway) -> None:
    backend = Backend("generic", answer=Answer(finish=None))
    async with backend.running():
        running = await asyncio.to_thread(gateway, GPTOSS_UPSTREAM=address(backend))
        async with sdk(running) as client:
            with pytest.raises(anthropic.APIStatusError) as broken:
                async with client.messages.stream(
                    model="gpt-oss-120b", max_tokens=100, messages=HELLO
                ) as stream:
                    await stream.get_final_message()
    assert broken.value.body["error"]["type"] == "api_error"  # type: ignore[index]  # a dict


@pytest.mark.parametrize("arguments", ["nope", '{"a": 1.0'])
async def test_arguments_that_are_no_json_fail_a_stream_as_they_fail_a_whole_answer(
    gateway: StartGateway, arguments: str
) -> None:
    backend = Backend("generic", answer=Answer("", "So.", (("weather", arguments),), "tool_calls"))
    ask: Any = {"model": "gpt-oss-120b", "max_tokens": 100, "messages": HELLO, "tools": [WEATHER]}
    async with backend.running():
        running = await asyncio.to_thread(gateway, GPTOSS_UPSTREAM=address(backend))
        async with sdk(running) as client:
            with pytest.raises(anthropic.APIStatusError) as whole:
                await client.messages.create(**ask)
            with pytest.raises(anthropic.APIStatusError) as streamed:
                _ = [event async for event in await client.messages.create(**ask, stream=True)]
    assert whole.value.status_code == 502
    assert streamed.value.body["error"] == whole.value.body["error"]  # type: ignore[index]  # dicts
