"""Three real servers, one dead, one slow, one failing half the time, and 200 clients at once."""

import asyncio
import logging
import random
import re
import time
from collections import Counter
from contextlib import AsyncExitStack

import pytest

from gptoss_api.core.events import Started
from gptoss_api.core.result import Collector
from gptoss_api.core.servers import SERVER_KINDS
from gptoss_api.emulation import EmulatedUpstream, EmulationSettings
from gptoss_api.routing import Breaker, Route, Router
from gptoss_api.text.tokens import Tokens
from gptoss_api.upstreams.admission import Admission
from gptoss_api.upstreams.http import HttpClient
from gptoss_api.upstreams.openai_compatible import OpenAICompatibleUpstream, Server
from tests.backends.server import Backend, ask, json_reply, turn
from tests.upstreams.chatkit.scripted import Asked, Reply

pytestmark = pytest.mark.alone

CLIENTS = 200
SECONDS = 3.0


class Flaky(Backend):
    """Answers 500 or 429 to half of what it is asked."""

    def __init__(self) -> None:
        super().__init__("groq")
        self.chance = random.Random(5)
        self.failed = 0

    def reply_to(self, asked: Asked) -> Reply:
        if asked.method == "POST" and self.chance.random() < 0.5:
            self.failed += 1
            self.asked.append(asked)
            if self.failed % 2:
                return json_reply(500, {"error": {"message": "boom"}})
            return json_reply(429, {"error": {"message": "slow down"}})
        return super().reply_to(asked)


class Slow(Backend):
    """Takes its time before the first byte."""

    def reply_to(self, asked: Asked) -> Reply:
        reply = super().reply_to(asked)
        return Reply([0.15, *reply.steps]) if asked.method == "POST" else reply


async def test_no_client_sees_a_failure_while_one_upstream_answers(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "gptoss_api.routing")
    flaky, slow = Flaky(), Slow("vllm")
    tokens = Tokens()
    answers: Counter[str] = Counter()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(flaky.running())
        await stack.enter_async_context(slow.running())
        http = HttpClient(trust_env=False, max_idle_per_origin=CLIENTS)
        stack.push_async_callback(http.close)

        def route(order: int, name: str, url: str) -> Route:
            server = Server(SERVER_KINDS["generic"], url, name=name, models={"gpt-oss-120b": "m"})
            upstream = OpenAICompatibleUpstream(
                http, Admission(CLIENTS, CLIENTS), server, idle_timeout=5.0, asks_again=False
            )
            emulated = EmulatedUpstream(upstream, tokens, EmulationSettings())
            return Route(emulated, order, breaker=Breaker(threshold=3, rest=0.2, longest_rest=0.2))

        urls = [backend.url.removesuffix("/chatkit") + "/v1" for backend in (flaky, slow)]
        router = Router(
            [route(0, "dead", "http://127.0.0.1:9/v1"), route(1, "flaky", urls[0]), route(2, "slow", urls[1])]
        )
        end = time.monotonic() + SECONDS

        async def client(number: int) -> None:
            while time.monotonic() < end:
                collector, events = await ask(router, turn(f"client {number}"))
                _check(collector, sum(isinstance(event, Started) for event in events))
                assert collector.started is not None
                answers[collector.started.upstream] += 1
                await asyncio.sleep(0.05)

        async with asyncio.timeout(60):
            await asyncio.gather(*(client(number) for number in range(CLIENTS)))
    assert answers["dead"] == 0
    assert answers["slow"] > 0
    assert answers["flaky"] > 0
    assert answers["flaky"] == len(flaky.asked) - flaky.failed
    log = caplog.text
    for name in ("dead", "flaky"):
        assert re.search(rf"{name} rests for [\d.]+ s", log)
        assert f"{name} is tried again" in log
    assert "flaky answers again" in log
    assert "dead answers again" not in log
    assert "slow rests" not in log


def _check(collector: Collector, starts: int) -> None:
    (choice,) = collector.choices
    assert starts == 1
    assert (choice.text, choice.finish_reason) == ("Hello there.", "stop")
