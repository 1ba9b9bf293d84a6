"""Writes beside the requests."""

import asyncio
from collections.abc import Sequence

from gptoss_api.state import Entry, GuardedStore, MemoryStore, Space
from gptoss_api.threads import UnderWay
from gptoss_api.threads.write_behind import WriteBehind

SPACE = Space("things", ttl=60, entries=10_000, value_size=100)


class Slow(MemoryStore):
    """Works when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []
        self.let = asyncio.Event()

    async def put(self, space: Space, *entries: Entry) -> Sequence[bool]:
        self.batches.append(len(entries))
        await self.let.wait()
        return await super().put(space, *entries)


async def test_what_comes_during_a_write_leaves_together_with_the_next() -> None:
    store = Slow()
    writes = WriteBehind(GuardedStore(store), SPACE)
    writes.put(b"first", b"1")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    for number in range(600):
        writes.put(b"%d" % number, b"1")
    store.let.set()
    await writes.close()
    assert store.batches == [1, 256, 256, 88]
    assert await store.get(SPACE, b"first", b"0", b"599") == [b"1"] * 3


async def test_who_asks_for_a_key_waits_for_its_write_only() -> None:
    store = Slow()
    writes = WriteBehind(GuardedStore(store), SPACE)
    writes.put(b"a", b"1")
    await asyncio.wait_for(writes.done(b"b"), 1)
    asking = asyncio.create_task(writes.done(b"b", b"a"))
    await asyncio.sleep(0.01)
    assert not asking.done()
    store.let.set()
    await asking
    assert await store.get(SPACE, b"a") == [b"1"]


async def test_the_newest_write_of_a_key_counts() -> None:
    store = Slow()
    writes = WriteBehind(GuardedStore(store), SPACE)
    writes.put(b"a", b"1")
    writes.put(b"b", b"1")
    await asyncio.sleep(0.01)
    writes.put(b"a", b"2")
    writes.delete(b"b", b"never there")
    writes.put(b"c", b"1")
    writes.delete(b"c")
    store.let.set()
    await writes.done(b"a", b"b", b"c")
    await writes.close()
    assert await store.get(SPACE, b"a", b"b", b"c") == [b"2", None, None]


async def test_an_idle_writer_waits_for_nothing() -> None:
    writes = WriteBehind(GuardedStore(MemoryStore()), SPACE)
    await writes.done(b"a")
    await writes.close()
    writes.put(b"a", b"1")
    await writes.close()
    await writes.close()


# With a pause

LONG = 60.0


async def test_what_comes_within_the_pause_leaves_together() -> None:
    store = Slow()
    store.let.set()
    writes = WriteBehind(GuardedStore(store), SPACE, pause=0.02)
    for number in range(20):
        writes.put(b"%d" % number, b"1")
        await asyncio.sleep(0)
    assert store.batches == []
    async with asyncio.timeout(5):
        while not store.batches:
            await asyncio.sleep(0.005)
    assert store.batches == [20]


async def test_what_comes_during_a_write_is_given_the_pause_again() -> None:
    store = Slow()
    writes = WriteBehind(GuardedStore(store), SPACE, pause=LONG)
    writes.put(b"a", b"1")
    asked = asyncio.create_task(writes.done(b"a"))
    await asyncio.sleep(0.01)
    writes.put(b"b", b"1")
    store.let.set()
    await asked
    await asyncio.sleep(0.01)
    assert store.batches == [1]
    await writes.close()
    assert store.batches == [1, 1]


async def test_a_crowd_does_not_wait_out_the_pause() -> None:
    store = Slow()
    store.let.set()
    writes = WriteBehind(GuardedStore(store), SPACE, pause=LONG)
    for number in range(300):
        writes.put(b"%d" % number, b"1")
    async with asyncio.timeout(5):
        while not store.batches:
            await asyncio.sleep(0)
    assert store.batches == [256]
    await writes.close()
    assert store.batches == [256, 44]


async def test_who_asks_for_a_key_ends_the_pause() -> None:
    store = MemoryStore()
    writes = WriteBehind(GuardedStore(store), SPACE, pause=LONG)
    writes.put(b"a", b"1")
    await asyncio.wait_for(writes.done(b"a"), 5)
    assert await store.get(SPACE, b"a") == [b"1"]


async def test_a_value_that_waits_can_be_taken_and_never_reaches_the_store() -> None:
    store = Slow()
    store.let.set()
    writes = WriteBehind(GuardedStore(store), SPACE, pause=LONG)
    writes.put(b"a", b"1")
    writes.put(b"b", b"1")
    taken = writes.take(b"a")
    assert taken is not None
    assert taken.value == b"1"
    assert writes.take(b"a") is None
    await writes.close()
    assert store.batches == [1]
    assert writes.take(b"b") is None


async def test_other_workers_know_what_is_under_way() -> None:
    store, memory = Slow(), UnderWay(2)
    notes, others = memory.part(0), memory.part(1)
    writes = WriteBehind(GuardedStore(store), SPACE, pause=LONG, notes=notes)
    first, second = bytes(range(16)), bytes(range(16, 32))
    writes.put(first, b"1")
    writes.put(second, b"1")
    assert first in others
    assert writes.take(first) is not None
    assert first not in others
    closing = asyncio.create_task(writes.close())
    await asyncio.sleep(0.01)
    assert second in others
    # Written anew while the first write of it is on its way.
    writes.put(second, b"2")
    store.let.set()
    await closing
    assert second not in others
    assert await store.get(SPACE, second) == [b"2"]
