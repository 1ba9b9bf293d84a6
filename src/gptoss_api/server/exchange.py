"""One answer on its way to one client: writes bytes, keeps the line alive, notices who left.

A streaming response is plain ASGI messages: no response object, no task for each chunk. Two things
run beside the answer: one task that waits for the client to leave, and one timer that writes a sign of life
when nothing has flowed for a while.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from starlette.types import Receive, Send

from ..dialects.base import StreamFormat

RawHeaders = Sequence[tuple[bytes, bytes]]

_STREAM_HEADERS: Final[RawHeaders] = (
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
)


class Departure:
    """Watches for the client's departure and then cancels the task that serves it.

    Use as a context manager around the answer; ``gone`` tells afterwards whether a cancellation
    came from here.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.gone = False

    def __enter__(self) -> "Departure":
        serving = asyncio.current_task()
        assert serving is not None
        self._serving = serving
        self._watch = asyncio.get_running_loop().create_task(self._wait())
        return self

    def __exit__(self, *_: object) -> None:
        self._watch.cancel()

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.gone = True
        self._serving.cancel()


class ClientStream:
    """A stream to one client in ``form``.

    The status line and headers leave with the first bytes: until then a failure can still be an
    ordinary error response. When nothing was written for ``keep_alive`` seconds the stream opens
    (if need be) and the form's sign of life is written, where it has one, so that neither side gives
    up on a thinking model.
    """

    def __init__(self, send: Send, form: StreamFormat, keep_alive: float) -> None:
        self._send = send
        self._form = form
        self._keep_alive = keep_alive
        self._loop = asyncio.get_running_loop()
        self._last_write = self._loop.time()
        self._sign: asyncio.Task[None] | None = None
        self._timer = self._loop.call_later(keep_alive, self._tick)
        self._writing = False
        self.headers: RawHeaders = ()
        self.started = False

    async def write(self, data: bytes) -> None:
        """Sends ``data``; waits while the client reads more slowly than the model writes."""
        if data:
            self._writing = True
            if not self.started:
                await self._open()
            await self._send({"type": "http.response.body", "body": data, "more_body": True})
            self._last_write = self._loop.time()
            self._writing = False

    async def close(self, last: bytes = b"") -> None:
        """Sends the ``last`` bytes and ends the response."""
        self.stop()
        if not self.started:
            await self._open()
        await self._send({"type": "http.response.body", "body": last, "more_body": False})

    def stop(self) -> None:
        """Ends the keep-alive; the stream itself may already be closed or was never opened."""
        self._timer.cancel()
        if self._sign is not None:
            self._sign.cancel()

    async def _open(self) -> None:
        self.started = True
        kind = (b"content-type", self._form.content_type)
        headers = [kind, *_STREAM_HEADERS, *self.headers]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})

    def _tick(self) -> None:
        quiet = self._loop.time() - self._last_write
        if quiet >= self._keep_alive:
            # A client that has not read what was sent last needs no sign of life.
            if not self._writing:
                self._sign = self._loop.create_task(self.write(self._form.keep_alive))
            quiet = 0.0
        self._timer = self._loop.call_later(self._keep_alive - quiet, self._tick)


async def send_json(send: Send, status: int, body: bytes, headers: RawHeaders = ()) -> None:
    """A whole JSON response."""
    await send_whole(send, b"application/json", body, status, headers)


async def send_whole(
    send: Send, content_type: bytes, body: bytes, status: int = 200, headers: RawHeaders = ()
) -> None:
    """A whole response."""
    head = [(b"content-type", content_type), (b"content-length", b"%d" % len(body)), *headers]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body, "more_body": False})
