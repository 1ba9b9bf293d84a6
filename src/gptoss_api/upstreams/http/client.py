"""The client: a pool of kept-alive connections, and requests over them."""

import asyncio
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from types import MappingProxyType, TracebackType
from typing import NamedTuple

from ...core.errors import UpstreamFailure, UpstreamUnavailable
from ...loop import Limit
from .connection import Clock, Connection
from .dialing import dial
from .head import Origin, RequestHeads, parse_address
from .proxies import Proxy, Route, environment_proxy
from .response import HttpResponse

_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


# Addresses whose way is remembered; an upstream has one or two.
_MOST_WAYS = 64


class _Way(NamedTuple):
    """How requests to one URL go: over which connections, and with which heads."""

    route: Route
    heads: RequestHeads


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
        self._idle: dict[Route, deque[Connection]] = {}
        self._ways: dict[str, _Way] = {}
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
        """One request, sent on entering the block, whose value is what :meth:`open` gives."""
        return Exchange(
            partial(self.open, method, url, headers=headers, body=body, idle_timeout=idle_timeout)
        )

    async def open(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] = _NO_HEADERS,
        body: bytes = b"",
        idle_timeout: float | None = None,
        clock: Clock | None = None,
    ) -> HttpResponse:
        """Sends a request; the value is the response, with the headers read, which its reader has to leave.

        ``idle_timeout`` bounds every wait for the headers or more of the body, ``clock`` the one for the
        headers as a whole. A response read to its end gives the connection back; leaving it in any other way
        closes the socket at once. Redirects are not followed. Raises :class:`ValueError` for a URL or header
        that cannot be sent, :class:`UpstreamUnavailable`, :class:`UpstreamTimeout`, what ``clock`` does, and
        :class:`UpstreamFailure` if the peer broke off or sent something that is not HTTP
        (:class:`UpstreamIncomplete` once the status line was there).
        """
        way = self._ways.get(url) or self._way(url)
        head = way.heads.encode(method, headers, len(body))
        pooled = connection = self._take_idle(way.route)
        while True:
            if connection is None:
                connection = await self._dial(way.route, clock)
            self._active.add(connection)
            try:
                connection.send(
                    head, body, head_only=method == "HEAD", idle_timeout=idle_timeout, clock=clock
                )
                while not connection.head_complete:
                    if connection.done:
                        connection.check()
                    await connection.arrival()
                return HttpResponse(connection, way.route, self._release)
            except BaseException as error:
                self._active.discard(connection)
                connection.abort()
                connection.reset()
                if pooled is None or not connection.untouched or not isinstance(error, UpstreamFailure):
                    raise
                if connection is not pooled:
                    # So it was not the idle connection's age: the peer has had its second try.
                    error.retryable = False
                    raise
                if self._closed:
                    raise
                # Without one byte of an answer the peer has most likely closed the connection
                # before it saw the request; it deserves one try on a fresh one.
                connection = None

    async def reach(self, url: str, timeout: float) -> None:
        """Opens a connection to where ``url`` points in ``timeout`` seconds; the next request may use it.

        Raises:
            UpstreamUnavailable: for what :meth:`request` would raise it for.
            UpstreamTimeout: if there is none by then. Both are ``unreached``.
        """
        origin = parse_address(url).origin
        route = Route(origin, self._proxy(origin))
        connection = await self._connect(route, timeout)
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

    async def _dial(self, route: Route, clock: Clock | None) -> Connection:
        try:
            with Limit(None if clock is None else clock.deadline):
                return await self._connect(route)
        except TimeoutError:
            if clock is None:
                raise
            raise clock.timeout() from None

    async def _connect(self, route: Route, timeout: float | None = None) -> Connection:
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

    def _way(self, url: str) -> _Way:
        address = parse_address(url)
        origin = address.origin
        route = Route(origin, self._proxy(origin))
        extra = {"Accept-Encoding": "identity"}
        if address.userinfo is not None:
            extra["Authorization"] = address.userinfo
        target = address.target
        if route.proxy is not None and origin.scheme == "http":
            target = f"http://{address.authority}{target}"
            if route.proxy.credential is not None:
                extra["Proxy-Authorization"] = route.proxy.credential
        way = _Way(route, RequestHeads(target, address.authority, extra))
        if len(self._ways) < _MOST_WAYS:
            self._ways[url] = way
        return way

    def _proxy(self, origin: Origin) -> Proxy | None:
        if not self._trust_env:
            return None
        try:
            return self._proxies[origin]
        except KeyError:
            self._proxies[origin] = proxy = environment_proxy(origin)
            return proxy

    def _take_idle(self, route: Route) -> Connection | None:
        connections = self._idle.get(route)
        oldest = asyncio.get_running_loop().time() - self._idle_expiry
        while connections:
            connection = connections.pop()
            if connection.alive and connection.idle_since > oldest:
                return connection
            connection.abort()
        return None

    def _release(self, route: Route, connection: Connection) -> None:
        self._active.discard(connection)
        if connection.reset():
            self._keep(route, connection)

    def _keep(self, route: Route, connection: Connection) -> None:
        if self._closed or self._max_idle < 1:
            connection.abort()
            return
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        if (connections := self._idle.get(route)) is None:
            connections = self._idle[route] = deque()
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
    """The context manager of one request; it serves once."""

    __slots__ = ("_open", "_response")

    def __init__(self, open_: Callable[[], Awaitable[HttpResponse]]) -> None:
        self._open = open_

    async def __aenter__(self) -> HttpResponse:
        self._response = response = await self._open()
        return response

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._response.leave()
