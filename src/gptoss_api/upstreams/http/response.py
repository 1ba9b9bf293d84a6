"""A response as its one reader sees it."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from ...core.errors import GatewayError, UpstreamFailure, UpstreamIncomplete
from ...loop import Limit
from .connection import Connection
from .decoding import CorruptBody, Inflater
from .head import ResponseHeaders
from .proxies import Route


class Source(Protocol):
    """What a body is taken from as it comes; see :class:`Connection` and :class:`HttpResponse`."""

    @property
    def done(self) -> bool: ...

    @property
    def ready(self) -> bool: ...

    @property
    def ended(self) -> bool: ...

    def take(self) -> bytes | None: ...

    def watch(self, change: Callable[[], None] | None) -> None: ...


class HttpResponse:
    """Status, headers and body of one exchange, for one reader, until it is left.

    ``release`` takes the connection back, which came by ``route``.
    """

    __slots__ = ("_connection", "_inflater", "_release", "_route", "headers", "status")

    def __init__(
        self, connection: Connection, route: Route, release: Callable[[Route, Connection], None]
    ) -> None:
        self._connection: Connection | None = connection
        self._route = route
        self._release = release
        self.status: int = connection.status
        self.headers: ResponseHeaders = connection.headers
        self._inflater: Inflater | None = None
        encoding = self.headers.get("content-encoding")
        if encoding is not None and (encoding := encoding.lower()) not in ("", "identity"):
            if not Inflater.knows(encoding):
                raise UpstreamFailure(
                    f"The upstream at {connection.where} used the content encoding {encoding[:40]!r}, "
                    "which it was not asked for."
                )
            self._inflater = Inflater(encoding)

    @property
    def source(self) -> Source:
        """What its body is taken from until it is left, as directly as possible."""
        return self if self._inflater is not None else self._open

    @property
    def ready(self) -> bool:
        """Whether more has arrived, or nothing more will."""
        return self._connection is not None and self._inflater is None and self._connection.ready

    @property
    def done(self) -> bool:
        """Whether what there is to take is all that there will be, or may be more than one take gives."""
        connection, inflater = self._connection, self._inflater
        return connection is None or connection.done or (inflater is not None and inflater.pending)

    @property
    def ended(self) -> bool:
        """Whether the body was whole, and all of it was taken."""
        connection, inflater = self._connection, self._inflater
        taken = inflater is None or (inflater.finished and not inflater.pending)
        return taken and connection is not None and connection.ended

    def take(self) -> bytes | None:
        """All body bytes that have arrived since the last call, decoded; ``None`` if there are none yet.

        ``b""`` is the end. Raises :class:`UpstreamIncomplete` or :class:`UpstreamTimeout`, after
        everything that had arrived before was given out.
        """
        connection = self._connection
        if connection is None:
            raise _left()
        if self._inflater is not None:
            return self._take_inflated(connection, self._inflater)
        return connection.take()

    def _take_inflated(self, connection: Connection, inflater: Inflater) -> bytes | None:
        while True:
            raw = b"" if inflater.pending else connection.take()
            if raw is None:
                return None
            if raw or inflater.pending:
                try:
                    data = inflater.decode(raw)
                except CorruptBody as error:
                    raise UpstreamIncomplete(
                        f"The upstream at {connection.where} sent a body that cannot be decompressed."
                    ) from error
                if data:
                    return data
            elif inflater.finished:
                return b""
            else:
                raise UpstreamIncomplete(
                    f"The upstream at {connection.where} sent a compressed body without its end."
                )

    def watch(self, change: Callable[[], None] | None) -> None:
        """Has ``change`` called whenever more may be there to take, or the end; ``None``: no longer.

        Meanwhile the silence of the upstream is measured.
        """
        if self._connection is not None:
            self._connection.watch(change)

    def bound_silence(self, idle_timeout: float | None) -> None:
        """Bounds every wait for more of the body from now on, in seconds; ``None``: as before."""
        connection = self._open
        if idle_timeout is not None and not connection.done:
            connection.bound_silence(idle_timeout)

    async def read_chunk(self) -> bytes:
        """What :meth:`take` gives, waiting for it."""
        while (data := self.take()) is None:
            await self._open.arrival()
        return data

    async def read_all(self, limit: int) -> bytes:
        """The rest of the body, cut after ``limit`` bytes."""
        parts: list[bytes] = []
        size = 0
        while size < limit:
            while (data := self.take()) is None:
                await self._open.arrival()
            if not data:
                break
            parts.append(data)
            size += len(data)
        return b"".join(parts)[:limit]

    async def finish(self, timeout: float) -> bool:
        """Discards the rest of the body for at most ``timeout`` seconds so that the connection can be reused.

        Says whether the end was reached; a failure on the way counts as none.
        """
        connection = self._open
        try:
            if connection.take() != b"":
                with Limit(asyncio.get_running_loop().time() + timeout):
                    while (data := connection.take()) != b"":
                        if data is None:
                            await connection.arrival()
        except (TimeoutError, GatewayError):
            return False
        return True

    @property
    def _open(self) -> Connection:
        if self._connection is None:
            raise _left()
        return self._connection

    def abandon(self) -> None:
        """Closes the connection at once; its reader, if any, sees it break off."""
        if self._connection is not None:
            self._connection.abort()

    def leave(self) -> None:
        """Gives the connection back, for another response, or closes one that was not read to its end."""
        connection = self._connection
        if connection is not None:
            self._connection = None
            self._release(self._route, connection)


def _left() -> RuntimeError:
    return RuntimeError("the response was left already")
