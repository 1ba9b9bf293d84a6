"""The sealed store: what it says to who has the server's key, and to who has not."""

import sqlite3
from pathlib import Path

import pytest
import redis

from gptoss_api.state import Entry, MemoryStore, SealedStore, Space, Store, open_store
from tests.stores import RedisServer

SECRET = b"of this installation"
SPACE = Space("things", ttl=60, entries=1000, value_size=300_000)
OTHER = Space("others", ttl=60, entries=1000, value_size=300_000)
OPEN = Space("open", ttl=60, entries=1000, value_size=100, secret=False)


@pytest.fixture
async def sealed(store: Store) -> SealedStore:
    return SealedStore(store, SECRET)


class Noting(MemoryStore):
    """Notes what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[Space, Entry]] = []

    async def put(self, space: Space, *entries: Entry) -> list[bool]:
        self.told += [(space, entry) for entry in entries]
        return list(await super().put(space, *entries))


@pytest.mark.parametrize("size", [0, 10, SPACE.value_size])
async def test_a_value_comes_back_as_it_was(sealed: SealedStore, size: int) -> None:
    value = bytes(range(251)) * (size // 251) + b"x" * (size % 251)
    assert await sealed.put(SPACE, Entry(b"a", value), Entry(b"b", b"other")) == [True, True]
    assert await sealed.get(SPACE, b"a", b"none", b"b") == [value, None, b"other"]
    assert await sealed.take(SPACE, b"a") == value
    assert await sealed.get(SPACE, b"a") == [None]
    await sealed.delete(SPACE, b"b", erase=True)
    assert await sealed.get(SPACE, b"b") == [None]


async def test_a_value_that_is_too_large_is_not_stored(sealed: SealedStore) -> None:
    assert await sealed.put(SPACE, Entry(b"a", b"x" * (SPACE.value_size + 1))) == [False]
    assert await sealed.put(OPEN, Entry(b"a", b"x" * (OPEN.value_size + 1))) == [False]


async def test_a_lease_ends_with_the_write_it_protects(sealed: SealedStore) -> None:
    lease = await sealed.lease(b"thread", 60)
    assert lease is not None
    assert lease.key == b"thread"
    assert await sealed.lease(b"thread", 60) is None
    assert await sealed.put(SPACE, Entry(b"a", b"1", lease)) == [True]
    assert await sealed.put(SPACE, Entry(b"a", b"2", lease)) == [False]
    assert await sealed.get(SPACE, b"a") == [b"1"]


async def test_nothing_of_what_is_kept_can_be_read_in_the_store() -> None:
    store = Noting()
    sealed = SealedStore(store, SECRET)
    await sealed.put(SPACE, Entry(b"the key", b"the value", owner=b"the owner"))
    await sealed.put(OPEN, Entry(b"the key", b"a number", owner=b"the owner"))
    lease = await sealed.lease(b"the thread", 60)
    assert lease is not None
    told = repr(store.told) + repr(store._leases)
    assert "the " not in told
    assert "a number" in told
    keys = {entry.key for _, entry in store.told}
    assert len(keys) == len(store.told)


async def test_another_key_finds_nothing_and_says_so_once(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    await SealedStore(store, SECRET).put(SPACE, Entry(b"a", b"1"))
    other = SealedStore(store, b"of another installation")
    for _ in range(3):
        assert await other.get(SPACE, b"a") == [None]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "GPTOSS_SERVER_KEY" in caplog.text
    assert await SealedStore(store, SECRET).get(SPACE, b"a") == [b"1"]


async def test_gateways_with_keys_of_their_own_share_what_is_no_secret(store: Store) -> None:
    one, other = SealedStore(store, SECRET), SealedStore(store, b"of another installation")
    lease = await one.lease(b"thread", 60)
    assert await other.lease(b"thread", 60) is None
    await one.put(OPEN, Entry(b"key", b"value", lease, b"owner"))
    assert await other.get(OPEN, b"key") == [b"value"]


async def test_the_same_key_says_nothing(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    await SealedStore(store, SECRET).put(SPACE, Entry(b"a", b"1"))
    again = SealedStore(store, SECRET)
    assert await again.get(SPACE, b"a") == [b"1"]
    assert await again.take(SPACE, b"none") is None
    assert caplog.records == []


async def test_values_cannot_be_put_in_each_others_place(caplog: pytest.LogCaptureFixture) -> None:
    store = Noting()
    sealed = SealedStore(store, SECRET)
    await sealed.put(SPACE, Entry(b"a", b"1"))
    await sealed.put(SPACE, Entry(b"b", b"2"))
    await sealed.put(OTHER, Entry(b"a", b"3"))
    (first_space, first), (_, second), (third_space, third) = store.told[1:]
    await store.put(first_space, Entry(first.key, second.value))
    await store.put(third_space, Entry(third.key, first.value))
    for _ in range(2):
        assert await sealed.get(SPACE, b"a") == [None]
        assert await sealed.get(OTHER, b"a") == [None]
    assert await sealed.get(SPACE, b"b") == [b"2"]
    assert [record.levelname for record in caplog.records] == ["WARNING"]


@pytest.mark.parametrize("damaged", [b"", b"short", bytes(40), bytes(100)])
async def test_what_cannot_be_opened_counts_as_not_there(damaged: bytes) -> None:
    store = Noting()
    sealed = SealedStore(store, SECRET)
    await sealed.put(SPACE, Entry(b"a", b"1"))
    space, entry = store.told[-1]
    await store.put(space, Entry(entry.key, damaged))
    assert await sealed.take(SPACE, b"a") is None


async def test_a_redis_server_is_told_neither_names_nor_values(redis_server: RedisServer) -> None:
    database = 905
    sealed = SealedStore(open_store(f"redis://127.0.0.1:{redis_server.port}/{database}"), SECRET)
    await sealed.put(SPACE, Entry(b"the key", b"the value", owner=b"the owner"))
    await sealed.lease(b"the thread", 60)
    await sealed.close()
    with redis.Redis(port=redis_server.port, db=database) as client:
        dumped = b"".join(client.dump(key) + key for key in client.keys())  # noqa: SIM118  # not a dict
    assert b"the " not in dumped


def contents(path: Path) -> bytes:
    """Everything there is of a database."""
    return b"".join(file.read_bytes() for file in path.parent.glob(f"{path.name}*"))


async def test_a_file_says_nothing_without_the_secret(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    sealed = SealedStore(open_store(f"sqlite://{path}"), SECRET)
    await sealed.put(SPACE, Entry(b"the key", b"the value" * 5000, owner=b"the owner"))
    await sealed.lease(b"the thread", 60)
    assert b"the " not in contents(path)
    await sealed.close()
    assert b"the " not in contents(path)
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM entries").fetchone() == (2,)
    connection.close()
