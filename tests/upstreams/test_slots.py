"""An upstream's slot is free once it is done or its time is over, whether its answer was taken or not."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gptoss_api.core.errors import ClientTooSlow, UpstreamTimeout
from gptoss_api.core.events import Finished
from gptoss_api.core.servers import SERVER_KINDS
from gptoss_api.upstreams.admission import Admission
from gptoss_api.upstreams.base import Upstream
from gptoss_api.upstreams.chatkit import ChatKitUpstream, Credentials
from gptoss_api.upstreams.chatkit.requests import ChatKitTurn
from gptoss_api.upstreams.clock import TurnClock
from gptoss_api.upstreams.http import HttpClient, HttpResponse
from gptoss_api.upstreams.openai_compatible import OpenAICompatibleUpstream, Server
from gptoss_api.upstreams.reading import StreamReader
from tests.backends.server import turn
from tests.pulled import opened
from tests.upstreams.chatkit.scripted import Reply, ScriptedServer, Step
from tests.upstreams.chatkit.transcripts import new, sse

KINDS = ["gpt-oss.com", "server"]
SERVED = {"gpt-oss-120b": "big"}
PIECE = "word " * 2_000


def answer(kind: str, *, pieces: int = 3, pace: float = 0.0, ends: bool = True) -> Reply:
    if kind == "server":
        chunks = [sse({"choices": [{"index": 0, "delta": {"content": PIECE}}]})] * pieces
        end = sse({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}) + b"data: [DONE]\n\n"
    else:
        chunks = [
            sse(*new.opening(), new.message_added(), new.part_added()),
            *[sse(new.delta(PIECE))] * pieces,
        ]
        text = PIECE * pieces if ends else ""
        end = sse(new.part_done(text), new.message_done(text), new.titled())
    steps: list[Step] = [step for chunk in chunks for step in (chunk, pace)]
    return Reply([*steps, end] if ends else [*steps, 30.0])


@asynccontextmanager
async def serving(
    kind: str, *replies: Reply, total: float = 10.0
) -> AsyncIterator[tuple[Upstream, Admission, ScriptedServer]]:
    admission = Admission(1, 0)
    async with ScriptedServer(*replies).running() as server:
        http = HttpClient(trust_env=False)
        limits: dict[str, Any] = {"idle_timeout": 5.0, "total_timeout": total}
        upstream: Upstream = (
            ChatKitUpstream(http, admission, Credentials(), url=server.url, **limits)
            if kind == "gpt-oss.com"
            else OpenAICompatibleUpstream(
                http, admission, Server(SERVER_KINDS["generic"], server.url, models=SERVED), **limits
            )
        )
        try:
            yield upstream, admission, server
        finally:
            await upstream.close()
            await http.close()


async def take(upstream: Upstream, pause: float) -> None:
    """Reads an answer with pauses of so many seconds."""
    async with opened(upstream, turn()) as batches:
        async for _ in batches:
            await asyncio.sleep(pause)


@pytest.mark.parametrize("kind", KINDS)
async def test_the_slot_is_free_before_the_last_of_an_answer_is_taken(kind: str) -> None:
    async with serving(kind, answer(kind)) as (upstream, admission, _):
        async with opened(upstream, turn()) as batches:
            async for batch in batches:
                if any(isinstance(event, Finished) for event in batch):
                    break
                assert admission.active == 1
            assert admission.active == 0
            # The next turn has its place at once.
            async with opened(upstream, turn()) as others:
                assert [batch async for batch in others]
        assert admission.active == 0


@pytest.mark.parametrize("kind", KINDS)
async def test_the_slot_is_free_when_the_time_is_over_though_nobody_takes_the_answer(kind: str) -> None:
    endless = answer(kind, pieces=2_000, ends=False)
    async with serving(kind, endless, total=0.4) as (upstream, admission, server):
        taking = asyncio.create_task(take(upstream, 0.8))
        await asyncio.sleep(0.2)
        assert admission.active == 1
        await asyncio.sleep(0.4)
        assert admission.active == 0
        async with asyncio.timeout(1):
            await server.asked[0].ended.wait()
        with pytest.raises(ClientTooSlow, match=r"not read within 0\.4 seconds"):
            await taking
        assert admission.active == 0
        assert len(server.asked) == 1
        assert "failed" not in (await upstream.health()).detail


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("waits", [0.0, 0.02])
async def test_an_upstream_that_takes_too_long_is_to_blame_itself(kind: str, waits: float) -> None:
    async with serving(kind, answer(kind, pieces=100, pace=0.05), total=0.4) as (upstream, _, server):
        with pytest.raises(UpstreamTimeout):
            await take(upstream, waits)
        assert not (await upstream.health()).ready
        assert len(server.asked) == 1


async def test_a_turn_that_is_asked_again_keeps_its_slot() -> None:
    empty = Reply([b"data: [DONE]\n\n"])
    async with (
        serving("server", empty, answer("server")) as (upstream, admission, server),
        opened(upstream, turn()) as batches,
    ):
        await anext(batches)
        assert len(server.asked) == 2
        assert admission.active == 1


async def test_a_time_that_ends_as_the_response_begins_ends_the_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    made = ChatKitTurn.reader

    def reader(self: ChatKitTurn, response: HttpResponse, clock: TurnClock) -> StreamReader:
        clock.end()
        return made(self, response, clock)

    monkeypatch.setattr(ChatKitTurn, "reader", reader)
    async with serving("gpt-oss.com", answer("gpt-oss.com", ends=False)) as (upstream, admission, _):
        with pytest.raises(UpstreamTimeout):
            async with asyncio.timeout(5.0):
                await take(upstream, 0.0)
        assert admission.active == 0
