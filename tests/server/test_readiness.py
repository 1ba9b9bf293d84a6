"""Ready is who can answer: an upstream that was never there is not, and has no models."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.backends.server import Backend
from tests.conftest import RunningGateway, StartGateway, free_port
from tests.server.talking import CHAT, HELLO, Reply, ask
from tests.simulator import Simulator

pytestmark = pytest.mark.waits

MODELS = ["gpt-oss-120b", "gpt-oss-20b"]


def get(running: RunningGateway, path: str) -> Reply:
    return ask(running, "GET", path)


def models(running: RunningGateway) -> list[str]:
    return [model["id"] for model in get(running, "/v1/models").json()["data"]]


def logged(running: RunningGateway, words: str) -> None:
    deadline = time.monotonic() + 10
    while words not in running.log():
        assert time.monotonic() < deadline, running.log()
        time.sleep(0.02)


def wait_for_readiness(running: RunningGateway, ready: bool, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while (get(running, "/readyz").status == 200) is not ready:
        assert time.monotonic() < deadline
        time.sleep(0.1)


@asynccontextmanager
async def serving_at(port: int, backend: Backend) -> AsyncIterator[None]:
    connections: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        await backend._serve(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    try:
        yield
    finally:
        server.close()
        for connection in connections:
            connection.transport.abort()


@pytest.mark.parametrize("kind", ["gpt-oss.com", "server", "several"])
def test_an_upstream_that_is_not_there_is_not_ready_and_has_no_models(
    kind: str, gateway: StartGateway
) -> None:
    away = f"http://127.0.0.1:{free_port()}"
    variables = {
        "gpt-oss.com": {"GPTOSS_CHATKIT_URL": f"{away}/chatkit", "GPTOSS_COOKIE": "user_id=u; session=s"},
        "server": {"GPTOSS_UPSTREAM": f"{away}/v1"},
        "several": {"GPTOSS_UPSTREAM": f"{away}/v1, {away}/v2"},
    }[kind]
    running = gateway(**variables)
    logged(running, "is not ready: Nothing answers at 127.0.0.1")
    ready = get(running, "/readyz")
    assert ready.status == 503
    assert "Nothing answers at" in ready.json()["detail"]
    status = get(running, "/").json()
    assert (status["ready"], status["models"]) == (False, [])
    assert models(running) == []
    for name in MODELS:
        missing = get(running, f"/v1/models/{name}")
        assert missing.status == 404
        assert missing.error["code"] == "model_not_found"
        assert "No upstream that was reached" in missing.error["message"]
    assert ask(running, "POST", CHAT, HELLO).status == 503


def test_a_balancer_that_leaves_the_upstream_out_goes_on_using_the_gateway(gateway: StartGateway) -> None:
    running = gateway(GPTOSS_UPSTREAM=f"http://127.0.0.1:{free_port()}/v1")
    assert ask(running, "GET", "/readyz").status == 503
    alone = ask(running, "GET", "/readyz?exclude=upstream")
    assert (alone.status, alone.json()) == (200, {"ready": True})
    assert ask(running, "GET", "/readyz?exclude=nothing").status == 503


def test_an_upstream_that_is_there_is_ready_and_was_asked_for_no_turn(
    simulator: Simulator, gateway: StartGateway
) -> None:
    running = gateway(simulator)
    logged(running, "upstream gpt-oss.com is ready: It is there")
    assert get(running, "/readyz").status == 200
    assert models(running) == MODELS
    assert get(running, "/v1/models/openai/gpt-oss-20b").json()["id"] == "gpt-oss-20b"
    assert simulator.requests == []


@pytest.mark.parametrize("several", [False, True])
async def test_an_upstream_that_comes_back_is_ready_within_seconds(
    several: bool, gateway: StartGateway
) -> None:
    port = free_port()
    words = f"http://127.0.0.1:{port}/v1" + (", http://127.0.0.1:9/v1" if several else "")
    running = await asyncio.to_thread(gateway, GPTOSS_UPSTREAM=words, GPTOSS_QUEUE_TIMEOUT="2")
    backend = Backend("generic")
    for _ in range(2):
        # Enough failures for everything to rest for long.
        for _ in range(5):
            assert (await asyncio.to_thread(ask, running, "POST", CHAT, HELLO)).status == 503
        await asyncio.to_thread(wait_for_readiness, running, False, 5.0)
        async with serving_at(port, backend):
            await asyncio.to_thread(wait_for_readiness, running, True, 5.0)
            assert (await asyncio.to_thread(ask, running, "POST", CHAT, HELLO)).status == 200
            assert await asyncio.to_thread(models, running)
    # What was there once still has its models.
    assert await asyncio.to_thread(models, running)


async def test_an_upstream_that_only_lacks_gpt_oss_is_told_by_its_list(gateway: StartGateway) -> None:
    backend = Backend("ollama")
    backend.models = ["gpt-oss:20b"]
    async with backend.running():
        url = backend.url.removesuffix("/chatkit") + "/v1"
        running = await asyncio.to_thread(gateway, GPTOSS_UPSTREAM=url)
        assert await asyncio.to_thread(models, running) == ["gpt-oss-20b", "gpt-oss:20b"]
        assert (await asyncio.to_thread(get, running, "/v1/models/gpt-oss:20b")).status == 200
        assert (await asyncio.to_thread(get, running, "/v1/models/openai/gpt-oss-20b")).status == 200
        assert (await asyncio.to_thread(get, running, "/v1/models/gpt-oss-120b")).status == 404


async def test_of_several_the_start_says_which_are_there_and_why_the_others_are_not(
    gateway: StartGateway,
) -> None:
    backend = Backend("vllm")
    async with backend.running():
        words = f"{backend.address}, http://127.0.0.1:{free_port()}/v1"
        running = await asyncio.to_thread(gateway, GPTOSS_UPSTREAM=words)
        await asyncio.to_thread(logged, running, "is not ready: Nothing answers at 127.0.0.1")
        await asyncio.to_thread(logged, running, "is ready: It is there")
        assert (await asyncio.to_thread(get, running, "/readyz")).status == 200
        assert backend.asked == []


async def test_many_who_ask_whether_it_is_ready_ask_the_upstream_once(gateway: StartGateway) -> None:
    backend = Backend("vllm")
    async with backend.running():
        url = backend.url.removesuffix("/chatkit") + "/v1"
        running = await asyncio.to_thread(gateway, GPTOSS_UPSTREAM=url)
        answers = await asyncio.gather(*(asyncio.to_thread(get, running, "/readyz") for _ in range(40)))
        assert {answer.status for answer in answers} == {200}
        # Once for what kind of server it is, once for what it has.
        assert backend.lists == 2
        assert backend.asked == []


def test_an_upstream_that_hangs_delays_neither_the_start_nor_the_answer(gateway: StartGateway) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        started = time.monotonic()
        running = gateway(GPTOSS_UPSTREAM=f"http://127.0.0.1:{mute.getsockname()[1]}/v1")
        # Until it is healthy, while the look goes on.
        assert "is not ready" not in running.log()
        for path in ("/readyz", "/"):
            began = time.monotonic()
            answer: Any = get(running, path).json()
            assert answer["ready"] is False
            assert time.monotonic() - began < 2.0
        assert "not reached yet" in get(running, "/readyz").json()["detail"]
        logged(running, "is not ready: ")
        assert time.monotonic() - started < 20


def test_one_of_several_workers_tells_how_it_finds_the_upstream(
    simulator: Simulator, gateway: StartGateway
) -> None:
    running = gateway(simulator, GPTOSS_WORKERS="3")
    logged(running, "upstream gpt-oss.com is ready")
    time.sleep(1.0)
    assert running.log().count("upstream gpt-oss.com is ready") == 1
