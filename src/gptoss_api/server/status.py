"""The routes that are not turns: status, health, models, the API description."""

from collections.abc import Awaitable, Callable

import msgspec
from starlette.types import Receive, Scope, Send

from .. import __version__
from ..access import ApiKeys
from ..core.catalog import find_model
from ..core.errors import ModelNotFound
from ..dialects.codex import render_codex_catalog
from ..dialects.models import render_model, render_models
from ..gateway import Gateway
from ..upstreams.base import Health
from .drain import Drain
from .exchange import send_json
from .request import RequestRecord

ENDPOINTS = (
    "GET /",
    "GET /v1/models",
    "GET /v1/models/{id}",
    "POST /v1/chat/completions",
    "POST /v1/completions",
    "POST /v1/responses",
    "GET /v1/responses/{id}",
    "DELETE /v1/responses/{id}",
    "POST /v1/responses/{id}/cancel",
    "GET /v1/responses/{id}/input_items",
    "GET /healthz",
    "GET /readyz",
    "GET /openapi.json",
    "GET /docs",
)

Handler = Callable[[Scope, Receive, Send], Awaitable[None]]


class StatusRoutes:
    """Endpoints as bound ASGI callables; each is wrapped by :class:`Endpoint` for the router.

    Who has none of ``keys``, where there are any, is told nothing of the upstreams but whether one is ready.
    """

    def __init__(self, gateway: Gateway, drain: Drain, keys: ApiKeys) -> None:
        self._gateway = gateway
        self._drain = drain
        self._keys = keys

    async def index(self, scope: Scope, receive: Receive, send: Send) -> None:
        health = await self._gateway.health()
        status: dict[str, object] = {
            "name": "gptoss-api",
            "version": __version__,
            "status": "draining" if self._drain.draining else "ok",
            "ready": health.ready and not self._drain.draining,
            "endpoints": ENDPOINTS,
            "docs": "/docs",
        }
        if self._keys.opened_by(_record(scope).headers):
            status["upstream"] = await self._upstream(health)
            store = self._gateway.memory.store
            status["state"] = {
                "store": store.name,
                "available": store.available,
                "failures": store.failures,
            }
            # The upstreams were waited for already.
            status["models"] = [model.id for model in await self._gateway.models(patience=0.0)]
        await send_json(send, 200, msgspec.json.encode(status))

    async def _upstream(self, health: Health) -> dict[str, object]:
        upstream: dict[str, object] = {
            "name": self._gateway.upstream.name,
            "ready": health.ready,
            "detail": health.detail,
            "chosen_because": self._gateway.selection.because,
        }
        if states := await self._gateway.states():
            upstream["upstreams"] = [
                {
                    "name": state.name,
                    "kind": state.kind,
                    "ready": state.health.ready,
                    "detail": state.health.detail,
                }
                for state in states
            ]
        if self._gateway.is_demo:
            upstream["demo"] = True
            upstream["warning"] = "This is the built-in demo: no model is behind it."
        return upstream

    async def healthz(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send_json(send, 200, b'{"status":"ok"}')

    async def readyz(self, scope: Scope, receive: Receive, send: Send) -> None:
        health = await self._gateway.health()
        ready = health.ready and not self._drain.draining
        body: dict[str, object] = {"ready": ready}
        if self._keys.opened_by(_record(scope).headers):
            body["upstream"] = self._gateway.upstream.name
            body["detail"] = "The gateway is shutting down." if self._drain.draining else health.detail
        await send_json(send, 200 if ready else 503, msgspec.json.encode(body))

    async def models(self, scope: Scope, receive: Receive, send: Send) -> None:
        record = _record(scope)
        models = await self._gateway.models()
        if b"client_version=" in scope["query_string"]:
            body = render_codex_catalog(models)
        else:
            body = render_models(models, anthropic="anthropic-version" in record.headers)
        await send_json(send, 200, body)

    async def model(self, scope: Scope, receive: Receive, send: Send) -> None:
        record = _record(scope)
        requested: str = scope["path_params"]["id"]
        served = {model.id: model for model in await self._gateway.models()}
        model = served.get(requested) or served.get(find_model(requested).id)
        if model is None:
            raise ModelNotFound(
                f"No upstream that was reached serves {requested}. GET /v1/models lists what there is, "
                "GET /readyz tells of the upstreams."
            )
        body = render_model(model, anthropic="anthropic-version" in record.headers)
        await send_json(send, 200, body)


def _record(scope: Scope) -> RequestRecord:
    record: RequestRecord = scope["gptoss"]
    return record


class Endpoint:
    """Makes an ASGI callable of a bound method; the router treats bare functions differently."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._handler(scope, receive, send)
