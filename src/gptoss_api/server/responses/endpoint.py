"""``POST /v1/responses``: answered at once or in the background, kept unless the client objects."""

from collections.abc import Awaitable
from typing import Final

from msgspec import Raw, json

from ...core.errors import ContextLengthExceeded, GatewayError
from ...core.events import NO_UPSTREAM, Finished, Started, Usage, UsageReported
from ...dialects.base import Answer, StreamRenderer
from ...dialects.responses import CompactConversation, CompactionRequest, CreateResponse, ResponseRequest
from ...loop import beside
from ...upstreams.base import Sink
from ..exchange import ClientStream, Exchange
from ..request import RequestRecord, header_lines
from ..series import AnswerTurn
from ..turns import AnswerEndpoint, Serving
from .background import BackgroundRuns
from .conversation import read_with_history
from .stored import StoredResponse, StoredResponses, not_stored_object, status_of

# Bytes of a response object that no other in its stream begins with: its times and status are among them.
_BEGINNING: Final = 160


class ResponsesEndpoint(AnswerEndpoint[ResponseRequest]):
    """Creates responses. ``runs`` work on those in the background, ``stored`` stores them."""

    def __init__(
        self,
        create: CreateResponse,
        answer_turn: AnswerTurn,
        serving: Serving,
        stored: StoredResponses,
        runs: BackgroundRuns,
    ) -> None:
        super().__init__(create.dialect.name, create, answer_turn, serving)
        self._dialect = create.dialect
        self._stored = stored
        self._runs = runs

    async def read(self, body: bytes, record: RequestRecord) -> ResponseRequest:
        return await read_with_history(self._dialect, self._stored, body, record)

    async def answer(self, request: ResponseRequest, sink: Sink) -> None:
        await answer_request(self._answer_turn, request, sink)

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
        return await beside(record.weight, _not_stored, last, final)

    def last_words(self, renderer: StreamRenderer, held: bytes, error: GatewayError) -> bytes:
        """What was held back is numbered already: without it the client would see a gap."""
        return held + renderer.fail(error)

    def serve(self, request: ResponseRequest, exchange: Exchange) -> Awaitable[None]:
        if request.asked.background:
            return self._serve_in_background(request, exchange)
        return super().serve(request, exchange)

    async def _serve_in_background(self, request: ResponseRequest, exchange: Exchange) -> None:
        record = exchange.record
        run = await self._runs.start(record.caller, request, record)
        # The run goes on when this request is over.
        run.reservation, record.reservation = record.reservation, None
        if not request.stream:
            exchange.respond_json(200, run.snapshot(), record.limit_headers)
            return
        # The run does not end with this client: it may come back for the rest.
        stream = ClientStream(exchange, self._stream_format, self._serving.keep_alive)
        stream.lines = header_lines(record.limit_headers)
        await stream.relay(run.follow(0))


class CompactionEndpoint(AnswerEndpoint[CompactionRequest]):
    """Makes conversations shorter, also those of ``stored`` responses."""

    def __init__(
        self,
        compact: CompactConversation,
        answer_turn: AnswerTurn,
        serving: Serving,
        stored: StoredResponses,
    ) -> None:
        dialect = compact.dialect
        super().__init__(dialect.name, Answer(dialect.parse), answer_turn, serving)
        self._dialect = dialect
        self._stored = stored

    async def read(self, body: bytes, record: RequestRecord) -> CompactionRequest:
        request = await read_with_history(self._dialect, self._stored, body, record)
        return self._dialect.compaction(request, record.caller)


def _not_stored(last: bytes, final: bytes) -> bytes:
    """The ``last`` bytes of an answer, whose ``final`` object then says that it is not stored."""
    # Looked for by its beginning: with all of it, which may be megabytes, the search takes long.
    at = last.index(final[:_BEGINNING])
    return b"".join((last[:at], not_stored_object(final), last[at + len(final) :]))


def _stored(request: ResponseRequest) -> StoredResponse:
    final = request.final
    return StoredResponse(Raw(final), Raw(json.encode(request.items)), status_of(final), request.chain)


async def answer_request(answer_turn: AnswerTurn, request: ResponseRequest, sink: Sink) -> None:
    """Feeds the events that answer ``request``."""
    if request.is_probe:
        # No token is left for an answer, so none is asked of the upstream.
        sink.feed(
            [
                Started(upstream=NO_UPSTREAM, model=request.turn.model, emulated=("preload",)),
                Finished("length"),
                UsageReported(Usage(0, 0)),
            ]
        )
        return
    try:
        await answer_turn(request.turn, sink)
    except ContextLengthExceeded as error:
        error.param = "input"
        raise
