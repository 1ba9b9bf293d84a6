"""One event stream of gpt-oss.com, read into batches of events, with the clocks of a turn."""

import asyncio
from collections.abc import Sequence

from ...core.errors import GatewayError, UpstreamIncomplete
from ...core.events import Event, TextDelta
from ...text.sse import SseDecoder
from ..clock import TurnClock
from ..http import HttpResponse
from ..pacing import is_large
from .wire import ChatKitWire


class AnswerStream:
    """Reads ``response``: call ``next_batch`` until ``over``; ``large`` tells that the last one was.

    ``idle_timeout`` is the one the request was made with. What arrived before a failure is given out
    before the failure is raised, unless no text is among it and nothing was given out yet: then the turn
    can still be tried again.
    """

    def __init__(
        self, response: HttpResponse, wire: ChatKitWire, clock: TurnClock, idle_timeout: float | None
    ) -> None:
        self.over = False
        self.cut_short = False
        self.large = False
        self._response = response
        self._wire = wire
        self._clock = clock
        self._decoder = SseDecoder()
        self._failure: GatewayError | None = None
        self._delivered = False
        self._patience: float | None = None
        self._patient_until: float | None = None
        # Before this moment the idle clock alone ends a silence in time.
        self._near_deadline = (
            None
            if clock.deadline is None
            else clock.deadline - idle_timeout
            if idle_timeout is not None
            else clock.now()
        )

    async def next_batch(self) -> Sequence[Event]:
        """The events of the next read that holds any; the last batch ends with ``Finished``."""
        if self._failure is not None:
            raise self._failure
        wire = self._wire
        while True:
            chunk = await self._read()
            if chunk:
                payloads = self._decoder.feed(chunk)
                self.large = is_large(chunk, payloads)
                events = wire.feed(payloads)
                failure = wire.failure
            else:
                events, failure = self._finish()
            if failure is not None:
                if not events or not (self._delivered or any(isinstance(each, TextDelta) for each in events)):
                    raise failure
                self._failure = failure
            if events:
                self._delivered = True
                return events

    def _finish(self) -> tuple[list[Event], GatewayError | None]:
        events = self._wire.feed_rest(self._decoder.finish())
        try:
            events += self._wire.finish()
        except GatewayError as failure:
            return events, failure
        self.over = True
        return events, None

    async def _read(self) -> bytes:
        """The next bytes; none at the end or when nothing more is worth waiting for."""
        limit = self._limit()
        try:
            if not self._wire.answered:
                self._clock.check(ahead=self._delivered and self._response.ready)
            if limit is None or self._response.ready:
                return await self._response.read_chunk()
            async with asyncio.timeout_at(limit):
                return await self._response.read_chunk()
        except TimeoutError:
            if limit == self._patient_until:
                self.cut_short = True
                return b""
            raise self._clock.timeout() from None
        except UpstreamIncomplete:
            # A connection that breaks after the answer takes nothing away from it.
            if self._wire.answered:
                return b""
            raise

    def _limit(self) -> float | None:
        """Until when to wait for the next bytes; ``None`` leaves it to the idle clock."""
        patience = self._wire.patience
        if patience != self._patience:
            self._patience = patience
            self._patient_until = None if patience is None else self._clock.now() + patience
        deadline = self._clock.deadline
        near = self._near_deadline
        if deadline is None or near is None or self._clock.now() < near:
            return self._patient_until
        return deadline if self._patient_until is None else min(deadline, self._patient_until)
