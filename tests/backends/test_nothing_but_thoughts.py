"""A server sends thoughts and then no answer: its turn is asked once more, however the bytes arrive."""

from collections.abc import Sequence
from typing import Any

import pytest

from gptoss_api.core.errors import UpstreamEmpty
from gptoss_api.core.events import Event, ReasoningDelta
from gptoss_api.core.turn import OutputFormat, Tool
from gptoss_api.emulation import EmulatedUpstream, EmulationSettings
from gptoss_api.text.tokens import Tokens
from tests.upstreams.chatkit.scripted import Reply
from tests.upstreams.chatkit.transcripts import sse

from .server import Backend, ask, connected, streamed, turn
from .shapes import SHAPES, Answer

WEATHER = Tool("get_weather", "The weather.", {"type": "object", "properties": {"city": {"type": "string"}}})
FORM = OutputFormat("json_schema", "person", {"type": "object"}, strict=True)
ERROR = {"error": {"message": "The engine stumbled.", "code": 500}}
TEXT = '{"name": "Ada"}'


def thoughts_alone(shape: str, timing: str, end: str) -> Reply:
    thought = {"index": 0, "delta": {SHAPES[shape].reasoning[0]: "Hm."}, "finish_reason": None}
    last = [ERROR] if end == "error" else []
    said = sse({"choices": [thought]})
    match timing:
        case "one read":
            steps: Sequence[Any] = [said + (sse(*last) if last else b"")]
        case "two reads":
            steps = [said, 0.05, *([sse(*last)] if last else [])]
        case _:
            whole = said + (sse(*last) if last else b"")
            steps = [step for byte in whole for step in (bytes([byte]), 0.0)]
    return Reply(steps)


@pytest.mark.parametrize("shape", ["vllm", "ollama"])
@pytest.mark.parametrize("timing", ["one read", "two reads", "byte by byte"])
@pytest.mark.parametrize("end", ["error", "end"])
@pytest.mark.parametrize("asked", [{}, {"tools": (WEATHER,)}, {"output_format": FORM}])
@pytest.mark.parametrize("asks_again", [False, True])
async def test_thoughts_alone_are_asked_once_more(
    shape: str, timing: str, end: str, asked: dict[str, Any], asks_again: bool
) -> None:
    alone = thoughts_alone(shape, timing, end)
    mended = Backend(shape, alone, streamed(SHAPES[shape], Answer(content=TEXT)))
    stubborn = Backend(shape, alone, alone)
    settings = EmulationSettings(secret=b"secret")
    async with connected(mended, asks_again=asks_again) as upstream:
        collected, _ = await ask(EmulatedUpstream(upstream, Tokens(), settings), turn(**asked))
    assert collected.choices[0].text == TEXT
    assert len(mended.asked) == 2
    seen: list[Event] = []
    async with connected(stubborn, asks_again=asks_again) as upstream:
        with pytest.raises(UpstreamEmpty):
            await ask(EmulatedUpstream(upstream, Tokens(), settings), turn(**asked), seen)
    assert len(stubborn.asked) == 2
    assert "".join(event.text for event in seen if isinstance(event, ReasoningDelta)) == "Hm.\n\nHm."


@pytest.mark.parametrize("shape", ["vllm", "ollama"])
@pytest.mark.parametrize("timing", ["one read", "two reads"])
@pytest.mark.parametrize("end", ["error", "end"])
@pytest.mark.parametrize("asks_again", [False, True])
async def test_so_are_thoughts_that_are_not_shown(
    shape: str, timing: str, end: str, asks_again: bool
) -> None:
    alone = thoughts_alone(shape, timing, end)
    backend = Backend(shape, alone, streamed(SHAPES[shape], Answer(content=TEXT)), alone, alone)
    async with connected(backend, asks_again=asks_again) as upstream:
        gateway = EmulatedUpstream(upstream, Tokens(), EmulationSettings())
        collected, events = await ask(gateway, turn(show_reasoning=False))
        assert (collected.choices[0].text, collected.choices[0].reasoning) == (TEXT, "")
        assert not any(isinstance(event, ReasoningDelta) for event in events)
        with pytest.raises(UpstreamEmpty):
            await ask(gateway, turn(show_reasoning=False))
    assert len(backend.asked) == 4
