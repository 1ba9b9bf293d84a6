"""Writes to the store that nobody waits for, but who reads the same."""

import asyncio
from typing import Final

from ..state import Entry, GuardedStore, Lease, Space
from .under_way import Notes

# Entries of one write; when so many wait, they do not wait for more.
_MOST: Final = 256


class WriteBehind:
    """Puts into and deletes from ``space`` beside the requests: those of ``pause`` seconds together.

    What waits is lost with the process. ``notes`` tell other workers which keys it is.
    """

    def __init__(
        self, store: GuardedStore, space: Space, *, pause: float = 0.0, notes: Notes | None = None
    ) -> None:
        self._store = store
        self._space = space
        self._pause = pause
        self._notes = notes
        # The newest write of each key, where ``None`` deletes; those that wait and those on their way.
        self._waiting: dict[bytes, Entry | None] = {}
        self._leaving: dict[bytes, Entry | None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    def put(self, key: bytes, value: bytes, lease: Lease | None = None, *, caller: str = "") -> None:
        """``caller`` is whose value it is."""
        self._add(key, Entry(key, value, lease, caller.encode()))

    def delete(self, *keys: bytes) -> None:
        for key in keys:
            self._add(key, None)

    def take(self, key: bytes) -> Entry | None:
        """Takes a value that waits: the store never gets it."""
        entry = self._waiting.get(key)
        if entry is not None:
            del self._waiting[key]
            self._forget(key)
        return entry

    async def done(self, *keys: bytes) -> None:
        """Waits for the writes of ``keys``, which wait no more: a fast client asks for what is on its way."""
        while any(key in self._leaving or key in self._waiting for key in keys):
            await self._written()

    async def close(self) -> None:
        """Waits for all writes."""
        while self._waiting or self._leaving:
            await self._written()

    def _add(self, key: bytes, entry: Entry | None) -> None:
        self._waiting[key] = entry
        if self._notes is not None:
            self._notes.add(key)
        if self._task is None and (self._timer is None or len(self._waiting) >= _MOST):
            self._arrange()

    def _arrange(self) -> None:
        """Sees to it that what waits will leave."""
        if not self._pause or len(self._waiting) >= _MOST:
            self._leave()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._pause, self._leave)

    def _leave(self) -> "asyncio.Task[None]":
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._write())
        return self._task

    async def _written(self) -> None:
        await asyncio.wait((self._leave(),))

    async def _write(self) -> None:
        try:
            keys = list(self._waiting)[:_MOST]
            self._leaving = {key: self._waiting.pop(key) for key in keys}
            if puts := [entry for entry in self._leaving.values() if entry is not None]:
                await self._store.put(self._space, *puts)
            await self._store.delete(
                self._space, *(key for key, entry in self._leaving.items() if entry is None)
            )
        finally:
            for key in self._leaving:
                self._forget(key)
            self._leaving = {}
            self._task = None
            if self._waiting:
                self._arrange()

    def _forget(self, key: bytes) -> None:
        if self._notes is not None and key not in self._waiting:
            self._notes.remove(key)
