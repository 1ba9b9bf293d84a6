"""OpenAI's Agents SDK in its default mode, which speaks Responses."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.conftest import Site
from tests.simulator import Answer
from tests.simulator.agent import Agent as Model
from tests.simulator.agent import Call

from .sdk import MODEL, async_client

agents: Any = pytest.importorskip("agents", reason="openai-agents is not installed")


@pytest.fixture
async def agent(site: Site) -> AsyncIterator[Any]:
    agents.set_tracing_disabled(True)

    def get_weather(city: str) -> str:
        """Current weather of a city."""
        return f"sunny in {city}"

    def add(a: int, b: int) -> int:
        """The sum of two numbers."""
        return a + b

    tools = [agents.function_tool(tool) for tool in (get_weather, add)]
    async with async_client(site.gateway) as openai:
        model = agents.OpenAIResponsesModel(model=MODEL, openai_client=openai)
        yield agents.Agent(name="helper", instructions="Help.", tools=tools, model=model)


ROUNDS = [[Call("get_weather", {"city": "Paris"})], [Call("add", {"a": 2, "b": 3})]]


async def test_two_tools_in_a_loop(site: Site, agent: Any) -> None:
    site.simulator.always(Model(ROUNDS, lambda results: " and ".join(results)))
    result = await agents.Runner.run(agent, "Weather in Paris, and 2 + 3?")
    assert result.final_output == "sunny in Paris and 5"


async def test_the_same_while_it_streams(site: Site, agent: Any) -> None:
    site.simulator.always(Model(ROUNDS, lambda results: " and ".join(results)))
    result = agents.Runner.run_streamed(agent, "Weather in Paris, and 2 + 3?")
    kinds = [event.data.type async for event in result.stream_events() if event.type == "raw_response_event"]
    assert result.final_output == "sunny in Paris and 5"
    assert kinds.count("response.completed") == 3
    assert "response.function_call_arguments.delta" in kinds


async def test_a_conversation_on_the_server_continues(site: Site, agent: Any) -> None:
    site.simulator.script(Answer("Hello Ann."), Answer("You are Ann."))
    first = await agents.Runner.run(agent, "I am Ann.")
    second = await agents.Runner.run(agent, "Who am I?", previous_response_id=first.last_response_id)
    assert second.final_output == "You are Ann."
    assert "I am Ann." in site.simulator.last.said
