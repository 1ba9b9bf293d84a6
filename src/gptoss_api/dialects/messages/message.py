"""What streamed and whole answers have in common, and a whole answer as one ``message`` object."""

import secrets
from typing import Any, Final

import msgspec

from ...core.errors import UpstreamFailure, UpstreamIncomplete
from ...core.events import FinishReason, Usage
from ...core.result import Choice, Collector
from .call_ids import shown_call_id
from .context_edits import applied_edits, summary_of
from .signatures import Signer

_STOP_REASONS: Final[dict[FinishReason, str]] = {
    "stop": "end_turn",
    "tool_calls": "tool_use",
    "length": "max_tokens",
    # That a model declines in words is an answer: Claude Code ends a session on "refusal".
    "content_filter": "end_turn",
}


def message_object(model: str, usage: dict[str, Any]) -> dict[str, Any]:
    """A message without content that has not ended yet."""
    return {
        "id": f"msg_{secrets.token_hex(12)}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "stop_details": None,
        "usage": usage,
    }


def usage_object(usage: Usage) -> dict[str, Any]:
    """Anthropic counts what was cached beside the rest of the prompt."""
    return {
        "input_tokens": usage.prompt_tokens - usage.cached_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"thinking_tokens": usage.reasoning_tokens},
    }


def stop_object(
    reason: FinishReason, stop_sequence: str | None, *, silent: bool, called: bool, compacted: bool = False
) -> dict[str, Any]:
    """How an answer ended. ``silent`` says that it said nothing, ``called`` that it called tools.

    One that is ``compacted`` begins with a summary, and may be nothing else.
    """
    said = _STOP_REASONS[reason]
    if compacted and silent and reason == "stop":
        said = "compaction"
    elif reason == "stop" and called:
        # One named function was called, which OpenAI ends like that.
        said = "tool_use"
    elif reason == "stop" and stop_sequence is not None:
        said = "stop_sequence"
    elif reason == "content_filter" and silent:
        said = "refusal"
    return {
        "stop_reason": said,
        "stop_sequence": stop_sequence if said == "stop_sequence" else None,
        "stop_details": None,
    }


def render_message(result: Collector, model: str, signer: Signer) -> bytes:
    """The body of a non-streaming answer.

    Raises:
        UpstreamIncomplete: when the answer was never finished.
        UpstreamFailure: for a call whose arguments are no JSON object.
    """
    choice, usage = result.choices[0], result.usage
    if choice.finish_reason is None or usage is None:
        raise UpstreamIncomplete("The answer ended before it was complete.")
    edits = result.started.context_edits if result.started is not None else ()
    content = _content(choice, signer)
    silent = all(block["type"] == "thinking" for block in content)
    called = any(block["type"] == "tool_use" for block in content)
    if summary := summary_of(edits):
        content.insert(0, {"type": "compaction", "content": summary})
    ended = stop_object(
        choice.finish_reason, choice.stop_sequence, silent=silent, called=called, compacted=bool(summary)
    )
    spent = {**usage_object(usage), "service_tier": "standard"}
    applied = applied_edits(edits)
    return msgspec.json.encode(message_object(model, spent) | {"content": content} | ended | applied)


def _content(choice: Choice, signer: Signer) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if thought := choice.reasoning:
        blocks.append({"type": "thinking", "thinking": thought, "signature": signer.sign(thought)})
    if text := choice.text + choice.refusal:
        blocks.append({"type": "text", "text": text, "citations": None})
    for call in choice.tool_calls:
        written = call.arguments.strip() or "{}"
        if is_object(written):
            arguments = msgspec.Raw(written.encode())
            blocks.append(
                {"type": "tool_use", "id": shown_call_id(call.id), "name": call.name, "input": arguments}
            )
        elif choice.finish_reason != "length":
            raise no_object(call.name)
    return blocks


def is_object(written: str) -> bool:
    """Whether the arguments of a call are a whole JSON object, which one that was cut is not."""
    try:
        return isinstance(msgspec.json.decode(written.encode()), dict)
    except (ValueError, RecursionError):
        return False


def no_object(name: str) -> UpstreamFailure:
    """The failure of an answer that calls ``name`` with anything else."""
    return UpstreamFailure(f"The model called '{name}' with arguments that are no JSON object.")
