"""A client that leaves takes its turn with it: the site is left within 100 ms."""

import asyncio
import socket
import struct
import sys
import time
from collections import defaultdict
from pathlib import Path

import pytest

from gptoss_api.server.exchange import Exchange
from gptoss_api.server.protocol import HttpProtocol, Shared
from gptoss_api.server.surface import Surface
from tests.conftest import Site, StartGateway
from tests.server.talking import CHAT, HELLO, ask, connect, read_until, request_bytes
from tests.simulator import Answer, Pause, Simulator, Stall

pytestmark = pytest.mark.waits

SILENCES = {
    "before the first event": Answer("word word", at={"headers": [Stall()]}),
    "while it thinks": Answer("word word", reasoning=("hm",), at={"thinking": [Stall()]}),
    "in the middle of the text": Answer("word word", at={"half": [Stall()]}),
    "while the text flows": Answer("", deltas=["word "] * 10_000, pace=0.002),
}


def _wait_for_requests(simulator: Simulator, count: int) -> None:
    simulator.wait_until(lambda: len(simulator.requests) == count)


def _leave(connection: socket.socket, how: str) -> float:
    if how == "reset":
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    return time.monotonic()


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("silence", SILENCES)
def test_the_site_is_left_within_100_ms(site: Site, silence: str, how: str, stream: bool) -> None:
    simulator, gateway = site.simulator, site.gateway
    simulator.always(SILENCES[silence])
    # The best of a few: a busy machine may let the gateway wait.
    for attempt in range(1, 6):
        connection = connect(gateway)
        connection.sendall(request_bytes(CHAT, {**HELLO, "stream": stream}))
        _wait_for_requests(simulator, attempt)
        time.sleep(0.05)
        left = _leave(connection, how)
        simulator.wait_until(lambda: simulator.last.aborted_at is not None)
        assert simulator.last.aborted_at is not None
        if simulator.last.aborted_at - left < 0.1:
            return
    pytest.fail("the site was always left later")


@pytest.mark.parametrize("stream", [True, False])
def test_a_departure_is_told_in_the_log(site: Site, stream: bool) -> None:
    site.simulator.always(SILENCES["in the middle of the text"])
    name = f"departed-{stream}"
    with connect(site.gateway) as connection:
        connection.sendall(request_bytes(CHAT, {**HELLO, "stream": stream}, f"x-request-id: {name}"))
        _wait_for_requests(site.simulator, 1)
    deadline = time.monotonic() + 5
    while not (lines := [line for line in site.gateway.log().splitlines() if name in line]):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert len(lines) == 1
    assert "outcome=client_gone" in lines[0]
    assert "Traceback" not in site.gateway.log()


async def test_who_has_left_when_the_answer_begins_is_noticed() -> None:
    """What is written then tells the system so before it is known here that the client has ended its side."""
    connected = asyncio.Event()
    left = asyncio.Event()
    client = socket.socket()

    async def serve(exchange: Exchange) -> None:
        await connected.wait()
        client.close()
        exchange.start(200, [(b"content-type", b"text/plain")], sized=False)
        exchange.sign_of_life = b": "
        exchange.write(b"the beginning")
        exchange.watch()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            left.set()
            raise

    loop = asyncio.get_running_loop()
    shared = Shared(serve, Surface(()))
    server = await loop.create_server(lambda: HttpProtocol(shared, loop), "127.0.0.1", 0)
    async with server, asyncio.timeout(5):
        client.setblocking(False)
        await loop.sock_connect(client, server.sockets[0].getsockname())
        await loop.sock_sendall(client, b"GET / HTTP/1.1\r\nhost: here\r\n\r\n")
        connected.set()
        await left.wait()


def test_who_leaves_the_queue_is_never_asked_for(simulator: Simulator, gateway: StartGateway) -> None:
    simulator.script(Answer("word word", at={"half": [Pause(0.5)]}))
    running = gateway(simulator, GPTOSS_MAX_CONCURRENCY="1")
    with connect(running) as first:
        first.sendall(request_bytes(CHAT, HELLO))
        simulator.wait_until(lambda: len(simulator.requests) == 1)
        waiting = connect(running)
        waiting.sendall(request_bytes(CHAT, {"messages": [{"role": "user", "content": "impatient"}]}))
        time.sleep(0.1)
        waiting.close()
        assert b" 200 " in read_until(first, b"\r\n\r\n")
    assert ask(running, "POST", CHAT, HELLO).status == 200
    assert "impatient" not in [request.text for request in simulator.requests]


@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory of a process as Linux tells it")
def test_a_client_that_does_not_read_slows_the_site_down(simulator: Simulator, gateway: StartGateway) -> None:
    chunk = "word " * 2_000
    simulator.always(Answer("", deltas=[chunk] * 3_000))
    running = gateway(simulator)
    with connect(running) as connection:
        connection.sendall(request_bytes(CHAT, {**HELLO, "stream": True}))
        read_until(connection, b"word ")
        time.sleep(1.0)
        resident = int(Path(f"/proc/{running.process.pid}/statm").read_text().split()[1]) * 4096
    # 30 MB of text are on offer; what piled up here is what a few socket buffers hold.
    assert resident < 110 * 1024**2


@pytest.mark.parametrize("stream", [True, False])
def test_what_was_written_for_a_client_that_left_is_in_the_usage(site: Site, stream: bool) -> None:
    def used() -> tuple[int, bool, int]:
        told = ask(site.gateway, "GET", "/v1/usage").json()["used"]
        return told["requests"], told["input_tokens"] > 0, told["output_tokens"]

    site.simulator.always(Answer("", deltas=["word " * 8] * 4, at={"half": [Stall()]}))
    requests, _, tokens = used()
    with connect(site.gateway) as connection:
        connection.sendall(request_bytes(CHAT, {**HELLO, "stream": stream}))
        _wait_for_requests(site.simulator, 1)
        time.sleep(0.3)
    deadline = time.monotonic() + 5
    while used()[0] == requests:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    # Two pieces of forty characters.
    assert used() == (requests + 1, True, tokens + 20)


def test_the_time_that_is_the_gateways_own_is_told_apart(site: Site) -> None:
    def samples(name: str) -> defaultdict[str, float]:
        """Sums over all sets of labels: other tests may have asked the gateway in other ways before."""
        summed = defaultdict[str, float](float)
        for line in ask(site.gateway, "GET", "/metrics").body.decode().splitlines():
            each, _, value = line.rpartition(" ")
            if line.startswith(name) and "le=" not in each:
                summed[each.partition("{")[0]] += float(value)
        return summed

    of_metrics = ("gptoss_overhead_seconds", "gptoss_queue_seconds", "gptoss_request_duration_seconds")

    def grown() -> list[dict[str, float]]:
        """What one more answer adds; it is told just after the last byte."""
        before = [samples(name) for name in of_metrics]
        assert ask(site.gateway, "POST", CHAT, HELLO).status == 200
        deadline = time.monotonic() + 5
        while (after := [samples(name) for name in of_metrics])[-1] == before[-1]:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return [
            {name: value - old[name] for name, value in new.items()}
            for new, old in zip(after, before, strict=True)
        ]

    site.simulator.always(Answer("word word", at={"half": [Pause(0.4)]}))
    grown()
    overhead, queue, duration = grown()
    assert overhead["gptoss_overhead_seconds_count"] == queue["gptoss_queue_seconds_count"] == 1
    assert duration["gptoss_request_duration_seconds_sum"] >= 0.4
    assert 0 < overhead["gptoss_overhead_seconds_sum"] < 0.2
    assert queue["gptoss_queue_seconds_sum"] < 0.2
