"""OpenAI's Agents SDK with its chat completions model."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from agents import (
    Agent,
    ItemHelpers,
    MessageOutputItem,
    ModelSettings,
    OpenAIChatCompletionsModel,
    ReasoningItem,
    RunConfig,
    Runner,
    function_tool,
)
from openai import AsyncOpenAI

from tests.conftest import RunningGateway, Site

from .travel import (
    ADVICE,
    ADVISER,
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

# Traces would be sent to OpenAI.
QUIET = RunConfig(tracing_disabled=True)


@pytest.fixture
async def model(site: Site) -> AsyncIterator[OpenAIChatCompletionsModel]:
    async with client(site.gateway) as sdk:
        yield OpenAIChatCompletionsModel(model=MODEL, openai_client=sdk)


def client(gateway: RunningGateway) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=f"{gateway.base_url}/v1", api_key="none", max_retries=0)


def traveller(model: OpenAIChatCompletionsModel, **settings: Any) -> "Agent[Any]":
    return Agent(
        name="Traveller",
        instructions=INSTRUCTIONS,
        model=model,
        tools=[function_tool(find_capital), function_tool(get_forecast)],
        **settings,
    )


def kinds(result: Any) -> list[str]:
    return [item.type for item in result.new_items]


LOOP = [
    "reasoning_item",
    "message_output_item",
    "tool_call_item",
    "tool_call_output_item",
    "reasoning_item",
    "message_output_item",
    "tool_call_item",
    "tool_call_output_item",
    "reasoning_item",
    "message_output_item",
]


async def test_a_loop_of_two_tools(site: Site, model: OpenAIChatCompletionsModel) -> None:
    site.simulator.always(ADVISER)
    result = await Runner.run(traveller(model), QUESTION, run_config=QUIET)
    assert result.final_output == ADVICE
    assert kinds(result) == LOOP
    assert len(site.simulator.requests) == 3


async def test_a_loop_of_two_tools_in_a_stream(site: Site, model: OpenAIChatCompletionsModel) -> None:
    site.simulator.always(ADVISER)
    agent = traveller(model, model_settings=ModelSettings(include_usage=True))
    result = Runner.run_streamed(agent, QUESTION, run_config=QUIET)
    text = ""
    async for event in result.stream_events():
        if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
            text += event.data.delta
    assert result.final_output == ADVICE
    assert text == f"Let me look that up.Let me look that up.{ADVICE}"
    assert kinds(result) == LOOP
    assert result.context_wrapper.usage.requests == 3
    assert result.context_wrapper.usage.output_tokens > 0


@pytest.mark.parametrize("stream", [False, True], ids=["run", "run_streamed"])
async def test_the_thought_is_recorded_once(
    site: Site, model: OpenAIChatCompletionsModel, stream: bool
) -> None:
    site.simulator.always(ADVISER)
    if stream:
        result: Any = Runner.run_streamed(traveller(model), QUESTION, run_config=QUIET)
        _ = [event async for event in result.stream_events()]
    else:
        result = await Runner.run(traveller(model), QUESTION, run_config=QUIET)
    thoughts = [item.raw_item for item in result.new_items if isinstance(item, ReasoningItem)]
    assert len(thoughts) == 3
    for thought in thoughts:
        # Of two fields that carry it, one would become its summary and one its content.
        assert [part.text for part in (*thought.summary, *(thought.content or ()))] == [THOUGHT]


async def test_a_typed_answer(site: Site, model: OpenAIChatCompletionsModel) -> None:
    site.simulator.always(ADVISER_IN_JSON)
    result = await Runner.run(traveller(model, output_type=Packing), QUESTION, run_config=QUIET)
    assert result.final_output == PACKING


async def test_a_conversation_goes_on(site: Site, model: OpenAIChatCompletionsModel) -> None:
    site.simulator.always(ADVISER)
    agent = traveller(model)
    first = await Runner.run(agent, QUESTION, run_config=QUIET)
    site.simulator.always("s01_happy_path")
    question: Any = {"role": "user", "content": "Thank you. Write me a function."}
    second = await Runner.run(agent, [*first.to_input_list(), question], run_config=QUIET)
    [message] = [item for item in second.new_items if isinstance(item, MessageOutputItem)]
    assert ItemHelpers.text_message_output(message).startswith("Here’s a “palindrome” check")
    # What the site knows of it, whether it was sent again or not.
    known = [text for turn in site.simulator.last.history for text in turn]
    prompt = "\n".join([*known, site.simulator.last.text])
    assert ADVICE in prompt
    assert '"sky": "rain"' in prompt


async def test_the_demo_plays_along(demo: RunningGateway) -> None:
    def say(text: str) -> str:
        """Says something."""
        return f"I said {text!r}."

    async with client(demo) as sdk:
        agent = Agent(
            name="Speaker",
            model=OpenAIChatCompletionsModel(model=MODEL, openai_client=sdk),
            tools=[function_tool(say)],
        )
        unasked = await Runner.run(agent, "Say something.", run_config=QUIET)
        asked = await Runner.run(agent, "demo: call say", run_config=QUIET)
    assert "I said" not in unasked.final_output
    assert "I said" in asked.final_output
