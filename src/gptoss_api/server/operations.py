"""What the endpoints of dialects do: the handler of each kind of operation."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from ..config import Settings
from ..core.turn import Turn
from ..dialects.base import Answer, CountTokens, Dialect, ListModels, Operation, ShowModel, Tell
from ..dialects.responses import CountInput, CreateResponse, ResponseAction, ResponsesDialect
from ..gateway import Gateway
from .models import TellEndpoint, serve_model, serve_models
from .request import RequestRecord
from .responses import (
    BackgroundRuns,
    ResponseRoutes,
    ResponsesEndpoint,
    StoredResponses,
    open_request,
    read_with_history,
)
from .turns import AnswerEndpoint, CountEndpoint, Serving, TurnEndpoint, parsed

Handler = Callable[[Scope, Receive, Send], Awaitable[None]]


class Operations:
    """Makes the handlers of dialects' endpoints. Those of stored responses share what is stored."""

    def __init__(self, settings: Settings, gateway: Gateway, serving: Serving) -> None:
        self._gateway = gateway
        self._serving = serving
        self._stored = StoredResponses(
            gateway.state.store,
            ttl=settings.responses_days * 86_400.0,
            most=settings.responses_max,
            size=settings.responses_bytes,
            total=settings.responses_total,
        )
        self._runs = BackgroundRuns(self._stored, partial(open_request, gateway.open), serving.drain)

    def routes(self, dialect: Dialect) -> list[Route]:
        """One for each path of ``dialect``, for all of its methods."""
        paths: dict[str, dict[str, Handler]] = {}
        for endpoint in dialect.endpoints:
            handlers = paths.setdefault(endpoint.path, {})
            handlers[endpoint.method] = self._handler(dialect, endpoint.operation)
        return [
            Route(path, _application(handlers), methods=list(handlers)) for path, handlers in paths.items()
        ]

    def _handler(self, dialect: Dialect, operation: Operation) -> Handler:
        gateway, serving = self._gateway, self._serving
        match operation:
            case ListModels(render):
                return partial(serve_models, gateway, render)
            case ShowModel(render, aliases):
                return partial(serve_model, gateway, render, aliases)
            case CreateResponse():
                return ResponsesEndpoint(operation, gateway.open, serving, self._stored, self._runs)
            case Answer():
                return TurnEndpoint(dialect.name, operation, gateway.open, serving)
            case CountTokens(parse, render):
                return CountEndpoint(dialect.name, partial(parsed, parse), render, gateway.count, serving)
            case CountInput(owner, render):
                read_turn = partial(self._read_turn, owner)
                return CountEndpoint(dialect.name, read_turn, render, gateway.count, serving)
            case Tell():
                return TellEndpoint(dialect.name, operation, gateway, serving)
            case ResponseAction(action):
                handler: Handler = getattr(ResponseRoutes(self._stored, self._runs, serving), action)
                return handler
            case _:
                raise TypeError(f"{dialect.name}: nothing does {type(operation).__name__}")

    async def _read_turn(self, dialect: ResponsesDialect, body: bytes, record: RequestRecord) -> Turn:
        return (await read_with_history(dialect, self._stored, body, record)).turn


def _application(handlers: Mapping[str, Handler]) -> Handler:
    """What a route takes as it is: an object, not a function. Answers go the shortest way."""
    first = next(iter(handlers.values()))
    return first if len(handlers) == 1 and isinstance(first, AnswerEndpoint) else ByMethod(handlers)


class ByMethod:
    """An ASGI application that is another for each method; the router lets only known ones through."""

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        self._handlers = handlers

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        method = scope["method"]
        return self._handlers["GET" if method == "HEAD" else method](scope, receive, send)
