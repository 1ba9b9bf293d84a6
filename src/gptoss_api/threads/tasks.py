"""Work that nobody waits for until the end."""

import asyncio
from collections.abc import Coroutine


class Tasks:
    """Runs coroutines beside the requests. They must not fail."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def close(self) -> None:
        """Waits for what still runs."""
        if self._running:
            await asyncio.wait(self._running)
