"""The server's side of a connection without a socket."""

import asyncio
from collections.abc import Awaitable, Callable

from gptoss_api.server.exchange import Exchange
from gptoss_api.server.protocol import HttpProtocol, Shared
from gptoss_api.server.surface import Surface


class TakesAll(asyncio.Transport):
    """A socket that takes everything; ``written`` are the pieces."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[bytes] = []
        self.closed = False
        self.reading = True

    @property
    def written(self) -> bytes:
        return b"".join(self.pieces)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.closed, "written after the end"
        self.pieces.append(bytes(data))

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    abort = close

    def can_write_eof(self) -> bool:
        return False

    def pause_reading(self) -> None:
        assert self.reading
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading
        self.reading = True


def connected(
    serve: Callable[[Exchange], Awaitable[None]],
    loop: asyncio.AbstractEventLoop | None = None,
    surface: Surface | None = None,
) -> tuple[HttpProtocol, TakesAll]:
    """A connection whose requests ``serve`` answers."""
    transport = TakesAll()
    protocol = HttpProtocol(Shared(serve, surface or Surface(())), loop)
    protocol.connection_made(transport)
    return protocol, transport


async def answer(serve: Callable[[Exchange], Awaitable[None]], target: str = "/") -> bytes:
    """The body that ``serve`` answers a ``GET`` with; raises what it raises."""
    served: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def watched(exchange: Exchange) -> None:
        try:
            await serve(exchange)
        except Exception as error:
            served.set_exception(error)
        else:
            served.set_result(None)

    protocol, transport = connected(watched)
    protocol.data_received(f"GET {target} HTTP/1.1\r\n\r\n".encode())
    try:
        await served
    finally:
        protocol.connection_lost(None)
    head, _, body = transport.written.partition(b"\r\n\r\n")
    return b"".join(chunks_of(body)) if b"chunked" in head else body


def chunks_of(body: bytes) -> list[bytes]:
    pieces = []
    while body:
        size, _, rest = body.partition(b"\r\n")
        pieces.append(rest[: int(size, 16)])
        body = rest[int(size, 16) + 2 :]
    return pieces
