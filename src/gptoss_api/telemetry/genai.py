"""The names of OpenTelemetry's conventions for generative AI, and content in their form.

They are all under development, and the Python package's own constants for them are deprecated: a name that
changes is changed here. Source: https://github.com/open-telemetry/semantic-conventions-genai (0.1).
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

from ..core.result import Choice
from ..core.turn import (
    AssistantMessage,
    InstructionMessage,
    Message,
    Tool,
    ToolCall,
    ToolResultMessage,
    Turn,
    leading_instructions,
)

OPERATION: Final = "gen_ai.operation.name"
PROVIDER: Final = "gen_ai.provider.name"
REQUEST_MODEL: Final = "gen_ai.request.model"
REQUEST_MAX_TOKENS: Final = "gen_ai.request.max_tokens"
REQUEST_STOP: Final = "gen_ai.request.stop_sequences"
REQUEST_CHOICES: Final = "gen_ai.request.choice.count"
REQUEST_STREAM: Final = "gen_ai.request.stream"
OUTPUT_TYPE: Final = "gen_ai.output.type"
RESPONSE_MODEL: Final = "gen_ai.response.model"
FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"
INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
CACHED_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
REASONING_TOKENS: Final = "gen_ai.usage.reasoning.output_tokens"
INSTRUCTIONS: Final = "gen_ai.system_instructions"
INPUT: Final = "gen_ai.input.messages"
OUTPUT: Final = "gen_ai.output.messages"
TOOLS: Final = "gen_ai.tool.definitions"

# Every protocol of upstreams is one of conversations.
CHAT: Final = "chat"
# Providers that the conventions know under other names than ours.
PROVIDERS: Final = {"azure": "azure.ai.openai", "watsonx": "ibm.watsonx.ai"}
# Those of a request's options that have a name of the conventions, and of which type they are.
_OPTIONS: Final = {
    "temperature": float,
    "top_p": float,
    "top_k": int,
    "seed": int,
    "frequency_penalty": float,
    "presence_penalty": float,
}

Attributes = dict[str, str | bool | int | float | Sequence[str]]


def request_attributes(provider: str, turn: Turn) -> Attributes:
    """What is asked of a server of the kind ``provider``, without a word of its content."""
    attributes: Attributes = {
        OPERATION: CHAT,
        PROVIDER: PROVIDERS.get(provider, provider),
        REQUEST_MODEL: turn.model,
        OUTPUT_TYPE: "text" if turn.output_format.kind == "text" else "json",
    }
    if turn.max_tokens is not None:
        attributes[REQUEST_MAX_TOKENS] = turn.max_tokens
    if turn.stop:
        attributes[REQUEST_STOP] = turn.stop
    if turn.n != 1:
        attributes[REQUEST_CHOICES] = turn.n
    for name, kind in _OPTIONS.items():
        value = turn.options.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            attributes[f"gen_ai.request.{name}"] = kind(value)
    return attributes


def content_attributes(turn: Turn) -> Attributes:
    """What is said to the model."""
    count = leading_instructions(turn.messages)
    attributes: Attributes = {INPUT: json.dumps([_message(each) for each in turn.messages[count:]])}
    if count:
        texts = (each.text for each in turn.messages[:count] if isinstance(each, InstructionMessage))
        attributes[INSTRUCTIONS] = json.dumps([_text(text) for text in texts])
    if turn.tools:
        attributes[TOOLS] = json.dumps([_tool(tool) for tool in turn.tools])
    return attributes


def answered(choices: Sequence[Choice]) -> str:
    """What the model said."""
    return json.dumps(
        [
            {
                "role": "assistant",
                "parts": [*_said(choice.reasoning, choice.text or choice.refusal, choice.tool_calls)],
                "finish_reason": choice.finish_reason or "error",
            }
            for choice in choices
        ]
    )


def _message(message: Message) -> dict[str, Any]:
    if isinstance(message, AssistantMessage):
        parts = [*_said(message.reasoning, message.text or message.refusal, message.tool_calls)]
        return {"role": "assistant", "parts": parts}
    if isinstance(message, ToolResultMessage):
        result = {"type": "tool_call_response", "id": message.call_id, "response": message.text}
        return {"role": "tool", "parts": [result]}
    role = message.role if isinstance(message, InstructionMessage) else "user"
    return {"role": role, "parts": [_text(message.text)]}


def _said(reasoning: str, text: str, calls: Sequence[ToolCall]) -> Iterator[dict[str, Any]]:
    if reasoning:
        yield {"type": "reasoning", "content": reasoning}
    if text:
        yield _text(text)
    for call in calls:
        yield {"type": "tool_call", "id": call.id, "name": call.name, "arguments": call.arguments}


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "content": text}


def _tool(tool: Tool) -> dict[str, Any]:
    described = {"type": "function", "name": tool.name, "description": tool.description}
    return described if tool.parameters is None else {**described, "parameters": tool.parameters}
