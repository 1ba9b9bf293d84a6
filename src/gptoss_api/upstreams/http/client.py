"""The client: a pool of kept-alive connections and one method, ``request``."""

import asyncio
import ssl
from collections import deque
from collections.abc import Mapping
from types import MappingProxyType, TracebackType
from typing import NamedTuple

from ...core.errors import UpstreamFailure, UpstreamUnavailable
from .connection import Connection
from .dialing import dial
from .head import Origin, encode_request_head, parse_address
from .proxies import Proxy, environment_proxy
from .response import HttpResponse

_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class _Route(NamedTuple):
    """What two requests must share to share a connection."""

    origin: Origin
    proxy: Proxy | None


class HttpClient:
    """HTTP/1.1 requests over kept-alive connections, all from one event loop.

    Times are in seconds; ``connect_timeout`` covers name resolution, TCP, proxy and TLS. At most
    ``max_idle_per_origin`` unused connections are kept for each origin, each for ``idle_expiry``.
    ``trust_env`` allows proxies from the environment. ``ssl_context`` replaces the default one,
    which is only made when the first ``https`` request needs it.
    """

    def __init__(
        self,
        *,
        connect_timeout: float | None = 10.0,
        max_idle_per_origin: int = 32,
        idle_expiry: float = 30.0,
        trust_env: bool = True,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._connect_timeout = connect_timeout
        self._max_idle = max_idle_per_origin
        self._idle_expiry = idle_expiry
        self._trust_env = trust_env
        self._ssl_context = ssl_context
        # The most recently used connection of a route is at the right.
        self._idle: dict[_Route, deque[Connection]] = {}
        self._active: set[Connection] = set()
        self._proxies: dict[Origin, Proxy | None] = {}
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] = _NO_HEADERS,
        body: bytes = b"",
        idle_timeout: float | None = None,
    ) -> "Exchange":
        """One request, sent on entering the block; its value is the response, with the headers read.

        ``idle_timeout`` bounds every wait for the headers or more of the body. A response read to
        its end gives the connection back; leaving the block in any other way closes the socket at
        once. Redirects are not followed. Raises :class:`ValueError` for a URL or header that
        cannot be sent, :class:`UpstreamUnavailable`, :class:`UpstreamTimeout`, and
        :class:`UpstreamFailure` if the peer broke off or sent something that is not HTTP
        (:class:`UpstreamIncomplete` once the status line was there).
        """
        address = parse_address(url)
        origin = address.origin
        route = _Route(origin, self._proxy(origin))
        extra = {"Accept-Encoding": "identity"}
        if address.userinfo is not None:
            extra["Authorization"] = address.userinfo
        target = address.target
        if route.proxy is not None and origin.scheme == "http":
            target = f"http://{address.authority}{target}"
            if route.proxy.credential is not None:
                extra["Proxy-Authorization"] = route.proxy.credential
        head = encode_request_head(method, target, address.authority, headers, extra, len(body))
        return Exchange(self, route, head, body, method == "HEAD", idle_timeout)

    async def reach(self, url: str, timeout: float) -> None:
        """Opens a connection to where ``url`` points in ``timeout`` seconds; the next request may use it.

        Raises:
            UpstreamUnavailable: for what :meth:`request` would raise it for.
            UpstreamTimeout: if there is none by then. Both are ``unreached``.
        """
        origin = parse_address(url).origin
        route = _Route(origin, self._proxy(origin))
        connection = await self._dial(route, timeout)
        if self._idle.get(route):
            connection.abort()
        else:
            self._keep(route, connection)

    async def close(self) -> None:
        """Closes every connection, also those in use; the client serves no further request."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for connections in self._idle.values():
            for connection in connections:
                connection.abort()
        self._idle.clear()
        for connection in tuple(self._active):
            connection.abort()
        # One turn of the loop, in which the transports let go of their sockets.
        await asyncio.sleep(0)

    async def _exchange(
        self, route: _Route, head: bytes, body: bytes, head_only: bool, idle_timeout: float | None
    ) -> Connection:
        """A connection on which the request was sent and the response's head has arrived."""
        pooled = self._take_idle(route)
        if pooled is not None:
            try:
                return await self._send(pooled, head, body, head_only, idle_timeout)
            except UpstreamFailure:
                # Without one byte of an answer the peer has most likely closed the connection
                # before it saw the request; it deserves one try on a fresh one.
                if not pooled.untouched or self._closed:
                    raise
        fresh = await self._dial(route)
        try:
            return await self._send(fresh, head, body, head_only, idle_timeout)
        except UpstreamFailure as failure:
            if pooled is not None and fresh.untouched:
                # So it was not the idle connection's age: the peer has had its second try.
                failure.retryable = False
            raise

    async def _send(
        self,
        connection: Connection,
        head: bytes,
        body: bytes,
        head_only: bool,
        idle_timeout: float | None,
    ) -> Connection:
        self._active.add(connection)
        try:
            connection.send(head, body, head_only=head_only, idle_timeout=idle_timeout)
            await connection.wait_head()
        except BaseException:
            self._active.discard(connection)
            connection.abort()
            connection.reset()
            raise
        return connection

    async def _dial(self, route: _Route, timeout: float | None = None) -> Connection:
        if self._closed:
            raise UpstreamUnavailable("The gateway is shutting down and opens no more connections.")
        tls = None
        if route.origin.scheme == "https" or (route.proxy and route.proxy.origin.scheme == "https"):
            if self._ssl_context is None:
                self._ssl_context = ssl.create_default_context()
                self._ssl_context.set_alpn_protocols(["http/1.1"])
            tls = self._ssl_context
        limits = [limit for limit in (timeout, self._connect_timeout) if limit is not None]
        connection = await dial(route.origin, route.proxy, tls, min(limits, default=None))
        if self._closed:
            connection.abort()
            raise UpstreamUnavailable("The gateway is shutting down and opens no more connections.")
        return connection

    def _proxy(self, origin: Origin) -> Proxy | None:
        if not self._trust_env:
            return None
        try:
            return self._proxies[origin]
        except KeyError:
            self._proxies[origin] = proxy = environment_proxy(origin)
            return proxy

    def _take_idle(self, route: _Route) -> Connection | None:
        connections = self._idle.get(route)
        oldest = asyncio.get_running_loop().time() - self._idle_expiry
        while connections:
            connection = connections.pop()
            if connection.alive and connection.idle_since > oldest:
                return connection
            connection.abort()
        return None

    def _release(self, route: _Route, connection: Connection) -> None:
        self._active.discard(connection)
        if connection.reset():
            self._keep(route, connection)

    def _keep(self, route: _Route, connection: Connection) -> None:
        if self._closed or self._max_idle < 1:
            connection.abort()
            return
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        connections = self._idle.setdefault(route, deque())
        connections.append(connection)
        if len(connections) > self._max_idle:
            connections.popleft().abort()
        if self._sweeper is None:
            self._sweeper = loop.call_later(self._idle_expiry, self._sweep)

    def _sweep(self) -> None:
        """Closes what was not used for ``idle_expiry``; runs as long as something is idle."""
        loop = asyncio.get_running_loop()
        oldest = loop.time() - self._idle_expiry
        for route, connections in tuple(self._idle.items()):
            while connections and (not connections[0].alive or connections[0].idle_since <= oldest):
                connections.popleft().abort()
            if not connections:
                del self._idle[route]
        self._sweeper = loop.call_later(self._idle_expiry, self._sweep) if self._idle else None


class Exchange:
    """The context manager of one request; it serves once. A generator would cost three times as much."""

    __slots__ = (
        "_body",
        "_client",
        "_connection",
        "_head",
        "_head_only",
        "_idle_timeout",
        "_response",
        "_route",
    )

    def __init__(
        self,
        client: HttpClient,
        route: _Route,
        head: bytes,
        body: bytes,
        head_only: bool,
        idle_timeout: float | None,
    ) -> None:
        self._client = client
        self._route = route
        self._head = head
        self._body = body
        self._head_only = head_only
        self._idle_timeout = idle_timeout

    async def __aenter__(self) -> HttpResponse:
        self._connection = connection = await self._client._exchange(
            self._route, self._head, self._body, self._head_only, self._idle_timeout
        )
        try:
            self._response = response = HttpResponse(connection)
        except BaseException:
            self._client._release(self._route, connection)
            raise
        return response

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._response.detach()
        self._client._release(self._route, self._connection)
