"""The official ``openai`` SDK for Python against the gateway: chat, streams, headers, models."""

import asyncio
from typing import Any

import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletionChunk

from tests.conftest import Site
from tests.simulator import Answer
from tests.simulator.scenarios import TEXT, THOUGHTS

from .sdk import MODEL, async_client, hello, said

REASONING = "\n\n".join(THOUGHTS)


# Whole answers


def test_a_chat(sdk: OpenAI) -> None:
    completion = sdk.chat.completions.create(model=MODEL, messages=hello())
    assert completion.id.startswith("chatcmpl-")
    assert completion.object == "chat.completion"
    assert completion.model == MODEL
    [choice] = completion.choices
    assert (choice.index, choice.finish_reason, choice.logprobs) == (0, "stop", None)
    assert (choice.message.role, choice.message.content) == ("assistant", "You said: hello")
    assert choice.message.refusal is None
    assert choice.message.tool_calls is None


def test_usage_of_a_whole_answer(sdk: OpenAI) -> None:
    usage = sdk.chat.completions.create(model=MODEL, messages=hello()).usage
    assert usage is not None
    assert usage.prompt_tokens > 0
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert usage.completion_tokens_details is not None
    reasoning = usage.completion_tokens_details.reasoning_tokens
    assert reasoning is not None
    assert 0 < reasoning < usage.completion_tokens


def test_reasoning_of_a_whole_answer(site: Site, sdk: OpenAI) -> None:
    site.simulator.always("s01_happy_path")
    message = sdk.chat.completions.create(model=MODEL, messages=hello()).choices[0].message
    assert message.content == TEXT
    assert message.model_extra == {"reasoning": REASONING, "reasoning_content": REASONING}


def test_a_conversation_is_told_whole(site: Site, sdk: OpenAI) -> None:
    sdk.chat.completions.create(
        model=MODEL,
        messages=[
            {"role": "developer", "content": "Speak like a pirate."},
            {"role": "user", "content": [{"type": "text", "text": "My name is Ada."}]},
            {"role": "assistant", "content": "Ahoy, Ada!"},
            {"role": "user", "content": "What is my name?"},
        ],
    )
    prompt = site.simulator.last.text
    places = [prompt.index(text) for text in ("pirate", "My name is Ada.", "Ahoy, Ada!", "What is my name?")]
    assert places == sorted(places)


def test_several_choices(site: Site, sdk: OpenAI) -> None:
    site.simulator.script(Answer("First."), Answer("Second."))
    completion = sdk.chat.completions.create(model=MODEL, messages=hello(), n=2)
    assert [(choice.index, choice.message.content) for choice in completion.choices] == [
        (0, "First."),
        (1, "Second."),
    ]


def test_a_limit_cuts_the_answer(site: Site, sdk: OpenAI) -> None:
    site.simulator.always(Answer("word " * 500))
    completion = sdk.chat.completions.create(model=MODEL, messages=hello(), max_completion_tokens=10)
    [choice] = completion.choices
    assert choice.finish_reason == "length"
    assert choice.message.content
    assert ("word " * 500).startswith(choice.message.content)
    assert completion.usage is not None
    assert completion.usage.completion_tokens == 10


def test_a_stop_string_ends_the_answer(site: Site, sdk: OpenAI) -> None:
    site.simulator.always(Answer("one two three"))
    [choice] = sdk.chat.completions.create(model=MODEL, messages=hello(), stop=["two"]).choices
    assert (choice.message.content, choice.finish_reason) == ("one ", "stop")


def test_the_raw_response_has_the_headers(sdk: OpenAI) -> None:
    raw = sdk.chat.completions.with_raw_response.create(
        model=MODEL, messages=hello(), temperature=0.2, seed=7, extra_body={"vendor_field": 1}
    )
    assert raw.http_response.headers["content-type"] == "application/json"
    assert raw.headers["x-gptoss-upstream"] == "gpt-oss.com"
    assert set(raw.headers["x-gptoss-ignored"].split(",")) == {"temperature", "seed", "vendor_field"}
    completion = raw.parse()
    assert completion.choices[0].message.content == "You said: hello"
    assert completion._request_id == raw.headers["x-request-id"]


# Streams


def test_a_stream(site: Site, sdk: OpenAI) -> None:
    site.simulator.always("s01_happy_path")
    with sdk.chat.completions.create(model=MODEL, messages=hello(), stream=True) as stream:
        chunks = list(stream)
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1
    assert chunks[0].model == MODEL
    assert chunks[0].choices[0].delta.role == "assistant"
    assert said(chunks) == TEXT
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    assert all(chunk.usage is None for chunk in chunks)


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
def test_reasoning_of_a_stream_comes_first(site: Site, sdk: OpenAI, field: str) -> None:
    site.simulator.always("s01_happy_path")
    chunks = list(sdk.chat.completions.create(model=MODEL, messages=hello(), stream=True))
    deltas = [chunk.choices[0].delta for chunk in chunks]
    thoughts = [(delta.model_extra or {}).get(field) or "" for delta in deltas]
    assert "".join(thoughts) == REASONING
    last_thought = max(index for index, thought in enumerate(thoughts) if thought)
    first_word = min(index for index, delta in enumerate(deltas) if delta.content)
    assert last_thought < first_word


def test_usage_of_a_stream_comes_in_a_chunk_of_its_own(sdk: OpenAI) -> None:
    *chunks, last = sdk.chat.completions.create(
        model=MODEL, messages=hello(), stream=True, stream_options={"include_usage": True}
    )
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.total_tokens == last.usage.prompt_tokens + last.usage.completion_tokens
    assert all(chunk.usage is None for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_usage_is_the_same_in_both_modes(sdk: OpenAI) -> None:
    whole = sdk.chat.completions.create(model=MODEL, messages=hello()).usage
    *_, last = sdk.chat.completions.create(
        model=MODEL, messages=hello(), stream=True, stream_options={"include_usage": True}
    )
    assert last.usage == whole


def test_with_streaming_response(site: Site, sdk: OpenAI) -> None:
    site.simulator.always("s01_happy_path")
    with sdk.chat.completions.with_streaming_response.create(
        model=MODEL, messages=hello(), stream=True
    ) as response:
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert response.headers["cache-control"] == "no-cache"
        assert response.headers["x-accel-buffering"] == "no"
        assert response.headers["x-request-id"]
        lines = list(response.iter_lines())
    assert lines[-2:] == ["data: [DONE]", ""]
    assert all(line == "" or line.startswith("data: ") for line in lines)


def test_with_streaming_response_of_a_whole_answer(sdk: OpenAI) -> None:
    with sdk.chat.completions.with_streaming_response.create(model=MODEL, messages=hello()) as response:
        assert response.parse().choices[0].message.content == "You said: hello"


def test_the_stream_helper_tells_what_happens(site: Site, sdk: OpenAI) -> None:
    site.simulator.always("s01_happy_path")
    pieces: list[str] = []
    with sdk.chat.completions.stream(model=MODEL, messages=hello()) as stream:
        for event in stream:
            if event.type == "content.delta":
                pieces.append(event.delta)
                assert event.snapshot == "".join(pieces)
            elif event.type == "content.done":
                assert event.content == TEXT
        completion = stream.get_final_completion()
    assert "".join(pieces) == TEXT
    [choice] = completion.choices
    assert (choice.message.content, choice.finish_reason) == (TEXT, "stop")
    assert (choice.message.model_extra or {})["reasoning"] == REASONING


def test_the_stream_helper_keeps_choices_apart(site: Site, sdk: OpenAI) -> None:
    site.simulator.script(Answer("First."), Answer("Second."))
    with sdk.chat.completions.stream(model=MODEL, messages=hello(), n=2) as stream:
        completion = stream.get_final_completion()
    assert [(choice.index, choice.message.content) for choice in completion.choices] == [
        (0, "First."),
        (1, "Second."),
    ]


def test_a_client_that_closes_a_stream_stops_the_upstream(site: Site, sdk: OpenAI) -> None:
    site.simulator.always("s22_slow_answer")
    with sdk.chat.completions.create(model=MODEL, messages=hello(), stream=True) as stream:
        next(stream)
    site.simulator.wait_until(lambda: site.simulator.last.outcome == "abandoned")


# Without blocking


async def test_the_async_client(site: Site) -> None:
    async with async_client(site.gateway) as sdk:
        completion = await sdk.chat.completions.create(model=MODEL, messages=hello())
        assert completion.choices[0].message.content == "You said: hello"
        stream = await sdk.chat.completions.create(model=MODEL, messages=hello(), stream=True)
        assert said([chunk async for chunk in stream]) == "You said: hello"
        async with sdk.chat.completions.stream(model=MODEL, messages=hello()) as helper:
            assert (await helper.get_final_completion()).choices[0].message.content == "You said: hello"


async def test_concurrent_streams_do_not_mix(site: Site) -> None:
    async with async_client(site.gateway) as sdk:
        answers = await asyncio.gather(*(streamed(sdk, f"I am number {number}") for number in range(40)))
    assert answers == [f"You said: I am number {number}" for number in range(40)]


async def streamed(sdk: AsyncOpenAI, prompt: str) -> str:
    chunks: list[ChatCompletionChunk] = []
    async for chunk in await sdk.chat.completions.create(model=MODEL, messages=hello(prompt), stream=True):
        chunks.append(chunk)
    return said(chunks)


async def test_a_task_that_is_cancelled_stops_the_upstream(site: Site) -> None:
    site.simulator.always("s22_slow_answer")
    async with async_client(site.gateway) as sdk:
        task = asyncio.create_task(streamed(sdk, "hello"))
        await site.simulator.wait_for(lambda: site.simulator.requests)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await site.simulator.wait_for(lambda: site.simulator.last.outcome == "abandoned")


# Addresses, parameters and models


@pytest.mark.parametrize("path", ["", "/", "/v1/", "/v1/v1"])
def test_a_base_url_that_is_not_quite_right(site: Site, sdk: OpenAI, path: str) -> None:
    other = sdk.with_options(base_url=f"{site.gateway.base_url}{path}")
    assert other.chat.completions.create(model=MODEL, messages=hello()).choices[0].finish_reason == "stop"
    assert len(other.models.list().data) == 2


@pytest.mark.parametrize(
    ("asked", "sent"),
    [("none", "low"), ("minimal", "low"), ("low", "low"), ("medium", "medium"), ("xhigh", "high")],
)
def test_reasoning_effort_reaches_the_model(site: Site, sdk: OpenAI, asked: Any, sent: str) -> None:
    sdk.chat.completions.create(model=MODEL, messages=hello(), reasoning_effort=asked)
    assert site.simulator.last.effort == sent


def test_parameters_new_to_the_sdk_are_accepted(sdk: OpenAI) -> None:
    completion = sdk.chat.completions.create(
        model=MODEL,
        messages=hello(),
        verbosity="low",
        safety_identifier="user-1",
        prompt_cache_key="cache-1",
        prompt_cache_retention="24h",
        service_tier="auto",
        store=False,
        metadata={"purpose": "test"},
    )
    assert completion.choices[0].finish_reason == "stop"


def test_the_models(sdk: OpenAI) -> None:
    models = sdk.models.list().data
    assert [model.id for model in models] == ["gpt-oss-120b", "gpt-oss-20b"]
    assert {(model.object, model.owned_by) for model in models} == {("model", "gpt-oss")}
    assert all(model.created > 1_600_000_000 for model in models)
    assert sdk.models.retrieve("gpt-oss-20b") == models[1]


@pytest.mark.parametrize("name", ["openai/gpt-oss-20b", "gpt-oss:20b"])
def test_a_model_by_another_name(site: Site, sdk: OpenAI, name: str) -> None:
    assert sdk.models.retrieve(name).id == "gpt-oss-20b"
    completion = sdk.chat.completions.create(model=name, messages=hello())
    assert completion.model == "gpt-oss-20b"
    assert site.simulator.last.model == "gpt-oss-20b"
