"""A store whose content says nothing to who has it without the server's key."""

import asyncio
import logging
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

from msgspec.structs import replace

from ..core.sealing import OVERHEAD, Seal, derive_key
from .store import Entry, Lease, Space, Store

# Bytes beyond which sealing would be noticed on the event loop.
_LONG: Final = 64 * 1024
_YEAR: Final = 365 * 86_400.0
# Holds one value, by which a store is known that another key was used for.
_MARKS: Final = Space("key", ttl=_YEAR, entries=1, value_size=100)
_MARK: Final = b"mark"

_log = logging.getLogger(__name__)


class SealedStore:
    """``store`` with its secret spaces: values sealed with ``secret``, under keys that only it can find.

    What is no secret lies under hashes, so that gateways with secrets of their own share it. A seal is bound
    to the value's key, so that one value cannot be put in the place of another. What cannot be opened counts
    as not there; the first time that is a warning in the log.
    """

    def __init__(self, store: Store, secret: bytes) -> None:
        self._store = store
        self._seal = Seal(derive_key(secret, b"gptoss-state"))
        self._names = derive_key(secret, b"gptoss-names")
        self._spaces: dict[Space, Space] = {}
        self._marked = self._told = False

    @property
    def name(self) -> str:
        return self._store.name

    async def get(self, space: Space, *keys: bytes) -> Sequence[bytes | None]:
        await self._mark()
        names = [self._name(space, key) for key in keys]
        values = await self._store.get(self._larger(space), *names)
        return await self._opened(space, names, values)

    async def take(self, space: Space, key: bytes) -> bytes | None:
        await self._mark()
        name = self._name(space, key)
        value = await self._store.take(self._larger(space), name)
        return (await self._opened(space, [name], [value]))[0]

    async def put(self, space: Space, *entries: Entry) -> Sequence[bool]:
        await self._mark()
        return await self._store.put(self._larger(space), *await self._closed(space, entries))

    async def delete(self, space: Space, *keys: bytes, erase: bool = False) -> None:
        await self._store.delete(space, *[self._name(space, key) for key in keys], erase=erase)

    async def lease(self, key: bytes, ttl: float) -> Lease | None:
        lease = await self._store.lease(_hashed(b"lease", key), ttl)
        return None if lease is None else Lease(key, lease.token)

    async def close(self) -> None:
        await self._store.close()

    async def _mark(self) -> None:
        """Looks once whether the store was used with another key, and leaves the mark of this one."""
        if self._marked:
            return
        self._marked = True
        try:
            name = b"mark"
            (mark,) = await self._store.get(_MARKS, name)
            if mark is not None and self._seal.open(mark, _MARK) is not None:
                return
            if mark is not None:
                self._tell()
            await self._store.put(_MARKS, Entry(name, self._seal.seal(b"", _MARK)))
        except BaseException:
            self._marked = False
            raise

    async def _closed(self, space: Space, entries: Sequence[Entry]) -> list[Entry]:
        def close() -> list[Entry]:
            return [self._entry(space, entry) for entry in entries]

        if space.secret and sum(len(entry.value) for entry in entries) > _LONG:
            return await asyncio.to_thread(close)
        return close()

    async def _opened(
        self, space: Space, names: Sequence[bytes], values: Sequence[bytes | None]
    ) -> Sequence[bytes | None]:
        def open_all() -> list[bytes | None]:
            return [
                None if value is None else self._seal.open(value, _place(space, name))
                for name, value in zip(names, values, strict=True)
            ]

        if not space.secret:
            return values
        long = sum(len(value) for value in values if value is not None) > _LONG
        opened = await asyncio.to_thread(open_all) if long else open_all()
        if opened.count(None) > values.count(None):
            self._tell()
        return opened

    def _entry(self, space: Space, entry: Entry) -> Entry:
        name, lease = self._name(space, entry.key), entry.lease
        return Entry(
            name,
            self._seal.seal(entry.value, _place(space, name)) if space.secret else entry.value,
            None if lease is None else Lease(_hashed(b"lease", lease.key), lease.token),
            _hashed(b"owner", entry.owner, self._names if space.secret else b""),
        )

    def _larger(self, space: Space) -> Space:
        """``space`` with room for the seals of its values."""
        larger = self._spaces.get(space)
        if larger is None:
            overhead = OVERHEAD if space.secret else 0
            larger = self._spaces[space] = replace(space, value_size=space.value_size + overhead)
        return larger

    def _name(self, space: Space, key: bytes) -> bytes:
        """In a secret space a name can be made, or tried, only with the secret."""
        return _hashed(space.name.encode(), key, self._names if space.secret else b"")

    def _tell(self) -> None:
        if not self._told:
            self._told = True
            _log.warning(
                "the %s state store holds what was sealed with another key, which counts as lost: "
                "secret.key or GPTOSS_SERVER_KEY was changed, or gateways that share the store differ in it",
                self.name,
            )


def _hashed(kind: bytes, text: bytes, key: bytes = b"") -> bytes:
    return blake2b(kind + b"\0" + text, key=key, digest_size=20).digest()


def _place(space: Space, name: bytes) -> bytes:
    return space.name.encode() + b"\0" + name
