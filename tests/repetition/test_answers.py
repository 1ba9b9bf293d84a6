"""Any one thing over and over in an answer is read in time that grows with its length, a piece at a time."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from math import inf
from typing import Any
from unittest import mock

import pytest

from gptoss_api.core.errors import GatewayError
from gptoss_api.core.events import Events, ToolCallDelta, ToolCallFinished, ToolCallStarted
from gptoss_api.core.turn import ToolChoice
from gptoss_api.emulation import EmulatedUpstream, EmulationSettings
from gptoss_api.upstreams.base import Capabilities
from tests.emulation.scripted import (
    CALL,
    NOTE,
    OBJECT,
    STRICT,
    TEXT_ONLY,
    TOKENS,
    WEATHER,
    Answer,
    ScriptedUpstream,
    Thought,
    asks,
    schema,
)
from tests.pulled import opened
from tests.watchdog import LONGEST_STOP

from .repeated import ALL, HELD, is_quadratic, pieces_of, repeated

pytestmark = pytest.mark.alone

# Characters: upstreams give out no larger pieces.
PIECE = 16 * 1024
# What is quadratic takes many times as long as it may, or for ever.
SIZE = 40_000
SLOWEST = 0.7
# A piece that was measured while the machine had other things to do is measured again.
ATTEMPTS = 5

NATIVE = Capabilities(
    history=True, tools=True, json_object=True, json_schema=True, stop=True, max_tokens=True
)
Wrap = Callable[[str], Sequence[Any]]
Way = tuple[Any, Capabilities, Wrap]


def _native_call(text: str) -> Sequence[Any]:
    pieces = [ToolCallDelta(0, piece) for piece in pieces_of(text, PIECE)]
    return [ToolCallStarted(0, "c", "get_weather"), *pieces, ToolCallFinished(0)]


WAYS: dict[str, Way] = {
    "text": (asks(), TEXT_ONLY, lambda text: [text]),
    "text beside tools": (asks(tools=[WEATHER, STRICT, NOTE]), TEXT_ONLY, lambda text: [text]),
    "text after a call": (asks(tools=[WEATHER]), TEXT_ONLY, lambda text: [f"{CALL}\n{text}"]),
    "text where a call is demanded": (
        asks(tools=[WEATHER], tool_choice=ToolChoice("required"), streamed=False),
        TEXT_ONLY,
        lambda text: [text],
    ),
    "text with stop strings": (
        asks(stop=("<|nope", "\n\nx", "aaaaab", "``````x")),
        TEXT_ONLY,
        lambda text: [text],
    ),
    "text up to a limit": (asks(max_tokens=60_000), TEXT_ONLY, lambda text: [text]),
    "text of a server": (asks(tools=[WEATHER]), NATIVE, lambda text: [text]),
    "reasoning": (asks(), TEXT_ONLY, lambda text: [Thought(text), "x"]),
    "reasoning of a server": (asks(tools=[WEATHER]), NATIVE, lambda text: [Thought(text), "x"]),
    "a string in arguments": (
        asks(tools=[WEATHER]),
        TEXT_ONLY,
        lambda text: [f'<tool_call key="KEY" name="get_weather">\n{{"city":"{text}"}}\n</tool_call>'],
    ),
    "a value in arguments": (
        asks(tools=[STRICT]),
        TEXT_ONLY,
        lambda text: [f'<tool_call key="KEY" name="get_time">\n{{"city":{text}}}\n</tool_call>'],
    ),
    "elements as arguments": (
        asks(tools=[WEATHER]),
        TEXT_ONLY,
        lambda text: [
            '<tool_call key="KEY" name="get_weather">\n<parameter=city>x</parameter>'
            f"{text}<arg_value></arg_value></parameter>\n</tool_call>"
        ],
    ),
    "a custom tool's input": (
        asks(tools=[NOTE]),
        TEXT_ONLY,
        lambda text: [f'<tool_call key="KEY" name="note">\n{text}\n</tool_call>'],
    ),
    "a call without the key": (
        asks(tools=[WEATHER]),
        TEXT_ONLY,
        lambda text: [f'<tool_call name="get_weather">\n{{"city":"{text}"}}\n</tool_call>'],
    ),
    "arguments of a server": (asks(tools=[WEATHER]), NATIVE, _native_call),
    "an object": (asks(form=OBJECT), TEXT_ONLY, lambda text: [text]),
    "a string in an object": (asks(form=OBJECT), TEXT_ONLY, lambda text: [f'{{"a":"{text}"}}']),
    "a value in an object": (asks(form=OBJECT), TEXT_ONLY, lambda text: [f'{{"a":{text}}}']),
    "a form": (asks(form=schema()), TEXT_ONLY, lambda text: [text]),
    "prose before a form": (
        asks(form=schema()),
        TEXT_ONLY,
        lambda text: [f'Well, {text} {{"name":"x","age":3}}'],
    ),
    "a string in a form": (asks(form=schema()), TEXT_ONLY, lambda text: [f'{{"name":"{text}","age":3}}']),
}


class PacedUpstream(ScriptedUpstream):
    """Lets others run between its pieces, as the real ones do where an answer is large."""

    async def _play(self, steps: Sequence[Any], turn: Any, number: int) -> AsyncIterator[Events]:
        async for batch in super()._play(steps, turn, number):
            await asyncio.sleep(0)
            yield batch


async def read(turn: Any, answer: Answer, capabilities: Capabilities, piece: int) -> tuple[float, float]:
    """Seconds of CPU time that ``answer`` took, and its longest step of the loop in the loop's own thread.

    What runs in other threads gives way, as tests of the gateway show.
    """
    upstream = PacedUpstream([answer] * 4, lambda text: pieces_of(text, piece), capabilities=capabilities)
    settings = EmulationSettings(secret=b"secret", repair="best_effort")
    longest, run_step = 0.0, asyncio.Handle._run

    def timed(step: asyncio.Handle) -> None:
        nonlocal longest
        start = time.thread_time()
        run_step(step)
        longest = max(longest, time.thread_time() - start)

    begin = time.process_time()
    with mock.patch.object(asyncio.Handle, "_run", timed), contextlib.suppress(GatewayError):
        async with opened(EmulatedUpstream(upstream, TOKENS, settings), turn) as batches:
            async for _ in batches:
                pass
    return time.process_time() - begin, longest


def slow(way: Way) -> dict[str, tuple[float, float]]:
    """What took longer than it may, or stopped the loop for too long."""
    turn, capabilities, wrap = way
    TOKENS.warm()
    found = {}
    for unit in ALL:
        answer = wrap(repeated(unit, SIZE))
        least = inf, inf
        for _ in range(ATTEMPTS):
            took, stopped = asyncio.run(read(turn, answer, capabilities, PIECE))
            least = min(least[0], took), min(least[1], stopped)
            if least[0] <= SLOWEST and least[1] <= LONGEST_STOP:
                break
        else:
            found[unit] = least
    return found


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_anything_over_and_over_stops_nobody(way: Way) -> None:
    assert not slow(way)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_anything_in_small_pieces_is_read_once(way: Way) -> None:
    turn, capabilities, wrap = way
    TOKENS.warm()

    def seconds(unit: str, size: int) -> float:
        return asyncio.run(read(turn, wrap(repeated(unit, size)), capabilities, 7))[0]

    assert not [unit for unit in HELD if is_quadratic(partial(seconds, unit))]
