"""Upstreams whose turns go as the test says."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager

from gptoss_api.core.errors import GatewayError
from gptoss_api.core.events import Events, Finished, Started, TextDelta
from gptoss_api.core.turn import Turn
from gptoss_api.upstreams.base import Capabilities, Health
from tests.pulled import GivesBatches

# Events of an answer, a failure that is raised, seconds that pass.
Step = str | GatewayError | float
ANSWER: tuple[Step, ...] = ("hello",)


class Played(GivesBatches):
    """Plays ``scripts`` in order, one for each turn; the last is repeated."""

    def __init__(self, name: str, *scripts: Sequence[Step], ready: bool = True) -> None:
        self.name = name
        self.capabilities = Capabilities(history=True)
        self.scripts = list(scripts) or [ANSWER]
        self.turns: list[Turn] = []
        self.running = 0
        self.closed = False
        self._ready = ready

    @asynccontextmanager
    async def open(self, turn: Turn) -> AsyncIterator[AsyncIterator[Events]]:
        self.turns.append(turn)
        self.running += 1
        try:
            async with aclosing(self._answer(turn)) as batches:
                yield batches
        finally:
            self.running -= 1

    async def _answer(self, turn: Turn) -> AsyncGenerator[Events, None]:
        script = self.scripts[min(len(self.turns), len(self.scripts)) - 1]
        begun = False
        for step in script:
            match step:
                case str(text):
                    head = [] if begun else [Started(upstream=self.name, model=turn.model)]
                    begun = True
                    yield [*head, TextDelta(text)]
                case GatewayError():
                    raise step
                case seconds:
                    await asyncio.sleep(seconds)
        yield [Finished("stop")]

    async def health(self) -> Health:
        return Health(self._ready, "fine" if self._ready else "broken")

    async def close(self) -> None:
        self.closed = True
