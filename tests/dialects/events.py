"""Server-sent events as the tests read them, and streams of turn events to render."""

import json
from collections.abc import Sequence
from typing import Any

from gptoss_api.core.events import (
    Event,
    Finished,
    ReasoningDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallFinished,
    ToolCallStarted,
    Usage,
    UsageReported,
)
from gptoss_api.dialects.base import StreamRenderer

STARTED = Started(upstream="test", model="gpt-oss-120b")
USAGE = UsageReported(Usage(prompt_tokens=11, completion_tokens=7, reasoning_tokens=3, cached_tokens=2))

THOUGHT_AND_TEXT: list[Event] = [
    STARTED,
    ReasoningDelta("They "),
    ReasoningDelta("greet."),
    TextDelta("Hello"),
    TextDelta(' "world"\n'),
    Finished("stop"),
    USAGE,
]
TWO_CALLS: list[Event] = [
    STARTED,
    ReasoningDelta("Two cities."),
    TextDelta("Looking."),
    ToolCallStarted(0, "call_a", "weather"),
    ToolCallDelta(0, '{"city":'),
    ToolCallDelta(0, '"Paris"}'),
    ToolCallFinished(0),
    ToolCallStarted(1, "call_b", "patch", "custom"),
    ToolCallDelta(1, "*** Begin Patch\n"),
    ToolCallDelta(1, "*** End Patch"),
    ToolCallFinished(1),
    Finished("tool_calls"),
    USAGE,
]


def rendered(renderer: StreamRenderer, events: Sequence[Event], batch: int = 1) -> bytes:
    """A whole stream, fed in batches of the given size."""
    pieces = [renderer.feed(events[at : at + batch]) for at in range(0, len(events), batch)]
    return b"".join([*pieces, renderer.end()])


def named_events(stream: bytes) -> list[tuple[str, Any]]:
    """Name and decoded data of every event; each must have exactly these two lines."""
    assert stream.endswith(b"\n\n")
    events = []
    for block in stream.decode().removesuffix("\n\n").split("\n\n"):
        name, data = block.split("\n")
        assert name.startswith("event: ")
        assert data.startswith("data: ")
        events.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return events


def data_events(stream: bytes) -> list[Any]:
    """The data of every event; the closing ``[DONE]`` as that string."""
    assert stream.endswith(b"\n\n")
    blocks = stream.decode().removesuffix("\n\n").split("\n\n")
    assert all(block.startswith("data: ") and "\n" not in block for block in blocks)
    texts = [block.removeprefix("data: ") for block in blocks]
    return [text if text == "[DONE]" else json.loads(text) for text in texts]
