"""A response as its one reader sees it."""

import asyncio
from collections.abc import Callable

from ...core.errors import GatewayError, UpstreamFailure, UpstreamIncomplete
from ...loop import Limit
from .connection import Connection
from .decoding import CorruptBody, Inflater
from .head import ResponseHeaders
from .proxies import Route


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
    def ready(self) -> bool:
        """Whether more has arrived, or nothing more will."""
        return self._connection is not None and self._inflater is None and self._connection.ready

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
        if data := connection.take():
            return data
        if not connection.done:
            return None
        connection.check()
        return b""

    def _take_inflated(self, connection: Connection, inflater: Inflater) -> bytes | None:
        while True:
            raw = b"" if inflater.pending else connection.take()
            if raw or inflater.pending:
                try:
                    data = inflater.decode(raw)
                except CorruptBody as error:
                    raise UpstreamIncomplete(
                        f"The upstream at {connection.where} sent a body that cannot be decompressed."
                    ) from error
                if data:
                    return data
            elif connection.done:
                connection.check()
                if not inflater.finished:
                    raise UpstreamIncomplete(
                        f"The upstream at {connection.where} sent a compressed body without its end."
                    )
                return b""
            else:
                return None

    def call_at_change(self, change: Callable[[], None] | None) -> bool:
        """Has ``change`` called once :meth:`take` would give more, the end or a failure; ``None``: no longer.

        Not where it would now, which the value says. Meanwhile the silence of the upstream is measured.
        """
        inflater = self._inflater
        if self._connection is None or (inflater is not None and inflater.pending):
            return False
        return self._connection.call_at_change(change)

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
            connection.take()
            if not connection.done:
                with Limit(asyncio.get_running_loop().time() + timeout):
                    while connection.take() or not connection.done:
                        if not connection.done:
                            await connection.arrival()
            connection.check()
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
