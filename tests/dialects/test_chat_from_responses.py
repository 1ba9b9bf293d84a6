"""Responses bodies at the chat endpoint, and tools in the flat form of Responses."""

import json
from typing import Any

import pytest

from gptoss_api.core.errors import GatewayError
from gptoss_api.core.result import Collector
from gptoss_api.core.turn import InstructionMessage, ToolChoice, ToolResultMessage, Turn, UserMessage
from gptoss_api.dialects.chat import ChatDialect

from .events import TWO_CALLS, data_events, rendered

FLAT: Any = {"type": "function", "name": "weather", "parameters": {"type": "object"}}
CUSTOM: Any = {"type": "custom", "name": "patch"}


def turn(**members: Any) -> Turn:
    return ChatDialect().parse(json.dumps(members).encode(), {}).turn


def test_items_flat_tools_and_parameters_are_understood() -> None:
    asked = turn(
        input=[
            {"role": "user", "content": [{"type": "input_text", "text": "Weather?"}]},
            {"type": "function_call", "call_id": "a", "name": "weather", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "a", "output": "sunny"},
        ],
        instructions="Be brief.",
        tools=[FLAT, CUSTOM],
        tool_choice={"type": "custom", "name": "patch"},
        reasoning={"effort": "high"},
        max_output_tokens=50,
        stop="END",
        stream=True,
        stream_options={"include_usage": True},
    )
    assert asked.messages[0] == InstructionMessage("Be brief.")
    assert asked.messages[1] == UserMessage("Weather?")
    assert asked.messages[3] == ToolResultMessage("sunny", "a", "weather")
    assert [(tool.name, tool.kind) for tool in asked.tools] == [("weather", "function"), ("patch", "custom")]
    assert asked.tool_choice == ToolChoice("named", ("patch",))
    assert (asked.effort, asked.max_tokens, asked.stop) == ("high", 50, ("END",))


def test_the_answer_is_a_chat_completion() -> None:
    request = ChatDialect().parse(json.dumps({"input": "Hi", "tools": [FLAT, CUSTOM]}).encode(), {})
    collector = Collector()
    collector.feed(TWO_CALLS)
    answer = json.loads(request.render(collector))
    assert answer["object"] == "chat.completion"
    assert [call["type"] for call in answer["choices"][0]["message"]["tool_calls"]] == ["function", "custom"]
    chunks = data_events(rendered(request.renderer(), TWO_CALLS))
    assert chunks[0]["object"] == "chat.completion.chunk"


def test_flat_tools_beside_messages_are_understood_too() -> None:
    asked = turn(
        messages=[{"role": "user", "content": "x"}],
        tools=[FLAT, CUSTOM],
        tool_choice={"type": "function", "name": "weather"},
    )
    assert [tool.name for tool in asked.tools] == ["weather", "patch"]
    assert asked.tool_choice == ToolChoice("named", ("weather",))


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"input": ""}, "messages"),
        ({"input": "x", "previous_response_id": "resp_1"}, "previous_response_id"),
        ({"input": [{"role": "user"}]}, "input[0].content"),
        ({}, "messages"),
    ],
)
def test_what_is_wrong_is_named(members: Any, param: str) -> None:
    with pytest.raises(GatewayError) as caught:
        turn(**members)
    assert caught.value.param == param
