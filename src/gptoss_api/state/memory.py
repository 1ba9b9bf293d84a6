"""State in this process, gone with it."""

import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, TypeVar

from .store import Entry, Lease, Space

T = TypeVar("T")

# A lease that is forgotten too early makes its holder's write fail, nothing worse.
_MOST_LEASES: Final = 100_000

# Values with the time at which they expire, in the order of their writes.
_Expiring = OrderedDict[bytes, tuple[T, float]]


class MemoryStore:
    """A :class:`~.store.Store` for a single process."""

    name = "memory"

    def __init__(self) -> None:
        self._spaces: dict[str, _Expiring[bytes]] = {}
        self._leases: _Expiring[int] = OrderedDict()
        self._last_token = 0

    async def get(self, space: Space, *keys: bytes) -> Sequence[bytes | None]:
        entries, now = self._entries(space), time.monotonic()
        return [_living(entries.get(key), now) for key in keys]

    async def take(self, space: Space, key: bytes) -> bytes | None:
        return _living(self._entries(space).pop(key, None), time.monotonic())

    async def put(self, space: Space, *entries: Entry) -> Sequence[bool]:
        now = time.monotonic()
        return [self._put(space, entry, now) for entry in entries]

    def _put(self, space: Space, entry: Entry, now: float) -> bool:
        if (lease := entry.lease) is not None:
            if _living(self._leases.get(lease.key), now) != lease.token:
                return False
            del self._leases[lease.key]
        if len(entry.value) > space.value_size:
            return False
        _add(self._entries(space), entry.key, entry.value, now, space.ttl, most=space.entries)
        return True

    async def delete(self, space: Space, *keys: bytes) -> None:
        entries = self._entries(space)
        for key in keys:
            entries.pop(key, None)

    async def lease(self, key: bytes, ttl: float) -> Lease | None:
        now = time.monotonic()
        if _living(self._leases.get(key), now) is not None:
            return None
        self._last_token += 1
        _add(self._leases, key, self._last_token, now, ttl, most=_MOST_LEASES)
        return Lease(key, self._last_token)

    async def close(self) -> None:
        self._spaces.clear()
        self._leases.clear()

    def _entries(self, space: Space) -> _Expiring[bytes]:
        entries = self._spaces.get(space.name)
        if entries is None:
            entries = self._spaces[space.name] = OrderedDict()
        return entries


def _living(entry: tuple[T, float] | None, now: float) -> T | None:
    return entry[0] if entry is not None and entry[1] > now else None


def _add(entries: _Expiring[T], key: bytes, value: T, now: float, ttl: float, *, most: int) -> None:
    """Adds a value and lets the oldest go: those beyond ``most``, and those expired in front."""
    entries[key] = (value, now + ttl)
    entries.move_to_end(key)
    while entries and (len(entries) > most or next(iter(entries.values()))[1] <= now):
        entries.popitem(last=False)
