"""What a store of shared state is: small opaque values that expire, and leases that one process holds.

Whatever is kept here can be lost at any moment: by expiry, by eviction, by a store that is down. Who uses
it must be able to do without.
"""

import secrets
from collections.abc import Sequence
from typing import Final, Protocol, TypeVar, runtime_checkable

from msgspec import Struct

# Bytes. More than any store holds, and exact in every language that counts them.
_NO_BOUND: Final = 2**53


class Space(Struct, frozen=True):
    """A name space and its bounds.

    A value lives for ``ttl`` seconds. About ``entries`` values and ``size`` bytes are kept for each owner,
    and ``total`` bytes for all of them. The oldest go first: an owner's own where that has too much, those of
    the owner with the most where all together have. Values of more than ``value_size`` bytes are not stored.
    ``secret`` values may be nobody's to read but the gateway's.
    """

    name: str
    ttl: float
    entries: int
    value_size: int
    size: int = _NO_BOUND
    total: int = _NO_BOUND
    secret: bool = True

    @property
    def largest(self) -> int:
        """Bytes of the largest value that is stored."""
        return min(self.value_size, self.size, self.total)


class Lease(Struct, frozen=True):
    """The exclusive right to ``key`` for a while. Of two leases the later has the larger ``token``."""

    key: bytes
    token: int


class Entry(Struct, frozen=True):
    """A value to be stored; with ``lease`` only while that is still held. The lease ends with it.

    ``owner`` is whose bounds it counts against.
    """

    key: bytes
    value: bytes
    lease: Lease | None = None
    owner: bytes = b""


T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Change(Protocol[T_co]):
    """What becomes of a value at a time in milliseconds since 1970, and what is found out by it.

    Who is called with them gives the next value and what was found. Redis does it by itself instead, so that
    nobody can do anything in between: the script ``lua`` has the value's key in KEYS and ``arguments`` in
    ARGV, and gives the next value, the time and a number, of which ``found`` makes the same.
    """

    @property
    def lua(self) -> str: ...

    @property
    def arguments(self) -> bytes: ...

    def __call__(self, value: bytes | None, now: int, /) -> tuple[bytes, T_co]: ...

    def found(self, value: bytes, now: int, verdict: int, /) -> T_co: ...


class LedgerStore(Protocol):
    """One value for each account, kept for good, that processes change one after the other.

    Raises :class:`StoreUnavailable` as a :class:`Store` does.
    """

    async def change(self, account: str, change: Change[T]) -> T:
        """Replaces a value by what ``change`` makes of it, as one step; gives what it found out.

        ``change`` may be called in another thread. The time is that of the store.
        """
        ...


@runtime_checkable
class KeyStore(LedgerStore, Protocol):
    """The gateway's own API keys as opaque records, kept until they are deleted.

    Every write leaves another revision behind. Raises :class:`StoreUnavailable` as a :class:`Store` does.
    """

    async def read_keys(self, seen: bytes | None) -> tuple[bytes, Sequence[bytes]] | None:
        """The revision and all records; ``None`` where the revision is still the one that was ``seen``."""
        ...

    async def write_key(self, key_id: str, record: bytes | None, revision: bytes) -> bool:
        """Replaces a record, or removes it with its account's ledger, if the revision is still this one.

        Says whether it was.
        """
        ...


def new_revision() -> bytes:
    """One that no other write has, also in a store that was emptied meanwhile."""
    return secrets.token_bytes(8)


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

    async def delete(self, space: Space, *keys: bytes, erase: bool = False) -> None:
        """Removes values; with ``erase`` nothing of them is left in a file when this returns."""
        ...

    async def lease(self, key: bytes, ttl: float) -> Lease | None:
        """The lease of ``key``, for ``ttl`` seconds or until :meth:`put`; ``None`` while another is held."""
        ...

    async def close(self) -> None: ...
