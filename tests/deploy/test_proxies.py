"""Answers through the proxies of deploy/: at once, also after a long silence, and no longer than wanted."""

import asyncio
import json
import os
import signal
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from websockets.sync.client import connect as connect_websocket

from tests.conftest import RunningGateway, running_gateway
from tests.simulator import Answer, Exchange, Pause, Simulator, Stall

from .proxies import PROXIES, Proxy, running_proxy
from .streams import CHAT, OLLAMA, WORD, body, connect, reply, request, stream

STREAMS = 32
WORDS = 12
PACE = 0.15
# Seconds. GPTOSS_TEST_SILENCE=610 tries ten minutes.
SILENCE = float(os.environ.get("GPTOSS_TEST_SILENCE", "2"))
# What each proxy has of the time after which silence of the gateway ends an answer, cut to a second.
IMPATIENT = {
    "nginx": [("proxy_read_timeout 1000s;", "proxy_read_timeout 1s;")],
    "caddy": [("dial_timeout 2s", "dial_timeout 2s\n\t\t\tread_timeout 1s")],
    "haproxy": [("timeout server 1000s", "timeout server 1s")],
    "traefik": [("responseHeaderTimeout: 0s", "responseHeaderTimeout: 1s")],
}
# Shorter than the rest of a gateway that closes connections after three seconds, as 60 is shorter than 75.
SHORT_REST = {
    "nginx": [("keepalive_timeout 60s;", "keepalive_timeout 2s;")],
    "caddy": [("keepalive 60s", "keepalive 2s")],
    "haproxy": [],
    "traefik": [("idleConnTimeout: 60s", "idleConnTimeout: 2s")],
}
CONNECTIONS = 1000
# Seconds after which the gateway closes what rests; 75 tries the configurations as they are.
REST = float(os.environ.get("GPTOSS_TEST_REST", "3"))


async def test_streams_arrive_event_by_event(proxied: tuple[Simulator, Proxy]) -> None:
    simulator, proxy = proxied
    simulator.always(Answer("", deltas=["word "] * WORDS, pace=PACE))
    paths = [CHAT, OLLAMA] * (STREAMS // 2)
    arrivals = await asyncio.gather(*(stream(proxy.base_url, path) for path in paths))
    for arrival in arrivals:
        assert arrival.whole, bytes(arrival.text[-200:])
        assert len(arrival.moments) == WORDS
        gaps = [after - before for before, after in zip(arrival.moments, arrival.moments[1:], strict=False)]
        # As they were sent; a busy machine may hold a few up, but no proxy that collects passes this.
        assert PACE / 2 < statistics.median(gaps) < 2 * PACE
        assert arrival.moments[-1] - arrival.moments[0] > PACE * (WORDS - 1) * 0.7


async def test_a_long_silence_is_survived_in_a_stream_and_before_an_answer(
    patient_site: tuple[Simulator, RunningGateway], proxied: tuple[Simulator, Proxy]
) -> None:
    simulator, proxy = proxied
    simulator.always(Answer("", deltas=["word "] * 4, at={"half": [Pause(SILENCE)]}))
    started = time.monotonic()
    arrivals = await asyncio.gather(
        stream(proxy.base_url, CHAT),
        stream(proxy.base_url, OLLAMA),
        stream(proxy.base_url, CHAT, stream=False),
    )
    assert time.monotonic() - started >= SILENCE
    assert [arrival.status for arrival in arrivals] == [200] * 3
    assert [arrival.words for arrival in arrivals] == [4] * 3
    assert arrivals[0].whole
    assert arrivals[1].whole


@pytest.mark.parametrize("name", PROXIES)
async def test_the_time_for_silence_is_what_the_configuration_says(
    name: str, patient_site: tuple[Simulator, RunningGateway], tmp_path: Path
) -> None:
    simulator, gateway = patient_site
    simulator.reset()
    simulator.always(Answer("", deltas=["word "] * 4, at={"half": [Pause(2.5)]}))
    with running_proxy(name, tmp_path, [gateway], *IMPATIENT[name]) as proxy:
        # Traefik has such a time only until the head.
        arrival = await stream(proxy.base_url, CHAT, stream=name != "traefik")
    assert not arrival.whole
    assert arrival.words < 4


@pytest.mark.parametrize("path", [CHAT, OLLAMA])
@pytest.mark.parametrize("when", ["before the answer", "while words come", "in a silence"])
async def test_a_client_that_leaves_frees_the_upstream_within_a_second(
    when: str, path: str, proxied: tuple[Simulator, Proxy]
) -> None:
    simulator, proxy = proxied
    if when == "while words come":
        simulator.always(Answer("", deltas=["word "] * 200, pace=0.1))
    else:
        simulator.always(Answer("", deltas=["word "] * 4, at={"half": [Stall()]}))
    reader, writer = await connect(proxy.base_url)
    writer.write(request(path, body(path, stream=when != "before the answer")))
    if when == "before the answer":
        await asyncio.to_thread(simulator.wait_until, lambda: asked(simulator))
    else:
        await reader.readuntil(WORD)
    left = time.monotonic()
    writer.close()
    await asyncio.to_thread(simulator.wait_until, lambda: asked(simulator)[0].aborted_at is not None)
    aborted = asked(simulator)[0].aborted_at
    assert aborted is not None
    assert aborted - left < 1


def asked(simulator: Simulator) -> list[Exchange]:
    """The requests for an answer; the gateway also looks whether the site is there."""
    return [each for each in simulator.requests if "Hello" in each.text]


async def ask_twice(proxy: Proxy) -> Counter[int | str]:
    """What comes of the second request on each connection, sent as the gateway closes what has rested.

    That a proxy hears of such an end too late is a matter of microseconds. Here it sleeps meanwhile, and
    finds first the requests, then the ends of connections that it may have kept.
    """
    together = asyncio.Semaphore(50)

    async def first() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        async with together:
            reader, writer = await connect(proxy.base_url)
            assert await reply(reader, writer, "/api/show", {"model": "gpt-oss-20b"}) == 200
            return reader, writer

    connections = await asyncio.gather(*(first() for _ in range(CONNECTIONS)))
    await asyncio.sleep(REST * 0.83)
    proxy.signal(signal.SIGSTOP)
    try:
        again = [
            asyncio.create_task(reply(reader, writer, "/api/show", {"model": "gpt-oss-20b"}))
            for reader, writer in connections
        ]
        await asyncio.sleep(REST * 0.3)
    finally:
        proxy.signal(signal.SIGCONT)
    found = await asyncio.gather(*again, return_exceptions=True)
    for _, writer in connections:
        writer.close()
    return Counter(type(each).__name__ if isinstance(each, BaseException) else each for each in found)


@contextmanager
def short_breath(name: str, folder: Path, changes: Sequence[tuple[str, str]]) -> Iterator[Proxy]:
    """A proxy before a gateway that closes connections which have rested for :data:`REST` seconds."""
    (folder / "proxy").mkdir()
    before = f"import gptoss_api.server.protocol as p; p.KEEP_ALIVE = {REST}"
    with (
        running_gateway(folder, GPTOSS_UPSTREAM="demo", before=before) as gateway,
        running_proxy(name, folder / "proxy", [gateway], *changes) as proxy,
    ):
        yield proxy


@pytest.mark.parametrize("name", PROXIES)
async def test_a_thousand_connections_that_rest_meet_no_closed_door(name: str, tmp_path: Path) -> None:
    with short_breath(name, tmp_path, SHORT_REST[name] if REST < 60 else []) as proxy:
        assert await ask_twice(proxy) == {200: CONNECTIONS}


def test_what_the_gateway_learns_of_the_client_is_true_and_what_the_client_makes_up_is_not(
    patient_site: tuple[Simulator, RunningGateway], proxied: tuple[Simulator, Proxy]
) -> None:
    _, gateway = patient_site
    _, proxy = proxied
    made_up = {"x-forwarded-for": "203.0.113.9", "x-request-id": f"liar-by-{proxy.name}"}
    with urlopen(Request(f"{proxy.base_url}/", headers=made_up), timeout=10) as response:
        status = json.load(response)
    host = proxy.base_url.removeprefix("http://")
    assert status["base_url"] == f"http://{host}/v1"
    deadline = time.monotonic() + 5
    while f"id=liar-by-{proxy.name}" not in gateway.log():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert "203.0.113.9" not in gateway.log()


async def test_proxies_find_a_gateway_healthy_that_answers_to_its_own_name_alone(tmp_path: Path) -> None:
    with ExitStack() as stack:
        gateway = stack.enter_context(
            running_gateway(tmp_path, GPTOSS_UPSTREAM="demo", GPTOSS_ALLOWED_HOSTS="gptoss.example")
        )
        proxies = []
        for name in PROXIES:
            (tmp_path / name).mkdir()
            proxies.append(stack.enter_context(running_proxy(name, tmp_path / name, [gateway])))
        # Each has looked twice by then.
        await asyncio.sleep(4.5)
        for proxy in proxies:
            asked = Request(f"{proxy.base_url}/v1/models", headers={"host": "gptoss.example"})
            with await asyncio.to_thread(urlopen, asked, timeout=10) as response:
                assert response.status == 200, proxy.name


def test_a_websocket_passes(proxied: tuple[Simulator, Proxy]) -> None:
    simulator, proxy = proxied
    simulator.always(Answer("word word word"))
    address = f"{proxy.base_url.replace('http', 'ws', 1)}/v1/responses"
    with connect_websocket(address, open_timeout=10) as socket:
        socket.send(json.dumps({"type": "response.create", "model": "gpt-oss-20b", "input": "Hello"}))
        kinds = []
        while "response.completed" not in kinds:
            kinds.append(json.loads(socket.recv(timeout=10))["type"])
    assert kinds[0] == "response.created"


def test_a_large_body_passes(proxied: tuple[Simulator, Proxy]) -> None:
    _, proxy = proxied
    content = json.dumps(body("", text="word " * 1_000_000)).encode()
    asked = Request(
        f"{proxy.base_url}/v1/messages/count_tokens", content, {"content-type": "application/json"}
    )
    with urlopen(asked, timeout=60) as response:
        assert json.load(response)["input_tokens"] > 900_000
