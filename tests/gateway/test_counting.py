"""What a turn's prompt counts is known without asking the model, and is what its answer reports."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from gptoss_api.config import resolve
from gptoss_api.core.turn import AssistantMessage, InstructionMessage, OutputFormat, Tool, Turn, UserMessage
from gptoss_api.gateway import Gateway
from tests.backends.server import Backend, ask
from tests.backends.shapes import Answer
from tests.gateway.test_serving import address
from tests.simulator import Simulator, simulator_thread

WEATHER = Tool("get_weather", "Looks out of the window.", {"type": "object", "properties": {"city": {}}})
TURNS = {
    "plain": Turn("gpt-oss-20b", (UserMessage("Hello there"),)),
    "history": Turn(
        "gpt-oss-20b",
        (InstructionMessage("Be brief."), UserMessage("Hi"), AssistantMessage("Hello."), UserMessage("Bye")),
    ),
    "tools": Turn("gpt-oss-20b", (UserMessage("Is it wet?"),), tools=(WEATHER,)),
    "format": Turn("gpt-oss-20b", (UserMessage("As JSON."),), output_format=OutputFormat("json_object")),
    "long": Turn("gpt-oss-20b", (UserMessage("several words " * 2_000),)),
}


@pytest.fixture(scope="module")
def site() -> Iterator[Simulator]:
    with simulator_thread(auth="session") as simulator:
        yield simulator


@asynccontextmanager
async def gateway(**environ: str) -> AsyncIterator[Gateway]:
    running = Gateway(resolve(environ={"GPTOSS_STATE": "memory://", **environ}).settings, environ)
    try:
        yield running
    finally:
        await running.close()


async def reported(running: Gateway, turn: Turn) -> int:
    collector, _ = await ask(running, turn)
    assert collector.usage is not None
    assert collector.usage.estimated
    return collector.usage.prompt_tokens


@pytest.mark.parametrize("name", ["plain", "history", "tools", "long"])
async def test_a_count_is_what_the_answer_of_an_emulated_upstream_reports(site: Simulator, name: str) -> None:
    turn = TURNS[name]
    async with gateway(
        GPTOSS_UPSTREAM="gpt-oss.com", GPTOSS_CHATKIT_URL=site.chatkit_url, GPTOSS_COOKIE=site.cookie
    ) as running:
        asked = len(site.requests)
        counted = await running.count(turn)
        assert len(site.requests) == asked
        assert counted == await reported(running, turn)


@pytest.mark.parametrize("name", TURNS)
async def test_a_count_is_what_is_reported_for_a_native_upstream_that_does_not_count(name: str) -> None:
    turn = TURNS[name]
    backend = Backend("generic", answer=Answer(content='{"a": 1}', usage=False))
    async with backend.running(), gateway(GPTOSS_UPSTREAM=address(backend)) as running:
        counted = await running.count(turn)
        assert backend.asked == []
        assert counted == await reported(running, turn)


async def test_what_does_not_fit_is_counted_all_the_same() -> None:
    turn = Turn("gpt-oss-20b", (UserMessage("word " * 200_000),))
    async with gateway(GPTOSS_UPSTREAM="demo") as running:
        assert await running.count(turn) == pytest.approx(200_000, rel=0.05)


@pytest.mark.parametrize("site_first", [False, True])
async def test_several_upstreams_count_as_the_one_that_is_asked_first(
    site: Simulator, site_first: bool
) -> None:
    turn = TURNS["tools"]
    native = Backend("generic", answer=Answer(usage=False))
    login = {"GPTOSS_CHATKIT_URL": site.chatkit_url, "GPTOSS_COOKIE": site.cookie}
    async with native.running():
        words = [address(native), "gpt-oss.com"]
        if site_first:
            words.reverse()
        async with gateway(GPTOSS_UPSTREAM=", ".join(words), **login) as running:
            counted = await running.count(turn)
            assert counted == await reported(running, turn)
            assert bool(native.asked) is not site_first
        async with gateway(GPTOSS_UPSTREAM=words[1], **login) as running:
            assert await running.count(turn) != counted
