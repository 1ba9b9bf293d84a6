"""Answers as the dialect renders them, checked against the types of the official SDK."""

import json
from collections.abc import Sequence
from typing import Any

from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import BaseModel, TypeAdapter

from gptoss_api.core.events import Event, Started, Usage, UsageReported
from gptoss_api.core.result import Collector
from gptoss_api.dialects.chat import ChatRequest

STARTED = Started("site", "gpt-oss-120b")
USAGE = UsageReported(Usage(11, 7, reasoning_tokens=3, cached_tokens=2))

_COMPLETION = TypeAdapter(ChatCompletion)
_CHUNK = TypeAdapter(ChatCompletionChunk)
# Ours, and what other servers of gpt-oss have added. The SDK knows a chunk's calls only of functions.
_EXTENSIONS = {"x_gptoss", "reasoning", "reasoning_content", "custom"}


def whole(request: ChatRequest, events: Sequence[Event]) -> dict[str, Any]:
    """The body of a non-streaming answer."""
    collector = Collector()
    collector.feed(events)
    completion: dict[str, Any] = json.loads(request.render(collector))
    _refuse_surprises(_COMPLETION.validate_python(completion, strict=True))
    return completion


def streamed(request: ChatRequest, events: Sequence[Event], batch: int = 1) -> list[dict[str, Any]]:
    """The chunks of a streaming answer, rendered from batches of so many events."""
    renderer = request.renderer()
    data = b"".join(renderer.feed(events[at : at + batch]) for at in range(0, len(events), batch))
    *blocks, done, rest = (data + renderer.end()).split(b"\n\n")
    assert (done, rest) == (b"data: [DONE]", b"")
    assert all(block.startswith(b"data: ") and b"\n" not in block for block in blocks)
    chunks: list[dict[str, Any]] = [json.loads(block.removeprefix(b"data: ")) for block in blocks]
    for chunk in chunks:
        if '"type": "custom"' not in json.dumps(chunk):
            _refuse_surprises(_CHUNK.validate_python(chunk, strict=True))
    return chunks


def _refuse_surprises(value: Any) -> None:
    match value:
        case BaseModel():
            assert set(value.model_extra or ()) <= _EXTENSIONS, value.model_extra
            for field in value.model_fields_set:
                _refuse_surprises(getattr(value, field))
        case list():
            for item in value:
                _refuse_surprises(item)
