"""A whole answer as one ``chat.completion`` object."""

from typing import Any

import msgspec

from ...core.errors import UpstreamIncomplete
from ...core.result import Choice, Collector
from ...core.turn import ToolCall
from ..openai_answers import extension, opening, usage_object
from .shape import AnswerShape


def render_completion(result: Collector, shape: AnswerShape) -> bytes:
    """The body of a non-streaming answer.

    Raises:
        UpstreamIncomplete: when the answer was never finished.
    """
    started = result.started
    choices = result.choices
    if started is None:
        raise _unfinished()
    completion = opening("chatcmpl", "chat.completion", started)
    completion["choices"] = [_choice(index, choice, shape) for index, choice in enumerate(choices)]
    completion["usage"] = None if result.usage is None else usage_object(result.usage)
    notes = tuple(note for choice in choices for note in choice.notes)
    if said := extension(started, sum(choice.repairs for choice in choices), notes):
        completion["x_gptoss"] = said
    return msgspec.json.encode(completion)


def _unfinished() -> UpstreamIncomplete:
    return UpstreamIncomplete("The answer ended before it was complete.")


def _choice(index: int, choice: Choice, shape: AnswerShape) -> dict[str, Any]:
    if choice.finish_reason is None:
        raise _unfinished()
    silent = not choice.text and (choice.tool_calls or choice.refusal)
    message: dict[str, Any] = {
        "role": "assistant",
        "content": None if silent else choice.text,
        "refusal": choice.refusal or None,
        "annotations": [],
    }
    if choice.reasoning:
        for field in shape.reasoning_fields:
            message[field] = choice.reasoning
    if choice.tool_calls:
        if shape.legacy_functions:
            call = choice.tool_calls[0]
            message["function_call"] = {"name": call.name, "arguments": call.arguments}
        else:
            message["tool_calls"] = [_tool_call(call) for call in choice.tool_calls]
    return {
        "index": index,
        "message": message,
        "logprobs": None,
        "finish_reason": shape.finish_reason(choice.finish_reason),
    }


def _tool_call(call: ToolCall) -> dict[str, Any]:
    if call.kind == "custom":
        return {"id": call.id, "type": "custom", "custom": {"name": call.name, "input": call.arguments}}
    return {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments},
    }
