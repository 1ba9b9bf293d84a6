"""The ASGI application: routes, wrapped by the edge."""

import time

from starlette.routing import Route, Router
from starlette.types import ASGIApp, Scope

from ..access import ApiKeys, HostPolicy, OriginPolicy
from ..config import Settings
from ..dialects.chat import ChatDialect
from ..dialects.completions import CompletionsDialect
from ..dialects.openai_errors import error_response
from ..dialects.responses import ResponsesDialect, Sealer
from ..gateway import Gateway
from ..telemetry.logs import log_request
from .completions import CompletionsEndpoint
from .cors import Cors
from .description import docs_page, openapi_description
from .drain import Drain
from .edge import Edge
from .intake import Intake
from .request import RequestRecord
from .responses import KeptResponses, ResponseRoutes, ResponsesEndpoint
from .status import Endpoint, StatusRoutes
from .turns import Serving, TurnEndpoint

# Asked every few seconds by machines.
_PROBES = frozenset({"/healthz", "/readyz"})


def create_app(settings: Settings, gateway: Gateway, drain: Drain) -> ASGIApp:
    """The whole HTTP side over ``gateway``."""
    keys = ApiKeys(settings.api_keys)
    status = StatusRoutes(gateway, drain, keys)
    serving = Serving(drain, Intake(settings.max_body), settings.keepalive, lambda: gateway.only_upstream)
    router = Router(
        [
            *_turn_routes(settings, gateway, serving),
            *_response_routes(settings, gateway, serving),
            Route("/", Endpoint(status.index), methods=["GET"]),
            Route("/v1/models", Endpoint(status.models), methods=["GET"]),
            Route("/v1/models/{id:path}", Endpoint(status.model), methods=["GET"]),
            Route("/healthz", Endpoint(status.healthz), methods=["GET"]),
            Route("/readyz", Endpoint(status.readyz), methods=["GET"]),
            Route("/openapi.json", Endpoint(openapi_description), methods=["GET"]),
            Route("/docs", Endpoint(docs_page), methods=["GET"]),
        ],
        redirect_slashes=False,
    )
    return Edge(
        router,
        keys=keys,
        hosts=HostPolicy(settings.allowed_hosts),
        cors=Cors(OriginPolicy(settings.cors_origin)),
        drain=drain,
        error_response=error_response,
        finished=_log,
    )


def _turn_routes(settings: Settings, gateway: Gateway, serving: Serving) -> list[Route]:
    chat = ChatDialect(reasoning_fields=settings.reasoning_fields, max_n=settings.max_n)
    completions = CompletionsDialect(max_n=settings.max_n)
    return [
        Route("/v1/chat/completions", TurnEndpoint(chat, gateway.open, serving), methods=["POST"]),
        Route("/v1/completions", CompletionsEndpoint(completions, gateway.open, serving), methods=["POST"]),
    ]


def _response_routes(settings: Settings, gateway: Gateway, serving: Serving) -> list[Route]:
    secret = gateway.memory.secret
    dialect = ResponsesDialect(
        Sealer.from_secret(secret) if secret else Sealer.ephemeral(),
        show_reasoning=settings.reasoning_fields != "none",
        store=settings.store,
    )
    kept = KeptResponses(
        gateway.memory.store,
        ttl=settings.responses_days * 86_400.0,
        most=settings.responses_max,
        size=settings.responses_bytes,
        total=settings.responses_total,
    )
    create = ResponsesEndpoint(dialect, gateway.open, serving, kept)
    routes = ResponseRoutes(kept, create.runs, serving)
    return [
        Route("/v1/responses", create, methods=["POST"]),
        Route("/v1/responses/{id}", Endpoint(routes.one), methods=["GET", "DELETE"]),
        Route("/v1/responses/{id}/cancel", Endpoint(routes.cancel), methods=["POST"]),
        Route("/v1/responses/{id}/input_items", Endpoint(routes.input_items), methods=["GET"]),
    ]


def _log(record: RequestRecord, scope: Scope) -> None:
    started, usage, arrived = record.started, record.usage, record.arrived
    log_request(
        request_id=record.id,
        dialect=record.dialect,
        method=scope["method"],
        path=scope["path"],
        upstream=started.upstream if started else "",
        model=started.model if started else "",
        status=record.status,
        outcome=record.outcome,
        prompt_tokens=usage.prompt_tokens if usage else None,
        completion_tokens=usage.completion_tokens if usage else None,
        first_byte_ms=None if record.first_event is None else (record.first_event - arrived) * 1000,
        total_ms=(time.perf_counter() - arrived) * 1000,
        probe=scope["path"] in _PROBES,
    )
