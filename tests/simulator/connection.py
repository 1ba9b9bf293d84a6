"""HTTP/1.1 on one client connection, with a say over every chunk and every way to break off."""

import asyncio
import random
import socket
import struct
import time
import zlib
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import httptools
import msgspec

from .answers import Abort, At, Close, Comment, Delivery, Event, HttpReply, Pause, Raw, Stall, Step

_encode = msgspec.json.Encoder().encode
Headers = Sequence[tuple[str, str]]


class ClientGone(Exception):
    """The client has left before its answer was complete."""


@dataclass(slots=True)
class HttpRequest:
    """One request; header names are lower-case, ``received_at`` is a monotonic time in seconds."""

    method: str = ""
    target: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    received_at: float = 0.0


class Connection(asyncio.Protocol):
    """Reads requests one after another and hands each to ``handle``."""

    def __init__(
        self,
        handle: "Callable[[Connection, HttpRequest], Coroutine[Any, Any, None]]",
        connections: "set[Connection]",
    ) -> None:
        self._handle = handle
        self._connections = connections
        self._request = HttpRequest()
        self._body = bytearray()
        self._writable = asyncio.Event()
        self._writable.set()
        self._gone = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._parser = httptools.HttpRequestParser(self)
        self.gone_at: float | None = None
        self.bytes_sent = 0
        self._transport: asyncio.Transport

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._connections.add(self)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.write(
                b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            )
            self._transport.close()

    def eof_received(self) -> bool:
        self._leave()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()
        self._connections.discard(self)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def _leave(self) -> None:
        if self.gone_at is None:
            self.gone_at = time.monotonic()
        self._gone.set()
        self._writable.set()

    # httptools callbacks

    def on_message_begin(self) -> None:
        self._request = HttpRequest()
        self._body = bytearray()

    def on_url(self, url: bytes) -> None:
        self._request.target += url.decode("latin-1")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._request.headers.append((name.decode("latin-1").lower(), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        if any(name == "expect" and value.lower() == "100-continue" for name, value in self._request.headers):
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        self._request.method = self._parser.get_method().decode("latin-1")
        self._request.body = bytes(self._body)
        self._request.received_at = time.monotonic()
        self._task = asyncio.get_running_loop().create_task(self._answer(self._request))

    async def _answer(self, request: HttpRequest) -> None:
        try:
            await self._handle(self, request)
        except ClientGone:
            self._transport.abort()
        else:
            if not self._parser.should_keep_alive():
                self._transport.close()

    async def end(self) -> None:
        """Break the connection and wait until nothing of it runs any more."""
        self._transport.abort()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    # Writing

    async def write(self, data: bytes) -> None:
        if self._transport.is_closing():
            # A write has shown it before the loop told.
            self._leave()
        if self.gone_at is not None:
            raise ClientGone
        self._transport.write(data)
        self.bytes_sent += len(data)
        await self._writable.wait()

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
        else:
            try:
                await asyncio.wait_for(self._gone.wait(), seconds)
            except TimeoutError:
                return
        if self.gone_at is not None:
            raise ClientGone

    async def stall(self) -> None:
        await self._gone.wait()
        raise ClientGone

    async def break_off(self, *, reset: bool) -> None:
        while self._transport.get_write_buffer_size() and self.gone_at is None:
            await asyncio.sleep(0.001)
        if reset:
            raw = self._transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()
        else:
            self._transport.close()

    async def send_reply(self, reply: HttpReply) -> None:
        """A whole response with its length announced."""
        if reply.delay:
            await self.sleep(reply.delay)
        body = reply.body.encode() if isinstance(reply.body, str) else reply.body
        headers = [*reply.headers, ("content-length", str(len(body)))]
        if reply.content_type is not None:
            headers.insert(0, ("content-type", reply.content_type))
        await self.write(_head(reply.status, headers) + body)

    async def send_events(
        self, steps: Iterable[Step], delivery: Delivery, headers: Headers, seed: object
    ) -> bool:
        """Play a transcript as a chunked event stream; false where it broke the connection itself."""
        head = [
            ("content-type", "text/event-stream; charset=utf-8"),
            ("cache-control", "no-cache"),
            ("transfer-encoding", "chunked"),
            *([("content-encoding", "gzip")] if delivery.gzip else []),
            *headers,
        ]
        await self.write(_head(200, head))
        stream = _EventStream(self, delivery, seed)
        for step in steps:
            match step:
                case Event(payload):
                    await stream.put(b"data:" + b" " * delivery.space + _encode(payload), 2)
                case Comment(text):
                    await stream.put(f": {text}".encode(), 2)
                case Raw(data):
                    await stream.put(data, 0)
                case Pause(seconds):
                    await stream.flush()
                    await self.sleep(seconds)
                case Close():
                    break
                case Abort(reset, mid_chunk):
                    await stream.flush()
                    if mid_chunk:
                        await self.write(b'400\r\ndata: {"type":"thread.item_upd')
                    await self.break_off(reset=reset)
                    return False
                case Stall():
                    await stream.flush()
                    await self.stall()
                case At():
                    pass
        await stream.finish()
        return True


class _EventStream:
    """Collects a transcript's bytes and lets them out as ``delivery`` says."""

    def __init__(self, connection: Connection, delivery: Delivery, seed: object) -> None:
        self._connection = connection
        self._delivery = delivery
        self._rng = random.Random(f"cuts:{seed}")
        self._pending = bytearray("\ufeff".encode() if delivery.bom else b"")
        self._events = 0
        self._gzip = zlib.compressobj(wbits=31) if delivery.gzip else None

    async def put(self, data: bytes, newlines: int) -> None:
        self._pending += data + self._delivery.newline.encode() * newlines
        self._events += 1
        if self._delivery.final_blank_line and 0 < self._delivery.group <= self._events:
            await self.flush()

    async def flush(self) -> None:
        data, self._pending, self._events = bytes(self._pending), bytearray(), 0
        if data and self._gzip is not None:
            data = self._gzip.compress(data) + self._gzip.flush(zlib.Z_SYNC_FLUSH)
        await self._send(data)

    async def finish(self) -> None:
        if not self._delivery.final_blank_line:
            self._pending = bytearray(self._pending.rstrip(b"\r\n"))
        await self.flush()
        if self._gzip is not None:
            await self._send(self._gzip.flush())
        await self._connection.write(b"0\r\n\r\n")

    async def _send(self, data: bytes) -> None:
        for piece in self._pieces(data):
            await self._connection.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            if self._delivery.cut or self._delivery.pause:
                await self._connection.sleep(self._delivery.pause)

    def _pieces(self, data: bytes) -> Iterable[bytes]:
        cut = self._delivery.cut
        if cut == 0:
            if data:
                yield data
            return
        position = 0
        while position < len(data):
            size = self._rng.randint(1, 40) if cut == "random" else cut
            yield data[position : position + size]
            position += size


def _head(status: int, headers: Headers) -> bytes:
    try:
        reason = HTTPStatus(status).phrase
    except ValueError:
        reason = "Unknown"
    lines = [f"HTTP/1.1 {status} {reason}", *(f"{name}: {value}" for name, value in headers), "", ""]
    return "\r\n".join(lines).encode("latin-1")
