"""The official SDK's clients for a running gateway."""

from collections.abc import Iterable

from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletionChunk, ChatCompletionMessageParam

from tests.conftest import RunningGateway

MODEL = "gpt-oss-120b"


def client(gateway: RunningGateway, *, key: str = "none", retries: int = 0, timeout: float = 30.0) -> OpenAI:
    """``retries`` is the SDK's ``max_retries``, 0 here where it is 2 by default."""
    return OpenAI(base_url=f"{gateway.base_url}/v1", api_key=key, max_retries=retries, timeout=timeout)


def async_client(gateway: RunningGateway, *, retries: int = 0, timeout: float = 30.0) -> AsyncOpenAI:
    return AsyncOpenAI(
        base_url=f"{gateway.base_url}/v1", api_key="none", max_retries=retries, timeout=timeout
    )


def hello(prompt: str = "hello") -> list[ChatCompletionMessageParam]:
    return [{"role": "user", "content": prompt}]


def said(chunks: Iterable[ChatCompletionChunk]) -> str:
    """The text of a stream."""
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
