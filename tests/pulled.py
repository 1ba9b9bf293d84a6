"""Answers taken batch by batch at the pace of a test, and upstreams that give them so."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

from gptoss_api.core.events import Events
from gptoss_api.core.turn import Turn
from gptoss_api.loop import Flow
from gptoss_api.upstreams.base import Sink


class Answers(Protocol):
    async def answer(self, turn: Turn, sink: Sink) -> None: ...


class Pulling:
    """A sink that takes one batch and no more until that is fetched."""

    def __init__(self) -> None:
        self.flow = Flow()
        self.batches: deque[Events] = deque()
        self.arrived = asyncio.Event()

    def feed(self, events: Events) -> bool:
        assert events, "an empty batch"
        self.batches.append(events)
        self.flow.hold()
        self.arrived.set()
        return True


@asynccontextmanager
async def pulled(answer: Callable[[Sink], Awaitable[None]]) -> AsyncIterator[AsyncIterator[Events]]:
    """What ``answer`` feeds, as an iterator; leaving the block cancels it."""
    sink = Pulling()

    async def work() -> None:
        try:
            await answer(sink)
        finally:
            sink.arrived.set()

    task = asyncio.create_task(work())

    async def batches() -> AsyncIterator[Events]:
        while True:
            while sink.batches:
                yield sink.batches.popleft()
                sink.flow.release()
            if task.done():
                await task
                return
            sink.arrived.clear()
            await sink.arrived.wait()

    try:
        yield batches()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def opened(upstream: Answers, turn: Turn) -> AbstractAsyncContextManager[AsyncIterator[Events]]:
    """The answer of ``upstream`` to ``turn``."""
    return pulled(lambda sink: upstream.answer(turn, sink))


class GivesBatches:
    """An upstream that is written as a context manager of batches."""

    def open(self, turn: Turn) -> AbstractAsyncContextManager[AsyncIterator[Events]]:
        raise NotImplementedError

    async def answer(self, turn: Turn, sink: Sink) -> None:
        async with self.open(turn) as batches:
            async for batch in batches:
                await sink.flow.free()
                if not sink.feed(batch):
                    return
