"""Values that processes change one after the other."""

import asyncio
import time

import pytest

from gptoss_api.state import KeyStore, Store, StoreUnavailable, keys_of, open_store

from .counting import Count

pytestmark = pytest.mark.parametrize("store_url", ["sqlite", "redis"], indirect=True)


@pytest.fixture
def keys(store: Store) -> KeyStore:
    found = keys_of(store)
    assert found is not None
    return found


class Fails(Count):
    lua = "redis.call('NO-COMMAND')"

    def __call__(self, value: bytes | None, now: int) -> tuple[bytes, tuple[int, int]]:
        raise ZeroDivisionError


async def test_a_change_sees_what_the_last_one_left_and_the_time(keys: KeyStore) -> None:
    count, now = await keys.change("anna", Count())
    assert count == 1
    assert abs(now - time.time() * 1000) < 5_000
    assert (await keys.change("anna", Count()))[0] == 2
    assert (await keys.change("bob", Count()))[0] == 1


async def test_changes_of_several_connections_are_one_after_the_other(keys: KeyStore, store_url: str) -> None:
    other = open_store(store_url)
    others = keys_of(other)
    assert others is not None
    counts = await asyncio.gather(
        *(source.change("anna", Count()) for source in (keys, others) for _ in range(20))
    )
    assert sorted(count for count, _ in counts) == list(range(1, 41))
    await other.close()


async def test_a_change_that_fails_changes_nothing(keys: KeyStore) -> None:
    await keys.change("anna", Count())
    with pytest.raises((ZeroDivisionError, StoreUnavailable)):
        await keys.change("anna", Fails())
    assert (await keys.change("anna", Count()))[0] == 2


async def test_the_ledger_of_a_removed_key_goes_with_it(keys: KeyStore) -> None:
    async def write(record: bytes | None) -> None:
        found = await keys.read_keys(None)
        assert found is not None
        assert await keys.write_key("anna", record, found[0])

    await write(b"record")
    await keys.change("anna", Count())
    await write(b"changed")
    assert (await keys.change("anna", Count()))[0] == 2
    await write(None)
    assert (await keys.change("anna", Count()))[0] == 1
