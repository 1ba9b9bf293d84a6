"""Content in the form of the conventions for generative AI."""

import json
from typing import Any

from gptoss_api.core.result import Choice
from gptoss_api.core.turn import (
    AssistantMessage,
    InstructionMessage,
    OutputFormat,
    Tool,
    ToolCall,
    ToolResultMessage,
    Turn,
    UserMessage,
)
from gptoss_api.telemetry.genai import answered, content_attributes, request_attributes

CALL = ToolCall("call_1", "weather", '{"city":"Bern"}')
CALL_PART = {"type": "tool_call", "id": "call_1", "name": "weather", "arguments": '{"city":"Bern"}'}


def content(*messages: Any, tools: tuple[Tool, ...] = ()) -> dict[str, Any]:
    attributes = content_attributes(Turn("gpt-oss-20b", messages, tools=tools))
    return {name: json.loads(str(value)) for name, value in attributes.items()}


def test_a_conversation_with_calls_is_told_part_by_part() -> None:
    told = content(
        UserMessage("Rain?"),
        AssistantMessage(reasoning="Look.", tool_calls=(CALL,)),
        ToolResultMessage("no", "call_1"),
        InstructionMessage("In German.", "developer"),
        tools=(Tool("weather", "Tells it.", {"type": "object"}), Tool("now")),
    )
    assert told == {
        "gen_ai.input.messages": [
            {"role": "user", "parts": [{"type": "text", "content": "Rain?"}]},
            {"role": "assistant", "parts": [{"type": "reasoning", "content": "Look."}, CALL_PART]},
            {"role": "tool", "parts": [{"type": "tool_call_response", "id": "call_1", "response": "no"}]},
            {"role": "developer", "parts": [{"type": "text", "content": "In German."}]},
        ],
        "gen_ai.tool.definitions": [
            {
                "type": "function",
                "name": "weather",
                "description": "Tells it.",
                "parameters": {"type": "object"},
            },
            {"type": "function", "name": "now", "description": ""},
        ],
    }


def test_an_answer_that_broke_off_says_so() -> None:
    (told,) = json.loads(answered([Choice("Yes", tool_calls=[CALL])]))
    assert told == {
        "role": "assistant",
        "parts": [{"type": "text", "content": "Yes"}, CALL_PART],
        "finish_reason": "error",
    }


def test_options_of_another_type_than_the_conventions_have_are_left_out() -> None:
    turn = Turn("gpt-oss-20b", (), n=2, output_format=OutputFormat("json_object"))
    asked = request_attributes("azure", turn)
    assert asked["gen_ai.provider.name"] == "azure.ai.openai"
    assert (asked["gen_ai.request.choice.count"], asked["gen_ai.output.type"]) == (2, "json")
    options = {"temperature": 1, "top_k": 5.0, "seed": "x", "top_p": True, "presence_penalty": None}
    asked = request_attributes("groq", Turn("gpt-oss-20b", (), options=options))
    found = {name: value for name, value in asked.items() if name.rpartition(".")[2] in options}
    assert found == {"gen_ai.request.temperature": 1.0, "gen_ai.request.top_k": 5}
