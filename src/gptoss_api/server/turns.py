"""The endpoint of a dialect: request body in, one answer out, streamed or whole."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Generic, TypeVar

from msgspec import Struct, field

from ..access import Accounts, demand_of
from ..core.account import Meter, estimated_tokens
from ..core.catalog import find_model
from ..core.errors import GatewayError
from ..core.events import Events, Finished, UsageReported
from ..core.result import Collector
from ..core.turn import Turn
from ..dialects.base import Answer, DialectRequest, Headers, StreamRenderer
from ..loop import beside
from .body import read_body, weight_of
from .drain import Drain, shutting_down
from .exchange import ClientGone, ClientStream, Departure, Exchange
from .intake import Arriving, Intake
from .request import RequestRecord
from .series import OpenTurn, open_series

R = TypeVar("R", bound=DialectRequest)
P = TypeVar("P")


class Serving(Struct, frozen=True):
    """What every endpoint needs of the server. ``intake`` is shared by all of them.

    ``keep_alive`` is in seconds. ``upstream`` tells the name of the only upstream, "" where several may
    answer. ``accounts`` admit requests of keys with limits.
    """

    drain: Drain
    intake: Intake
    keep_alive: float
    upstream: Callable[[], str] = str
    accounts: Accounts = field(default_factory=lambda: Accounts(None))


class AnswerEndpoint(ABC, Generic[R]):
    """Answers requests of one kind with their turns' events.

    Failures before the first byte are raised to the edge, which shapes them; later ones become the
    dialect's own error event. A client that leaves cancels the turn, and with it the upstream.
    """

    def __init__(self, dialect: str, answer: Answer, open_turn: OpenTurn, serving: Serving) -> None:
        self._name = dialect
        self._stream_format = answer.stream
        self._limit_headers = answer.limit_headers
        self._open_turn = open_turn
        self._serving = serving

    @abstractmethod
    async def read(self, body: bytes, record: RequestRecord) -> R:
        """The request in ``body``."""

    def open(self, request: R) -> AbstractAsyncContextManager[AsyncIterator[Events]]:
        """The events that answer ``request``."""
        if len(request.turns) == 1:
            return self._open_turn(request.turns[0])
        return open_series(self._open_turn, request.turns)

    async def ended(self, request: R, record: RequestRecord, last: bytes) -> bytes:
        """Called when an answer is rendered to its end, with its ``last`` bytes; those that leave instead."""
        return last

    def last_words(self, renderer: StreamRenderer, held: bytes, error: GatewayError) -> bytes:
        """What ends a broken stream. ``held`` was rendered and not sent: it may say that all went well."""
        return renderer.fail(error)

    async def __call__(self, exchange: Exchange) -> None:
        record = exchange.record
        record.dialect = self._name
        drain = self._serving.drain
        try:
            with drain:
                with self._serving.intake.body(record.caller) as arriving:
                    request = await self._received(exchange, arriving)
                if record.key.limited:
                    await self._reserve(request, record)
                await self.serve(request, exchange)
        except asyncio.CancelledError:
            if drain.expired and not record.status:
                raise shutting_down() from None
            raise
        finally:
            record.over()

    async def _reserve(self, request: R, record: RequestRecord) -> None:
        """Admits a request of a key that has limits."""
        key, turns = record.key.record, request.turns
        assert key is not None
        prompt = estimated_tokens(record.size)
        window = find_model(turns[0].model).context_window
        record.reservation = await self._serving.accounts.reserve(
            key, demand_of(turns, prompt, window), Meter(prompt)
        )
        record.limit_headers = self._limit_headers(record.reservation.allowances)

    async def _received(self, exchange: Exchange, arriving: Arriving) -> R:
        body = await read_body(exchange, arriving)
        record = exchange.record
        record.size, record.weight = len(body), weight_of(body)
        request = await self.read(body, record)
        # The one place where turns get their owner, before anything can open them.
        request.turns = tuple([record.own(turn) for turn in request.turns])
        return request

    async def serve(self, request: R, exchange: Exchange) -> None:
        """Answers one request for as long as its client is there."""
        answer = self._stream if request.stream else self._whole
        with Departure(exchange) as departure:
            try:
                await answer(request, exchange)
            except asyncio.CancelledError:
                if departure.gone:
                    raise ClientGone from None
                raise

    async def _whole(self, request: R, exchange: Exchange) -> None:
        record = exchange.record
        collector = Collector()
        async with self.open(request) as batches:
            async for batch in batches:
                record.observe(batch)
                collector.feed(batch)
        body = await self.ended(request, record, request.render(collector))
        await record.settle()
        exchange.respond_json(200, body, record.answer_headers())

    async def _stream(self, request: R, exchange: Exchange) -> None:
        record = exchange.record
        renderer = request.renderer()
        stream = ClientStream(exchange, self._stream_format, self._serving.keep_alive)
        if upstream := self._serving.upstream():
            # A comment that breaks a long silence opens the stream before anything else is known.
            stream.headers = [(b"x-gptoss-upstream", upstream.encode("latin-1", "replace"))]
        stream.headers = [*stream.headers, *record.limit_headers]
        # The end of an answer is held back, to leave in one write together with the closing bytes.
        held = b""
        try:
            async with self.open(request) as batches:
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
            last = await self.ended(request, record, held + renderer.end())
            await record.settle()
            if record.not_stored and not stream.started:
                stream.headers = record.answer_headers()
            await stream.close(last)
        except asyncio.CancelledError:
            if not (self._serving.drain.expired and stream.started):
                raise
            broken: GatewayError = shutting_down()
        except GatewayError as error:
            broken = error
        except Exception:
            broken = record.bug()
        else:
            return
        finally:
            stream.stop()
        # Ends the stream with an error event, or is an ordinary response while that is possible.
        if not stream.started:
            raise broken
        record.fail(broken)
        await stream.close(await self.ended(request, record, self.last_words(renderer, held, broken)))


class TurnEndpoint(AnswerEndpoint[DialectRequest]):
    """Answers a dialect that needs nothing but the request itself."""

    def __init__(self, dialect: str, answer: Answer, open_turn: OpenTurn, serving: Serving) -> None:
        super().__init__(dialect, answer, open_turn, serving)
        self._parse = answer.parse

    async def read(self, body: bytes, record: RequestRecord) -> DialectRequest:
        return await parsed(self._parse, body, record)


async def parsed(parse: Callable[[bytes, Headers], P], body: bytes, record: RequestRecord) -> P:
    """What ``parse`` makes of a body that needs nothing but itself."""
    return await beside(record.weight, parse, body, record.headers)


class CountEndpoint:
    """Counts prompts: ``read`` reads their requests, ``render`` gives the bytes for a number."""

    def __init__(
        self,
        dialect: str,
        read: Callable[[bytes, RequestRecord], Awaitable[Turn]],
        render: Callable[[int], bytes],
        count: Callable[[Turn], Awaitable[int]],
        serving: Serving,
    ) -> None:
        self._name = dialect
        self._read = read
        self._render = render
        self._count = count
        self._serving = serving

    async def __call__(self, exchange: Exchange) -> None:
        record = exchange.record
        record.dialect = self._name
        with self._serving.drain:
            with self._serving.intake.body(record.caller) as arriving:
                body = await read_body(exchange, arriving)
                record.weight = weight_of(body)
                turn = await self._read(body, record)
            tokens = await self._count(record.own(turn))
        exchange.respond_json(200, self._render(tokens))
