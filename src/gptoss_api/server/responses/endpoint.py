"""``POST /v1/responses``: answered at once or in the background, kept unless the client objects."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from msgspec import Raw, json

from ...core.errors import ContextLengthExceeded, GatewayError
from ...core.events import Events, Finished, Started, Usage, UsageReported
from ...core.turn import Turn
from ...dialects.base import StreamRenderer
from ...dialects.responses import CreateResponse, ResponseRequest
from ...loop import beside
from ..exchange import ClientStream, Departure, Exchange
from ..request import RequestRecord
from ..series import OpenTurn
from ..turns import AnswerEndpoint, Serving
from .background import BackgroundRuns
from .conversation import read_with_history
from .stored import StoredResponse, StoredResponses, not_stored_object, status_of


class ResponsesEndpoint(AnswerEndpoint[ResponseRequest]):
    """Creates responses. ``runs`` work on those in the background, ``stored`` stores them."""

    def __init__(
        self,
        create: CreateResponse,
        open_turn: OpenTurn,
        serving: Serving,
        stored: StoredResponses,
        runs: BackgroundRuns,
    ) -> None:
        super().__init__(create.dialect.name, create, open_turn, serving)
        self._dialect = create.dialect
        self._stored = stored
        self._runs = runs

    async def read(self, body: bytes, record: RequestRecord) -> ResponseRequest:
        return await read_with_history(self._dialect, self._stored, body, record)

    def open(self, request: ResponseRequest) -> AbstractAsyncContextManager[AsyncIterator[Events]]:
        return open_request(self._open_turn, request)

    async def ended(self, request: ResponseRequest, record: RequestRecord, last: bytes) -> bytes:
        """Keeps the response before its last bytes leave, so that it can be continued at once.

        Where it could not be kept, they say so.
        """
        final = request.final
        if not (request.asked.store and final):
            return last
        stored = await beside(record.weight, _stored, request)
        not_stored = await self._stored.put(record.caller, request.id, stored)
        if not_stored is None:
            return last
        record.not_stored = not_stored
        return last.replace(final, not_stored_object(final))

    def last_words(self, renderer: StreamRenderer, held: bytes, error: GatewayError) -> bytes:
        """What was held back is numbered already: without it the client would see a gap."""
        return held + renderer.fail(error)

    async def serve(self, request: ResponseRequest, exchange: Exchange) -> None:
        if not request.asked.background:
            await super().serve(request, exchange)
            return
        record = exchange.record
        run = await self._runs.start(record.caller, request)
        # The run goes on when this request is over.
        run.reservation, record.reservation = record.reservation, None
        if not request.stream:
            exchange.respond_json(200, run.snapshot(), record.limit_headers)
            return
        # The run does not end with this client: it may come back for the rest.
        with Departure(exchange):
            stream = ClientStream(exchange, self._stream_format, self._serving.keep_alive)
            stream.headers = record.limit_headers
            try:
                async for data in run.follow(0):
                    await stream.write(data)
                await stream.close()
            finally:
                stream.stop()


def _stored(request: ResponseRequest) -> StoredResponse:
    final = request.final
    return StoredResponse(Raw(final), Raw(json.encode(request.items)), status_of(final), request.chain)


def open_request(
    open_turn: OpenTurn, request: ResponseRequest
) -> AbstractAsyncContextManager[AsyncIterator[Events]]:
    """The events that answer ``request``."""
    return _nothing_wanted(request.turn) if request.is_probe else _of_input(open_turn(request.turn))


@asynccontextmanager
async def _of_input(
    opened: AbstractAsyncContextManager[AsyncIterator[Events]],
) -> AsyncIterator[AsyncIterator[Events]]:
    try:
        async with opened as batches:
            yield batches
    except ContextLengthExceeded as error:
        error.param = "input"
        raise


@asynccontextmanager
async def _nothing_wanted(turn: Turn) -> AsyncIterator[AsyncIterator[Events]]:
    """Answers a probe: no token is left for an answer, so none is asked of the upstream."""

    async def batches() -> AsyncIterator[Events]:
        yield [
            Started(upstream="none", model=turn.model, emulated=("preload",)),
            Finished("length"),
            UsageReported(Usage(0, 0)),
        ]

    yield batches()
