"""The response object and its items, as dictionaries and as JSON."""

import secrets
import time
from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from ...core.errors import (
    GatewayError,
    InsufficientQuota,
    InvalidRequest,
    PromptTooLong,
    UpstreamRateLimited,
)
from ...core.events import FinishReason, Usage

Status = Literal["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]
ItemStatus = Literal["in_progress", "completed", "incomplete"]

encode: Final = msgspec.json.Encoder().encode

_ID: Final = "resp_"


def new_response_id() -> str:
    return _ID + secrets.token_hex(20)


def item_id(prefix: str, response_id: str, index: int) -> str:
    """The id of the response's item number ``index``.

    It contains the response's own id: whoever refers to the item says thereby where it is kept.
    """
    return f"{prefix}_{response_id.removeprefix(_ID)}{index:04x}"


def response_of_item(identifier: str) -> str | None:
    """The id of the response that an item id belongs to, if it is one of ours."""
    _, _, token = identifier.partition("_")
    return _ID + token[:-4] if len(token) == 44 else None


class Frame(Struct, frozen=True):
    """What stays the same of a response while it grows.

    ``first`` is the number of its first output item; input items are numbered before. ``echo`` is the JSON
    of the request's parameters without braces: they are long and repeated in several events.
    """

    id: str
    model: str
    first: int
    echo: bytes
    created_at: int

    @classmethod
    def of(cls, response_id: str, model: str, first: int, echo: dict[str, Any]) -> "Frame":
        return cls(response_id, model, first, encode(echo)[1:-1], int(time.time()))

    def item_id(self, prefix: str, output_index: int) -> str:
        return item_id(prefix, self.id, self.first + output_index)

    def render(
        self,
        status: Status,
        output: Sequence[bytes] = (),
        *,
        model: str | None = None,
        usage: Usage | None = None,
        reason: FinishReason | None = None,
        error: GatewayError | None = None,
    ) -> bytes:
        """The response object as JSON. ``output`` are its items, each as JSON already."""
        head = {
            "id": self.id,
            "object": "response",
            "created_at": self.created_at,
            "completed_at": int(time.time()) if status == "completed" else None,
            "status": status,
            "model": model or self.model,
            "error": None if error is None else error_object(error),
            "incomplete_details": _incomplete(reason) if status == "incomplete" else None,
            "usage": None if usage is None else usage_object(usage),
        }
        return b'%b,"output":[%b],%b}' % (encode(head)[:-1], b",".join(output), self.echo)


def _incomplete(reason: FinishReason | None) -> dict[str, str]:
    return {"reason": "content_filter" if reason == "content_filter" else "max_output_tokens"}


def error_object(error: GatewayError) -> dict[str, str]:
    """What a failed response says; the codes are those of OpenAI's reference, and two that Codex acts on.

    A spent quota is no reason to send the whole turn again, and a full context one to shorten it.
    """
    match error:
        case InsufficientQuota():
            code = "insufficient_quota"
        case PromptTooLong():
            code = "context_length_exceeded"
        case UpstreamRateLimited():
            code = "rate_limit_exceeded"
        case InvalidRequest():
            code = "invalid_prompt"
        case _:
            code = "server_error"
    return {"code": code, "message": error.message}


def usage_object(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }


def text_part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def refusal_part(refusal: str) -> dict[str, Any]:
    return {"type": "refusal", "refusal": refusal}


def reasoning_part(text: str) -> dict[str, Any]:
    return {"type": "reasoning_text", "text": text}


def message_item(identifier: str, content: Sequence[dict[str, Any]], status: ItemStatus) -> dict[str, Any]:
    return {
        "id": identifier,
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": content,
    }


def reasoning_item(
    identifier: str, content: Sequence[dict[str, Any]], status: ItemStatus, sealed: str | None = None
) -> dict[str, Any]:
    """A chain of thought; ``sealed`` is the same in encrypted form, for clients that keep it."""
    item: dict[str, Any] = {
        "id": identifier,
        "type": "reasoning",
        "status": status,
        "summary": [],
        "content": content,
    }
    return item if sealed is None else item | {"encrypted_content": sealed}


def call_item(
    identifier: str,
    call_id: str,
    called: tuple[str | None, str],
    kind: Literal["function", "custom"],
    arguments: str,
    status: ItemStatus,
) -> dict[str, Any]:
    """A call of a function or custom tool; ``called`` is its namespace and name."""
    namespace, name = called
    item: dict[str, Any] = {"id": identifier, "call_id": call_id, "name": name}
    if namespace is not None:
        item["namespace"] = namespace
    if kind == "custom":
        # OpenAI's reference gives custom calls no status.
        return item | {"type": "custom_tool_call", "input": arguments}
    return item | {"type": "function_call", "arguments": arguments, "status": status}
