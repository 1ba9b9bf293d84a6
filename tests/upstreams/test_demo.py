"""The demo upstream plays along: calls with fitting arguments, answers from results, values for schemas."""

import json
from typing import Any

import pytest
from msgspec.structs import replace

from gptoss_api.core.events import Events, Finished, ReasoningDelta, Started, TextDelta
from gptoss_api.core.result import Choice, Collector
from gptoss_api.core.turn import (
    AssistantMessage,
    OutputFormat,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResultMessage,
    Turn,
    UserMessage,
)
from gptoss_api.emulation import EmulatedUpstream, EmulationSettings
from gptoss_api.text.schema import compile_schema
from gptoss_api.text.tokens import Tokens
from gptoss_api.upstreams.demo import LABEL, NOTE, DemoUpstream

TOKENS = Tokens()
FORECAST: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
TOOLS = (
    Tool("get_forecast", parameters=FORECAST, strict=True),
    Tool("now"),
    Tool("note", kind="custom"),
)
ASKED = UserMessage("How will it be?")


async def answer(*messages: Any, **settings: Any) -> Choice:
    """What the demo answers, through everything that stands before a client."""
    turn = Turn("gpt-oss-20b", messages or (ASKED,), **settings)
    collector = Collector()
    upstream = EmulatedUpstream(DemoUpstream(), TOKENS, EmulationSettings())
    async with upstream.open(turn) as batches:
        async for batch in batches:
            collector.feed(batch)
    assert collector.usage is not None
    [choice] = collector.choices
    assert NOTE in choice.notes or turn.stop or turn.max_tokens
    return choice


async def test_every_answer_says_that_no_model_is_behind_it() -> None:
    choice = await answer()
    assert choice.text.startswith(LABEL)
    assert "How will it be?" in choice.text
    assert LABEL in choice.reasoning
    assert choice.finish_reason == "stop"


async def test_reasoning_that_is_not_wanted_is_not_given() -> None:
    assert (await answer(show_reasoning=False)).reasoning == ""


async def test_the_same_request_gets_the_same_answer() -> None:
    first, second = await answer(tools=TOOLS), await answer(tools=TOOLS)
    for choice in (first, second):
        choice.tool_calls = [replace(call, id="") for call in choice.tool_calls]
    assert first == second


async def test_a_tool_is_called_with_arguments_that_fit_its_schema() -> None:
    choice = await answer(tools=TOOLS)
    [call] = choice.tool_calls
    assert call.name == "get_forecast"
    assert compile_schema(FORECAST).complaints(json.loads(call.arguments)) == []
    assert choice.finish_reason == "tool_calls"


async def test_the_result_of_the_call_is_the_answer() -> None:
    [call] = (await answer(tools=TOOLS)).tool_calls
    made = AssistantMessage(tool_calls=(ToolCall(call.id, call.name, call.arguments),))
    choice = await answer(
        ASKED, made, ToolResultMessage("Rain, 11 degrees.", call.id, call.name), tools=TOOLS
    )
    assert choice.tool_calls == []
    assert "> Rain, 11 degrees." in choice.text
    assert "get_forecast" in choice.text


async def test_calls_of_different_turns_have_different_ids() -> None:
    [first] = (await answer(tools=TOOLS)).tool_calls
    [second] = (await answer(ASKED, AssistantMessage("x"), UserMessage("y"), tools=TOOLS)).tool_calls
    assert first.id != second.id


@pytest.mark.parametrize(
    ("choice", "called", "reason"),
    [
        (ToolChoice("named", ("now",)), "now", "stop"),
        (ToolChoice("required"), "get_forecast", "tool_calls"),
        (ToolChoice("auto", ("note",)), "note", "tool_calls"),
        (ToolChoice("none"), None, "stop"),
    ],
)
async def test_the_tool_choice_holds(choice: ToolChoice, called: str | None, reason: str) -> None:
    answered = await answer(tools=TOOLS, tool_choice=choice)
    assert [call.name for call in answered.tool_calls] == ([called] if called else [])
    assert answered.finish_reason == reason


async def test_tools_without_parameters_and_custom_tools() -> None:
    [call] = (await answer(tools=TOOLS, tool_choice=ToolChoice("named", ("now",)))).tool_calls
    assert (call.arguments, call.kind) == ("{}", "function")
    [call] = (await answer(tools=TOOLS, tool_choice=ToolChoice("named", ("note",)))).tool_calls
    assert (call.arguments, call.kind) == ("demo", "custom")


async def test_a_schema_gets_a_value_that_fits() -> None:
    choice = await answer(output_format=OutputFormat("json_schema", "forecast", FORECAST, True))
    assert compile_schema(FORECAST).complaints(json.loads(choice.text)) == []
    assert isinstance(json.loads((await answer(output_format=OutputFormat("json_object"))).text), dict)


async def test_a_call_comes_before_the_schema() -> None:
    form = OutputFormat("json_schema", "forecast", FORECAST, True)
    first = await answer(tools=TOOLS, output_format=form)
    assert len(first.tool_calls) == 1
    made = AssistantMessage(tool_calls=tuple(first.tool_calls))
    result = ToolResultMessage("Rain.", first.tool_calls[0].id)
    last = await answer(ASKED, made, result, tools=TOOLS, output_format=form)
    assert compile_schema(FORECAST).complaints(json.loads(last.text)) == []


async def test_limits_hold() -> None:
    assert (await answer(max_tokens=3, show_reasoning=False)).finish_reason == "length"
    assert (await answer(stop=("demo",))).text == "[gptoss-api "


async def test_a_stream_moves() -> None:
    batches: list[Events] = []
    async with DemoUpstream().open(Turn("gpt-oss-20b", (ASKED,))) as stream:
        async for batch in stream:
            batches.append(batch)
    kinds = [type(batch[0]) for batch in batches]
    assert kinds[0] is Started
    assert kinds[-1] is Finished
    assert kinds.index(ReasoningDelta) < kinds.index(TextDelta)
    assert kinds.count(TextDelta) > 20


async def test_a_conversation_without_a_user_is_answered() -> None:
    assert LABEL in (await answer(AssistantMessage("Hm."))).text
