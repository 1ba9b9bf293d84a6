"""A store that is down or slow, and what a request notices of it: nothing."""

import asyncio
import itertools
import logging
import time
from collections.abc import Callable
from typing import Any

import pytest

from gptoss_api.state import Entry, GuardedStore, Lease, MemoryStore, Space, StoreUnavailable, guard

SPACE = Space("things", ttl=60, entries=10, value_size=100)


class Shaky(MemoryStore):
    """Fails, hangs or works as it is told."""

    name = "shaky"

    def __init__(self) -> None:
        super().__init__()
        self.state = "works"
        self.asked = 0

    async def get(self, space: Space, *keys: bytes) -> Any:
        await self._maybe()
        return await super().get(space, *keys)

    async def take(self, space: Space, key: bytes) -> Any:
        await self._maybe()
        return await super().take(space, key)

    async def put(self, space: Space, *entries: Entry) -> Any:
        await self._maybe()
        return await super().put(space, *entries)

    async def delete(self, space: Space, *keys: bytes, erase: bool = False) -> None:
        await self._maybe()
        await super().delete(space, *keys)

    async def lease(self, key: bytes, ttl: float) -> Lease | None:
        await self._maybe()
        return await super().lease(key, ttl)

    async def _maybe(self) -> None:
        self.asked += 1
        if self.state == "hangs":
            await asyncio.sleep(60)
        if self.state == "fails":
            raise StoreUnavailable("it is unplugged")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(guard, "time", made)
    return made


async def test_a_store_that_works_is_used_as_it_is() -> None:
    store = GuardedStore(Shaky())
    lease = await store.lease(b"a", 60)
    assert await store.put(SPACE, Entry(b"a", b"1", lease)) == [True]
    assert await store.get(SPACE, b"a", b"b") == [b"1", None]
    assert await store.take(SPACE, b"a") == b"1"
    assert await store.delete(SPACE, b"a")
    assert store.available
    assert store.failures == 0


@pytest.mark.parametrize("state", ["fails", "hangs"])
async def test_without_a_store_nothing_is_there_and_nothing_is_kept(state: str, clock: Clock) -> None:
    shaky = Shaky()
    store = GuardedStore(shaky, operation_time=0.01)
    shaky.state = state
    operations: list[Callable[[], Any]] = [
        lambda: store.get(SPACE, b"a", b"b"),
        lambda: store.take(SPACE, b"a"),
        lambda: store.put(SPACE, Entry(b"a", b"1")),
        lambda: store.delete(SPACE, b"a"),
        lambda: store.lease(b"a", 60),
    ]
    results = []
    for operation in operations:
        results.append(await operation())
        clock.now += 60
    assert results == [[None, None], None, [False], False, None]
    assert not store.available
    assert store.failures == 5


async def test_a_store_that_failed_is_left_alone_for_longer_and_longer(clock: Clock) -> None:
    shaky = Shaky()
    store = GuardedStore(shaky)
    shaky.state = "fails"
    attempts = []
    for _ in range(12_000):
        before = shaky.asked
        await store.get(SPACE, b"a")
        if shaky.asked > before:
            attempts.append(clock.now)
        clock.now += 0.01
    pauses = [later - earlier for earlier, later in itertools.pairwise(attempts)]
    assert pauses[:6] == pytest.approx([0.25, 0.5, 1, 2, 4, 8], abs=0.02)
    assert pauses[6:] == pytest.approx([15] * len(pauses[6:]), abs=0.02)


async def test_it_is_said_once_when_it_goes_and_once_when_it_is_back(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    shaky = Shaky()
    store = GuardedStore(shaky)
    with caplog.at_level(logging.INFO):
        shaky.state = "fails"
        for _ in range(5):
            await store.get(SPACE, b"a")
            clock.now += 20
        shaky.state = "works"
        await store.get(SPACE, b"a")
        await store.get(SPACE, b"a")
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("WARNING", "the shaky state store is down, conversations are sent whole: it is unplugged"),
        ("INFO", "the shaky state store works again"),
    ]
    assert store.available
    assert store.failures == 5
    shaky.state = "fails"
    await store.get(SPACE, b"a")
    assert len(caplog.records) == 3


async def test_many_that_fail_together_count_as_one_outage(clock: Clock) -> None:
    shaky = Shaky()
    store = GuardedStore(shaky, operation_time=0.01)
    shaky.state = "hangs"
    await asyncio.gather(*(store.get(SPACE, b"a") for _ in range(50)))
    clock.now += 0.26
    shaky.state = "works"
    asked = shaky.asked
    await store.get(SPACE, b"a")
    assert shaky.asked == asked + 1


async def test_a_store_that_does_not_heed_being_cancelled_is_left_behind() -> None:
    class Deaf(Shaky):
        async def _maybe(self) -> None:
            for _ in range(100):
                try:
                    await asyncio.sleep(0.05)
                except asyncio.CancelledError:
                    continue
            raise StoreUnavailable("much later")

    store = GuardedStore(Deaf(), operation_time=0.01)
    began = time.monotonic()
    assert await store.take(SPACE, b"a") is None
    assert time.monotonic() - began < 0.5
    assert store.failures == 1


async def test_a_request_that_is_cancelled_is_no_failure_of_the_store() -> None:
    shaky = Shaky()
    store = GuardedStore(shaky)
    shaky.state = "hangs"
    waiting = asyncio.create_task(store.get(SPACE, b"a"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert store.available


async def test_who_must_know_is_told_that_the_store_does_not_answer() -> None:
    store = Shaky()
    guarded = GuardedStore(store)
    store.state = "fails"
    with pytest.raises(StoreUnavailable):
        await guarded.fetch(SPACE, b"a")
    with pytest.raises(StoreUnavailable):
        await guarded.keep(SPACE, Entry(b"a", b"1"))


async def test_an_operation_that_still_succeeds_ends_the_rest() -> None:
    store = Shaky()
    guarded = GuardedStore(store)
    entered, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        entered.set()
        await go_on.wait()

    store._maybe, usual = slow, store._maybe  # type: ignore[method-assign]  # for one operation
    under_way = asyncio.create_task(guarded.put(SPACE, Entry(b"a", b"1")))
    await entered.wait()
    store._maybe, store.state = usual, "fails"  # type: ignore[method-assign]  # as it was
    assert await guarded.get(SPACE, b"a") == [None]
    store.state = "works"
    go_on.set()
    assert await under_way == [True]
    assert guarded.available
    assert await guarded.get(SPACE, b"a") == [b"1"]
