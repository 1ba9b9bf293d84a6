"""The gateway's own pages: its state, for people and for balancers, and the API's own description."""

from collections.abc import Callable
from functools import partial
from importlib.resources import files
from urllib.parse import parse_qsl

import msgspec

from .. import __version__
from ..access import ApiKeys, TrustedProxies
from ..access.origins import is_loopback
from ..gateway import Gateway
from ..upstreams.base import Health
from .drain import Drain
from .exchange import Exchange
from .metrics import Metrics, tell_metrics
from .page import lead_to_page, prefers_page, show_page, show_page_file
from .reloading import Reloader
from .routes import Handler
from .surface import BASE, HEALTH, HELLO, ICON, INDEX, PAGE, PAGE_FILES, Surface

# Everything the page needs is inside it; it talks to nothing but this gateway.
_DOCS_POLICY = (
    b"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; "
    b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

# What clients of Ollama look for at the root: those that ask for JSON or pages get the state instead.
_OLLAMA = b"Ollama is running"
_STATE = ("application/json", "text/html", "*/*")
# Asks at /readyz for the gateway alone, as at the API server of Kubernetes.
_ALONE = ("exclude", "upstream")
# What proxies add to the requests of others.
_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "via")


def is_near(exchange: Exchange) -> bool:
    """Whether a request comes from this machine itself; through a proxy on it, it does not."""
    forwarded = any(name in exchange.record.headers for name in _FORWARDED)
    return not forwarded and is_loopback(exchange.peer)


class Pages:
    """The pages of ``surface`` as bound ASGI callables.

    Who has none of ``keys``, where there are any, is told nothing of the upstreams but whether one is ready.
    """

    def __init__(
        self,
        gateway: Gateway,
        drain: Drain,
        keys: ApiKeys,
        proxies: TrustedProxies,
        surface: Surface,
        metrics: Metrics,
        reloader: Callable[[], Reloader | None],
    ) -> None:
        self._reloader = reloader
        self._metrics = metrics
        self._gateway = gateway
        self._drain = drain
        self._keys = keys
        self._proxies = proxies
        self._surface = surface

    @property
    def handlers(self) -> dict[str, Handler]:
        """What answers at each of :data:`~gptoss_api.server.surface.PAGES`."""
        return {
            INDEX: self.index,
            BASE: self.index,
            PAGE: show_page,
            PAGE_FILES: show_page_file,
            "/healthz": self.healthz,
            HEALTH: self.healthz,
            "/readyz": self.readyz,
            "/metrics": self.metrics,
            HELLO: self.healthz,
            "/openapi.json": self.openapi,
            "/docs": self.docs,
            ICON: self.icon,
        }

    async def index(self, exchange: Exchange) -> None:
        accept = exchange.record.headers.get("accept")
        if exchange.path == INDEX and prefers_page(accept):
            lead_to_page(exchange)
            return
        if accept and not any(kind in accept.lower() for kind in _STATE):
            exchange.respond(200, _OLLAMA, [(b"content-type", b"text/plain; charset=utf-8")])
            return
        health = await self._gateway.health()
        status: dict[str, object] = {
            "name": "gptoss-api",
            "version": __version__,
            "status": "draining" if self._drain.draining else "ok",
            "ready": health.ready and not self._drain.draining,
            "base_url": self._base_url(exchange),
            "endpoints": self._surface.listed,
            "docs": "/docs",
        }
        if self._keys.opened_by(exchange.record.headers):
            status["upstream"] = await self._upstream(health)
            store = self._gateway.state.store
            status["state"] = {
                "store": store.name,
                "available": store.available,
                "failures": store.failures,
            }
            if (reloader := self._reloader()) is not None and (reloader.problem or reloader.needs_restart):
                status["settings"] = {
                    "problem": reloader.problem or None,
                    "needs_restart": reloader.needs_restart,
                }
            # The upstreams were waited for already.
            status["models"] = [model.id for model in await self._gateway.models(patience=0.0)]
        exchange.respond_json(200, msgspec.json.encode(status))

    def _base_url(self, exchange: Exchange) -> str | None:
        """What clients of OpenAI take for the address of this gateway, as this one has reached it."""
        told = partial(self._proxies.told, exchange.peer, exchange.headers)
        host = told(b"x-forwarded-host") or exchange.record.headers.get("host")
        scheme = "https" if told(b"x-forwarded-proto").lower() == "https" else "http"
        return f"{scheme}://{host}/v1" if host else None

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

    async def healthz(self, exchange: Exchange) -> None:
        exchange.respond_json(200, b'{"status":"ok"}')

    async def readyz(self, exchange: Exchange) -> None:
        if _ALONE in parse_qsl(exchange.query.decode("latin-1")):
            # Replicas have their upstreams in common: no other one would answer better than this.
            ready = not self._drain.draining
            exchange.respond_json(200 if ready else 503, msgspec.json.encode({"ready": ready}))
            return
        health = await self._gateway.health()
        ready = health.ready and not self._drain.draining
        body: dict[str, object] = {"ready": ready}
        if self._keys.opened_by(exchange.record.headers):
            body["upstream"] = self._gateway.upstream.name
            body["detail"] = "The gateway is shutting down." if self._drain.draining else health.detail
        exchange.respond_json(200 if ready else 503, msgspec.json.encode(body))

    async def metrics(self, exchange: Exchange) -> None:
        """For loopback, and for keys of administrators; a proxy on this machine is neither."""
        if not is_near(exchange):
            self._keys.authenticate_admin(exchange.record.headers)
        await tell_metrics(self._metrics, exchange)

    async def openapi(self, exchange: Exchange) -> None:
        exchange.respond_json(200, self._surface.openapi())

    async def docs(self, exchange: Exchange) -> None:
        page = (files("gptoss_api.web") / "docs.html").read_bytes()
        headers = [
            (b"content-type", b"text/html; charset=utf-8"),
            (b"content-security-policy", _DOCS_POLICY),
        ]
        exchange.respond(200, page, headers)

    async def icon(self, exchange: Exchange) -> None:
        """None: browsers look for one beside every page, and need not look again."""
        exchange.start(204, [(b"cache-control", b"max-age=86400")], sized=True)
        exchange.end()
