"""A whole answer as one ``chat.completion`` object, and what it has in common with a streamed one."""

from functools import partial
from typing import Any

from msgspec import Struct

from ...core.events import FinishReason
from ...core.result import Choice, Collector
from ...core.turn import ToolCall
from ..openai_answers import render_whole


class AnswerShape(Struct, frozen=True):
    """How one client wants its answer. ``model`` is what was asked for, in canonical form.

    ``reasoning_fields`` are the names under which the chain of thought is sent, none to keep it back.
    """

    model: str
    reasoning_fields: tuple[str, ...] = ()
    include_usage: bool = False
    legacy_functions: bool = False

    def finish_reason(self, reason: FinishReason) -> str:
        return "function_call" if self.legacy_functions and reason == "tool_calls" else reason


def render_completion(result: Collector, shape: AnswerShape) -> bytes:
    """The body of a non-streaming answer; see :func:`~gptoss_api.dialects.openai_answers.render_whole`."""
    return render_whole(result, "chatcmpl", "chat.completion", partial(_choice, shape))


def _choice(shape: AnswerShape, index: int, choice: Choice, reason: FinishReason) -> dict[str, Any]:
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
        "logprobs": {"content": choice.logprobs, "refusal": None} if choice.logprobs else None,
        "finish_reason": shape.finish_reason(reason),
    }


def _tool_call(call: ToolCall) -> dict[str, Any]:
    if call.kind == "custom":
        return {"id": call.id, "type": "custom", "custom": {"name": call.name, "input": call.arguments}}
    return {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments},
    }
