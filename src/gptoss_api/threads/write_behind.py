"""Writes to the store that nobody waits for, but who reads the same."""

import asyncio

from ..state import Entry, GuardedStore, Lease, Space

# Entries of one write; what comes meanwhile joins the next one.
_MOST = 256


class WriteBehind:
    """Puts into and deletes from ``space`` beside the requests: those of one moment together."""

    def __init__(self, store: GuardedStore, space: Space) -> None:
        self._store = store
        self._space = space
        # The newest write of each key, where ``None`` deletes; those that wait and those on their way.
        self._waiting: dict[bytes, Entry | None] = {}
        self._leaving: dict[bytes, Entry | None] = {}
        self._left: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None

    def put(self, key: bytes, value: bytes, lease: Lease | None = None, *, caller: str = "") -> None:
        """``caller`` is whose value it is."""
        self._add(key, Entry(key, value, lease, caller.encode()))

    def delete(self, *keys: bytes) -> None:
        for key in keys:
            self._add(key, None)

    async def done(self, *keys: bytes) -> None:
        """Waits for the writes of ``keys``: a fast client asks for what is still on its way."""
        while self._left is not None and any(key in self._waiting or key in self._leaving for key in keys):
            await asyncio.wait((self._left,))

    async def close(self) -> None:
        """Waits for all writes."""
        if self._task is not None:
            await asyncio.wait((self._task,))

    def _add(self, key: bytes, entry: Entry | None) -> None:
        self._waiting[key] = entry
        if self._task is None:
            loop = asyncio.get_running_loop()
            self._left = loop.create_future()
            self._task = loop.create_task(self._write())

    async def _write(self) -> None:
        try:
            while self._waiting:
                keys = list(self._waiting)[:_MOST]
                self._leaving = {key: self._waiting.pop(key) for key in keys}
                if puts := [entry for entry in self._leaving.values() if entry is not None]:
                    await self._store.put(self._space, *puts)
                await self._store.delete(
                    self._space, *(key for key, entry in self._leaving.items() if entry is None)
                )
                self._leaving = {}
                left, self._left = self._left, asyncio.get_running_loop().create_future()
                assert left is not None
                left.set_result(None)
        finally:
            self._task = self._left = None
