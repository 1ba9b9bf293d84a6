"""One answer of a server, read into batches of events, with the clocks of a turn."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Final

from ...core.errors import GatewayError, UpstreamIncomplete
from ...core.events import Event, Events
from ...text.sse import SseDecoder
from ..clock import TurnClock
from ..http import HttpResponse
from ..pacing import is_large, paced, read_beside
from .wire import ChatWire

# Seconds. After the last chunk that says something or ends the answer, usage may follow, or more of the
# answer where a proxy ends every chunk; comments and empty chunks buy no time. The formal end of the body
# follows [DONE] at once.
AFTER_ANSWER: Final = 5.0
AFTER_DONE: Final = 0.05
# Of an answer that is not streamed, in bytes.
BODY_SIZE: Final = 32 * 1024 * 1024


async def read_answer(
    response: HttpResponse, wire: ChatWire, clock: TurnClock, over: Callable[[], None]
) -> AsyncGenerator[Events, None]:
    """The events of ``response``, a batch for each read.

    ``over`` is called before the last batch is given out, unless the turn may be asked again. What arrived
    before a failure is given out before the failure is raised, also where both came in one read: whether the
    turn may be asked again must not depend on how the network cut the stream.
    """
    if "json" in (response.headers.get("content-type") or "").lower():
        body = await _whole_body(response, clock)
        events = await read_beside(lambda bodies: wire.feed_body(*bodies), [body])
        events += wire.finish()
        over()
        async for batch in paced(events):
            yield batch
        return
    decoder = SseDecoder()
    ended = delivered = False
    failure: GatewayError | None
    carried, last_moment = 0, None
    while not ended:
        if not wire.ended:
            clock.check(ahead=delivered and response.ready)
        elif wire.carried != carried:
            # From now on, not from the read: meanwhile the client may have been slow.
            carried, last_moment = wire.carried, clock.now() + AFTER_ANSWER
        try:
            chunk = await _chunk(response, clock, last_moment)
        except UpstreamIncomplete:
            # A connection that breaks after the answer takes nothing away from it.
            if not wire.ended:
                raise
            chunk = b""
        payloads = decoder.feed(chunk)
        large = is_large(chunk, payloads)
        events = await read_beside(wire.feed, payloads) if large else wire.feed(payloads)
        failure = wire.failure
        if not chunk or wire.done:
            ended = True
            last, failure = _ended(wire, decoder)
            events += last
            if failure is None or events:
                over()
        if events:
            delivered = True
            if large:
                async for batch in paced(events):
                    yield batch
            else:
                yield events
        if failure is not None:
            raise failure
    if wire.done:
        await response.finish(AFTER_DONE)


def _ended(wire: ChatWire, decoder: SseDecoder) -> tuple[list[Event], GatewayError | None]:
    """The last events, and the failure if the answer has no proper end."""
    events = wire.feed_rest(decoder.finish())
    try:
        return [*events, *wire.finish()], None
    except GatewayError as failure:
        return events, failure


async def _chunk(response: HttpResponse, clock: TurnClock, last_moment: float | None) -> bytes:
    """The next bytes; none at the end, or when ``last_moment`` is over and nothing has arrived by then."""
    limit = clock.deadline
    if last_moment is not None and (limit is None or last_moment < limit):
        if last_moment <= clock.now() and not response.ready:
            return b""
        limit = last_moment
    if limit is None:
        return await response.read_chunk()
    try:
        async with asyncio.timeout_at(limit):
            return await response.read_chunk()
    except TimeoutError:
        if last_moment is not None:
            return b""
        raise clock.timeout() from None


async def _whole_body(response: HttpResponse, clock: TurnClock) -> bytes:
    try:
        async with asyncio.timeout_at(clock.deadline):
            return await response.read_all(BODY_SIZE)
    except TimeoutError:
        raise clock.timeout() from None
