"""What is known of an upstream, how old it may be, and how it is looked for without costing a turn."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gptoss_api.core.errors import (
    GatewayError,
    ModelNotFound,
    UpstreamFailure,
    UpstreamLoginRequired,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from gptoss_api.core.servers import SERVER_KINDS
from gptoss_api.upstreams.admission import Admission
from gptoss_api.upstreams.base import Backend as AnyBackend
from gptoss_api.upstreams.chatkit import ChatKitUpstream, Credentials
from gptoss_api.upstreams.health import (
    ABSENCE_TIME,
    FRESH_TIME,
    GOOD_TIME,
    TROUBLE_TIME,
    UpstreamHealth,
)
from gptoss_api.upstreams.http import HttpClient
from gptoss_api.upstreams.openai_compatible import OpenAICompatibleUpstream, Server
from tests.backends.server import Backend, connected, json_reply, turn
from tests.pulled import opened
from tests.upstreams.chatkit.scripted import Asked, Reply, ScriptedServer

PATIENCE = 2.0


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("gptoss_api.upstreams.health.time", clock)
    return clock


class Found:
    """Looks that end as the test says: at once, with a failure, or when ``gate`` opens."""

    def __init__(self) -> None:
        self.looks = 0
        self.failure: GatewayError | None = None
        self.gate: asyncio.Event | None = None

    async def __call__(self) -> None:
        self.looks += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.failure is not None:
            raise self.failure


def absent() -> UpstreamUnavailable:
    failure = UpstreamUnavailable("Nothing answers.")
    failure.unreached = True
    return failure


async def test_nothing_is_ready_before_it_was_there(clock: Clock) -> None:
    found = Found()
    health = UpstreamHealth(found)
    assert not health.state.ready
    assert not health.reached
    await health.look(PATIENCE)
    assert health.state.ready
    assert health.reached
    assert found.looks == 1


async def test_a_good_sign_lasts_is_renewed_in_time_and_then_counts_no_more(clock: Clock) -> None:
    found = Found()
    health = UpstreamHealth(found)
    await health.look(PATIENCE)
    clock.now += FRESH_TIME - 1
    await health.look(PATIENCE)
    assert found.looks == 1
    clock.now += 2
    found.failure = absent()
    await health.look(PATIENCE)
    # Not waited for: the old sign still counts.
    assert health.state.ready
    await asyncio.sleep(0)
    assert found.looks == 2
    assert not health.state.ready
    assert health.reached


async def test_a_sign_that_is_too_old_says_nothing_while_a_look_takes_long(clock: Clock) -> None:
    found = Found()
    health = UpstreamHealth(found)
    await health.look(PATIENCE)
    clock.now += GOOD_TIME
    found.gate = asyncio.Event()
    await health.look(0.01)
    assert not health.state.ready
    found.gate.set()
    await health.look(PATIENCE)
    assert health.state.ready
    assert found.looks == 2


async def test_an_absence_is_asked_for_again_after_seconds_and_once_for_all(clock: Clock) -> None:
    found = Found()
    found.failure = absent()
    health = UpstreamHealth(found)
    for _ in range(5):
        await health.look(PATIENCE)
    assert (health.state.ready, health.state.detail, found.looks) == (False, "Nothing answers.", 1)
    assert not health.reached
    clock.now += ABSENCE_TIME
    found.failure = None
    await asyncio.gather(*(health.look(PATIENCE) for _ in range(50)))
    assert found.looks == 2
    assert health.state.ready


@pytest.mark.parametrize(
    ("failure", "ready"),
    [
        (UpstreamLoginRequired("no"), False),
        (UpstreamTimeout("late"), False),
        (UpstreamUnavailable("loading"), False),
        (ModelNotFound("no list"), True),
        (UpstreamFailure("boom"), True),
    ],
)
async def test_an_upstream_that_refuses_was_there(clock: Clock, failure: GatewayError, ready: bool) -> None:
    found = Found()
    found.failure = failure
    health = UpstreamHealth(found)
    await health.look(PATIENCE)
    assert health.state.ready is ready
    assert failure.message in health.state.detail
    assert health.reached


async def test_a_failed_turn_counts_longer_than_that_the_upstream_is_there(clock: Clock) -> None:
    found = Found()
    health = UpstreamHealth(found)
    health.note(UpstreamTimeout("too long"))
    clock.now += TROUBLE_TIME - 1
    await health.look(PATIENCE)
    assert (health.state.ready, found.looks) == (False, 0)
    clock.now += 1
    await health.look(PATIENCE)
    assert (health.state.ready, found.looks) == (True, 1)


async def test_a_turn_that_found_nobody_is_forgotten_as_soon_as_somebody_is_there(clock: Clock) -> None:
    found = Found()
    health = UpstreamHealth(found)
    health.note(absent())
    assert not health.state.ready
    clock.now += ABSENCE_TIME
    await health.look(PATIENCE)
    assert health.state.ready


async def test_a_turn_tells_more_than_a_look_that_began_before_it(clock: Clock) -> None:
    found = Found()
    found.gate = asyncio.Event()
    found.failure = absent()
    health = UpstreamHealth(found)
    await health.look(0.01)
    clock.now += 1
    health.note(None)
    found.gate.set()
    await asyncio.sleep(0.01)
    assert health.state.ready


async def test_what_is_forgotten_is_looked_for_anew(clock: Clock) -> None:
    found = Found()
    health = UpstreamHealth(found)
    health.note(UpstreamLoginRequired("no"))
    health.forget()
    await health.look(PATIENCE)
    assert health.state.ready


async def test_a_look_ends_with_the_upstream() -> None:
    found = Found()
    found.gate = asyncio.Event()
    health = UpstreamHealth(found)
    await health.look(0.01)
    await health.close()
    await health.close()
    assert not health.state.ready


# The looks of the upstreams themselves


@asynccontextmanager
async def place(kind: str, port: int) -> AsyncIterator[AnyBackend]:
    http = HttpClient(trust_env=False)
    admission = Admission(1, 0)
    upstream: AnyBackend = (
        ChatKitUpstream(http, admission, Credentials(), url=f"http://127.0.0.1:{port}/chatkit")
        if kind == "gpt-oss.com"
        else OpenAICompatibleUpstream(
            http, admission, Server(SERVER_KINDS[kind], f"http://127.0.0.1:{port}/v1")
        )
    )
    try:
        yield upstream
    finally:
        await upstream.close()
        await http.close()


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.parametrize("kind", ["gpt-oss.com", "vllm", "cloudflare"])
async def test_an_upstream_is_found_when_it_comes_and_missed_when_it_goes(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gptoss_api.upstreams.health.ABSENCE_TIME", 0.05)
    monkeypatch.setattr("gptoss_api.upstreams.health.GOOD_TIME", 0.05)
    port = closed_port()

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)
        writer.write(b'HTTP/1.1 200 OK\r\ncontent-length: 11\r\nconnection: close\r\n\r\n{"data":[]}')
        writer.close()

    async with place(kind, port) as upstream:
        for there in (False, True, False):
            if there:
                server = await asyncio.start_server(greet, "127.0.0.1", port)
            await asyncio.sleep(0.06)
            await upstream.look(PATIENCE)
            health = await upstream.health()
            assert health.ready is there, health.detail
            assert ("Nothing answers at" in health.detail) is not there
            if there:
                server.close()
                await server.wait_closed()
        assert upstream.reached


async def test_the_site_is_looked_for_without_a_request() -> None:
    async with (
        ScriptedServer(Reply()).running() as server,
        place("gpt-oss.com", int(server.url[17:-8])) as site,
    ):
        await site.look(PATIENCE)
        assert (await site.health()).ready
        await asyncio.sleep(0.05)
        assert server.asked == []


class Refusing(Backend):
    """Does not list its models."""

    def __init__(self, refusal: Reply) -> None:
        super().__init__("vllm")
        self.refusal_of_lists = refusal

    def reply_to(self, asked: Asked) -> Reply:
        return self.refusal_of_lists if asked.method == "GET" else super().reply_to(asked)


@pytest.mark.parametrize(
    ("status", "ready"), [(401, False), (404, True), (405, True), (429, True), (500, True), (503, False)]
)
async def test_a_server_that_does_not_list_its_models_is_there_all_the_same(status: int, ready: bool) -> None:
    async with connected(Refusing(json_reply(status, {"error": {"message": "no"}}))) as upstream:
        await upstream.look(PATIENCE)
        assert (await upstream.health()).ready is ready
        assert upstream.reached


async def test_a_server_that_is_busy_answering_is_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gptoss_api.upstreams.openai.server.MODELS_TIME", 0.1)
    backend = Refusing(Reply([5.0]))
    backend.replies = [Reply([b": x\n\n", 5.0])]
    async with connected(backend, models={"gpt-oss-120b": "big"}) as upstream:
        await upstream.look(PATIENCE)
        assert not (await upstream.health()).ready
        monkeypatch.setattr("gptoss_api.upstreams.health.ABSENCE_TIME", 0.0)
        async with opened(upstream, turn()) as batches:
            answering = asyncio.ensure_future(anext(batches))
            await asyncio.sleep(ABSENCE_TIME)
            await upstream.look(PATIENCE)
            assert (await upstream.health()).ready
            answering.cancel()
            await asyncio.wait([answering])


async def test_a_connection_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gptoss_api.upstreams.openai.server.LOOK_TIME", 1.0)
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        full.setblocking(False)
        waiting = [socket.socket() for _ in range(3)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        async with place("vllm", full.getsockname()[1]) as upstream:
            began = time.monotonic()
            await upstream.look(0.2)
            assert time.monotonic() - began < 0.9
            assert not (await upstream.health()).ready
            await upstream.look(3.0)
            assert time.monotonic() - began < 2.0
            assert "within 1 seconds" in (await upstream.health()).detail
            assert not upstream.reached
        for each in waiting:
            each.close()
