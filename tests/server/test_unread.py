"""Clients that do not read their answers: they hold nothing up for longer than an answer may take."""

import asyncio
import json
import re
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.backends.server import Backend
from tests.backends.shapes import Answer as Served
from tests.conftest import RunningGateway, StartGateway
from tests.server.talking import CHAT, HELLO, ask, request_bytes
from tests.simulator import Answer, Exchange, Pause, simulator_thread
from tests.upstreams.chatkit.scripted import Asked, Reply
from tests.upstreams.chatkit.transcripts import sse

RESPONSES = "/v1/responses"
TOTAL = 3.0
LIMITS = {
    "GPTOSS_MAX_CONCURRENCY": "2",
    "GPTOSS_TOTAL_TIMEOUT": str(TOTAL),
    "GPTOSS_QUEUE_TIMEOUT": "9",
    "GPTOSS_KEEPALIVE": "0.2",
}
# More than the buffers of two sockets hold, of which one is kept small.
PIECE, PIECES = "word " * 4_000, 300
SMALL = 64 * 1024

Start = Callable[[], Awaitable[RunningGateway]]


@pytest.fixture(params=["gpt-oss.com", "server"])
async def start(request: pytest.FixtureRequest, gateway: StartGateway) -> AsyncIterator[Start]:
    """Starts a gateway over an upstream whose answers have 6 MB, to "short" one word.

    To "late" it is silent for half of the time of an answer.
    """
    async with AsyncExitStack() as stack:
        if request.param == "gpt-oss.com":
            simulator = stack.enter_context(simulator_thread(auth="session"))
            simulator.always(at_the_site)
            yield lambda: asyncio.to_thread(gateway, simulator, **LIMITS)
            return
        backend = Talkative("generic")
        await stack.enter_async_context(backend.running())
        url = backend.url.removesuffix("/chatkit") + "/v1"
        yield lambda: asyncio.to_thread(gateway, GPTOSS_UPSTREAM=url, **LIMITS)


def at_the_site(asked: Exchange) -> Answer | str:
    if asked.text == "short":
        return "word"
    return Answer(
        "", deltas=[PIECE] * PIECES, at={"opened": [Pause(TOTAL / 2)]} if asked.text == "late" else {}
    )


class Talkative(Backend):
    def reply_to(self, asked: Asked) -> Reply:
        text = "" if asked.method == "GET" else asked.body["messages"][-1]["content"]
        if text in ("", "short"):
            return super().reply_to(asked)
        delta = sse({"choices": [{"index": 0, "delta": {"content": PIECE}}]})
        last = sse(*self.shape.events(Served(content="word")))
        return Reply([TOTAL / 2 if text == "late" else 0.0, *[delta] * PIECES, last])


def begin(running: RunningGateway, path: str, body: dict[str, Any]) -> socket.socket:
    """Sends a request and never reads."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
    connection.settimeout(20)
    url = urlsplit(running.base_url)
    connection.connect((url.hostname, url.port))
    connection.sendall(request_bytes(path, body))
    return connection


def short(running: RunningGateway) -> float:
    """Seconds until a small answer was there."""
    started = time.monotonic()
    reply = ask(running, "POST", CHAT, {"messages": [{"role": "user", "content": "short"}]})
    assert reply.status == 200, reply.body
    return time.monotonic() - started


def was_reset(connection: socket.socket) -> bool:
    """Whether the other side gave the connection up before all was read."""
    try:
        while connection.recv(1 << 20):
            pass
    except ConnectionResetError:
        return True
    return False


async def logged(running: RunningGateway, resets: int) -> None:
    """Waits until so many connections were given up."""
    deadline = time.monotonic() + TOTAL + 5
    while running.log().count(" reset: its answer waited 3 s in all to be read") < resets:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


def read_rest(connection: socket.socket) -> bytes:
    """What arrives up to the end of the answer."""
    seen = bytearray()
    while not seen.endswith((b"\r\n0\r\n\r\n", b"}}")):
        data = connection.recv(1 << 20)
        assert data
        seen += data
    return bytes(seen)


UNREAD: dict[str, tuple[str, dict[str, Any]]] = {
    "streamed chat": (CHAT, {**HELLO, "stream": True}),
    "whole chat": (CHAT, HELLO),
    "streamed response": (RESPONSES, {"input": "Hello", "stream": True, "store": False}),
    "followed response": (RESPONSES, {"input": "Hello", "stream": True, "background": True}),
}


@pytest.mark.parametrize("unread", UNREAD)
async def test_the_time_of_an_answer_ends_also_where_nobody_reads(unread: str, start: Start) -> None:
    running = await start()
    await asyncio.to_thread(short, running)
    held = [await asyncio.to_thread(begin, running, *UNREAD[unread]) for _ in range(2)]
    # It gets a place when the time of the others is over, if not before.
    assert await asyncio.to_thread(short, running) < TOTAL + 2
    await logged(running, 2)
    for connection in held:
        with connection:
            assert await asyncio.to_thread(was_reset, connection)
    assert "Traceback" not in running.log()


@pytest.mark.parametrize("stream", [True, False])
async def test_who_reads_slowly_but_in_time_gets_all(start: Start, stream: bool) -> None:
    running = await start()

    def read_slowly() -> bytes:
        seen = bytearray()
        with begin(running, CHAT, {**HELLO, "stream": stream}) as connection:
            for _ in range(5):
                seen += connection.recv(100_000)
                time.sleep(0.1)
            return bytes(seen) + read_rest(connection)

    answer = await asyncio.to_thread(read_slowly)
    # Where the text is cut is nobody's business here.
    text = b"".join(re.findall(rb'"content":"([^"]*)"', answer))
    assert text.count(b"word ") >= 4_000 * PIECES


async def test_who_read_too_slowly_is_told_so(start: Start) -> None:
    running = await start()

    def read_too_slowly() -> bytes:
        late = {"messages": [{"role": "user", "content": "late"}], "stream": True}
        with begin(running, CHAT, late) as connection:
            time.sleep(TOTAL + 0.5)
            return read_rest(connection)

    last = (await asyncio.to_thread(read_too_slowly)).removesuffix(b"\r\n0\r\n\r\n").split(b"data: ")[-1]
    assert json.loads(last)["error"]["code"] == "client_too_slow"
    # That says nothing of the upstream.
    assert (await asyncio.to_thread(ask, running, "GET", "/readyz")).status == 200


async def test_a_client_that_only_asks_is_hung_up_on(gateway: StartGateway) -> None:
    running = await asyncio.to_thread(gateway, GPTOSS_UPSTREAM="demo", **LIMITS)
    request = b"GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n"
    with begin(running, CHAT, HELLO) as connection:
        await asyncio.to_thread(connection.sendall, request * 500)
        await logged(running, 1)
        assert was_reset(connection)
