"""API keys in the stores that other processes see."""

import pytest

from gptoss_api.state import KeyStore, Store, keys_of, open_store

# Nobody else could put a key into the third kind.
pytestmark = pytest.mark.parametrize("store_url", ["sqlite", "redis"], indirect=True)


@pytest.fixture
def keys(store: Store) -> KeyStore:
    found = keys_of(store)
    assert found is not None
    return found


async def read(keys: KeyStore) -> tuple[bytes, list[bytes]]:
    found = await keys.read_keys(None)
    assert found is not None
    return found[0], sorted(found[1])


async def test_records_come_back_as_they_were_and_only_when_something_changed(keys: KeyStore) -> None:
    first, records = await read(keys)
    assert records == []
    assert await keys.read_keys(first) is None
    assert await keys.write_key("key_1", b"\x00 one \xff", first)
    found = await keys.read_keys(first)
    assert found is not None
    second = found[0]
    assert second != first
    assert found[1] == [b"\x00 one \xff"]
    assert await keys.read_keys(second) is None
    assert await keys.write_key("key_2", b"two", second)
    third, records = await read(keys)
    assert records == [b"\x00 one \xff", b"two"]
    assert await keys.write_key("key_1", b"again", third)
    assert (await read(keys))[1] == [b"again", b"two"]


async def test_who_did_not_see_the_last_write_writes_nothing(keys: KeyStore) -> None:
    first, _ = await read(keys)
    assert await keys.write_key("key_1", b"one", first)
    assert not await keys.write_key("key_1", b"other", first)
    assert not await keys.write_key("key_2", b"two", first)
    assert not await keys.write_key("key_1", None, first)
    assert (await read(keys))[1] == [b"one"]


async def test_a_removed_record_is_gone(keys: KeyStore) -> None:
    await keys.write_key("key_1", b"one", (await read(keys))[0])
    await keys.write_key("key_2", b"two", (await read(keys))[0])
    before, _ = await read(keys)
    assert await keys.write_key("key_1", None, before)
    after, records = await read(keys)
    assert records == [b"two"]
    assert after != before


async def test_another_connection_sees_the_same(keys: KeyStore, store_url: str) -> None:
    await keys.write_key("key_1", b"one", (await read(keys))[0])
    other = open_store(store_url)
    found = keys_of(other)
    assert found is not None
    assert await read(found) == await read(keys)
    await other.close()
