"""An upstream that can be listened to: what comes out of it before anything is emulated or mended."""

import time
from contextvars import ContextVar
from typing import Final

from msgspec import Struct, field

from ..core.events import Events
from ..core.result import Collector
from ..core.turn import Turn
from ..upstreams.base import Backend, Capabilities, Health, Sink


class Hearing(Struct):
    """One turn of an upstream. ``begun`` and ``ended`` are in nanoseconds of the monotonic clock.

    ``ended`` is 0 where the turn was not answered.
    """

    begun: int
    said: Collector = field(default_factory=Collector)
    ended: int = 0


# Where what upstreams say to the present task is kept, if anywhere.
HEARD: Final[ContextVar[list[Hearing] | None]] = ContextVar("HEARD", default=None)


class Overheard:
    """``upstream``, with all that it says kept as :data:`HEARD`."""

    def __init__(self, upstream: Backend) -> None:
        self._upstream = upstream

    @property
    def name(self) -> str:
        return self._upstream.name

    @property
    def capabilities(self) -> Capabilities:
        return self._upstream.capabilities

    async def health(self) -> Health:
        return await self._upstream.health()

    async def close(self) -> None:
        await self._upstream.close()

    async def answer(self, turn: Turn, sink: Sink) -> None:
        """See :class:`gptoss_api.upstreams.base.Upstream`."""
        hearing = Hearing(time.monotonic_ns())
        if (heard := HEARD.get()) is not None:
            heard.append(hearing)
        await self._upstream.answer(turn, _Ear(sink, hearing.said))
        hearing.ended = time.monotonic_ns()


class _Ear:
    def __init__(self, sink: Sink, said: Collector) -> None:
        self._sink = sink
        self._said = said
        self.flow = sink.flow

    def feed(self, events: Events) -> bool:
        """See :class:`gptoss_api.upstreams.base.Sink`."""
        self._said.feed(events)
        return self._sink.feed(events)
