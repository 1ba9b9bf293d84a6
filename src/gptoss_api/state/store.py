"""What a store of shared state is: small opaque values that expire, and leases that one process holds.

Whatever is kept here can be lost at any moment: by expiry, by eviction, by a store that is down. Who uses
it must be able to do without.
"""

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct


class Space(Struct, frozen=True):
    """A name space and its bounds.

    A value lives for ``ttl`` seconds. About ``entries`` of them are kept, the oldest go first. Those of more
    than ``value_size`` bytes are not stored.
    """

    name: str
    ttl: float
    entries: int
    value_size: int


class Lease(Struct, frozen=True):
    """The exclusive right to ``key`` for a while. Of two leases the later has the larger ``token``."""

    key: bytes
    token: int


class Entry(Struct, frozen=True):
    """A value to be stored; with ``lease`` only while that is still held. The lease ends with it."""

    key: bytes
    value: bytes
    lease: Lease | None = None


class StoreUnavailable(Exception):
    """The store cannot do its work now. The message says why, without secrets."""


class Store(Protocol):
    """Values by space and key.

    Every operation is atomic, also between processes that share the store, and raises
    :class:`StoreUnavailable` where it cannot be done. ``name`` is what a log line calls the store.
    """

    @property
    def name(self) -> str: ...

    async def get(self, space: Space, *keys: bytes) -> Sequence[bytes | None]:
        """The values of ``keys`` in their order; ``None`` for those that are not there."""
        ...

    async def take(self, space: Space, key: bytes) -> bytes | None:
        """Removes a value and returns it: of several takers one gets it."""
        ...

    async def put(self, space: Space, *entries: Entry) -> Sequence[bool]:
        """Stores values, replacing what was there, and says of each whether it did."""
        ...

    async def delete(self, space: Space, *keys: bytes) -> None: ...

    async def lease(self, key: bytes, ttl: float) -> Lease | None:
        """The lease of ``key``, for ``ttl`` seconds or until :meth:`put`; ``None`` while another is held."""
        ...

    async def close(self) -> None: ...
