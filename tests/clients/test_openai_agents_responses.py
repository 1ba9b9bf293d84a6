"""OpenAI's Agents SDK in its default mode, which speaks Responses."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from agents import Agent, OpenAIResponsesModel, RunConfig, Runner, function_tool

from tests.conftest import Site
from tests.simulator import Answer

from .test_openai_agents import client
from .travel import ADVICE, ADVISER, INSTRUCTIONS, MODEL, QUESTION, find_capital, get_forecast

# Traces would be sent to OpenAI.
QUIET = RunConfig(tracing_disabled=True)


@pytest.fixture
async def traveller(site: Site) -> AsyncIterator["Agent[Any]"]:
    async with client(site.gateway) as sdk:
        yield Agent(
            name="Traveller",
            instructions=INSTRUCTIONS,
            model=OpenAIResponsesModel(model=MODEL, openai_client=sdk),
            tools=[function_tool(find_capital), function_tool(get_forecast)],
        )


async def test_two_tools_in_a_loop(site: Site, traveller: "Agent[Any]") -> None:
    site.simulator.always(ADVISER)
    result = await Runner.run(traveller, QUESTION, run_config=QUIET)
    assert result.final_output == ADVICE
    assert len(site.simulator.requests) == 3


async def test_the_same_while_it_streams(site: Site, traveller: "Agent[Any]") -> None:
    site.simulator.always(ADVISER)
    result = Runner.run_streamed(traveller, QUESTION, run_config=QUIET)
    kinds = [event.data.type async for event in result.stream_events() if event.type == "raw_response_event"]
    assert result.final_output == ADVICE
    assert kinds.count("response.completed") == 3
    assert "response.function_call_arguments.delta" in kinds


async def test_a_conversation_on_the_server_continues(site: Site, traveller: "Agent[Any]") -> None:
    site.simulator.script(Answer("Hello Ann."), Answer("You are Ann."))
    first = await Runner.run(traveller, "I am Ann.", run_config=QUIET)
    second = await Runner.run(
        traveller, "Who am I?", previous_response_id=first.last_response_id, run_config=QUIET
    )
    assert second.final_output == "You are Ann."
    assert "I am Ann." in site.simulator.last.said
