"""State in this process, gone with it."""

import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from .holdings import Holdings
from .store import Entry, Lease, Space

# A lease that is forgotten too early makes its holder's write fail, nothing worse.
_MOST_LEASES: Final = 100_000


class _Value(Struct, frozen=True):
    """A value, when it expires and whose it is."""

    data: bytes
    expires: float
    owner: bytes


class MemoryStore:
    """A :class:`~.store.Store` for a single process."""

    name = "memory"

    def __init__(self) -> None:
        self._shelves: dict[str, _Shelf] = {}
        # Tokens with the time at which they expire, in the order of their writes.
        self._leases: OrderedDict[bytes, tuple[int, float]] = OrderedDict()
        self._last_token = 0

    async def get(self, space: Space, *keys: bytes) -> Sequence[bytes | None]:
        shelf, now = self._shelf(space), time.monotonic()
        return [shelf.get(key, now) for key in keys]

    async def take(self, space: Space, key: bytes) -> bytes | None:
        shelf = self._shelf(space)
        value = shelf.get(key, time.monotonic())
        shelf.remove(key)
        return value

    async def put(self, space: Space, *entries: Entry) -> Sequence[bool]:
        now = time.monotonic()
        return [self._put(space, entry, now) for entry in entries]

    def _put(self, space: Space, entry: Entry, now: float) -> bool:
        if (lease := entry.lease) is not None:
            if self._token(lease.key, now) != lease.token:
                return False
            del self._leases[lease.key]
        if len(entry.value) > space.largest:
            return False
        shelf = self._shelf(space)
        shelf.add(space, entry, now)
        return shelf.get(entry.key, now) is not None

    async def delete(self, space: Space, *keys: bytes, erase: bool = False) -> None:
        shelf = self._shelf(space)
        for key in keys:
            shelf.remove(key)

    async def lease(self, key: bytes, ttl: float) -> Lease | None:
        now = time.monotonic()
        if self._token(key, now) is not None:
            return None
        self._last_token += 1
        leases = self._leases
        leases[key] = (self._last_token, now + ttl)
        leases.move_to_end(key)
        while leases and (len(leases) > _MOST_LEASES or next(iter(leases.values()))[1] <= now):
            leases.popitem(last=False)
        return Lease(key, self._last_token)

    async def close(self) -> None:
        self._shelves.clear()
        self._leases.clear()

    def _shelf(self, space: Space) -> "_Shelf":
        shelf = self._shelves.get(space.name)
        if shelf is None:
            shelf = self._shelves[space.name] = _Shelf()
        return shelf

    def _token(self, key: bytes, now: float) -> int | None:
        held = self._leases.get(key)
        return held[0] if held is not None and held[1] > now else None


class _Shelf:
    """The values of one space."""

    def __init__(self) -> None:
        self._values: dict[bytes, _Value] = {}
        # The keys of each owner in the order of their writes.
        self._written: dict[bytes, dict[bytes, None]] = {}
        self._holdings = Holdings()

    def get(self, key: bytes, now: float) -> bytes | None:
        value = self._values.get(key)
        return value.data if value is not None and value.expires > now else None

    def add(self, space: Space, entry: Entry, now: float) -> None:
        """Adds a value and lets the oldest go: those that are too much, and those expired in front."""
        owner = entry.owner
        self.remove(entry.key)
        self._values[entry.key] = _Value(entry.value, now + space.ttl, owner)
        self._written.setdefault(owner, {})[entry.key] = None
        self._holdings.change(owner, 1, len(entry.value))
        while self._values[oldest := next(iter(self._written[owner]))].expires <= now:
            self.remove(oldest)
        while (who := self._holdings.excess(space, owner)) is not None:
            self.remove(next(iter(self._written[who])))

    def remove(self, key: bytes) -> None:
        value = self._values.pop(key, None)
        if value is None:
            return
        written = self._written[value.owner]
        del written[key]
        if not written:
            del self._written[value.owner]
        self._holdings.change(value.owner, -1, -len(value.data))
