"""One answer of an upstream in any protocol, read into batches of events with the clocks of its turn."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from ..core.errors import GatewayError, UpstreamIncomplete
from ..core.events import Event
from ..loop import in_thread
from ..text.sse import SseDecoder
from .clock import TurnClock
from .http import HttpResponse
from .pacing import LARGE

# Seconds in which the formal end of a body follows the event that says that nothing more comes.
AFTER_DONE: Final = 0.05
# Of an answer that is not streamed, in bytes.
BODY_SIZE: Final = 32 * 1024 * 1024
# Bytes. Shorter events hold little text; a read full of them is no heavy work.
_LONG: Final = 2 * 1024


class Wire(Protocol):
    """Reads the payloads of one answer's events in one protocol, without I/O.

    ``failure`` is set when the upstream reported one; what ``feed`` returned up to then came before it, and
    nothing comes after. ``answered`` says that the answer is whole, though more of it may come; ``done`` that
    nothing further will matter. ``patience`` is how many seconds the rest is worth waiting for (``None``: as
    long as it takes), counted from when it or ``carried`` changed last.
    """

    failure: GatewayError | None

    @property
    def answered(self) -> bool: ...

    @property
    def done(self) -> bool: ...

    @property
    def patience(self) -> float | None: ...

    @property
    def carried(self) -> int: ...

    def feed(self, payloads: Sequence[bytes]) -> list[Event]: ...

    def feed_rest(self, payloads: Sequence[bytes]) -> list[Event]:
        """What the end of the stream left of its last event: nothing is missing if only that is cut off."""
        ...

    def finish(self) -> list[Event]:
        """The end of the answer; raises a :class:`GatewayError` if that is none."""
        ...


class AnswerReader(Protocol):
    """Reads one answer: ``next_batch`` until ``over``.

    ``ended`` says that the upstream has said all, ``cut_short`` that what it may still say is not waited for,
    ``large`` that the last batch is better given out in pieces.
    """

    over: bool
    ended: bool
    cut_short: bool
    large: bool

    async def next_batch(self) -> Sequence[Event]:
        """The events of the next read that holds any; the last batch ends with ``Finished``."""
        ...

    async def settle(self) -> None:
        """Lets the formal end of the body come in, so that its connection can be used again."""
        ...


class StreamReader:
    """Reads an event stream.

    ``idle_timeout`` is the one the request was made with. What arrived before a failure is given out before
    the failure is raised, also where both came in one read: whether the turn may be asked again must not
    depend on how the network cut the stream.
    """

    def __init__(
        self, response: HttpResponse, wire: Wire, clock: TurnClock, idle_timeout: float | None
    ) -> None:
        self.over = False
        self.ended = False
        self.cut_short = False
        self.large = False
        self._response = response
        self._wire = wire
        self._clock = clock
        self._decoder = SseDecoder()
        self._failure: GatewayError | None = None
        self._delivered = False
        self._patience: float | None = None
        self._carried = 0
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
        wire = self._wire
        while self._failure is None:
            chunk = await self._read()
            payloads = self._decoder.feed(chunk)
            self.large = is_large(chunk, payloads)
            events = await read_beside(wire.feed, payloads) if self.large else wire.feed(payloads)
            self._failure = wire.failure
            if not chunk or wire.done:
                self._end(events)
            if events:
                self._delivered = True
                return events
        raise self._failure

    async def settle(self) -> None:
        if self._wire.done:
            await self._response.finish(AFTER_DONE)

    def _end(self, events: list[Event]) -> None:
        """Adds the last events, or notes the failure if the answer has no proper end."""
        self.ended = True
        events += self._wire.feed_rest(self._decoder.finish())
        try:
            events += self._wire.finish()
            self.over = True
        except GatewayError as failure:
            self._failure = failure

    async def _read(self) -> bytes:
        """The next bytes; none at the end or when nothing more is worth waiting for."""
        limit = self._limit()
        response = self._response
        try:
            if limit is None or response.ready:
                return await response.read_chunk()
            async with asyncio.timeout_at(limit):
                return await response.read_chunk()
        except TimeoutError:
            if self._patient_until is None:
                raise self._clock.timeout() from None
            self.cut_short = True
            return b""
        except UpstreamIncomplete:
            # A connection that breaks after the answer takes nothing away from it.
            if self._wire.answered:
                return b""
            raise

    def _limit(self) -> float | None:
        """Until when to wait for the next bytes; ``None`` leaves it to the idle clock.

        Raises what the turn fails with if its time is over and its answer is not whole.
        """
        wire = self._wire
        patience = wire.patience
        if patience != self._patience or wire.carried != self._carried:
            # From now on, not from the read: meanwhile the client may have been slow.
            self._patience, self._carried = patience, wire.carried
            self._patient_until = None if patience is None else self._clock.now() + patience
        deadline = self._clock.deadline
        near = self._near_deadline
        if deadline is None or near is None or self._clock.now() < near:
            return self._patient_until
        if not wire.answered:
            self._clock.check(ahead=self._delivered and self._response.ready)
        return deadline if self._patient_until is None else min(deadline, self._patient_until)


class WholeWire(Wire, Protocol):
    """A wire for servers that may answer with one body instead of a stream."""

    def feed_body(self, body: bytes) -> list[Event]: ...


class BodyReader:
    """Reads an answer that comes as one body."""

    cut_short = False
    large = True

    def __init__(self, response: HttpResponse, wire: WholeWire, clock: TurnClock) -> None:
        self.over = False
        self.ended = False
        self._response = response
        self._wire = wire
        self._clock = clock

    async def next_batch(self) -> Sequence[Event]:
        body = await self._body()
        events = await read_beside(lambda bodies: self._wire.feed_body(*bodies), [body])
        events += self._wire.finish()
        self.over = self.ended = True
        return events

    async def settle(self) -> None:
        """Its end is the end of the body."""

    async def _body(self) -> bytes:
        try:
            async with asyncio.timeout_at(self._clock.deadline):
                return await self._response.read_all(BODY_SIZE)
        except TimeoutError:
            raise self._clock.timeout() from None


def is_large(chunk: bytes, payloads: Sequence[bytes]) -> bool:
    """Whether a read is too large for one batch. Only the first event of a read may be longer than it."""
    return len(chunk) > LARGE or (len(payloads) > 0 and len(payloads[0]) > LARGE)


async def read_beside(
    read: Callable[[Sequence[bytes]], list[Event]], payloads: Sequence[bytes]
) -> list[Event]:
    """What ``read`` makes of a large read, beside the event loop if its events are long."""
    size = sum(map(len, payloads))
    if size < LARGE or size < _LONG * len(payloads):
        return read(payloads)
    return await in_thread(size, read, payloads)
