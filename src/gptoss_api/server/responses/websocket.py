"""Responses over a WebSocket: each ``response.create`` is a request of its own, as over HTTP.

It goes the whole way of one, through keys, limits, routes, stores and the log; only its events leave in
messages.
"""

import asyncio
import json
from collections import deque
from typing import Any, Final

import msgspec

from ...core.errors import GatewayError, InvalidRequest, Overloaded, UnsupportedParameter
from ...dialects.openai_errors import error_object, openai_error
from ..exchange import Exchange
from ..turns import Serving

# How often it is looked whether the server stops, and how often a quiet client gets a ping, in seconds.
_TICK: Final = 1.0
_PING_EVERY: Final = 15.0
# For how long a connection may stay without a request, in seconds.
IDLE_TIMEOUT: Final = 3600.0
# How many requests may wait while one is answered.
MOST_WAITING: Final = 8

_CREATE: Final = "response.create"
_END: Final = b"\n\n"
_DATA: Final = b"data: "
_NOT_FORWARDED: Final = frozenset({b"content-length", b"content-encoding", b"expect", b"x-request-id"})


class WebSocketEndpoint:
    """Answers ``GET /v1/responses`` with ``Upgrade: websocket``."""

    def __init__(self, dialect: str, path: str, serving: Serving) -> None:
        self._name = dialect
        self._path = path
        self._serving = serving

    async def __call__(self, exchange: Exchange) -> None:
        exchange.record.dialect = self._name
        headers = exchange.record.headers
        key = headers.get("sec-websocket-key", "")
        if not exchange.upgrades or not key or headers.get("sec-websocket-version") != "13":
            raise InvalidRequest(
                "GET on this path opens a WebSocket: send the headers of RFC 6455, version 13. To ask for a "
                "response over HTTP use POST."
            )
        await _Connection(exchange, self._path, self._serving).serve(key)


class _Connection:
    """One WebSocket. Requests are answered one after the other, in the order in which they came."""

    def __init__(self, exchange: Exchange, path: str, serving: Serving) -> None:
        from websockets.protocol import State
        from websockets.server import ServerProtocol

        self._exchange = exchange
        self._path = path
        self._serving = serving
        # No extensions: what a message unpacks to is not bounded by what arrives.
        self._protocol: ServerProtocol = ServerProtocol(state=State.OPEN, max_size=serving.intake.largest)
        self._headers = [each for each in exchange.headers if each[0] not in _NOT_FORWARDED]
        self._pieces: list[bytes] = []
        self._waiting: deque[_Message] = deque()
        self._current: _Message | None = None
        self._task: asyncio.Task[None] | None = None

    async def serve(self, key: str) -> None:
        """Accepts, and answers until either side has enough."""
        from websockets.utils import accept_key

        exchange = self._exchange
        accepted = accept_key(key).encode()
        exchange.switch(
            [(b"upgrade", b"websocket"), (b"connection", b"Upgrade"), (b"sec-websocket-accept", accepted)]
        )
        arriving = self._serving.intake.body(exchange.record.caller)
        try:
            with arriving:
                while not self._protocol.close_expected() and not exchange.gone:
                    part = await self._next_part()
                    if not part:
                        break
                    arriving.take(len(part))
                    self._protocol.receive_data(part)
                    self._read()
                    self.flush()
                    if not self._pieces:
                        self._serving.intake.release(arriving)
        except Overloaded as error:
            self._protocol.fail(1013, error.message[:100])
        finally:
            # What was not begun is for nobody.
            self._waiting.clear()
            if self._task is not None:
                if self._current is not None:
                    self._current.lost()
                self._task.cancel()
                await asyncio.wait([self._task])
            self.flush()
            exchange.end()

    async def _next_part(self) -> bytes:
        """What arrives next; nothing where the connection is to be closed."""
        loop = asyncio.get_running_loop()
        quiet_since = pinged = loop.time()
        while True:
            try:
                async with asyncio.timeout(_TICK):
                    return await self._exchange.part()
            except TimeoutError:
                now = loop.time()
            if self._task is not None and not self._task.done():
                quiet_since = pinged = now
                continue
            if self._serving.drain.refuses or not self._exchange.stays:
                self._protocol.send_close(1001, "the gateway is shutting down")
                return b""
            if now - quiet_since >= IDLE_TIMEOUT:
                self._protocol.send_close(1000, "no request came for an hour")
                return b""
            if now - pinged >= _PING_EVERY:
                pinged = now
                self.ping()

    def ping(self) -> None:
        self._protocol.send_ping(b"")
        self.flush()

    def _read(self) -> None:
        from websockets.frames import Frame, Opcode

        for frame in self._protocol.events_received():
            if not isinstance(frame, Frame) or frame.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                continue
            self._pieces.append(bytes(frame.data))
            if frame.fin:
                text, self._pieces = b"".join(self._pieces), []
                self._take(text)

    def _take(self, text: bytes) -> None:
        """A whole message of the client."""
        lane: str | None = None
        try:
            event = _object(text)
            lane = event.pop("stream_id", None) if isinstance(event.get("stream_id"), str) else None
            body = _request(event)
            if len(self._waiting) >= MOST_WAITING:
                raise Overloaded(
                    f"{MOST_WAITING} requests are waiting on this connection already. Wait for an answer."
                )
        except GatewayError as error:
            self.send(
                lane, {"type": "error", "status": openai_error(error).status, "error": error_object(error)}
            )
            return
        self._waiting.append(_Message(self, self._exchange, self._path, self._headers, body, lane))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._answer())

    async def _answer(self) -> None:
        while self._waiting:
            self._current = message = self._waiting.popleft()
            await self._exchange.handle(message)
        self._current = None

    def send(self, lane: str | None, event: dict[str, Any]) -> None:
        self.send_raw(lane, msgspec.json.encode(event))
        self.flush()

    def send_raw(self, lane: str | None, event: bytes) -> None:
        if lane is not None:
            event = b'{"stream_id":%b,%b' % (json.dumps(lane).encode(), event[1:])
        if not self._protocol.close_expected():
            self._protocol.send_text(event)

    def flush(self) -> None:
        if data := b"".join(self._protocol.data_to_send()):
            self._exchange.write(data)


class _Message(Exchange):
    """One request on a WebSocket, and the answer to it in messages."""

    __slots__ = ("_lane", "_outer", "_socket", "_status")

    def __init__(
        self,
        socket: _Connection,
        outer: Exchange,
        path: str,
        headers: list[tuple[bytes, bytes]],
        body: bytes,
        lane: str | None,
    ) -> None:
        super().__init__(outer.connection, "POST", path, b"", "1.1", headers, keep_alive=True)
        self._socket = socket
        self._outer = outer
        self._lane = lane
        self._status = 0
        self.arrived(body)
        self.arrived_whole()

    def begin(self, status: int, lines: bytes, *, sized: bool) -> None:
        self.record.status = self._status = status

    def write(self, data: bytes, *, last: bool = False) -> None:
        if self.gone:
            return
        if self._status != 200:
            told = msgspec.json.decode(data) if data else {}
            self._socket.send(self._lane, {"type": "error", "status": self._status, **told})
            return
        for event in data.split(_END):
            _, found, payload = event.partition(_DATA)
            if found:
                self._socket.send_raw(self._lane, payload)
            elif event:
                # A comment that keeps a line alive.
                self._socket.ping()
        self._socket.flush()

    def end(self, last: bytes = b"") -> None:
        if last:
            self.write(last)
        self.complete = True

    def limit(self, flow: Any) -> None:
        self._outer.limit(flow)

    def abort(self) -> None:
        self.complete = True


def _object(text: bytes) -> dict[str, Any]:
    try:
        event = json.loads(text)
    except (ValueError, RecursionError):
        event = None
    if not isinstance(event, dict):
        raise InvalidRequest("A message on this connection is one JSON object with a 'type'.")
    return event


def _request(event: dict[str, Any]) -> bytes:
    """The body of the request that the event asks for.

    Raises:
        InvalidRequest: for an event that asks for something else.
    """
    if event.pop("type", None) != _CREATE:
        raise InvalidRequest(f"The 'type' of a message is '{_CREATE}' here.", param="type")
    if event.pop("generate", True) is False:
        raise UnsupportedParameter(
            "Unsupported parameter: 'generate'. There is nothing here that could be prepared.",
            param="generate",
        )
    event.pop("stream_options", None)
    return json.dumps({**event, "stream": True}).encode()
