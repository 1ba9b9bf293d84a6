"""Writes to the store that nobody waits for, but who reads the same."""

import asyncio
from collections.abc import Coroutine


class Writes:
    """Runs writes beside the requests. They must not fail."""

    def __init__(self) -> None:
        # The latest write of each key.
        self._running: dict[bytes, asyncio.Task[None]] = {}

    def start(self, key: bytes, write: Coroutine[None, None, object]) -> None:
        before = self._running.get(key)

        async def run() -> None:
            if before is not None:
                await asyncio.wait((before,))
            try:
                await write
            finally:
                if self._running.get(key) is task:
                    del self._running[key]

        self._running[key] = task = asyncio.get_running_loop().create_task(run())

    async def done(self, *keys: bytes) -> None:
        """Waits for the writes of ``keys``: a fast client asks for what is still on its way."""
        if tasks := [self._running[key] for key in keys if key in self._running]:
            await asyncio.wait(tasks)

    async def close(self) -> None:
        """Waits for all writes."""
        await self.done(*self._running)
