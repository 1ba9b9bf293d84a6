"""The gateway's own state: for people, for balancers, for whoever starts it."""

from collections.abc import Sequence

import msgspec
from starlette.types import Receive, Scope, Send

from .. import __version__
from ..access import ApiKeys
from ..gateway import Gateway
from ..upstreams.base import Health
from .drain import Drain
from .exchange import send_json
from .request import RequestRecord


class StatusPages:
    """The pages as bound ASGI callables; ``listed`` are the endpoints that the first one names.

    Who has none of ``keys``, where there are any, is told nothing of the upstreams but whether one is ready.
    """

    def __init__(self, gateway: Gateway, drain: Drain, keys: ApiKeys, listed: Sequence[str]) -> None:
        self._gateway = gateway
        self._drain = drain
        self._keys = keys
        self._listed = listed

    async def index(self, scope: Scope, receive: Receive, send: Send) -> None:
        health = await self._gateway.health()
        status: dict[str, object] = {
            "name": "gptoss-api",
            "version": __version__,
            "status": "draining" if self._drain.draining else "ok",
            "ready": health.ready and not self._drain.draining,
            "endpoints": self._listed,
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


def _record(scope: Scope) -> RequestRecord:
    record: RequestRecord = scope["gptoss"]
    return record
