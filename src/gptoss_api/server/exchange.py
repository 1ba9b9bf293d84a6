"""One request of a client and the answer to it: what the server's code has of a connection.

Nothing here waits for the network but :meth:`Exchange.part` and :meth:`Exchange.writable`: what is written
goes to the transport at once, the head of an answer together with its first bytes.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from ..dialects.base import StreamFormat
from ..loop import Deadline, Flow
from .request import RawHeaders, RequestRecord, header_lines

if TYPE_CHECKING:
    from .protocol import HttpProtocol

# A body that is not read is not received without end, in bytes.
UNREAD_LIMIT: Final = 64 * 1024

# Which a client has to skip where it did not ask for it (RFC 9110, section 15.2).
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_LAST_CHUNK: Final = b"0\r\n\r\n"
# Up to so many bytes are put together with what stands around them.
_JOINED: Final = 256 * 1024
_JSON: Final = b"content-type: application/json\r\n"
_STREAM_LINES: Final = b"cache-control: no-cache\r\nx-accel-buffering: no\r\n"
_CLOSE: Final = (b"connection", b"close")
STATUS_LINES: Final = {
    **{status.value: b"HTTP/1.1 %d %b\r\n" % (status.value, status.phrase.encode()) for status in HTTPStatus},
    # Anthropic's own.
    529: b"HTTP/1.1 529 Overloaded\r\n",
}
# OpenAI's Go SDK, whose older releases take the empty line after a comment for the end of an event.
_GO: Final = "OpenAI/Go"
_NO_PARAMETERS: Final[Mapping[str, str]] = MappingProxyType({})


class ClientGone(Exception):
    """The client closed the connection before its request was complete."""


class Exchange:
    """A request, as far as it has arrived, and the answer to it.

    ``path`` is percent-decoded, ``parameters`` are those in it. ``gone`` says that the client left,
    ``complete`` that the whole answer was written. ``upgrades`` says that the client wants to speak another
    protocol from now on, in which the body is; ``stays`` that the server is not about to stop. ``common`` are
    lines of the head of whatever the answer is. ``task`` is the one that serves it; it is cancelled once the
    client leaves while it is ``watched``.
    """

    __slots__ = (
        "_chunked",
        "_flow",
        "_head",
        "_news",
        "_parts",
        "asks_to_continue",
        "common",
        "complete",
        "connection",
        "gone",
        "headers",
        "http_version",
        "keep_alive",
        "method",
        "more_body",
        "parameters",
        "path",
        "query",
        "record",
        "sign_of_life",
        "stays",
        "task",
        "unread",
        "upgrades",
        "watched",
    )

    def __init__(
        self,
        connection: "HttpProtocol",
        method: str,
        path: str,
        query: bytes,
        http_version: str,
        headers: list[tuple[bytes, bytes]],
        *,
        keep_alive: bool,
        asks_to_continue: bool = False,
        upgrades: bool = False,
    ) -> None:
        self.connection = connection
        self.method = method
        self.path = path
        self.query = query
        self.http_version = http_version
        self.headers = headers
        self.keep_alive = keep_alive
        self.asks_to_continue = asks_to_continue
        self.upgrades = upgrades
        self.stays = True
        self.parameters = _NO_PARAMETERS
        self.record = RequestRecord(headers)
        self.common = b""
        self.more_body = True
        # What has arrived of the body and was not asked for yet, and its size in bytes.
        self._parts: list[bytes] = []
        self.unread = 0
        self.gone = False
        self.complete = False
        self._head: bytes | None = None
        self._chunked = False
        self.task: asyncio.Task[Any] = None  # type: ignore[assignment]  # there is one once it is served
        # What waits for the rest of the body, and whether the client's departure stops the task.
        self._news: asyncio.Future[None] | None = None
        self.watched = False
        self._flow: Flow | None = None
        # That of the stream, once that is open.
        self.sign_of_life = b""

    @property
    def peer(self) -> str:
        """The address of the other end of its connection, which may be a proxy's."""
        return self.connection.peer

    @property
    def started(self) -> bool:
        """Whether the answer has a head already."""
        return self.record.status != 0

    # -- the request ---------------------------------------------------------------------------

    async def part(self) -> bytes:
        """What has arrived of the body since the last call; none once it has been given out whole.

        Raises:
            ClientGone: if the client leaves before it is complete.
        """
        if self.asks_to_continue and not self._parts and self.more_body:
            self.connection.transport.write(_CONTINUE)
        self.asks_to_continue = False
        while not self._parts and self.more_body:
            if self.gone:
                raise ClientGone
            self.connection.resume_reading()
            self._news = asyncio.get_running_loop().create_future()
            await self._news
        part = self.at_hand()
        if self.more_body:
            self.connection.resume_reading()
        return part

    def at_hand(self) -> bytes:
        """What has arrived of the body and was not given out yet."""
        parts = self._parts
        part = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        self.unread = 0
        return part

    def arrived(self, part: bytes) -> None:
        """More of the body came."""
        self._parts.append(part)
        self.unread += len(part)
        if self._news is not None:
            self._wake()

    def arrived_whole(self) -> None:
        self.more_body = False
        if self._news is not None:
            self._wake()

    def lost(self) -> None:
        """The client left: ends what waits for it."""
        if self.complete or self.gone:
            return
        self.gone = True
        self._wake()
        if self.watched:
            self.task.cancel()

    def watch(self) -> None:
        """Has the task that serves it cancelled once the client leaves, at once if it did."""
        self.watched = True
        if self.gone:
            self.task.cancel()

    @property
    def stopped(self) -> bool:
        """Whether its task is cancelled because the client left."""
        return self.watched and self.gone

    def _wake(self) -> None:
        news, self._news = self._news, None
        if news is not None and not news.done():
            news.set_result(None)

    # -- the answer ----------------------------------------------------------------------------

    def start(self, status: int, headers: RawHeaders, *, sized: bool) -> None:
        """Begins the answer; its head leaves with what is written next.

        An answer that is not ``sized`` by one of its headers ends where :meth:`end` says so.
        """
        if _CLOSE in headers:
            self.keep_alive = False
            headers = [header for header in headers if header != _CLOSE]
        self.begin(status, header_lines(headers), sized=sized)

    def begin(self, status: int, lines: bytes, *, sized: bool) -> None:
        """The same with :func:`header_lines` that were made before."""
        self.record.status = status
        if not sized and self.method != "HEAD" and status not in (204, 304):
            if self.http_version == "1.0":
                self.keep_alive = False
            else:
                self._chunked = True
                lines += b"transfer-encoding: chunked\r\n"
        self._head = b"%b%b%b%b%b" % (
            STATUS_LINES[status],
            self.connection.shared.date,
            self.common,
            lines,
            b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n",
        )

    def switch(self, headers: RawHeaders) -> None:
        """Accepts that another protocol is spoken: what is written and arrives from now on is as it is."""
        self.keep_alive = True
        self.start(101, headers, sized=True)
        # No further request can follow.
        self.keep_alive = False
        self.write(b"")

    async def handle(self, message: "Exchange") -> None:
        """Has a request answered that came on this connection in another protocol."""
        task = asyncio.current_task()
        assert task is not None
        message.task = task
        await self.connection.shared.serve(message)

    def write(self, data: bytes, *, last: bool = False) -> None:
        """Sends ``data`` as more of the answer's body, with the ``last`` of it what marks its end."""
        head, self._head = self._head, None
        transport = self.connection.transport
        if self.gone or transport.is_closing():
            return
        if self._chunked:
            if len(data) > _JOINED:
                # What is long is not copied for what stands around it.
                end = b"\r\n" + _LAST_CHUNK if last else b"\r\n"
                transport.writelines((head or b"", b"%x\r\n" % len(data), data, end))
                return
            if data:
                data = b"%x\r\n%b\r\n" % (len(data), data)
            if last:
                data += _LAST_CHUNK
        elif self.method == "HEAD":
            data = b""
        if head is not None:
            data = head + data
        if data:
            transport.write(data)

    def end(self, last: bytes = b"") -> None:
        """Sends the ``last`` bytes of the answer's body."""
        self.write(last, last=True)
        if not self.gone:
            self.complete = True
            if self._news is not None:
                self._wake()
            self.connection.answered(self)

    def respond(self, status: int, body: bytes, headers: RawHeaders = ()) -> None:
        """A whole answer."""
        self.start(status, [*headers, (b"content-length", b"%d" % len(body))], sized=True)
        self.end(body)

    def respond_json(self, status: int, body: bytes, headers: RawHeaders = ()) -> None:
        """A whole answer in JSON."""
        self.respond(status, body, [(b"content-type", b"application/json"), *headers])

    def give(self, body: bytes, lines: bytes) -> None:
        """A whole answer in JSON to what was asked for, with these :func:`header_lines`."""
        self.begin(200, b"%b%bcontent-length: %d\r\n" % (_JSON, lines, len(body)), sized=True)
        self.end(body)

    @property
    def congested(self) -> bool:
        """Whether the client reads more slowly than it is written to."""
        return self.connection.congested and not self.gone

    def limit(self, flow: Flow) -> None:
        """Has ``flow`` held whenever the client reads too slowly."""
        self._flow = flow
        if self.connection.congested and not self.gone:
            flow.hold()

    def congestion_changed(self) -> None:
        """To be called when ``congested`` has changed."""
        if self._flow is not None:
            if self.connection.congested:
                self._flow.hold()
            else:
                self._flow.release()

    async def writable(self) -> None:
        """Waits while the client reads too slowly."""
        while self.connection.congested and not self.gone:
            await self.connection.relief()

    @property
    def harmless(self) -> bytes:
        """What can be sent now and changes nothing for the client; empty where there is nothing."""
        if not self.started:
            return b"" if self.http_version == "1.0" else _CONTINUE
        sign = self.sign_of_life
        return b"%x\r\n%b\r\n" % (len(sign), sign) if self._chunked and sign else sign

    def abort(self) -> None:
        """Breaks an answer off that cannot be completed; the client sees the connection close."""
        self.connection.transport.close()


class ClientStream:
    """A stream to one client in ``form``.

    The status line and headers leave with the first bytes: until then a failure can still be an
    ordinary error response. When nothing was written for ``keep_alive`` seconds the stream opens
    (if need be) and the form's sign of life is written, where it has one, so that neither side gives
    up on a thinking model; with 0 there is none. The ``lines`` of its head are those of ``early`` where it
    opens before any are set.
    """

    def __init__(
        self,
        exchange: Exchange,
        form: StreamFormat,
        keep_alive: float,
        early: Callable[[RequestRecord], bytes] = lambda _: b"",
    ) -> None:
        self._exchange = exchange
        self._form = form
        self._keep_alive = keep_alive
        self._loop = asyncio.get_running_loop()
        self._last_write = self._loop.time()
        self._timer: Deadline | None = None
        if keep_alive:
            self._timer = Deadline(self._loop, self._tick)
            self._timer.set(self._last_write + keep_alive)
        self._sign = form.keep_alive
        if self._sign.startswith(b":") and exchange.record.headers.get("user-agent", "").startswith(_GO):
            self._sign = self._sign.removesuffix(b"\n")
        self._early = early
        self.lines: bytes | None = None
        self.started = False

    async def write(self, data: bytes) -> None:
        """Sends ``data``; waits while the client reads more slowly than the model writes."""
        if data:
            if self._exchange.congested:
                await self._exchange.writable()
            self.feed(data)

    def feed(self, data: bytes) -> None:
        """Sends ``data`` at once."""
        if not self.started:
            self._open()
        self._exchange.write(data)
        self._last_write = self._loop.time()

    async def relay(self, pieces: AsyncIterator[bytes]) -> None:
        """Sends ``pieces`` as they come and ends the response, for as long as the client is there."""
        self._exchange.watch()
        try:
            async for data in pieces:
                await self.write(data)
            await self.close()
        finally:
            self._exchange.watched = False
            self.stop()

    async def close(self, last: bytes = b"") -> None:
        """Sends the ``last`` bytes and ends the response."""
        self.stop()
        if self._exchange.congested:
            await self._exchange.writable()
        if not self.started:
            self._open()
        self._exchange.end(last)

    def stop(self) -> None:
        """Ends the keep-alive; the stream itself may already be closed or was never opened."""
        self._exchange.sign_of_life = b""
        if self._timer is not None:
            self._timer.drop()
            # It leads back here.
            self._timer = None

    def _open(self) -> None:
        self.started = True
        exchange = self._exchange
        lines = self._early(exchange.record) if self.lines is None else self.lines
        kind = self._form.content_type
        exchange.begin(200, b"content-type: %b\r\n%b%b" % (kind, _STREAM_LINES, lines), sized=False)
        exchange.sign_of_life = self._sign

    def _tick(self) -> None:
        now = since = self._loop.time()
        if now - self._last_write < self._keep_alive:
            since = self._last_write
        # A client that has not read what was sent last needs no sign of life.
        elif self._sign and not self._exchange.congested:
            self.feed(self._sign)
        if self._timer is not None:
            self._timer.set(since + self._keep_alive)
