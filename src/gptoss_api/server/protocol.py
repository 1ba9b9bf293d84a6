"""uvicorn's HTTP protocol with bounds on what a peer may do outside the answer to a request.

uvicorn itself waits for ever for the rest of a request's headers, lets them grow without end, and waits for
ever until a client reads its answer; all are ways to hold a server down with a few connections.
"""

import asyncio
import logging
import socket
import struct
from collections.abc import Callable
from typing import Final, cast

import httptools
from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from ..core.errors import InvalidRequest
from .listening import DescriptorWatch
from .request import id_headers, new_request_id
from .surface import Surface

# Seconds and bytes for the headers of one request.
HEADER_TIMEOUT: Final = 15.0
HEADER_LIMIT: Final = 64 * 1024
# Seconds and bytes for what is left of a request's body after its answer has been sent.
LINGER_TIMEOUT: Final = 10.0
LINGER_LIMIT: Final = 64 * 1024 * 1024

# A linger of no time: closing discards what was not sent.
_RESET: Final = struct.pack("ii", 1, 0)

_log = logging.getLogger(__name__)


class BoundedHttpProtocol(HttpToolsProtocol):
    """Bounds the head of a request, the reading of its answer and what follows an early one.

    Broken HTTP is refused in JSON. An answer that comes before the whole request body does not close the
    connection: the client would find it reset while it still sends, and never read the answer. The rest is
    read and dropped. An answer may wait ``read_timeout`` seconds in all until its client reads on (``None``:
    no bound); then the connection is reset, which ends the turn as every departure does.
    """

    read_timeout: float | None = None
    descriptors: DescriptorWatch | None = None
    surface: Surface = Surface(())

    _timer: asyncio.TimerHandle | None = None
    _in_head = True
    _head_bytes = 0
    _dropped_bytes = 0
    _read_timer: asyncio.TimerHandle | None = None
    # For how long the present answer has waited, and since when it waits now.
    _waited = 0.0
    _waits_since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn declares it
        super().connection_made(transport)
        if self.descriptors is not None:
            self.descriptors.took(transport.get_extra_info("socket").fileno(), len(self.connections))
        self._start_timer(HEADER_TIMEOUT, self._head_timed_out)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self._stop_read_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        if self._in_head:
            self._head_bytes += len(data)
        try:
            self._feed(data)
        except httptools.HttpParserError:
            self._refuse(400, "This is not a valid HTTP request.")
            return
        # A head that came in one piece together with its body never counts as slow or too large.
        if self._in_head and self._head_bytes and not self.transport.is_closing():
            if self._head_bytes > HEADER_LIMIT:
                self._refuse(431, "The request headers are too large.")
            elif self._timer is None and self._is_idle():
                self._start_timer(HEADER_TIMEOUT, self._head_timed_out)

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        self._in_head = False
        self._head_bytes = 0
        if self._timer is not None:
            self._stop_timer()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        if self.cycle.response_complete:
            self._dropped_bytes += len(body)
            if self._dropped_bytes > LINGER_LIMIT:
                self._close()

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        self._in_head = True
        self._dropped_bytes = 0
        if self.cycle.response_complete:
            # The answer came first, and what followed it ended the keep-alive timer that came with it.
            self._start_timer(self.timeout_keep_alive, self._close)
        super().on_message_complete()

    def on_response_complete(self) -> None:
        if self.transport.is_closing():
            # What is left in the buffer leaves before the connection closes, if the client lets it.
            self._start_read_timer()
        elif not self.flow.write_paused:
            self._waited = 0.0
        super().on_response_complete()
        if self.cycle.response_complete and self.cycle.more_body and not self.transport.is_closing():
            self._start_timer(LINGER_TIMEOUT, self._close)

    def timeout_keep_alive_handler(self) -> None:
        self._close()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._start_read_timer()

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self.transport.is_closing():
            self._stop_read_timer()
            self._waited = 0.0 if self._is_idle() else self._waited + self.loop.time() - self._waits_since

    def _feed(self, data: bytes) -> None:
        """Parses ``data``. Offers of an upgrade are ignored, as RFC 9110, section 7.8, allows.

        The parser gives up the body of a request that offers one, and Java's HTTP client offers h2c with the
        first request it sends. So another parser gets its head without the offer, and then what followed.
        """
        rest = memoryview(data)
        while True:
            try:
                self.parser.feed_data(rest)
            except httptools.HttpParserUpgrade as offer:
                rest = rest[offer.args[0] :]
            else:
                return
            method, version = self.parser.get_method(), self.parser.get_http_version().encode()
            if method == b"CONNECT":
                raise httptools.HttpParserError("no proxy")
            kept = [b"%s: %s\r\n" % header for header in self.headers if header[0] != b"upgrade"]
            self.parser = httptools.HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            self.parser.feed_data(b"%s %s HTTP/%s\r\n%s\r\n" % (method, self.url, version, b"".join(kept)))

    def _start_read_timer(self) -> None:
        if self.read_timeout is not None and self._read_timer is None:
            self._waits_since = self.loop.time()
            self._read_timer = self.loop.call_later(
                max(self.read_timeout - self._waited, 0.0), self._read_timed_out
            )

    def _stop_read_timer(self) -> None:
        if self._read_timer is not None:
            self._read_timer.cancel()
            self._read_timer = None

    def _read_timed_out(self) -> None:
        self._read_timer = None
        _log.info(
            "connection of %s reset: its answer waited %g s in all to be read (GPTOSS_TOTAL_TIMEOUT)",
            self.client[0] if self.client else "a client",
            self.read_timeout,
        )
        # What the system still holds of the answer goes too; it would keep it for a client that stays.
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.transport.abort()

    def _close(self) -> None:
        """Closes the connection once the client has read what it was sent, or did not in time."""
        self.transport.close()
        self._start_read_timer()

    def _start_timer(self, delay: float, due: Callable[[], None]) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(delay, due)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _is_idle(self) -> bool:
        """Whether no answer is under way; meanwhile a client may begin its next request and take its time."""
        return self.cycle is None or self.cycle.response_complete

    def _is_unanswered(self) -> bool:
        """Whether the request whose body is arriving is the next one to be answered, and was not yet."""
        return self.cycle.more_body and not self.cycle.response_started and not self.pipeline

    def _head_timed_out(self) -> None:
        self._timer = None
        if self._head_bytes and not self.transport.is_closing():
            self._refuse(408, "The request headers did not arrive in time.")
        else:
            self._close()

    def _refuse(self, status: int, message: str) -> None:
        """Answers what is no request, and closes the connection."""
        _log.debug("connection of %s refused with %d", self.client, status)
        # In the middle of an answer there is no place for another one.
        if self._is_idle() or self._is_unanswered():
            request_id = new_request_id()
            scope = {"path": ""} if self._is_idle() else cast("Scope", self.cycle.scope)
            body = self.surface.error(InvalidRequest(message), scope, request_id).body
            identified = b"".join(b"%s: %s\r\n" % header for header in id_headers(request_id))
            lines = [b"%s: %s\r\n" % header for header in self.server_state.default_headers]
            self.transport.write(
                b"%scontent-type: application/json\r\ncontent-length: %d\r\n%s%sconnection: close\r\n\r\n%s"
                % (STATUS_LINE[status], len(body), identified, b"".join(lines), body)
            )
        self._close()


def bounded_protocol(
    read_timeout: float, descriptors: DescriptorWatch, surface: Surface
) -> type[BoundedHttpProtocol]:
    """The protocol with this bound, in seconds, on how long answers wait to be read."""
    bounds = {"read_timeout": read_timeout, "descriptors": descriptors, "surface": surface}
    return type("BoundedHttpProtocol", (BoundedHttpProtocol,), bounds)
