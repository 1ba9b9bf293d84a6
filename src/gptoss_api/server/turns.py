"""The endpoint of a dialect: request body in, one answer out, streamed or whole."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

from msgspec.structs import replace
from starlette.types import Receive, Scope, Send

from ..core.errors import GatewayError
from ..core.events import Events, Finished, UsageReported
from ..core.result import Collector
from ..core.turn import Turn
from ..dialects.base import Dialect, DialectRequest, StreamRenderer
from .body import ClientGone, read_body
from .drain import Drain, shutting_down
from .exchange import Departure, EventStream, send_json
from .request import RequestRecord

OpenTurn = Callable[[Turn], AbstractAsyncContextManager[AsyncIterator[Events]]]


class TurnEndpoint:
    """An ASGI application that answers one dialect's requests.

    Failures before the first byte are raised to the edge, which shapes them; later ones become the
    dialect's own error event. A client that leaves cancels the turn, and with it the upstream.
    """

    def __init__(
        self, dialect: Dialect, open_turn: OpenTurn, drain: Drain, *, max_body: int, keep_alive: float
    ) -> None:
        self._dialect = dialect
        self._open_turn = open_turn
        self._drain = drain
        self._max_body = max_body
        self._keep_alive = keep_alive

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        record: RequestRecord = scope["gptoss"]
        record.dialect = self._dialect.name
        try:
            with self._drain:
                await self._answer(record, receive, send)
        except asyncio.CancelledError:
            if self._drain.expired and not record.status:
                raise shutting_down() from None
            raise

    async def _answer(self, record: RequestRecord, receive: Receive, send: Send) -> None:
        body = await read_body(receive, record.headers, self._max_body)
        request = self._dialect.parse(body, record.headers)
        turn = replace(
            request.turn,
            caller=record.caller,
            request_id=record.id,
            new_thread=record.headers.get("x-gptoss-thread", "").strip().lower() == "new",
        )
        answer = self._stream if request.stream else self._whole
        with Departure(receive) as departure:
            try:
                await answer(request, turn, record, send)
            except asyncio.CancelledError:
                if departure.gone:
                    raise ClientGone from None
                raise

    async def _whole(self, request: DialectRequest, turn: Turn, record: RequestRecord, send: Send) -> None:
        collector = Collector()
        async with self._open_turn(turn) as batches:
            async for batch in batches:
                record.observe(batch)
                collector.feed(batch)
        await send_json(send, 200, request.render(collector), record.answer_headers())

    async def _stream(self, request: DialectRequest, turn: Turn, record: RequestRecord, send: Send) -> None:
        renderer = request.renderer()
        stream = EventStream(send, self._keep_alive)
        # The end of an answer is held back, to leave in one write together with the closing bytes.
        held = b""
        try:
            async with self._open_turn(turn) as batches:
                async for batch in batches:
                    record.observe(batch)
                    if not stream.started:
                        stream.headers = record.answer_headers()
                    data = held + renderer.feed(batch) if held else renderer.feed(batch)
                    if batch and type(batch[-1]) in (Finished, UsageReported):
                        held = data
                    else:
                        held = b""
                        await stream.write(data)
            await stream.close(held + renderer.end())
        except GatewayError as error:
            await _break_off(stream, renderer, record, error)
        except asyncio.CancelledError:
            if not (self._drain.expired and stream.started):
                raise
            await _break_off(stream, renderer, record, shutting_down())
        except Exception:
            await _break_off(stream, renderer, record, record.bug())
        finally:
            stream.stop()


async def _break_off(
    stream: EventStream, renderer: StreamRenderer, record: RequestRecord, error: GatewayError
) -> None:
    """Ends a stream with an error event, or raises the error while an ordinary response is possible."""
    if not stream.started:
        raise error from None
    record.fail(error)
    await stream.close(renderer.fail(error))
