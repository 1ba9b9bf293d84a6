"""The outermost layer: request ids, Host and Origin policy, CORS, keys, and the error boundary."""

import asyncio
import re
from collections.abc import Callable
from typing import Final

from ..access import ApiKeys, HostPolicy, TrustedProxies
from ..core.errors import (
    GatewayError,
    HostNotAllowed,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    OriginNotAllowed,
    RequestTimeout,
)
from .absent import advice
from .cors import EXPOSED_LIMITS, Cors, options_headers
from .drain import Drain, shutting_down
from .exchange import ClientGone, Exchange
from .request import id_lines
from .routes import Handler, Routes
from .surface import Surface, administers, is_open

# nginx's status for a client that left before its answer; only the log shows it.
CLIENT_GONE = 499

_HOSTS_WITHOUT_KEYS: Final = (
    "Without API keys it answers only to loopback names; add yours to GPTOSS_ALLOWED_HOSTS, or set "
    "GPTOSS_API_KEYS or GPTOSS_REQUIRE_KEYS."
)
# Settings say to which names; a key that is made while the gateway runs changes none of them.
_HOSTS_WITH_KEYS: Final = (
    "Whichever key is sent, it answers only to the names in GPTOSS_ALLOWED_HOSTS and to loopback names. Add "
    "yours there; where GPTOSS_ALLOWED_HOSTS is not set, GPTOSS_REQUIRE_KEYS=on lets it answer to every name."
)

# RFC 9110, section 7.2: a name or address, and a port. No name is longer (RFC 1035, section 2.3.4), so that
# what is one may be remembered.
_HOST: Final = re.compile(
    r"(?:\[[0-9A-Za-z:.%]{1,255}\]|[0-9A-Za-z._~%!$&'()*+,;=-]{0,255})(?::[0-9]{0,16})?"
).fullmatch


class Edge:
    """Wraps the routes: what is true of every request, whatever the route."""

    def __init__(
        self,
        routes: Routes,
        *,
        surface: Surface,
        keys: ApiKeys,
        hosts: HostPolicy,
        proxies: TrustedProxies,
        cors: Cors,
        drain: Drain,
        finished: Callable[[Exchange], None],
    ) -> None:
        self.routes = routes
        self.surface = surface
        self._keys = keys
        self._hosts = hosts
        self._proxies = proxies
        self._cors = cors
        self._drain = drain
        self._finished = finished

    def use(self, routes: Routes, surface: Surface, hosts: HostPolicy, cors: Cors) -> None:
        """Goes by these from now on; requests that are being answered end as they began."""
        self.routes, self.surface, self._hosts, self._cors = routes, surface, hosts, cors

    async def serve(self, exchange: Exchange) -> None:
        """Has ``exchange`` answered, whatever comes of it, and tells of it when that is over."""
        record, surface, proxies, cors = exchange.record, self.surface, self._proxies, self._cors
        if exchange.path not in surface.plain:
            exchange.path = surface.canonical_path(exchange.path)
        peer = exchange.connection.peer
        record.address = proxies.client(peer, exchange.headers) if proxies.any else peer
        if self._drain.draining:
            # Whoever keeps connections for later keeps none to a gateway that goes.
            exchange.keep_alive = False
        origin = record.headers.get("origin")
        allowed_origin, told = cors.unasked if origin is None else cors.allow(origin)
        exchange.common = id_lines(record.id) + told
        try:
            self._admit(exchange, origin, allowed_origin)
            if exchange.method == "OPTIONS":
                exchange.start(204, options_headers(record.headers, allowed_origin), sized=True)
                exchange.end()
            else:
                handler = self.routes.fixed.get((exchange.method, exchange.path)) or self._find(exchange)
                await handler(exchange)
        except ClientGone:
            record.status = record.status or CLIENT_GONE
            record.outcome = "client_gone"
        except asyncio.CancelledError:
            record.outcome = "cancelled"
            raise
        except GatewayError as error:
            self._fail(error, exchange)
        except Exception:
            self._fail(record.bug(), exchange)
        finally:
            self._finished(exchange)

    def _admit(self, exchange: Exchange, origin: str | None, allowed_origin: str | None) -> None:
        record = exchange.record
        host = _host_of(exchange)
        if self._proxies.any:
            told = self._proxies.told(exchange.peer, exchange.headers, b"x-forwarded-host")
            if not _HOST(told):
                raise InvalidRequest("The X-Forwarded-Host header of this request is no host name.")
            host = told or host
        if not self._hosts.allowed(host):
            raise HostNotAllowed(
                "This gateway does not answer to the Host name of this request. "
                + (_HOSTS_WITH_KEYS if self._keys.required else _HOSTS_WITHOUT_KEYS)
            )
        if (
            origin is not None
            and allowed_origin is None
            and not self._keys.required
            and not self._hosts.own(origin, host)
        ):
            # A page of another origin can send a simple request without a preflight and need not read the
            # answer to spend the account; where keys are set it lacks one.
            raise OriginNotAllowed(
                "Web pages of this origin may not use this gateway. Add the origin to CORS_ORIGIN, "
                "or set GPTOSS_API_KEYS.",
            )
        plain = exchange.path in self.surface.plain
        if exchange.method != "OPTIONS" and (plain or not is_open(exchange.path)):
            if not plain and administers(exchange.path):
                caller = self._keys.authenticate_admin(record.headers)
            else:
                caller = self._keys.authenticate(record.headers)
            record.caller, record.key = caller.id, caller
            if caller.limited and allowed_origin is not None:
                exchange.common += EXPOSED_LIMITS
            if self._drain.draining and self._drain.refuses:
                raise shutting_down()

    def _fail(self, error: GatewayError, exchange: Exchange) -> None:
        record = exchange.record
        record.fail(error)
        if exchange.started:
            # The response has begun and cannot become another one. That it stays incomplete makes the
            # server close the connection, which is the only honest signal left.
            return
        status, headers, body = self.surface.error(error, exchange.path, record.headers, record.id)
        if "expect" in record.headers or isinstance(error, RequestTimeout) or self._drain.draining:
            # A body that was announced is not asked for any more, and a late one not waited for.
            headers = [*headers, (b"connection", b"close")]
        exchange.respond_json(status, body, [*headers, *record.limit_headers])

    def _find(self, exchange: Exchange) -> Handler:
        """The handler of a request. Who meant another path or method is told what is done near there."""
        try:
            handler, exchange.parameters = self.routes.find(exchange.method, exchange.path)
        except (MethodNotAllowed, NotFound) as refusal:
            instead = advice(exchange.path) if isinstance(refusal, NotFound) else ""
            refusal.message = f"{refusal.message} {instead or self.surface.purpose(exchange.path)}".rstrip()
            raise
        return handler


def _host_of(exchange: Exchange) -> str | None:
    """Whom the request is for; ``None`` where that need not be said.

    Raises:
        InvalidRequest: where it is not clear (RFC 9112, section 3.2).
    """
    known = exchange.record.headers
    host = known.get("host")
    # Of headers that are there twice only one is known.
    if host is None or len(known) != len(exchange.headers):
        count = sum(name == b"host" for name, _ in exchange.headers)
        if not count and exchange.http_version in ("1.0", "0.9"):
            return None
        if count != 1:
            raise InvalidRequest(f"A request has one Host header; this one has {count or 'none'}.")
    if host is not None and not _HOST(host):
        raise InvalidRequest("The Host header of this request is no host name.")
    return host
