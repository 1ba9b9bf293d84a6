"""pydantic-ai with its chat model."""

from dataclasses import replace
from typing import Any

import pytest
from pydantic_ai import Agent, NativeOutput, PromptedOutput, ToolOutput
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.messages import ModelResponse, ThinkingPart
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from tests.conftest import RunningGateway, Site
from tests.simulator import Answer

from .travel import (
    ADVICE,
    ADVISER,
    ADVISER_BY_CALL,
    ADVISER_IN_JSON,
    INSTRUCTIONS,
    MODEL,
    PACKING,
    QUESTION,
    THOUGHT,
    Packing,
    find_capital,
    get_forecast,
)


def model(gateway: RunningGateway) -> OpenAIChatModel:
    return OpenAIChatModel(MODEL, provider=OpenAIProvider(base_url=f"{gateway.base_url}/v1", api_key="none"))


def traveller(gateway: RunningGateway, **settings: Any) -> Any:
    return Agent(model(gateway), instructions=INSTRUCTIONS, tools=[find_capital, get_forecast], **settings)


def thoughts(result: Any) -> list[str]:
    return [
        part.content
        for message in result.all_messages()
        if isinstance(message, ModelResponse)
        for part in message.parts
        if isinstance(part, ThinkingPart)
    ]


async def test_a_loop_of_two_tools(site: Site) -> None:
    site.simulator.always(ADVISER)
    result = await traveller(site.gateway).run(QUESTION)
    assert result.output == ADVICE
    assert thoughts(result) == [THOUGHT] * 3
    assert result.usage.requests == 3
    assert result.usage.output_tokens > 0


async def test_a_loop_of_two_tools_in_a_stream(site: Site) -> None:
    # `run_stream` takes the first text for the answer, also where calls follow it.
    site.simulator.always(replace(ADVISER, preface=""))
    async with traveller(site.gateway).run_stream(QUESTION) as result:
        pieces = [piece async for piece in result.stream_text(delta=True, debounce_by=None)]
    assert "".join(pieces) == ADVICE
    assert len(pieces) > 1


async def test_a_loop_of_two_tools_as_events(site: Site) -> None:
    site.simulator.always(ADVISER)
    async with traveller(site.gateway).run_stream_events(QUESTION) as stream:
        events = [event async for event in stream]
    called = [event.part.tool_name for event in events if event.event_kind == "function_tool_call"]
    assert called == ["find_capital", "get_forecast"]
    assert events[-1].result.output == ADVICE


async def test_an_output_tool_is_required(site: Site) -> None:
    site.simulator.always(ADVISER_BY_CALL)
    result = await traveller(site.gateway, output_type=Packing).run(QUESTION)
    assert result.output == PACKING
    assert "must consist of at least one tool call" in site.simulator.last.text


async def test_an_output_tool_that_was_not_called_at_first(site: Site) -> None:
    site.simulator.script(Answer(ADVICE))
    site.simulator.always(ADVISER_BY_CALL)
    result = await traveller(site.gateway, output_type=Packing).run(QUESTION)
    assert result.output == PACKING


async def test_an_output_tool_in_a_stream(site: Site) -> None:
    site.simulator.always(ADVISER_BY_CALL)
    async with traveller(site.gateway, output_type=ToolOutput(Packing)).run_stream(QUESTION) as result:
        assert await result.get_output() == PACKING


@pytest.mark.parametrize("kind", [NativeOutput, PromptedOutput])
async def test_an_output_in_json(site: Site, kind: Any) -> None:
    site.simulator.always(ADVISER_IN_JSON)
    result = await traveller(site.gateway, output_type=kind(Packing)).run(QUESTION)
    assert result.output == PACKING


async def test_errors_have_their_status(site: Site) -> None:
    site.simulator.always("s08_login_card")
    with pytest.raises(ModelHTTPError) as caught:
        await traveller(site.gateway).run(QUESTION)
    assert caught.value.status_code == 401
    assert "upstream_login_required" in str(caught.value.body)


async def test_the_demo_plays_along(demo: RunningGateway) -> None:
    assert isinstance((await Agent(model(demo), output_type=Packing).run(QUESTION)).output, Packing)
