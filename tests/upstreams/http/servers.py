"""Servers that write exactly the bytes a test wants, right or wrong."""

import asyncio
import contextlib
import ssl
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TypeAlias


class Peer:
    """One accepted connection as its handler sees it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        self.reader = reader
        self.writer = writer
        self.number = number

    async def request(self) -> bytes:
        """The next request, head and body; ``b""`` when the client has gone."""
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        return head + await self.reader.readexactly(length)

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def gone(self) -> None:
        """Returns when the client has closed or reset the connection."""
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(65536):
                pass


Handler: TypeAlias = Callable[[Peer], Awaitable[None]]


class RawServer:
    """A server on a free loopback port; ``handler`` runs once for each connection, then it is closed."""

    def __init__(self, handler: Handler, tls: ssl.SSLContext | None = None) -> None:
        self._handler = handler
        self._tls = tls
        self._tasks: set[asyncio.Task[None]] = set()
        self.connections = 0
        self.port = 0

    async def __aenter__(self) -> "RawServer":
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.connections += 1
        try:
            await self._handler(Peer(reader, writer, self.connections))
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"


def response(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """A response with Content-Length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def chunked(*chunks: bytes) -> bytes:
    """The chunked form of a body, with its end."""
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"


CHUNKED_HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: text/event-stream\r\n\r\n"


def always(data: bytes, *, then_close: bool = False) -> Handler:
    """Answers every request with the same bytes."""

    async def handler(peer: Peer) -> None:
        while await peer.request():
            await peer.send(data)
            if then_close:
                return

    return handler


class Endless:
    """Streams until the client goes and notes the moment."""

    def __init__(self) -> None:
        self.gone_at: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    async def __call__(self, peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED_HEAD + chunked(b"first")[:-5])
        await peer.gone()
        self.gone_at.set_result(time.perf_counter())

    async def delay(self, since: float) -> float:
        return await asyncio.wait_for(self.gone_at, 2) - since
