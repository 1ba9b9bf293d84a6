"""Servers of gpt-oss behind the real gateway process, as clients see them."""

import asyncio
import json
import urllib.error
import urllib.request
from typing import Any

import pytest
from openai import AsyncOpenAI, AuthenticationError, RateLimitError

from tests.backends.server import Backend, json_reply
from tests.backends.shapes import Answer
from tests.conftest import RunningGateway, StartGateway
from tests.upstreams.chatkit.scripted import Reply
from tests.upstreams.chatkit.transcripts import sse

HELLO: Any = [{"role": "user", "content": "hello"}]
WEATHER: Any = {
    "type": "function",
    "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {}}}},
}


def address(backend: Backend) -> str:
    return backend.address


def client(running: RunningGateway) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=f"{running.base_url}/v1", api_key="none", max_retries=0)


async def fetch(running: RunningGateway, path: str) -> Any:
    def read() -> Any:
        with urllib.request.urlopen(running.base_url + path, timeout=10) as response:
            return json.load(response)

    return await asyncio.to_thread(read)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("shape", ["ollama", "vllm", "llamacpp", "generic", "groq"])
async def test_the_official_sdk_gets_answers_calls_and_usage(
    shape: str, stream: bool, gateway: StartGateway
) -> None:
    calls = (("get_weather<|channel|>commentary", '{"city": "Paris"}'),)
    backend = Backend(shape, answer=Answer(content="", calls=calls, finish="tool_calls"))
    async with backend.running():
        tables = json.dumps([{"name": "box", "kind": backend.kind, "url": address(backend), "key_env": "K"}])
        running = await asyncio.to_thread(
            gateway, GPTOSS_UPSTREAM="auto", GPTOSS_UPSTREAMS=tables, K="k-1234"
        )
        chat = client(running).chat.completions
        if stream:
            async with chat.stream(
                model="gpt-oss-120b", messages=HELLO, tools=[WEATHER], stream_options={"include_usage": True}
            ) as events:
                answer: Any = await events.get_final_completion()
        else:
            raw = await chat.with_raw_response.create(model="gpt-oss-120b", messages=HELLO, tools=[WEATHER])
            assert raw.headers["x-gptoss-upstream"] == "box"
            answer = raw.parse()
    (choice,) = answer.choices
    (call,) = choice.message.tool_calls
    assert (call.function.name, call.function.arguments) == ("get_weather", '{"city": "Paris"}')
    assert choice.finish_reason == "tool_calls"
    assert answer.usage.prompt_tokens == 40
    assert answer.usage.prompt_tokens_details.cached_tokens == 8


async def test_the_status_and_the_models_tell_who_answers(gateway: StartGateway) -> None:
    first, second = Backend("ollama"), Backend("vllm")
    first.models = ["gpt-oss:20b"]
    async with first.running(), second.running():
        words = f"{address(first)}, {address(second)}"
        running = await asyncio.to_thread(gateway, GPTOSS_UPSTREAM=words)
        status = (await fetch(running, "/"))["upstream"]
        assert status["chosen_because"] == f"GPTOSS_UPSTREAM is {words}"
        assert [entry["kind"] for entry in status["upstreams"]] == ["generic", "generic"]
        assert all(entry["ready"] for entry in status["upstreams"])
        listed = (await fetch(running, "/v1/models"))["data"]
        assert [model["id"] for model in listed] == [
            "gpt-oss-120b",
            "gpt-oss-20b",
            "gpt-oss:20b",
            "openai/gpt-oss-120b",
            "openai/gpt-oss-20b",
        ]
        assert (await fetch(running, "/v1/models/gpt-oss:20b"))["id"] == "gpt-oss:20b"
        assert "upstream: " in running.log()
        assert words in running.log()


async def test_a_failing_server_never_falls_to_the_demo(gateway: StartGateway) -> None:
    running = await asyncio.to_thread(gateway, GPTOSS_UPSTREAM="http://127.0.0.1:9/v1, ollama")
    with pytest.raises(Exception, match="Nothing answers at 127") as raised:
        await client(running).chat.completions.create(model="gpt-oss-20b", messages=HELLO)
    assert getattr(raised.value, "status_code", 0) == 503


async def test_errors_keep_their_meaning_to_the_client(gateway: StartGateway) -> None:
    limited = json_reply(429, {"error": "slow down"}, ("retry-after", "7"))
    backend = Backend("groq", json_reply(402, {"error": "You have depleted your monthly credits"}), limited)
    async with backend.running():
        tables = json.dumps([{"name": "g", "kind": "groq", "url": address(backend), "key_env": "K"}])
        running = await asyncio.to_thread(gateway, GPTOSS_UPSTREAM="g", GPTOSS_UPSTREAMS=tables, K="k-1234")
        for code in ("insufficient_quota", "upstream_rate_limited"):
            with pytest.raises(RateLimitError) as raised:
                await client(running).chat.completions.create(model="gpt-oss-20b", messages=HELLO)
            assert raised.value.code == code
        assert raised.value.response.headers["retry-after"] == "7"
    unkeyed = await asyncio.to_thread(gateway, GPTOSS_UPSTREAM="huggingface")
    with pytest.raises(AuthenticationError, match="HF_TOKEN"):
        await client(unkeyed).chat.completions.create(model="gpt-oss-20b", messages=HELLO)


async def test_a_stream_that_breaks_ends_with_an_error_event(gateway: StartGateway) -> None:
    backend = Backend("vllm")
    events = list(backend.shape.events(backend.answer))[:5]
    backend.replies = [Reply([sse(*events), 0.05, sse({"error": {"message": "HarmonyError", "code": 500}})])]
    async with backend.running():
        running = await asyncio.to_thread(gateway, GPTOSS_UPSTREAM=address(backend))
        seen: list[str] = []

        async def listen() -> None:
            chat = client(running).chat.completions
            async for chunk in await chat.create(model="gpt-oss-20b", messages=HELLO, stream=True):
                seen.append(chunk.choices[0].delta.content or "")

        with pytest.raises(Exception, match="could not read"):
            await listen()
    assert "".join(seen) == "Hello there."
    assert len(backend.asked) == 1


async def test_auto_without_anything_says_that_nothing_was_found(gateway: StartGateway) -> None:
    running = await asyncio.to_thread(gateway, GPTOSS_UPSTREAM="auto")
    status = (await fetch(running, "/"))["upstream"]
    assert status["demo"] is True
    assert "none was found" in status["chosen_because"]


async def test_auto_takes_the_hugging_face_router_where_a_token_is(gateway: StartGateway) -> None:
    running = await asyncio.to_thread(gateway, GPTOSS_UPSTREAM="auto", HF_TOKEN="hf_secret12345")
    status = (await fetch(running, "/"))["upstream"]
    assert status["name"] == "huggingface"
    assert "HF_TOKEN" in status["chosen_because"]
    assert "hf_secret" not in running.log() + json.dumps(status)
    first = running.log().splitlines()[0]
    assert "WARNING" in first
    assert "bills the account of the token that was found (HF_TOKEN)" in first
    assert "set GPTOSS_UPSTREAM to what shall answer" in first
    chosen = await asyncio.to_thread(gateway, GPTOSS_UPSTREAM="huggingface", HF_TOKEN="hf_secret12345")
    assert "bills" not in chosen.log()
