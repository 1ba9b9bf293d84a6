"""Requests and lines of Ollama's API, as the tests write and read them."""

import json
from typing import Any

from gptoss_api.core.turn import Turn
from gptoss_api.dialects.ollama import OllamaDialect
from gptoss_api.dialects.ollama.dialect import LoadProbe, OllamaRequest

HELLO: Any = [{"role": "user", "content": "Hello"}]
MODEL = "gpt-oss:20b"
DIALECT = OllamaDialect()


def chat(**body: Any) -> OllamaRequest:
    request = DIALECT.chat(json.dumps({"model": MODEL, "messages": HELLO} | body).encode(), {})
    assert isinstance(request, OllamaRequest)
    return request


def turn(**body: Any) -> Turn:
    (asked,) = chat(**body).turns
    return asked


def text(**body: Any) -> OllamaRequest | LoadProbe:
    return DIALECT.generate(json.dumps({"model": MODEL} | body).encode(), {})


def lines(stream: bytes) -> list[Any]:
    """The objects of a stream: each in a line of its own."""
    assert stream.endswith(b"\n")
    return [json.loads(line) for line in stream.removesuffix(b"\n").split(b"\n")]
