"""uvicorn's HTTP protocol with bounds on what a peer may do outside the answer to a request.

uvicorn itself waits for ever for the rest of a request's headers and lets them grow without end; both
are ways to hold a server down with a few slow or endless connections.
"""

import asyncio
import logging
import re
from collections.abc import Callable
from typing import Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from ..core.errors import InvalidRequest
from ..dialects.openai_errors import error_body
from .request import new_request_id

# Seconds and bytes for the headers of one request.
HEADER_TIMEOUT: Final = 15.0
HEADER_LIMIT: Final = 64 * 1024
# Seconds and bytes for what is left of a request's body after its answer has been sent.
LINGER_TIMEOUT: Final = 10.0
LINGER_LIMIT: Final = 64 * 1024 * 1024

_UPGRADE: Final = re.compile(rb"\r\nupgrade:", re.I)

_log = logging.getLogger(__name__)


class BoundedHttpProtocol(HttpToolsProtocol):
    """Bounds the head of a request and what follows an early answer; refuses broken HTTP in JSON.

    An answer that comes before the whole request body does not close the connection: the client would
    find it reset while it still sends, and never read the answer. The rest is read and dropped.
    """

    _timer: asyncio.TimerHandle | None = None
    _in_head = True
    _head_bytes = 0
    _dropped_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn declares it
        super().connection_made(transport)
        self._start_timer(HEADER_TIMEOUT, self._head_timed_out)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._head_bytes += len(data)
            data = _without_upgrade(data)
        super().data_received(data)
        # A head that came in one piece together with its body never counts as slow or too large.
        if self._in_head and self._head_bytes and not self.transport.is_closing():
            if self._head_bytes > HEADER_LIMIT:
                self._refuse(431, "The request headers are too large.")
            elif self._timer is None and self._is_idle():
                self._start_timer(HEADER_TIMEOUT, self._head_timed_out)

    def on_headers_complete(self) -> None:
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
                self.transport.close()

    def on_message_complete(self) -> None:
        self._in_head = True
        self._dropped_bytes = 0
        if self.cycle.response_complete:
            # The answer came first, and what followed it ended the keep-alive timer that came with it.
            self._start_timer(self.timeout_keep_alive, self.transport.close)
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.response_complete and self.cycle.more_body and not self.transport.is_closing():
            self._start_timer(LINGER_TIMEOUT, self.transport.close)

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, "This is not a valid HTTP request.")

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
            self.transport.close()

    def _refuse(self, status: int, message: str) -> None:
        """Answers what is no request, and closes the connection."""
        _log.debug("connection of %s refused with %d", self.client, status)
        # In the middle of an answer there is no place for another one.
        if self._is_idle() or self._is_unanswered():
            request_id = new_request_id()
            body = error_body(InvalidRequest(message), request_id)
            lines = [b"%s: %s\r\n" % header for header in self.server_state.default_headers]
            self.transport.write(
                b"%scontent-type: application/json\r\ncontent-length: %d\r\nx-request-id: %s\r\n%s"
                b"connection: close\r\n\r\n%s"
                % (STATUS_LINE[status], len(body), request_id.encode(), b"".join(lines), body)
            )
        self.transport.close()

    def _unsupported_upgrade_warning(self) -> None:
        """Upgrades are ignored, as RFC 9110 section 7.8 allows; there is nothing to warn of."""


def _without_upgrade(data: bytes) -> bytes:
    """The head of a request with its ``Upgrade`` header renamed.

    The parser gives up the body of a request that offers an upgrade, and Java's HTTP client offers h2c
    with the first request it sends.
    """
    end = data.find(b"\r\n\r\n")
    found = _UPGRADE.search(data, 0, end if end >= 0 else len(data))
    return data if found is None else data[: found.start()] + b"\r\nx-offer:" + data[found.end() :]
