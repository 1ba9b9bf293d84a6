"""Requests to the dialect as the tests make them."""

import json
from typing import Any

from gptoss_api.core.turn import Turn
from gptoss_api.dialects.messages import MessagesDialect, MessagesRequest

DIALECT = MessagesDialect(b"a secret of the tests")
HELLO = [{"role": "user", "content": "Hello"}]


def parse(body: dict[str, Any]) -> MessagesRequest:
    """The request in a body to which what is always there is added."""
    whole = {"model": "gpt-oss-120b", "max_tokens": 1000, "messages": HELLO, **body}
    request = DIALECT.parse(json.dumps(whole).encode(), {})
    assert isinstance(request, MessagesRequest)
    return request


def turn(**body: Any) -> Turn:
    return parse(body).turn


def block(kind: str, **members: Any) -> dict[str, Any]:
    return {"type": kind, **members}


def user(*blocks: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(blocks)}


def assistant(*blocks: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": list(blocks)}


def text(said: str) -> dict[str, Any]:
    return block("text", text=said)


def call(identifier: str, name: str, **arguments: Any) -> dict[str, Any]:
    return block("tool_use", id=identifier, name=name, input=arguments)


def result(identifier: str, content: Any, **more: Any) -> dict[str, Any]:
    return block("tool_result", tool_use_id=identifier, content=content, **more)
