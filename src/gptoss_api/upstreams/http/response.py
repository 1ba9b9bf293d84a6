"""A response as its one reader sees it."""

import asyncio

from ...core.errors import GatewayError, UpstreamFailure, UpstreamIncomplete
from .connection import Connection
from .decoding import CorruptBody, Inflater
from .head import ResponseHeaders


class HttpResponse:
    """Status, headers and body of one exchange; valid inside its ``request`` block, for one reader."""

    __slots__ = ("_connection", "_inflater", "headers", "status")

    def __init__(self, connection: Connection) -> None:
        self._connection: Connection | None = connection
        self.status: int = connection.status
        self.headers: ResponseHeaders = connection.headers
        self._inflater: Inflater | None = None
        encoding = (self.headers.get("content-encoding") or "identity").lower()
        if encoding != "identity":
            if not Inflater.knows(encoding):
                raise UpstreamFailure(
                    f"The upstream at {connection.where} used the content encoding {encoding[:40]!r}, "
                    "which it was not asked for."
                )
            self._inflater = Inflater(encoding)

    @property
    def ready(self) -> bool:
        """Whether :meth:`read_chunk` would return or raise without waiting."""
        return self._connection is not None and self._inflater is None and self._connection.ready

    async def read_chunk(self) -> bytes:
        """All body bytes that have arrived since the last call, decoded; waits if there are none.

        ``b""`` is the end. Raises :class:`UpstreamIncomplete` or :class:`UpstreamTimeout`, after
        everything that had arrived before was given out.
        """
        connection = self._connection
        if connection is None:
            raise RuntimeError("the response was left already")
        if self._inflater is not None:
            return await self._read_inflated(connection, self._inflater)
        while not (data := connection.take()):
            if connection.done:
                connection.check()
                return b""
            await connection.arrival()
        return data

    async def _read_inflated(self, connection: Connection, inflater: Inflater) -> bytes:
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
                await connection.arrival()

    async def read_all(self, limit: int) -> bytes:
        """The rest of the body, cut after ``limit`` bytes."""
        parts: list[bytes] = []
        size = 0
        while size < limit and (data := await self.read_chunk()):
            parts.append(data)
            size += len(data)
        return b"".join(parts)[:limit]

    async def finish(self, timeout: float) -> bool:
        """Discards the rest of the body for at most ``timeout`` seconds so that the connection can be reused.

        Says whether the end was reached; a failure on the way counts as none.
        """
        connection = self._connection
        if connection is None:
            raise RuntimeError("the response was left already")
        try:
            async with asyncio.timeout(timeout):
                while connection.take() or not connection.done:
                    if not connection.done:
                        await connection.arrival()
            connection.check()
        except (TimeoutError, GatewayError):
            return False
        return True

    def abandon(self) -> None:
        """Closes the connection at once; its reader, if any, sees it break off."""
        if self._connection is not None:
            self._connection.abort()

    def detach(self) -> None:
        """Cuts the response off from its connection, which may carry another one soon."""
        self._connection = None
