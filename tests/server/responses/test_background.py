"""Responses in the background, as two processes that share a store see them."""

import asyncio
import json
from typing import Any

import pytest
from msgspec.structs import replace

from gptoss_api.core.errors import InvalidRequest, NotFound, StateUnavailable
from gptoss_api.core.events import Finished, Started, TextDelta, Usage, UsageReported
from gptoss_api.dialects.responses import ResponseRequest, ResponsesDialect
from gptoss_api.server.drain import Drain
from gptoss_api.server.exchange import Exchange
from gptoss_api.server.intake import Intake
from gptoss_api.server.responses import ResponseRoutes, StoredResponses, background
from gptoss_api.server.responses.background import DEAD_AFTER, BackgroundRuns, Run
from gptoss_api.server.turns import Serving
from gptoss_api.state import Entry, GuardedStore, MemoryStore, Space, StoreUnavailable, guard
from gptoss_api.upstreams.base import Sink
from tests.server.unwired import answer

pytestmark = pytest.mark.waits


class Process:
    """One gateway process over a shared store; ``go`` lets its model write on."""

    def __init__(self, store: MemoryStore, size: int = 10**9) -> None:
        self.stored = StoredResponses(GuardedStore(store), ttl=60, most=100, size=size, total=10**9)
        self.drain = Drain()
        self.go = asyncio.Event()
        self.runs = BackgroundRuns(self.stored, self._answer, self.drain)
        self.routes = ResponseRoutes(self.stored, self.runs, Serving(self.drain, Intake(1024), 10.0))

    async def _answer(self, request: ResponseRequest, sink: Sink) -> None:
        sink.feed([Started(upstream="test", model=request.turn.model), TextDelta("One ")])
        await self.go.wait()
        sink.feed([TextDelta("two."), Finished("stop"), UsageReported(Usage(1, 2))])

    async def start(self) -> Run:
        request = ResponsesDialect().parse(b'{"input":"Count","background":true}', {})
        return await self.runs.start("ann", request)

    async def ask(self, route: str, response_id: str, query: str = "") -> Any:
        """The body of an answer: its object, or the events of a stream."""

        async def serve(exchange: Exchange) -> None:
            exchange.record.caller = "ann"
            exchange.parameters = {"id": response_id}
            await getattr(self.routes, route)(exchange)

        sent = await answer(serve, f"/?{query}")
        if sent.startswith(b"{"):
            return json.loads(sent)
        return [json.loads(block.split("data: ")[1]) for block in sent.decode().split("\n\n")[:-1]]


class Shaky(MemoryStore):
    """A store that can be full, or unplugged."""

    plugged = True
    full = False

    async def put(self, space: Space, *entries: Entry) -> Any:
        self._check()
        if self.full:
            raise StoreUnavailable("it is full")
        return await super().put(space, *entries)

    async def get(self, space: Space, *keys: bytes) -> Any:
        self._check()
        return await super().get(space, *keys)

    def _check(self) -> None:
        if not self.plugged:
            raise StoreUnavailable("it is unplugged")


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "BEAT_SECONDS", 0.01)
    monkeypatch.setattr(background, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr("gptoss_api.server.responses.routes._LOOK_SECONDS", 0.01)


async def test_another_process_sees_how_far_it_is_and_its_end(store: MemoryStore, quick: None) -> None:
    worker, other = Process(store), Process(store)
    run = await worker.start()
    assert (await other.ask("retrieve", run.request.id))["status"] == "queued"
    while (seen := await other.ask("retrieve", run.request.id))["status"] == "queued":
        await asyncio.sleep(0.005)
    assert seen["status"] == "in_progress"
    worker.go.set()
    await run.wait()
    final = await other.ask("retrieve", run.request.id)
    assert final["status"] == "completed"
    assert final["output"][0]["content"][0]["text"] == "One two."


async def test_another_process_streams_every_event_once_it_has_ended(store: MemoryStore, quick: None) -> None:
    worker, other = Process(store), Process(store)
    run = await worker.start()
    following = asyncio.create_task(other.ask("retrieve", run.request.id, "stream=true&starting_after=1"))
    worker.go.set()
    events = await following
    await run.wait()
    assert [event["sequence_number"] for event in events] == list(range(2, len(run.events)))
    assert events[-1]["type"] == "response.completed"


async def test_who_has_seen_all_of_it_gets_its_end_again(store: MemoryStore, quick: None) -> None:
    worker, other = Process(store), Process(store)
    run = await worker.start()
    worker.go.set()
    await run.wait()
    last = len(run.events) - 1
    for process in (worker, other):
        events = await process.ask("retrieve", run.request.id, f"stream=true&starting_after={last}")
        assert [(event["type"], event["sequence_number"]) for event in events] == [
            ("response.completed", last)
        ]


async def test_a_number_that_no_event_has_is_refused(store: MemoryStore, quick: None) -> None:
    worker, other = Process(store), Process(store)
    run = await worker.start()
    beyond = "stream=true&starting_after=99999"
    with pytest.raises(InvalidRequest, match="no event number 99999") as refused:
        await worker.ask("retrieve", run.request.id, beyond)
    assert refused.value.param == "starting_after"
    # Another process knows only at the end how many there are.
    following = asyncio.create_task(other.ask("retrieve", run.request.id, beyond))
    await asyncio.sleep(0.05)
    worker.go.set()
    await run.wait()
    [event] = await following
    assert (event["type"], event["param"]) == ("error", "starting_after")
    for process in (worker, other):
        with pytest.raises(InvalidRequest, match="no event number 99999"):
            await process.ask("retrieve", run.request.id, beyond)


async def test_another_process_can_have_it_cancelled(store: MemoryStore, quick: None) -> None:
    worker, other = Process(store), Process(store)
    run = await worker.start()
    cancelled = await asyncio.wait_for(other.ask("cancel", run.request.id), 5)
    assert cancelled["status"] == "cancelled"
    await asyncio.wait_for(run.wait(), 5)
    assert await other.ask("retrieve", run.request.id) == cancelled


async def test_another_process_can_delete_it_for_good(store: MemoryStore, quick: None) -> None:
    worker, other = Process(store), Process(store)
    run = await worker.start()
    gone = await asyncio.wait_for(other.ask("delete", run.request.id), 5)
    assert gone["deleted"] is True
    await asyncio.wait_for(run.wait(), 5)
    for process in (worker, other):
        with pytest.raises(NotFound):
            await process.ask("retrieve", run.request.id)


async def test_a_stream_whose_events_are_gone_ends_with_an_error(store: MemoryStore, quick: None) -> None:
    worker = Process(store)
    run = await worker.start()
    worker.go.set()
    await run.wait()
    response_id = f"{run.request.id}0"
    await worker.stored.put("ann", response_id, run.record())
    [event] = await asyncio.wait_for(worker.ask("retrieve", response_id, "stream=true&starting_after=4"), 5)
    assert (event["type"], event["sequence_number"]) == ("error", 5)
    assert "no longer kept" in event["message"]


async def test_a_response_whose_process_died_has_failed(store: MemoryStore, quick: None) -> None:
    worker, other = Process(store), Process(store)
    run = await worker.start()
    stored = run.record()
    run.cancel()
    await run.wait()
    response_id = f"{run.request.id}0"
    await other.stored.put("ann", response_id, replace(stored, beat=stored.beat - DEAD_AFTER))
    found = await other.ask("retrieve", response_id)
    assert found["status"] == "failed"
    assert found["error"]["code"] == "server_error"
    events = await other.ask("retrieve", response_id, "stream=true")
    assert [event["type"] for event in events] == ["error"]


async def test_the_end_of_the_process_fails_what_is_left(store: MemoryStore) -> None:
    worker = Process(store)
    run = await worker.start()
    while not run.stream.snapshot().count(b'"in_progress"'):
        await asyncio.sleep(0)
    worker.drain.expire()
    await run.wait()
    stored = await worker.stored.get("ann", run.request.id)
    assert stored.status == "failed"
    assert "shutting down" in bytes(stored.response).decode()


async def test_followers_at_any_place_see_the_rest_and_the_end(store: MemoryStore) -> None:
    worker = Process(store)
    run = await worker.start()

    async def follow(start: int) -> bytes:
        return b"".join([data async for data in run.follow(start)])

    followers = [asyncio.create_task(follow(start)) for start in range(12)]
    await asyncio.sleep(0)
    worker.go.set()
    followed = await asyncio.gather(*followers)
    assert followed == [b"".join(run.events[start:]) for start in range(12)]
    assert run.events[-1].startswith(b"event: response.completed")


async def test_what_cannot_be_stored_is_not_begun() -> None:
    store = Shaky()
    worker = Process(store)
    store.plugged = False
    with pytest.raises(StateUnavailable):
        await worker.start()
    with pytest.raises(InvalidRequest, match="too large"):
        await Process(MemoryStore(), size=100).start()


async def test_an_end_that_could_not_be_stored_is_offered_and_stored_when_it_can_be(quick: None) -> None:
    store = Shaky()
    worker, other = Process(store), Process(store)
    run = await worker.start()
    store.plugged = False
    following = asyncio.create_task(worker.ask("retrieve", run.request.id, "stream=true"))
    worker.go.set()
    last = (await following)[-1]
    assert (last["type"], last["response"]["store"]) == ("response.completed", False)
    for route in ("retrieve", "cancel"):
        offered = await worker.ask(route, run.request.id)
        assert offered == last["response"]
    with pytest.raises(StateUnavailable):
        await other.ask("retrieve", run.request.id)
    with pytest.raises(StateUnavailable):
        await worker.ask("delete", run.request.id)
    store.plugged = True
    while worker.runs.get("ann", run.request.id) is not None:
        await asyncio.sleep(0.01)
    assert await other.ask("retrieve", run.request.id) == offered | {"store": True}
    events = await other.ask("retrieve", run.request.id, "stream=true")
    assert events[-1]["response"]["store"] is True
    assert await worker.ask("retrieve", run.request.id) == offered | {"store": True}


async def test_an_end_that_was_never_stored_is_not_offered_for_ever(
    quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "UNSTORED_SECONDS", 0.1)
    store = Shaky()
    worker = Process(store)
    run = await worker.start()
    store.plugged = False
    worker.go.set()
    await run.wait()
    assert (await worker.ask("retrieve", run.request.id))["status"] == "completed"
    while worker.runs.get("ann", run.request.id) is not None:
        await asyncio.sleep(0.01)


async def test_an_end_that_is_deleted_is_not_stored_afterwards(
    quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "FIRST_REST", 0)
    monkeypatch.setattr(guard, "LONGEST_REST", 0)
    store = Shaky()
    worker = Process(store)
    run = await worker.start()
    store.full = True
    worker.go.set()
    await run.wait()
    assert (await worker.ask("retrieve", run.request.id))["store"] is False
    assert (await worker.ask("delete", run.request.id))["deleted"] is True
    store.full = False
    await asyncio.sleep(0.05)
    with pytest.raises(NotFound):
        await worker.ask("retrieve", run.request.id)


async def test_a_follower_elsewhere_waits_for_a_store_that_is_down(quick: None) -> None:
    store = Shaky()
    worker, other = Process(store), Process(store)
    run = await worker.start()
    following = asyncio.create_task(other.ask("retrieve", run.request.id, "stream=true"))
    await asyncio.sleep(0.05)
    store.plugged = False
    await asyncio.sleep(0.05)
    store.plugged = True
    worker.go.set()
    events = await asyncio.wait_for(following, 10)
    assert [event["sequence_number"] for event in events] == list(range(len(run.events)))


async def test_a_follower_elsewhere_is_told_that_the_response_was_deleted(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gptoss_api.server.responses.routes._LOOK_SECONDS", 0.01)
    worker, other = Process(store), Process(store)
    run = await worker.start()
    following = asyncio.create_task(other.ask("retrieve", run.request.id, "stream=true"))
    await asyncio.sleep(0.05)
    await other.stored.delete("ann", run.request.id)
    [event] = await asyncio.wait_for(following, 5)
    run.cancel()
    assert event["type"] == "error"
    assert "not found" in event["message"]
