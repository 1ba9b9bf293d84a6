"""What the endpoints of dialects do: the handler of each kind of operation."""

from functools import partial

from ..config import Settings
from ..core.turn import Turn
from ..dialects.base import Answer, Connect, CountTokens, Dialect, ListModels, Operation, ShowModel, Tell
from ..dialects.responses import (
    CompactConversation,
    CountInput,
    CreateResponse,
    ResponseAction,
    ResponsesDialect,
)
from ..gateway import Gateway
from .models import TellEndpoint, serve_model, serve_models
from .repeats import Repeats
from .request import RequestRecord
from .responses import (
    BackgroundRuns,
    CompactionEndpoint,
    Ended,
    ResponseRoutes,
    ResponsesEndpoint,
    StoredResponses,
    WebSocketEndpoint,
    answer_request,
    read_with_history,
)
from .routes import Handler
from .turns import CountEndpoint, Serving, TurnEndpoint, parsed


class Operations:
    """Makes the handlers of dialects' endpoints. Those of stored responses share what is stored.

    ``ended`` is told of requests whose answer ends when they are over already.
    """

    def __init__(self, settings: Settings, gateway: Gateway, serving: Serving, ended: Ended) -> None:
        self._gateway = gateway
        self._serving = serving
        self._answer = Repeats(gateway.answer, serving.drain).answer if settings.repeats else gateway.answer
        self._stored = StoredResponses(
            gateway.state.store,
            ttl=settings.responses_days * 86_400.0,
            most=settings.responses_max,
            size=settings.responses_bytes,
            total=settings.responses_total,
        )
        answer = partial(answer_request, gateway.answer)
        self._runs = BackgroundRuns(self._stored, answer, serving.drain, ended)

    def endpoints(self, dialect: Dialect) -> list[tuple[str, str, Handler]]:
        """Method, path and handler of everything that ``dialect`` offers."""
        return [
            (endpoint.method, endpoint.path, self._handler(dialect, endpoint.path, endpoint.operation))
            for endpoint in dialect.endpoints
        ]

    def _handler(self, dialect: Dialect, path: str, operation: Operation) -> Handler:
        gateway, serving = self._gateway, self._serving
        match operation:
            case ListModels(render):
                return partial(serve_models, gateway, render)
            case ShowModel(render, aliases):
                return partial(serve_model, gateway, render, aliases)
            case CreateResponse():
                return ResponsesEndpoint(operation, self._answer, serving, self._stored, self._runs)
            case CompactConversation():
                return CompactionEndpoint(operation, self._answer, serving, self._stored)
            case Answer():
                return TurnEndpoint(dialect.name, operation, self._answer, serving)
            case CountTokens(parse, render):
                return CountEndpoint(dialect.name, partial(parsed, parse), render, gateway.count, serving)
            case CountInput(owner, render):
                read_turn = partial(self._read_turn, owner)
                return CountEndpoint(dialect.name, read_turn, render, gateway.count, serving)
            case Connect():
                return WebSocketEndpoint(dialect.name, path, serving)
            case Tell():
                return TellEndpoint(dialect.name, operation, gateway, serving)
            case ResponseAction(action):
                handler: Handler = getattr(ResponseRoutes(self._stored, self._runs, serving), action)
                return handler
            case _:
                raise TypeError(f"{dialect.name}: nothing does {type(operation).__name__}")

    async def _read_turn(self, dialect: ResponsesDialect, body: bytes, record: RequestRecord) -> Turn:
        return (await read_with_history(dialect, self._stored, body, record)).turn
