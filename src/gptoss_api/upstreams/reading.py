"""One answer of an upstream in any protocol, read into batches of events with the clocks of its turn."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from ..core.errors import GatewayError, UpstreamIncomplete, UpstreamTimeout
from ..core.events import Event
from ..loop import Deadline, in_thread
from ..text.sse import SseDecoder
from .base import Sink
from .clock import TurnClock
from .http import HttpResponse
from .pacing import LARGE, feed_paced

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


class Recipient(Sink, Protocol):
    """Takes an answer from its reader."""

    def ended(self, reader: "AnswerReader") -> None:
        """The upstream has said all; the last batch is still to be fed."""
        ...


class AnswerReader(Protocol):
    """Reads one answer.

    ``over`` says that it is complete, ``cut_short`` that what the upstream may still say is not waited for.
    """

    over: bool
    cut_short: bool

    async def read(self, recipient: Recipient) -> None:
        """Feeds the answer as it comes; the last batch ends with ``Finished``.

        Returns after that, or once no more is wanted. Raises what the answer broke off with.
        """
        ...

    def out_of_time(self) -> None:
        """The time of the turn is over: called once, right before its connection is given up."""
        ...

    async def settle(self) -> None:
        """Lets the formal end of the body come in, so that its connection can be used again."""
        ...


class StreamReader:
    """Reads an event stream: each read of the network is fed in the moment in which it comes.

    ``idle_timeout`` is the one the request was made with. What arrived before a failure is given out before
    the failure is raised, also where both came in one read: whether the turn may be asked again must not
    depend on how the network cut the stream.
    """

    def __init__(
        self, response: HttpResponse, wire: Wire, clock: TurnClock, idle_timeout: float | None
    ) -> None:
        self.over = False
        self.cut_short = False
        self._response = response
        self._source = response.source
        self._wire = wire
        self._clock = clock
        self._decoder = SseDecoder()
        self._failure: GatewayError | None = None
        self._delivered = False
        # Whether what comes is told here.
        self._watches = False
        # Whether the time of the turn is over, and whether the upstream had sent more by then than was taken.
        self._late = False
        self._ahead = False
        self._patience: float | None = None
        self._carried = 0
        self._patient_until: float | None = None
        self._timer: Deadline | None = None
        # Set while ``read`` runs; what works on a large read beside the event loop.
        self._recipient: Recipient | None = None
        self._end: asyncio.Future[None]
        self._work: asyncio.Task[None] | None = None

    async def read(self, recipient: Recipient) -> None:
        """See :class:`AnswerReader`."""
        self._end = asyncio.get_running_loop().create_future()
        self._recipient = recipient
        recipient.flow.go_on = self._go_on
        try:
            self._go_on()
            await self._end
        finally:
            self._look_away()
            self._recipient = None
            recipient.flow.go_on = None
            if self._timer is not None:
                self._timer.drop()
                # It leads back here.
                self._timer = None
            if self._work is not None:
                self._work.cancel()

    def out_of_time(self) -> None:
        """See :class:`AnswerReader`. A client that is slow is told so when it goes on."""
        self._late = True
        self._ahead = self._delivered and self._source.ready
        recipient = self._recipient
        waits = recipient is not None and not recipient.flow.held and self._work is None
        if waits and self._patient_until is None:
            self._stop(self._clock.timeout())
        elif waits:
            self._lose_patience()

    async def settle(self) -> None:
        """See :class:`AnswerReader`."""
        if self._wire.done:
            await self._response.finish(AFTER_DONE)

    def _go_on(self) -> None:
        """Feeds what is there; whatever comes after it calls this again."""
        recipient, source, wire = self._recipient, self._source, self._wire
        try:
            while recipient is not None and not (recipient.flow.held or self._end.done() or self._work):
                if self._failure is not None:
                    self._stop(self._failure)
                    return
                if self._late and not wire.answered:
                    self._clock.check(ahead=self._ahead)
                try:
                    chunk = source.take()
                except UpstreamIncomplete:
                    # A connection that breaks after the answer takes nothing away from it.
                    if not wire.answered:
                        raise
                    chunk = b""
                except UpstreamTimeout:
                    # Nor does silence, where only what may follow the answer is waited for.
                    if wire.patience is None:
                        raise
                    chunk = b""
                if chunk is None or (self._take(recipient, chunk) and not source.done):
                    # All that has come was taken.
                    if not self._watches:
                        self._watches = True
                        source.watch(self._go_on)
                    patience = wire.patience
                    if patience is not None or self._patience is not None:
                        self._be_patient(patience)
                    return
        except Exception as error:
            self._stop(error)
        self._look_away()

    def _be_patient(self, patience: float | None) -> None:
        """Waits for more only as long as that is worth it."""
        carried = self._wire.carried
        if patience != self._patience or carried != self._carried:
            # From now on, not from the read: meanwhile the client may have been slow.
            self._patience, self._carried = patience, carried
            self._patient_until = None if patience is None else self._clock.now() + patience
            if self._timer is None:
                self._timer = Deadline(asyncio.get_running_loop(), self._lose_patience)
            if self._patient_until is None:
                self._timer.drop()
            else:
                self._timer.set(self._patient_until)
        until = self._patient_until
        if until is not None and (self._late or self._clock.now() >= until):
            self._lose_patience()

    def _look_away(self) -> None:
        """What comes is for later, or for others."""
        if self._watches:
            self._watches = False
            self._source.watch(None)

    def _lose_patience(self) -> None:
        recipient = self._recipient
        if recipient is None or recipient.flow.held or self._end.done() or self._work is not None:
            return
        self.cut_short = True
        try:
            self._take(recipient, b"")
        except Exception as error:
            self._stop(error)
        self._go_on()

    def _take(self, recipient: Recipient, chunk: bytes) -> bool:
        """Feeds what ``chunk`` says; says whether more can be taken at once."""
        wire = self._wire
        events: list[Event] = []
        if chunk and (payloads := self._decoder.feed(chunk)):
            # Only the first event of a read may be longer than it.
            if len(chunk) > LARGE or len(payloads[0]) > LARGE:
                work = self._take_large(recipient, chunk, payloads)
                self._work = asyncio.get_running_loop().create_task(work)
                return False
            events = wire.feed(payloads)
        if not chunk or wire.failure is not None or wire.done or self._source.done:
            events = self._read(recipient, chunk, events)
        elif events:
            self._delivered = True
        if (events and not recipient.feed(events)) or self.over:
            self._stop(None)
            return False
        return self._failure is None and not recipient.flow.held

    async def _take_large(self, recipient: Recipient, chunk: bytes, payloads: Sequence[bytes]) -> None:
        try:
            events = await read_beside(self._wire.feed, payloads)
            wanted = await feed_paced(recipient, self._read(recipient, chunk, events))
            if self.over or not wanted:
                self._stop(None)
        except Exception as error:
            self._stop(error)
        self._work = None
        self._go_on()

    def _read(self, recipient: Recipient, chunk: bytes, events: list[Event]) -> list[Event]:
        """``events`` of a read, with those of the end if that has come."""
        self._failure = self._wire.failure
        if not chunk or self._wire.done or (self._failure is None and self._source.ended):
            if rest := self._decoder.finish():
                events += self._wire.feed_rest(rest)
            try:
                events += self._wire.finish()
                self.over = True
            except GatewayError as failure:
                self._failure = failure
            if events:
                recipient.ended(self)
        if events:
            self._delivered = True
        return events

    def _stop(self, failure: Exception | None) -> None:
        if self._end.done():
            return
        # From now on others may wait for the response.
        self._look_away()
        if failure is None:
            self._end.set_result(None)
        else:
            self._end.set_exception(failure)


class WholeWire(Wire, Protocol):
    """A wire for servers that may answer with one body instead of a stream."""

    def feed_body(self, body: bytes) -> list[Event]: ...


class BodyReader:
    """Reads an answer that comes as one body."""

    cut_short = False

    def __init__(self, response: HttpResponse, wire: WholeWire, clock: TurnClock) -> None:
        self.over = False
        self._late = False
        self._response = response
        self._wire = wire
        self._clock = clock

    async def read(self, recipient: Recipient) -> None:
        """See :class:`AnswerReader`."""
        try:
            body = await self._response.read_all(BODY_SIZE)
        except UpstreamIncomplete:
            if self._late:
                raise self._clock.timeout() from None
            raise
        large = len(body) > LARGE
        read = self._wire.feed_body
        events = await in_thread(len(body), read, body) if large else read(body)
        events += self._wire.finish()
        self.over = True
        recipient.ended(self)
        if large:
            await feed_paced(recipient, events)
            return
        if recipient.flow.held:
            await recipient.flow.free()
        recipient.feed(events)

    def out_of_time(self) -> None:
        """See :class:`AnswerReader`; the connection is given up then."""
        self._late = True

    async def settle(self) -> None:
        """Its end is the end of the body."""


async def read_beside(
    read: Callable[[Sequence[bytes]], list[Event]], payloads: Sequence[bytes]
) -> list[Event]:
    """What ``read`` makes of a large read, beside the event loop if its events are long."""
    size = sum(map(len, payloads))
    if size < LARGE or size < _LONG * len(payloads):
        return read(payloads)
    return await in_thread(size, read, payloads)
