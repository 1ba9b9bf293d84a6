"""Conversations that go on before their end is in the store, in the same process and in others."""

import asyncio
from pathlib import Path

import pytest

from gptoss_api.state import GuardedStore, MemoryStore, open_store
from gptoss_api.threads import ThreadLimits, UnderWay, conversations
from tests.simulator import Simulator

from .chatting import GUIDE, Client, Inside, count

LONG = 60.0


async def chat(inside: Inside, turns: int) -> tuple[Client, list[str]]:
    client = Client(inside, GUIDE)
    return client, [(await client.say(f"message {number}")).thread for number in range(turns)]


async def test_a_conversation_goes_on_in_memory(site: Simulator) -> None:
    site.always(count)
    store = MemoryStore()
    async with Inside(site, GuardedStore(store), pause=LONG) as inside:
        client, threads = await chat(inside, 9)
        assert threads == ["new", *7 * ["reused"], "replayed"]
        before = list(client.messages)
        answers = await asyncio.gather(*(Client(inside, *before).say(text) for text in "abc"))
        assert sorted(answer.thread for answer in answers) == ["replayed", "replayed", "reused"]


async def test_a_thread_that_left_the_store_goes_on_in_memory_with_its_lease(site: Simulator) -> None:
    site.always(count)
    store = GuardedStore(MemoryStore())
    async with Inside(site, store) as inside:
        client, _ = await chat(inside, 1)
    async with Inside(site, store, pause=LONG) as client.inside:
        assert [(await client.say(text)).thread for text in "abc"] == 3 * ["reused"]
    async with Inside(site, store) as client.inside:
        assert (await client.say("d")).thread == "reused"


async def test_limits_hold_in_memory_too(site: Simulator) -> None:
    limits = ThreadLimits(turns=2)
    async with Inside(site, GuardedStore(MemoryStore()), limits=limits, pause=LONG) as inside:
        assert (await chat(inside, 4))[1] == ["new", "reused", "replayed", "reused"]


async def test_a_process_that_is_killed_takes_only_what_waited_with_it(
    site: Simulator, tmp_path: Path
) -> None:
    url = f"sqlite://{tmp_path}/state.db"
    async with Inside(site, GuardedStore(open_store(url)), pause=LONG) as killed:
        stored, _ = await chat(killed, 1)
        await killed.settled()
        waiting, _ = await chat(killed, 2)
        store = GuardedStore(open_store(url))
        async with Inside(site, store) as other:
            waiting.inside = stored.inside = other
            assert (await stored.say("on")).thread == "reused"
            assert (await waiting.say("on")).thread == "replayed"
        await store.close()
    await killed.store.close()


async def test_another_worker_waits_for_what_is_under_way(site: Simulator, tmp_path: Path) -> None:
    site.always(count)
    memory = UnderWay(2)
    stores = [GuardedStore(open_store(f"sqlite://{tmp_path}/state.db")) for _ in range(2)]
    async with (
        Inside(site, stores[0], pause=0.05, notes=memory.part(0)) as one,
        Inside(site, stores[1], pause=0.05, notes=memory.part(1)) as other,
    ):
        client = Client(one, GUIDE)
        threads = []
        for turn in range(6):
            client.inside = (one, other)[turn % 2]
            threads.append((await client.say(f"message {turn}")).thread)
    assert threads == ["new"] + 5 * ["reused"]
    for store in stores:
        await store.close()


async def test_nobody_waits_long_for_a_worker_that_died(
    site: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversations, "_ARRIVAL_LOOKS", 3)
    memory, store = UnderWay(2), GuardedStore(MemoryStore())
    async with (
        Inside(site, store, pause=LONG, notes=memory.part(0)) as dead,
        Inside(site, store, pause=LONG, notes=memory.part(1)) as alive,
    ):
        client, _ = await chat(dead, 1)
        client.inside = alive
        assert (await asyncio.wait_for(client.say("on"), 5)).thread == "replayed"
