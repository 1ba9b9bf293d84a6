"""Values that processes change one after the other."""

import asyncio
import time

import pytest

from gptoss_api.state import KeyStore, Store, keys_of, open_store

pytestmark = pytest.mark.parametrize("store_url", ["sqlite", "redis"], indirect=True)


@pytest.fixture
def keys(store: Store) -> KeyStore:
    found = keys_of(store)
    assert found is not None
    return found


def increment(value: bytes | None, now: int) -> tuple[bytes, int]:
    count = int(value or b"0") + 1
    return b"%d" % count, count


async def test_a_change_sees_what_the_last_one_left_and_the_time(keys: KeyStore) -> None:
    def note(value: bytes | None, now: int) -> tuple[bytes, tuple[bytes | None, int]]:
        return b"\x00left\xff", (value, now)

    value, now = await keys.change("anna", note)
    assert value is None
    assert abs(now - time.time() * 1000) < 5_000
    assert (await keys.change("anna", note))[0] == b"\x00left\xff"
    assert (await keys.change("bob", note))[0] is None


async def test_changes_of_several_connections_are_one_after_the_other(keys: KeyStore, store_url: str) -> None:
    other = open_store(store_url)
    others = keys_of(other)
    assert others is not None
    counts = await asyncio.gather(
        *(source.change("anna", increment) for source in (keys, others) for _ in range(20))
    )
    assert sorted(counts) == list(range(1, 41))
    await other.close()


async def test_a_change_that_fails_changes_nothing(keys: KeyStore) -> None:
    def fail(value: bytes | None, now: int) -> tuple[bytes, None]:
        raise ZeroDivisionError

    await keys.change("anna", increment)
    with pytest.raises(ZeroDivisionError):
        await keys.change("anna", fail)
    assert await keys.change("anna", increment) == 2


async def test_the_ledger_of_a_removed_key_goes_with_it(keys: KeyStore) -> None:
    async def write(record: bytes | None) -> None:
        found = await keys.read_keys(None)
        assert found is not None
        assert await keys.write_key("anna", record, found[0])

    await write(b"record")
    await keys.change("anna", increment)
    await write(b"changed")
    assert await keys.change("anna", increment) == 2
    await write(None)
    assert await keys.change("anna", increment) == 1
