"""Requests as the dialect reads them."""

import json
from typing import Any

import pytest

from gptoss_api.core.errors import GatewayError
from gptoss_api.core.turn import Turn
from gptoss_api.dialects.chat import ChatDialect, ChatRequest
from gptoss_api.dialects.openai_errors import openai_error

HELLO: list[dict[str, Any]] = [{"role": "user", "content": "hello"}]
NOTHING: Any = object()


def body(**members: Any) -> dict[str, Any]:
    """A small request with these members; ``NOTHING`` leaves one out."""
    return {name: value for name, value in {"messages": HELLO, **members}.items() if value is not NOTHING}


def read(**members: Any) -> ChatRequest:
    return ChatDialect().parse(json.dumps(body(**members)).encode(), {})


def turn(**members: Any) -> Turn:
    return read(**members).turn


def refusal(**members: Any) -> GatewayError:
    """The error that such a request gets."""
    with pytest.raises(GatewayError) as caught:
        read(**members)
    return caught.value


def assert_refused(param: str | None, code: str | None, says: str = "", **members: Any) -> None:
    """The request is refused for one parameter, which the message names or explains."""
    error = refusal(**members)
    assert (openai_error(error).status, openai_error(error).type) == (400, "invalid_request_error")
    assert (error.param, openai_error(error).code) == (param, code)
    assert says in error.message


def words(text: str) -> list[str]:
    return text.split()
