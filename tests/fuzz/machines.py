"""What is fuzzed: every machine that reads bytes nobody here wrote, each as a function of one input.

The first four bytes of an input say how the rest is cut. A machine must come to the same whatever the cuts,
and may fail with nothing but a :class:`GatewayError` (:class:`JsonBroken` where it only judges text).
"""

import asyncio
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Any, Final

import httptools

from gptoss_api.core.errors import GatewayError
from gptoss_api.core.events import Event, Finished, ReasoningDelta, TextDelta
from gptoss_api.core.result import Collector
from gptoss_api.core.servers import SERVER_KINDS
from gptoss_api.server.exchange import ClientGone, Exchange
from gptoss_api.text.harmony import HarmonyRepair
from gptoss_api.text.json_stream import JsonBroken, JsonTransducer
from gptoss_api.text.sse import SseDecoder
from gptoss_api.upstreams.chatkit.wire import ChatKitWire
from gptoss_api.upstreams.http.connection import Connection
from gptoss_api.upstreams.openai_compatible import PROFILES
from gptoss_api.upstreams.openai_compatible.wire import ChatWire
from gptoss_api.upstreams.responses.wire import ResponsesWire
from tests.server.unwired import TakesAll, connected
from tests.text.parsing import CONFIG, parse

Seen = tuple[Any, ...]

_SIZES: Final = (1, 1, 2, 3, 7, 20, 100, 1000)
_KINDS: Final = tuple(sorted(PROFILES))


def pieces_of(data: bytes) -> tuple[bytes, list[bytes]]:
    """The input itself, and the pieces it is cut into."""
    chance = random.Random(data[:4])
    whole = data[4:]
    pieces, at = [], 0
    while at < len(whole):
        size = chance.choice(_SIZES)
        pieces.append(whole[at : at + size])
        at += size
    return whole, pieces


def _text_pieces(data: bytes) -> tuple[str, list[str]]:
    text = data[4:].decode("utf-8", "replace")
    lengths = [len(piece) for piece in pieces_of(data)[1]]
    pieces, at = [], 0
    for length in lengths:
        if piece := text[at : at + length]:
            pieces.append(piece)
        at += length
    return text, pieces


# -- upstream bytes --------------------------------------------------------------------------------


def sse(data: bytes) -> None:
    """The decoder of server-sent events."""
    whole, pieces = pieces_of(data)
    assert _decoded([whole]) == _decoded(pieces)


def _decoded(pieces: Sequence[bytes]) -> Seen:
    decoder = SseDecoder(max_event_bytes=512)
    payloads: list[bytes] = []
    try:
        for piece in pieces:
            payloads += decoder.feed(piece)
        payloads += decoder.finish()
    except GatewayError as failure:
        return (type(failure),)
    return tuple(payloads)


def chat_wire(data: bytes) -> None:
    """The reader of OpenAI-compatible answers, streamed and as one body."""
    whole, pieces = pieces_of(data)
    kind = _KINDS[data[0] % len(_KINDS)] if data else _KINDS[0]
    _ended(ChatWire(SERVER_KINDS[kind]), lambda wire: wire.feed_body(whole))
    assert _read(ChatWire(SERVER_KINDS[kind]), [whole]) == _read(ChatWire(SERVER_KINDS[kind]), pieces)


def responses_wire(data: bytes) -> None:
    """The stream of a response, and the same bytes as the one body of a server that does not stream."""
    whole, pieces = pieces_of(data)
    kind = SERVER_KINDS["responses"]
    assert _read(ResponsesWire(kind), [whole]) == _read(ResponsesWire(kind), pieces)
    _ended(ResponsesWire(kind), lambda wire: wire.feed_body(whole))


def chatkit_wire(data: bytes) -> None:
    """The reader of the website's turns."""
    whole, pieces = pieces_of(data)
    assert _read(ChatKitWire(), [whole]) == _read(ChatKitWire(), pieces)


def _read(wire: ChatWire | ChatKitWire | ResponsesWire, pieces: Sequence[bytes]) -> Seen:
    decoder = SseDecoder()

    def events(wire: ChatWire | ChatKitWire | ResponsesWire) -> Iterator[Event]:
        for piece in pieces:
            yield from wire.feed(decoder.feed(piece))
        yield from wire.feed_rest(decoder.finish())

    return _ended(wire, events)


def _ended(wire: Any, events: Callable[[Any], Any]) -> Seen:
    collector = Collector()
    try:
        collector.feed([*events(wire), *wire.finish()])
    except GatewayError as failure:
        return (type(failure),)
    return _summed(collector)


def _summed(collector: Collector) -> Seen:
    return tuple(
        (
            choice.text,
            choice.reasoning,
            choice.finish_reason,
            tuple((call.name, call.arguments) for call in choice.tool_calls),
        )
        for choice in collector.choices
    )


def http_answer(data: bytes) -> None:
    """An upstream's HTTP response: head, framing and body."""
    whole, pieces = pieces_of(data)
    assert _fetched([whole]) == _fetched(pieces)


def _fetched(pieces: Sequence[bytes]) -> Seen:
    transport = TakesAll()
    connection = Connection(_loop, "upstream:80")
    connection.connection_made(transport)
    connection.send(b"GET / HTTP/1.1\r\n\r\n", b"", head_only=False, idle_timeout=None)
    body = b""
    for piece in pieces:
        if piece and not connection.done:
            connection.data_received(piece)
            # A failure is told at the end.
            with suppress(GatewayError):
                body += connection.take() or b""
    if not connection.done:
        connection.eof_received()
    try:
        connection.check()
    except GatewayError as failure:
        return (type(failure),)
    return connection.status, body


# -- the model's text ------------------------------------------------------------------------------


def tool_calls(data: bytes) -> None:
    """The parser of calls written in text."""
    text, pieces = _text_pieces(data)
    truncated = bool(data) and data[0] % 2 == 1
    assert parse([text], CONFIG, truncated=truncated) == parse(pieces, CONFIG, truncated=truncated)


def harmony(data: bytes) -> None:
    """The repair of leaked Harmony."""
    text, pieces = _text_pieces(data)
    kind = ReasoningDelta if data[:1] > b"\x7f" else TextDelta
    assert _repaired(kind, [text]) == _repaired(kind, pieces)


def _repaired(kind: type[TextDelta] | type[ReasoningDelta], pieces: Sequence[str]) -> Seen:
    repair, collector = HarmonyRepair(CONFIG.tools), Collector()
    try:
        for piece in pieces:
            collector.feed(repair.feed([kind(piece)]))
        collector.feed(repair.feed([Finished("stop")]))
    except GatewayError as failure:
        return (type(failure),)
    return _summed(collector)


def json_stream(data: bytes) -> None:
    """The transducer from nearly JSON to JSON."""
    text, pieces = _text_pieces(data)
    assert _transduced([text]) == _transduced(pieces)


def _transduced(pieces: Sequence[str]) -> Seen:
    machine = JsonTransducer()
    out = ""
    try:
        for piece in pieces:
            out += machine.feed(piece)
        out += machine.finish()
    except JsonBroken as broken:
        return out + broken.output, broken.reason, broken.position
    return out, machine.rest, machine.missing


# -- a client's bytes ------------------------------------------------------------------------------


def http_request(data: bytes) -> None:
    """A client's connection: requests are answered or refused, and the answers are HTTP."""
    whole, pieces = pieces_of(data)
    for cuts in ([whole], pieces):
        _converse(cuts)


def _converse(pieces: Sequence[bytes]) -> None:
    protocol, transport = connected(_echo, _loop)
    for piece in pieces:
        if piece and not transport.closed:
            protocol.data_received(piece)
            _loop.run_until_complete(_a_moment())
    protocol.connection_lost(None)
    _loop.run_until_complete(_a_moment())
    answers = httptools.HttpResponseParser(object())
    # What answers HEAD tells a length and has no body, which only its asker can know.
    if transport.written and b"HEAD" not in b"".join(pieces):
        answers.feed_data(transport.written)


async def _a_moment() -> None:
    for _ in range(4):
        await asyncio.sleep(0)


async def _echo(exchange: Exchange) -> None:
    size = 0
    with suppress(ClientGone):
        while exchange.more_body or exchange.unread:
            size += len(await exchange.part())
        exchange.respond(200, str(size).encode())


def _fail_loudly(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    _unhandled.append(context)


_unhandled: list[dict[str, Any]] = []
_loop: Final = asyncio.new_event_loop()
_loop.set_exception_handler(_fail_loudly)

MACHINES: Final[Mapping[str, Callable[[bytes], None]]] = MappingProxyType(
    {
        machine.__name__: machine
        for machine in (
            sse,
            chat_wire,
            chatkit_wire,
            responses_wire,
            http_answer,
            tool_calls,
            harmony,
            json_stream,
            http_request,
        )
    }
)


def run(name: str, data: bytes) -> None:
    """Feeds ``data`` to the machine.

    Raises:
        Exception: whatever the machine lets out; also what it left to the event loop.
    """
    _unhandled.clear()
    MACHINES[name](data)
    assert not _unhandled, _unhandled
