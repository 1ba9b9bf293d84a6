"""The endpoint of a dialect: request body in, one answer out, streamed or whole."""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

from msgspec import Struct, field

from ..access import Accounts, demand_of
from ..core.account import UPSTREAM_TIME, estimated_tokens
from ..core.catalog import find_model
from ..core.errors import GatewayError
from ..core.events import Events, Finished, UsageReported
from ..core.result import Collector
from ..core.turn import Turn
from ..dialects.base import Answer, DialectRequest, Headers, ModelProbe, PreparedAnswer, StreamRenderer
from ..loop import LIGHT, Flow, beside
from ..upstreams.base import Sink
from .body import body_at_hand, read_body, weight_of
from .drain import Drain, shutting_down
from .exchange import ClientGone, ClientStream, Exchange
from .intake import Intake
from .request import RequestRecord, header_lines
from .series import AnswerTurn, Series

R = TypeVar("R", bound=DialectRequest)

# Tokens that every prompt has beside what the request says.
_AROUND: Final = 100
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

    def __init__(self, dialect: str, answer: Answer, answer_turn: AnswerTurn, serving: Serving) -> None:
        self._name = dialect
        self._stream_format = answer.stream
        self._limit_headers = answer.limit_headers
        self._answer_turn = answer_turn
        self._serving = serving

    @abstractmethod
    async def read(self, body: bytes, record: RequestRecord) -> R:
        """The request in ``body``."""

    def read_light(self, body: bytes, record: RequestRecord) -> R | None:
        """The same, at once, where ``body`` is light and all that is needed; ``None`` where it is not."""
        return None

    def answer(self, request: R, sink: Sink) -> Awaitable[None]:
        """Feeds the events that answer ``request``."""
        if len(request.turns) == 1:
            return self._answer_turn(request.turns[0], sink)
        if isinstance(request, PreparedAnswer):
            return _prepared(request, sink)
        return Series(self._answer_turn, request.turns, sink).answer()

    async def ended(self, request: R, record: RequestRecord, last: bytes) -> bytes:
        """Called when an answer is rendered to its end, with its ``last`` bytes; those that leave instead."""
        return last

    def last_words(self, renderer: StreamRenderer, held: bytes, error: GatewayError) -> bytes:
        """What ends a broken stream. ``held`` was rendered and not sent: it may say that all went well."""
        return renderer.fail(error)

    async def __call__(self, exchange: Exchange) -> None:
        record = exchange.record
        record.dialect = self._name
        UPSTREAM_TIME.set(record.upstream_time)
        serving, task = self._serving, exchange.task
        drain, intake = serving.drain, serving.intake
        drain.running.add(task)
        try:
            body = body_at_hand(exchange, intake.largest)
            if body is not None:
                record.size, record.weight = len(body), weight_of(body)
                request = self.read_light(body, record)
                if request is None:
                    request = await self.read(body, record)
            else:
                with intake.body(record.caller) as arriving:
                    body = await read_body(exchange, arriving)
                    record.size, record.weight = len(body), weight_of(body)
                    request = await self.read(body, record)
            turns = request.turns
            record.meter.prompt_tokens = estimated_tokens(record.size) + _AROUND * len(turns)
            if isinstance(request, ModelProbe):
                record.key.check_model(request.model)
            # The one place where turns get their owner, before anything can open them.
            request.turns = tuple(map(record.own, turns))
            # What asks no model, such as Ollama's look for one, costs nothing.
            if record.key.limited and turns:
                await self._reserve(request, record)
            await self.serve(request, exchange)
        except asyncio.CancelledError:
            if exchange.stopped:
                raise ClientGone from None
            if drain.expired and not record.status:
                raise shutting_down() from None
            raise
        finally:
            exchange.watched = False
            drain.running.discard(task)
            if record.reservation is not None:
                record.reservation.leave()

    async def _reserve(self, request: R, record: RequestRecord) -> None:
        """Admits a request of a key that has limits."""
        key, turns, meter = record.key.record, request.turns, record.meter
        assert key is not None
        window = find_model(turns[0].model).context_window
        record.reservation = await self._serving.accounts.reserve(
            key, demand_of(turns, meter.prompt_tokens, window), meter
        )
        record.limit_headers = self._limit_headers(record.reservation.allowances)

    def serve(self, request: R, exchange: Exchange) -> Awaitable[None]:
        """Answers one request for as long as its client is there."""
        exchange.watch()
        return (self._stream if request.stream else self._give_whole)(request, exchange)

    async def _give_whole(self, request: R, exchange: Exchange) -> None:
        record = exchange.record
        collected = _Collected(record)
        try:
            await self.answer(request, collected)
        finally:
            record.meter.take(collected.collector)
        body = await self.ended(request, record, request.render(collected.collector))
        if record.reservation is not None:
            await record.reservation.settle()
        exchange.give(body, record.answer_lines())

    async def _stream(self, request: R, exchange: Exchange) -> None:
        record = exchange.record
        stream = ClientStream(exchange, self._stream_format, self._serving.keep_alive, self._early_lines)
        rendered = _Rendered(request.renderer(), stream, record)
        renderer = rendered.renderer
        exchange.limit(rendered.flow)
        try:
            await self.answer(request, rendered)
            last = await self.ended(request, record, rendered.held + renderer.end())
            if record.reservation is not None:
                await record.reservation.settle()
            if record.not_stored and not stream.started:
                stream.lines = record.answer_lines()
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
        last = self.last_words(renderer, rendered.held, broken)
        await stream.close(await self.ended(request, record, last))

    def _early_lines(self, record: RequestRecord) -> bytes:
        """What can be told before an upstream answers, by a comment that breaks a long silence."""
        if upstream := self._serving.upstream():
            told = (b"x-gptoss-upstream", upstream.encode("latin-1", "replace"))
            return header_lines([told, *record.limit_headers])
        return header_lines(record.limit_headers)


async def _prepared(request: PreparedAnswer, sink: Sink) -> None:
    sink.feed(request.events)


class _Collected:
    """Takes an answer for a client that wants it whole."""

    def __init__(self, record: RequestRecord) -> None:
        self.collector = Collector()
        self.flow = Flow()
        self._record = record

    def feed(self, events: Events) -> bool:
        meter = self._record.meter
        if meter.first is None:
            meter.first = time.perf_counter()
        self.collector.feed(events)
        return True


class _Rendered:
    """Writes an answer to a client as it comes, one write for each batch.

    The end of an answer is ``held`` back, to leave in one write together with the closing bytes.
    """

    def __init__(self, renderer: StreamRenderer, stream: ClientStream, record: RequestRecord) -> None:
        self.renderer = renderer
        self.held = b""
        self.flow = Flow()
        self._stream = stream
        self._record = record

    def feed(self, events: Events) -> bool:
        record, stream = self._record, self._stream
        record.meter.observe(events)
        if not stream.started:
            stream.lines = record.answer_lines()
        data = self.renderer.feed(events)
        if self.held:
            data = self.held + data
        if type(events[-1]) in (Finished, UsageReported):
            self.held = data
        else:
            self.held = b""
            if data:
                stream.feed(data)
        return True


class TurnEndpoint(AnswerEndpoint[DialectRequest]):
    """Answers a dialect that needs nothing but the request itself."""

    def __init__(self, dialect: str, answer: Answer, answer_turn: AnswerTurn, serving: Serving) -> None:
        super().__init__(dialect, answer, answer_turn, serving)
        self._parse = answer.parse

    async def read(self, body: bytes, record: RequestRecord) -> DialectRequest:
        return await beside(record.weight, self._parse, body, record.headers)

    def read_light(self, body: bytes, record: RequestRecord) -> DialectRequest | None:
        return self._parse(body, record.headers) if record.weight <= LIGHT else None


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
