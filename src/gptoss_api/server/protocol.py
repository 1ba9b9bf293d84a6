"""HTTP/1.1 towards clients: one connection each, from its bytes to its requests and back.

What a peer may do is bounded everywhere: the head of a request, the body that nobody wants any more, the
pause between requests, and the time in which it has to read what it asked for. Each would otherwise be a way
to hold a server down with a few connections.
"""

import asyncio
import contextlib
import logging
import os
import re
import socket
import struct
import time
from collections import deque
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from functools import cached_property
from math import inf
from typing import Final
from urllib.parse import unquote

import httptools

from ..core.errors import InvalidRequest
from ..loop import Deadline
from .exchange import STATUS_LINES, UNREAD_LIMIT, Exchange
from .listening import DescriptorWatch
from .request import id_lines, new_request_id
from .surface import Surface

# Seconds and bytes for the headers of one request.
HEADER_TIMEOUT: Final = 15.0
HEADER_LIMIT: Final = 64 * 1024
# Seconds and bytes for what a peer still sends after its answer has been sent.
LINGER_TIMEOUT: Final = 10.0
LINGER_LIMIT: Final = 64 * 1024 * 1024
# Seconds in which a connection may wait for its next request.
KEEP_ALIVE: Final = 75.0
# How often it is looked, in seconds, whether the time of a connection is over.
SWEEP_EVERY: Final = 0.1
# Seconds after which it is looked once more whether who sends nothing more has left.
_SECOND_LOOK: Final = 0.03

# A linger of no time: closing discards what was not sent.
_RESET: Final = struct.pack("ii", 1, 0)

_log = logging.getLogger(__name__)


class Shared:
    """What the connections of a process share: who answers, who they are, and the date.

    ``read_timeout`` is for how many seconds in all an answer may wait until its client reads on (``None``: no
    bound).
    """

    def __init__(
        self,
        serve: Callable[[Exchange], Awaitable[None]],
        surface: Surface,
        *,
        read_timeout: float | None = None,
        descriptors: DescriptorWatch | None = None,
    ) -> None:
        self.serve = serve
        self.surface = surface
        self.read_timeout = read_timeout
        self.descriptors = descriptors
        self.connections: set[HttpProtocol] = set()
        # Those whose client sends nothing more, and may have left.
        self.one_sided: set[HttpProtocol] = set()
        # The event loop itself keeps no strong reference to a task.
        self.tasks: set[asyncio.Task[None]] = set()
        self.date = b""
        self.tell_date()

    def tell_date(self) -> None:
        """To be called every second."""
        self.date = b"date: %b\r\n" % formatdate(time.time(), usegmt=True).encode()

    def sweep(self, now: float) -> None:
        """Ends what has had its time on any connection; to be called every :data:`SWEEP_EVERY` seconds."""
        for connection in [each for each in self.connections if each.deadline <= now]:
            connection.overdue()
        for connection in tuple(self.one_sided):
            connection.look()


class HttpProtocol(asyncio.Protocol):
    """One connection of a client.

    Broken HTTP is refused in JSON. Requests that come before the last one is answered wait for their turn;
    what is no request behind them costs none of them its answer. An answer that comes before the whole
    request body does not close the connection: the client would find it reset while it still sends, and never
    read the answer. The rest is read and dropped. A client that ends its side gets its answer all the same,
    unless it shows that it has left. An answer that waits too long in all until its client reads on is reset,
    which ends the turn as every departure does.
    """

    def __init__(self, shared: Shared, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self.shared = shared
        self._loop = loop or asyncio.get_running_loop()
        self.transport: asyncio.Transport = None  # type: ignore[assignment]  # there is one once it matters
        self._parser = self._new_parser()
        # The moment at which ``_due`` is to be called.
        self.deadline = inf
        self._due: Callable[[], None] = self._close
        # The last request whose head came, the one that is answered now, and those in between.
        self._exchange: Exchange | None = None
        self._answered: Exchange | None = None
        self._waiting: deque[Exchange] = deque()
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._asks_to_continue = False
        # Whether what arrives is HTTP no longer.
        self._switched = False
        # Whether what arrives is for nobody: nothing is answered any more but what has come already.
        self._discards = False
        # Whether only the client's reading is waited for.
        self._lingers = False
        self._in_head = True
        self._head_bytes = 0
        self._dropped_bytes = 0
        self._reading = True
        # Whether it waits for a next request of which nothing came yet.
        self._quiet = False
        # Whether more was written than the client reads, and who waits for that to pass.
        self.congested = False
        self._relief: list[asyncio.Future[None]] = []
        self._read_timer: Deadline | None = None
        # For how long the present answer has waited, and since when it waits now.
        self._waited = 0.0
        self._waits_since = 0.0

    # -- asyncio -------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Any stream transport will do, also uvloop's, which shares no base class with asyncio's.
        self.transport = transport  # type: ignore[assignment]
        shared = self.shared
        shared.connections.add(self)
        if shared.descriptors is not None:
            descriptor = transport.get_extra_info("socket").fileno()
            shared.descriptors.took(descriptor, len(shared.connections))
        self._start_timer(HEADER_TIMEOUT, self._head_timed_out)

    def connection_lost(self, exc: Exception | None) -> None:
        self.shared.connections.discard(self)
        self.shared.one_sided.discard(self)
        self._stop_timer()
        self._stop_read_timer()
        self.congested = False
        self._relieve()
        for exchange in (self._answered, *self._waiting, self._exchange):
            if exchange is not None:
                exchange.lost()
        self._waiting.clear()

    def data_received(self, data: bytes) -> None:
        if self._switched:
            self.on_body(data)
            return
        if self._discards:
            self._drop(data)
            return
        if self._quiet:
            self.deadline = inf
            self._quiet = False
        if self._in_head:
            self._head_bytes += len(data)
        try:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as offer:
                self._feed_on(memoryview(data)[offer.args[0] :])
        except httptools.HttpParserError:
            self._break_off(400, "This is not a valid HTTP request.")
            return
        # A head that came in one piece together with its body never counts as slow or too large.
        if self._in_head and self._head_bytes and not self.transport.is_closing():
            if self._head_bytes > HEADER_LIMIT:
                self._break_off(431, "The request headers are too large.")
            elif self.deadline == inf and self._is_idle():
                self._start_timer(HEADER_TIMEOUT, self._head_timed_out)

    def eof_received(self) -> bool:
        """The client ends its side, or has left: a request that has come whole is answered all the same.

        The network tells the two apart only once something was sent. The value says whether the connection
        stays.
        """
        exchange = self._exchange
        if self._switched or exchange is None or exchange.complete or exchange.more_body:
            return False
        exchange.keep_alive = False
        self._discards = True
        self.shared.one_sided.add(self)
        self._try_to_send()
        self.look()
        self._loop.call_later(_SECOND_LOOK, self.look)
        return not self.transport.is_closing()

    def _try_to_send(self) -> None:
        """Lets the system find out whether the client has left; the transport would wait a moment."""
        if self._answered is None or self.transport.get_write_buffer_size():
            return
        harmless, sent = self._answered.harmless, 0
        with contextlib.suppress(OSError):
            try:
                sent = os.write(self.transport.get_extra_info("socket").fileno(), harmless)
            except (ConnectionError, TimeoutError):
                # The system knows already, and says so only once.
                self.transport.abort()
        if 0 < sent < len(harmless):
            # What has begun has to be whole before anything else of the answer.
            self.transport.write(harmless[sent:])

    def look(self) -> None:
        """Ends a connection that the other end has shown to be gone from."""
        if self in self.shared.one_sided and not self.transport.is_closing():
            gone = self.transport.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if gone:
                self.transport.abort()

    def pause_writing(self) -> None:
        self._set_congested(True)
        self._start_read_timer()

    def resume_writing(self) -> None:
        self._set_congested(False)
        self._relieve()
        if not self.transport.is_closing():
            self._stop_read_timer()
            self._waited = 0.0 if self._is_idle() else self._waited + self._loop.time() - self._waits_since

    # -- httptools -----------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._url = b""
        self._headers = []
        self._asks_to_continue = False

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self._asks_to_continue = True
        self._headers.append((name, value))

    def on_headers_complete(self, *, upgrades: bool = False) -> None:
        """A head is there: its request is answered, or waits for its turn.

        One with the offer of an upgrade has come when it is known whether it ``upgrades``.
        """
        parser = self._parser
        if parser.should_upgrade() and not upgrades:
            return
        self._in_head = False
        self._head_bytes = 0
        self.deadline = inf
        self._quiet = False
        version = parser.get_http_version()
        path, query = self.shared.surface.targets.get(self._url), b""
        if path is None:
            path, query = self._target(version)
        exchange = Exchange(
            self,
            parser.get_method().decode("ascii"),
            path,
            query,
            version,
            self._headers,
            keep_alive=version != "1.0" and not upgrades and parser.should_keep_alive(),
            asks_to_continue=self._asks_to_continue,
            upgrades=upgrades,
        )
        # What follows a body in pieces looks like headers, and is none (RFC 9110, section 6.5.1).
        self._headers = []
        last, self._exchange = self._exchange, exchange
        if last is None or last.complete:
            self._begin(exchange)
        else:
            self.pause_reading()
            self._waiting.append(exchange)

    def on_body(self, body: bytes) -> None:
        exchange = self._exchange
        assert exchange is not None
        if exchange.complete:
            self._drop(body)
            return
        exchange.arrived(body)
        if exchange.unread > UNREAD_LIMIT:
            self.pause_reading()

    def on_message_complete(self) -> None:
        exchange = self._exchange
        if self._parser.should_upgrade() or exchange is None:
            return
        self._in_head = True
        self._dropped_bytes = 0
        if exchange.complete:
            # The answer came first, and what followed it ended the time that began with it.
            self._rest()
        else:
            exchange.arrived_whole()

    # -- the server's side ---------------------------------------------------------------------

    def overdue(self) -> None:
        """The time that the peer had is over."""
        self._stop_timer()
        self._due()

    def shut_down(self) -> None:
        """Closes the connection, or has it closed after the answer that is under way."""
        if self._is_idle() or self._lingers:
            self.transport.close()
        elif self._answered is not None:
            self._answered.keep_alive = self._answered.stays = False

    def answered(self, exchange: Exchange) -> None:
        """The whole answer was written: the next request has its turn."""
        more_comes = (exchange.more_body or self._discards) and self not in self.shared.one_sided
        if not exchange.keep_alive and more_comes:
            self._linger()
            return
        if not exchange.keep_alive:
            self.transport.close()
        if self.transport.is_closing():
            # What is left in the buffer leaves before the connection closes, if the client lets it.
            self._start_read_timer()
            return
        if not self.congested:
            self._waited = 0.0
        if not self._reading:
            self.resume_reading()
        if self._waiting:
            self._begin(self._waiting.popleft())
        elif exchange.more_body:
            self._start_timer(LINGER_TIMEOUT, self._close)
        else:
            self._rest()

    def pause_reading(self) -> None:
        if self._reading and not self.transport.is_closing():
            self._reading = False
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        if self._reading or self._waiting or self in self.shared.one_sided:
            return
        if not self.transport.is_closing():
            self._reading = True
            self.transport.resume_reading()

    def relief(self) -> "asyncio.Future[None]":
        """Resolves when the client has read on, or left."""
        waiter = self._loop.create_future()
        self._relief.append(waiter)
        return waiter

    # -- inside --------------------------------------------------------------------------------

    def _new_parser(self) -> httptools.HttpRequestParser:
        parser = httptools.HttpRequestParser(self)
        # What follows a request that wants the connection closed is for nobody, and no error.
        parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return parser

    def _feed_on(self, rest: memoryview) -> None:
        """Goes on behind a head with the offer of an upgrade.

        All but those to a WebSocket are ignored (RFC 9110, section 7.8). The parser gives up the body of such
        a request, and Java's HTTP client offers h2c with the first one it sends. So another parser gets its
        head without the offer, and then what followed.
        """
        while True:
            method, version = self._parser.get_method(), self._parser.get_http_version().encode()
            if method == b"CONNECT":
                raise httptools.HttpParserError("no proxy")
            if self._offers_websocket(method) and self._is_idle():
                self._switched = True
                self.on_headers_complete(upgrades=True)
                if rest:
                    self.on_body(bytes(rest))
                return
            kept = [b"%s: %s\r\n" % header for header in self._headers if header[0] != b"upgrade"]
            self._parser = self._new_parser()
            self._parser.feed_data(b"%s %s HTTP/%s\r\n%s\r\n" % (method, self._url, version, b"".join(kept)))
            try:
                self._parser.feed_data(rest)
            except httptools.HttpParserUpgrade as offer:
                rest = rest[offer.args[0] :]
            else:
                return

    def _target(self, version: str) -> tuple[str, bytes]:
        """The path and the query that are asked for; whom they are asked of is a header from then on.

        Raises:
            HttpParserError: for what is asked of no server of the web.
        """
        url = httptools.parse_url(self._url)
        if url.schema is not None:
            self._headers = _for_host(self._authority(url), self._headers, version)
        path = (url.path or b"/").decode("ascii")
        return unquote(path) if "%" in path else path, url.query or b""

    def _authority(self, url: "httptools.parser.url_parser.URL") -> bytes:
        """Whom a request is for that says so in its first line, as those to a proxy do.

        Raises:
            HttpParserError: for what is asked of no server of the web.
        """
        if url.schema.lower() not in (b"http", b"https"):
            raise httptools.HttpParserError("no address of the web")
        return re.split(rb"[/?#]", self._url.partition(b"://")[2], maxsplit=1)[0]

    def _offers_websocket(self, method: bytes) -> bool:
        """Whether the head offers a WebSocket where one can be had."""
        target = httptools.parse_url(self._url).path or b"/"
        path = self.shared.surface.canonical_path(target.decode("latin-1"))
        offered = [value.lower() for name, value in self._headers if name == b"upgrade"]
        return method == b"GET" and offered == [b"websocket"] and path in self.shared.surface.websockets

    def _begin(self, exchange: Exchange) -> None:
        self._answered = exchange
        exchange.task = task = self._loop.create_task(self._serve(exchange), name="request")
        self.shared.tasks.add(task)

    async def _serve(self, exchange: Exchange) -> None:
        try:
            # Who does not read the answers that are there gets no further ones.
            if self.congested:
                await exchange.writable()
            await self.shared.serve(exchange)
        finally:
            self.shared.tasks.discard(exchange.task)
            # An answer that stays incomplete has no other honest end.
            if not exchange.complete and not self._lingers:
                exchange.abort()

    def _start_read_timer(self) -> None:
        limit = self.shared.read_timeout
        if limit is not None and self._read_timer is None:
            self._waits_since = self._loop.time()
            self._read_timer = Deadline(self._loop, self._read_timed_out)
            self._read_timer.set(self._waits_since + max(limit - self._waited, 0.0))

    def _stop_read_timer(self) -> None:
        if self._read_timer is not None:
            self._read_timer.drop()
            self._read_timer = None

    def _read_timed_out(self) -> None:
        self._read_timer = None
        _log.info(
            "connection of %s reset: its answer waited %g s in all to be read (GPTOSS_TOTAL_TIMEOUT)",
            self.peer or "a client",
            self.shared.read_timeout,
        )
        # What the system still holds of the answer goes too; it would keep it for a client that stays.
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.transport.abort()

    def _close(self) -> None:
        """Closes the connection once the client has read what it was sent, or did not in time."""
        self.transport.close()
        self._start_read_timer()

    def _break_off(self, status: int, message: str) -> None:
        """What arrives is no request. Those before it are answered, and then the connection ends."""
        exchange = self._exchange
        if self._is_idle() or exchange is None or exchange.more_body:
            self._refuse(status, message)
            return
        exchange.keep_alive = False
        self._discards = True

    def _drop(self, data: bytes) -> None:
        self._dropped_bytes += len(data)
        if self._dropped_bytes > LINGER_LIMIT:
            self._close()

    def _linger(self) -> None:
        """Ends the connection once the client has had time to read its answer.

        If it were closed before what still arrives is read, the client would find it reset instead.
        """
        self._discards = self._lingers = True
        self.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._start_timer(LINGER_TIMEOUT, self._close)

    def _set_congested(self, congested: bool) -> None:
        self.congested = congested
        if self._answered is not None and not self._answered.complete:
            self._answered.congestion_changed()

    def _relieve(self) -> None:
        waiters, self._relief = self._relief, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _rest(self) -> None:
        """Gives the client a while until its next request begins."""
        self.deadline = self._loop.time() + KEEP_ALIVE
        self._due = self._close
        self._quiet = True

    def _start_timer(self, delay: float, due: Callable[[], None]) -> None:
        self.deadline = self._loop.time() + delay
        self._due = due

    def _stop_timer(self) -> None:
        self.deadline = inf
        self._quiet = False

    def _is_idle(self) -> bool:
        """Whether no answer is under way; meanwhile a client may begin its next request and take its time."""
        return self._exchange is None or self._exchange.complete

    def _is_unanswered(self) -> bool:
        """Whether the request whose body is arriving is the next one to be answered, and was not yet."""
        exchange = self._exchange
        return exchange is not None and exchange.more_body and not exchange.started and not self._waiting

    def _head_timed_out(self) -> None:
        if self._head_bytes and not self.transport.is_closing():
            self._refuse(408, "The request headers did not arrive in time.")
        else:
            self._close()

    @cached_property
    def peer(self) -> str:
        """The address of the other end; "" where it has none."""
        address = self.transport.get_extra_info("peername")
        return address[0] if address else ""

    def _refuse(self, status: int, message: str) -> None:
        """Answers what is no request, and closes the connection."""
        _log.debug("connection of %s refused with %d", self.peer or "a client", status)
        # In the middle of an answer there is no place for another one.
        if self._is_idle() or self._is_unanswered():
            request_id = new_request_id()
            exchange = None if self._is_idle() else self._exchange
            headers = {} if exchange is None else exchange.record.headers
            path = "" if exchange is None else exchange.path
            body = self.shared.surface.error(InvalidRequest(message), path, headers, request_id).body
            self.transport.write(
                b"%scontent-type: application/json\r\ncontent-length: %d\r\n%s%sconnection: close\r\n\r\n%s"
                % (STATUS_LINES[status], len(body), id_lines(request_id), self.shared.date, body)
            )
            if exchange is not None:
                exchange.lost()
            self._linger()
            return
        self._close()


def _for_host(
    authority: bytes, headers: list[tuple[bytes, bytes]], version: str
) -> list[tuple[bytes, bytes]]:
    """``headers`` with ``authority`` as host, whatever they say (RFC 9112, section 3.2.2).

    One that is missing or there twice stays so, but for HTTP/1.0, which had none.
    """
    count = sum(name == b"host" for name, _ in headers)
    if count == 0 and version == "1.0":
        return [*headers, (b"host", authority)]
    return [(name, authority if name == b"host" and count == 1 else value) for name, value in headers]
