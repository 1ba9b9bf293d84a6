"""One connection: bytes in, response parts out, with the idle clock and backpressure.

This is the hot path. For each network read the parser appends body parts straight to a list (its
``on_body`` callback is that list's ``append``) and the reader is called once.
"""

import asyncio
from collections.abc import Callable
from math import inf
from typing import Protocol

import httptools

from ...core.errors import GatewayError, UpstreamFailure, UpstreamIncomplete, UpstreamTimeout
from ...loop import Deadline
from .head import ResponseHeaders

# Reading from the socket stops while more than this many bytes wait for the reader.
UNREAD_LIMIT = 256 * 1024
HEAD_LIMIT = 64 * 1024
# A request up to this size goes out in one write with its head.
_JOINED_WRITE = 64 * 1024


class Clock(Protocol):
    """Until when an exchange may last, in the loop's time; ``None``: no bound."""

    @property
    def deadline(self) -> float | None: ...

    def timeout(self) -> GatewayError:
        """What is raised where the headers are not there by then."""
        ...

    def end(self) -> None:
        """Called then where they are."""
        ...


class Connection(asyncio.Protocol):
    """A connection to ``where`` (``host:port``, for messages) that carries one exchange after another.

    ``send`` begins an exchange; ``take``, ``watch`` and ``arrival`` serve its reader; ``reset`` ends it and
    says whether the connection can carry another. ``done`` says that nothing more will come.
    """

    __slots__ = (
        "_barren",
        "_bound",
        "_clock",
        "_failure",
        "_head_only",
        "_head_size",
        "_idle_timeout",
        "_interim",
        "_last_activity",
        "_loop",
        "_parser",
        "_parts",
        "_paused",
        "_received",
        "_reusable",
        "_timer",
        "_transport",
        "_unread",
        "_unsent",
        "_until_close",
        "_waiter",
        "_where",
        "alive",
        "done",
        "head_complete",
        "headers",
        "idle_since",
        "on_body",
        "status",
        "untouched",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, where: str) -> None:
        self._loop = loop
        self._clock = loop.time
        self._where = where
        self._transport: asyncio.Transport | None = None
        self.alive = False
        self._parser: httptools.HttpResponseParser | None = None
        self._parts: list[bytes] = []
        self.on_body = self._parts.append
        # What the reader has called at each change, while it waits for one.
        self._waiter: Callable[[], None] | None = None
        self._timer: Deadline | None = Deadline(loop, self._check_time)
        self._failure: GatewayError | None = None
        self._paused = False
        self.done = True
        self.head_complete = False
        self.status = 0
        self._received: list[tuple[bytes, bytes]] = []
        self.headers: ResponseHeaders
        self.idle_since = 0.0
        self.untouched = True

    # -- the reader's side ---------------------------------------------------------------------

    @property
    def where(self) -> str:
        return self._where

    @property
    def ready(self) -> bool:
        """Whether there is something to take, or nothing more will come."""
        return self.done or bool(self._parts)

    @property
    def ended(self) -> bool:
        """Whether the response was whole, and all of it was taken."""
        return self.done and not self._parts and self._failure is None

    def send(
        self,
        head: bytes,
        body: bytes,
        *,
        head_only: bool,
        idle_timeout: float | None,
        clock: Clock | None = None,
    ) -> None:
        """Sends a request; ``head_only`` says that its response has no body whatever the headers say.

        ``idle_timeout``, in seconds, bounds the silence while the reader waits, ``clock`` the time to the end
        of the headers; of the rest it is told when its time is over.
        """
        self._parser = httptools.HttpResponseParser(self)
        self._failure = None
        self._head_only = head_only
        self._head_size = 0
        self._barren = 0
        self._unread = 0
        self._unsent = 0
        self._interim = False
        self._until_close = False
        self._reusable = False
        self.done = False
        self.head_complete = False
        self.status = 0
        self._received.clear()
        self.untouched = True
        self._last_activity = now = self._clock()
        self._idle_timeout = wait = idle_timeout
        self._bound = clock
        if clock is not None and (deadline := clock.deadline) is not None:
            wait = deadline - now if wait is None else min(wait, deadline - now)
        if wait is not None and self._timer is not None:
            self._timer.set(now + wait)
        transport = self._transport
        if transport is None or not self.alive:
            self._end()
        elif len(body) <= _JOINED_WRITE:
            transport.write(head + body)
        else:
            transport.write(head)
            transport.write(body)

    def bound_silence(self, idle_timeout: float) -> None:
        """Bounds the silence while the reader waits from now on, in seconds; only before the end."""
        self._idle_timeout = idle_timeout
        self._last_activity = self._clock()
        self._check_time()

    def take(self) -> bytes | None:
        """The raw body bytes that have arrived since the last call; ``None`` if there are none yet.

        ``b""`` is the end. Raises the failure that ended the exchange, after what had arrived before.
        """
        parts = self._parts
        if not parts:
            if not self.done:
                return None
            self.check()
            return b""
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        self._unread = 0
        if self._paused:
            self._resume()
        return data

    def watch(self, change: Callable[[], None] | None) -> None:
        """Has ``change`` called whenever more bytes, the end or a failure come; ``None``: no longer.

        Meanwhile the silence of the peer is measured.
        """
        self._waiter = change

    def arrival(self) -> asyncio.Future[None]:
        """Resolves at the next change."""
        arrived = self._loop.create_future()

        def resolve() -> None:
            self._waiter = None
            if not arrived.done():
                arrived.set_result(None)

        self._waiter = resolve
        return arrived

    def check(self) -> None:
        """Raises the failure that ended the exchange, if one did."""
        if self._failure is not None:
            raise self._failure

    def reset(self) -> bool:
        """Ends the exchange; ``False`` if the connection is of no further use and was aborted."""
        if self._timer is not None:
            self._timer.drop()
        self._parser = None
        self._bound = None
        self._waiter = None
        self._parts.clear()
        # The failure's traceback leads back here; dropping it spares the garbage collector the circle.
        self._failure = None
        transport = self._transport
        if (
            transport is None
            or not self.alive
            or not self.done
            or not self._reusable
            # The response came before the request had left.
            or transport.get_write_buffer_size()
        ):
            self.abort()
            return False
        return True

    def abort(self) -> None:
        """Closes the socket at once; the peer learns of it within a round trip."""
        self.alive = False
        if not self.done:
            self._fail(UpstreamIncomplete(f"The connection to {self._where} was closed by this side."))
        if self._transport is not None:
            self._transport.abort()

    # -- asyncio -------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Any stream transport will do, also uvloop's, which shares no base class with asyncio's.
        self._transport = transport  # type: ignore[assignment]
        self.alive = True

    def data_received(self, data: bytes) -> None:
        if self.done:
            # Bytes that answer no request: whatever they are, the connection is out of step.
            self._reusable = False
            self.abort()
            return
        self._last_activity = self._clock()
        self.untouched = False
        parts = self._parts
        before = len(parts)
        try:
            self._parser.feed_data(data)  # type: ignore[union-attr]  # there is one until done
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._reusable = False
            if not self.done:
                self._break(f"sent malformed HTTP ({error})")
        if len(parts) > before:
            # The read's size stands for that of its body: an upper bound, and no pass over the parts.
            self._unread += len(data)
            self._barren = 0
            if self._unread > UNREAD_LIMIT and not self._paused and not self.done:
                self._paused = True
                self._transport.pause_reading()  # type: ignore[union-attr]  # it delivers this very read
        elif not self.done:
            # Heads, chunk extensions and trailers without end would fill the parser's memory.
            self._barren += len(data)
            if self._barren > HEAD_LIMIT:
                self._break("sent headers without end")
        if (waiter := self._waiter) is not None:
            waiter()

    def eof_received(self) -> None:
        # Handled here, not in connection_lost, which a blocked request body would hold up.
        self._end()
        self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.alive = False
        self._end(exc)
        self._transport = None
        if self._timer is not None:
            self._timer.drop()
            # It leads back here.
            self._timer = None

    # -- httptools -----------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self.done:
            raise ValueError("a second response to one request")

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.head_complete:
            return  # a trailer
        self._head_size += len(name) + len(value) + 4
        if self._head_size > HEAD_LIMIT:
            self._break(f"sent more than {HEAD_LIMIT // 1024} KiB of headers")
            raise ValueError("headers too large")
        self._received.append((name, value))

    def on_headers_complete(self) -> None:
        parser = self._parser
        if parser is None:
            return
        status = parser.get_status_code()
        if status < 200:
            if status == 101 or status < 100:
                self._break(f"answered with the status {status}, which nobody asked for")
                raise ValueError("unasked upgrade")
            self._interim = True
            self._received.clear()
            return
        self.headers = ResponseHeaders(self._received)
        coding = self.headers.get("transfer-encoding")
        if coding is not None and coding.lower() != "chunked":
            self._break(f"used the transfer encoding {coding[:40]!r}, which was not asked for")
            raise ValueError("unknown transfer encoding")
        self.status = status
        self.head_complete = True
        self._reusable = parser.should_keep_alive()
        if self._head_only or status in (204, 304):
            # The parser knows of 204 and 304 itself but not of HEAD.
            self.done = True
        else:
            self._until_close = coding is None and "content-length" not in self.headers

    def on_message_complete(self) -> None:
        if self._interim:
            self._interim = False
        else:
            self.done = True

    # -- ends ----------------------------------------------------------------------------------

    def _end(self, error: Exception | None = None) -> None:
        """The connection is over: a proper end for a body without length, else a broken one."""
        if self.done:
            return
        if self.head_complete and self._until_close and error is None:
            self.done = True
            self._wake()
        elif self._parser is not None and self._parser.get_status_code():
            self._break("closed the connection in the middle of its answer")
        else:
            self._break("closed the connection without an answer")

    def _break(self, what: str) -> None:
        begun = self._parser is not None and self._parser.get_status_code()
        kind = UpstreamIncomplete if begun else UpstreamFailure
        self._fail(kind(f"The upstream at {self._where} {what}."))

    def _fail(self, failure: GatewayError) -> None:
        self._failure = failure
        self.done = True
        self._reusable = False
        if self.alive:
            self.abort()
        self._wake()

    def _wake(self) -> None:
        if (waiter := self._waiter) is not None:
            waiter()

    def _resume(self) -> None:
        self._paused = False
        # Time during which nothing could arrive is not silence of the peer.
        self._last_activity = self._clock()
        if self.alive and self._transport is not None:
            self._transport.resume_reading()

    def _check_time(self) -> None:
        """The only timer of an exchange: it re-arms itself for what is left since the last sign of life."""
        now = self._clock()
        left = inf
        bound = self._bound
        if bound is not None and bound.deadline is not None:
            left = bound.deadline - now
            if left <= 0:
                self._bound = None
                if self.head_complete:
                    bound.end()
                else:
                    self._fail(bound.timeout())
                return
        if (timeout := self._idle_timeout) is not None and not self.done and self._transport is not None:
            unsent = self._transport.get_write_buffer_size()
            if self._waiter is None or unsent != self._unsent:
                # The reader is busy elsewhere or the request is still moving out: not the peer's silence.
                self._last_activity = now
            self._unsent = unsent
            quiet = self._last_activity + timeout - now
            if quiet <= 0:
                what = "sent nothing more" if self.head_complete else "did not answer"
                self._fail(UpstreamTimeout(f"The upstream at {self._where} {what} for {timeout:g} seconds."))
            else:
                left = min(left, quiet)
        if left < inf and self._timer is not None:
            self._timer.set(now + left)
