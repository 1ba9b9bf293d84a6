"""Writes beside the requests."""

import asyncio
from collections.abc import Sequence

from gptoss_api.state import Entry, GuardedStore, MemoryStore, Space
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
