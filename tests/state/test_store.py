"""What every store does, whichever it is."""

import asyncio

from gptoss_api.state import Entry, Space, Store

from .waiting import until

SPACE = Space("things", ttl=60, entries=1000, value_size=10_000)
OTHER = Space("others", ttl=60, entries=1000, value_size=10_000)
BRIEF = Space("brief", ttl=0.05, entries=1000, value_size=10_000)


async def test_a_value_comes_back_as_it_was(store: Store) -> None:
    value = bytes(range(256)) * 10
    assert await store.put(SPACE, Entry(b"a\x00:\xff", value)) == [True]
    assert await store.get(SPACE, b"a\x00:\xff") == [value]


async def test_several_values_come_in_the_order_of_their_keys(store: Store) -> None:
    await store.put(SPACE, Entry(b"a", b"1"))
    await store.put(SPACE, Entry(b"b", b""))
    assert await store.get(SPACE, b"b", b"none", b"a", b"b") == [b"", None, b"1", b""]


async def test_a_later_value_replaces_the_earlier_one(store: Store) -> None:
    await store.put(SPACE, Entry(b"a", b"1"))
    await store.put(SPACE, Entry(b"a", b"2"))
    assert await store.get(SPACE, b"a") == [b"2"]


async def test_spaces_do_not_share_keys(store: Store) -> None:
    await store.put(SPACE, Entry(b"a", b"1"))
    assert await store.get(OTHER, b"a") == [None]
    await store.delete(OTHER, b"a")
    assert await store.take(OTHER, b"a") is None
    assert await store.get(SPACE, b"a") == [b"1"]


async def test_deleted_values_are_gone(store: Store) -> None:
    for key in (b"a", b"b", b"c"):
        await store.put(SPACE, Entry(key, b"1"))
    await store.delete(SPACE, b"a", b"c", b"never there")
    assert await store.get(SPACE, b"a", b"b", b"c") == [None, b"1", None]


async def test_a_value_expires(store: Store) -> None:
    await store.put(BRIEF, Entry(b"short", b"1"))
    await store.put(SPACE, Entry(b"long", b"1"))

    async def expired() -> bool:
        return await store.get(BRIEF, b"short") == [None]

    await until(expired)
    assert await store.take(BRIEF, b"short") is None
    assert await store.get(SPACE, b"long") == [b"1"]


async def test_of_many_takers_one_gets_the_value(store: Store) -> None:
    await store.put(SPACE, Entry(b"a", b"1"))
    taken = await asyncio.gather(*(store.take(SPACE, b"a") for _ in range(20)))
    assert sorted(taken, key=bool) == [None] * 19 + [b"1"]
    assert await store.get(SPACE, b"a") == [None]


async def test_of_many_holders_one_gets_the_lease(store: Store) -> None:
    leases = await asyncio.gather(*(store.lease(b"thread", 60) for _ in range(20)))
    assert sum(lease is not None for lease in leases) == 1
    assert await store.lease(b"another", 60) is not None


async def test_a_lease_ends_with_the_write_it_protects(store: Store) -> None:
    first = await store.lease(b"thread", 60)
    assert await store.put(SPACE, Entry(b"a", b"1", first)) == [True]
    second = await store.lease(b"thread", 60)
    assert first is not None
    assert second is not None
    assert second.token > first.token


async def test_a_lease_expires_and_its_late_holder_cannot_write(store: Store) -> None:
    late = await store.lease(b"thread", 0.05)
    holder = None

    async def taken_over() -> bool:
        nonlocal holder
        holder = await store.lease(b"thread", 60)
        return holder is not None

    await until(taken_over)
    assert late is not None
    assert holder is not None
    assert holder.token > late.token
    assert await store.put(SPACE, Entry(b"a", b"late", late)) == [False]
    assert await store.get(SPACE, b"a") == [None]
    assert await store.put(SPACE, Entry(b"a", b"in time", holder)) == [True]


async def test_an_expired_lease_writes_nothing_even_if_nobody_took_over(store: Store) -> None:
    late = await store.lease(b"thread", 0.02)
    await asyncio.sleep(0.05)
    assert await store.put(SPACE, Entry(b"a", b"late", late)) == [False]


async def test_several_values_are_stored_or_not_each_for_itself(store: Store) -> None:
    held, late = await store.lease(b"held", 60), await store.lease(b"late", 0.001)
    await asyncio.sleep(0.01)
    stored = await store.put(
        SPACE,
        Entry(b"a", b"1"),
        Entry(b"b", b"2", held),
        Entry(b"c", b"3", late),
        Entry(b"d", b"x" * (SPACE.value_size + 1)),
        Entry(b"a", b"4"),
        Entry(b"e", b"5", held),
    )
    assert stored == [True, True, False, False, True, False]
    assert await store.get(SPACE, b"a", b"b", b"c", b"d", b"e") == [b"4", b"2", None, None, None]


async def test_a_value_that_is_too_large_is_not_stored(store: Store) -> None:
    assert await store.put(SPACE, Entry(b"a", b"x" * SPACE.value_size)) == [True]
    assert await store.put(SPACE, Entry(b"b", b"x" * (SPACE.value_size + 1))) == [False]
    assert await store.get(SPACE, b"b") == [None]


async def test_a_full_space_lets_its_oldest_values_go(store: Store) -> None:
    small = Space("small", ttl=60, entries=50, value_size=100)
    await store.put(OTHER, Entry(b"elsewhere", b"1"))
    keys = [b"%d" % number for number in range(200)]
    for key in keys:
        await store.put(small, Entry(key, b"1"))
    kept = [value is not None for value in await store.get(small, *keys)]
    assert all(kept[-50:])
    # SQLite counts only from time to time.
    assert not any(kept[:-120])
    assert await store.get(OTHER, b"elsewhere") == [b"1"]


async def test_expired_values_do_not_count(store: Store) -> None:
    small = Space("small", ttl=60, entries=150, value_size=100)
    expired = Space("small", ttl=0.001, entries=150, value_size=100)
    for number in range(100):
        await store.put(expired, Entry(b"short %d" % number, b"1"))
    await asyncio.sleep(0.01)
    keys = [b"%d" % number for number in range(150)]
    for key in keys:
        await store.put(small, Entry(key, b"1"))
    assert await store.get(small, *keys) == [b"1"] * 150


async def put_many(store: Store, space: Space, owner: bytes, count: int, size: int) -> list[bytes]:
    """Stores ``count`` values of ``size`` bytes; the value are their keys, oldest first."""
    keys = [b"%b %d" % (owner, number) for number in range(count)]
    for key in keys:
        assert await store.put(space, Entry(key, b"x" * size, owner=owner)) == [True]
    return keys


async def kept(store: Store, space: Space, keys: list[bytes]) -> list[bool]:
    return [value is not None for value in await store.get(space, *keys)]


async def test_an_owner_that_has_too_many_loses_its_own(store: Store) -> None:
    space = Space("small", ttl=60, entries=50, value_size=100)
    ann = await put_many(store, space, b"ann", 1, 10)
    bob = await put_many(store, space, b"bob", 200, 10)
    assert await kept(store, space, ann) == [True]
    left = await kept(store, space, bob)
    assert all(left[-50:])
    # SQLite counts only from time to time.
    assert not any(left[:-120])


async def test_an_owner_that_has_too_large_ones_loses_its_own(store: Store) -> None:
    space = Space("small", ttl=60, entries=1000, value_size=2_000, size=20_000)
    ann = await put_many(store, space, b"ann", 5, 1_000)
    bob = await put_many(store, space, b"bob", 200, 1_000)
    assert all(await kept(store, space, ann))
    left = await kept(store, space, bob)
    assert all(left[-18:])
    assert sum(left) * 1_000 <= space.size * 1.1


async def test_where_all_have_too_much_the_one_with_most_makes_room(store: Store) -> None:
    space = Space("small", ttl=60, entries=1000, value_size=2_000, size=40_000, total=60_000)
    ann = await put_many(store, space, b"ann", 10, 1_000)
    bob = await put_many(store, space, b"bob", 40, 1_000)
    cid = await put_many(store, space, b"cid", 60, 1_000)
    assert all(await kept(store, space, ann))
    left = [sum(await kept(store, space, keys)) for keys in (bob, cid)]
    assert sum(left) * 1_000 <= 50_000 * 1.1
    assert all(20 <= count <= 28 for count in left)
    assert all((await kept(store, space, bob))[-20:])
    assert all((await kept(store, space, cid))[-20:])


async def test_what_is_taken_deleted_or_replaced_counts_no_longer(store: Store) -> None:
    space = Space("small", ttl=60, entries=1000, value_size=2_000, size=20_000)
    ann = await put_many(store, space, b"ann", 18, 1_000)
    for number in range(200):
        await store.put(space, Entry(b"taken", b"x" * 1_000, owner=b"ann"))
        await store.take(space, b"taken")
        await store.put(space, Entry(b"deleted", b"x" * 1_000, owner=b"ann"))
        await store.delete(space, b"deleted")
        await store.put(space, Entry(b"replaced", b"x" * (1_000 - number), owner=b"ann"))
    assert all(await kept(store, space, ann))


async def test_a_value_larger_than_all_that_an_owner_may_have_is_not_stored(store: Store) -> None:
    space = Space("small", ttl=60, entries=10, value_size=1_000, size=100, total=50)
    assert await store.put(space, Entry(b"a", b"x" * 50)) == [True]
    assert await store.put(space, Entry(b"b", b"x" * 51)) == [False]
    assert await store.get(space, b"a", b"b") == [b"x" * 50, None]
