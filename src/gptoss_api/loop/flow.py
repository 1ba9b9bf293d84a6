"""Backpressure of one answer: who cannot take more for the moment says so here, and its source waits."""

import asyncio
from collections.abc import Callable


class Flow:
    """Whether an answer may flow. Each ``hold`` needs its ``release``; while there are any, its source waits.

    ``go_on`` is what the source of the moment has called when the last hold is released.
    """

    __slots__ = ("_holds", "_waiting", "go_on", "held")

    def __init__(self) -> None:
        self._holds = 0
        self.held = False
        self._waiting: list[asyncio.Future[None]] = []
        self.go_on: Callable[[], None] | None = None

    def hold(self) -> None:
        self._holds += 1
        self.held = True

    def release(self) -> None:
        self._holds -= 1
        if self._holds:
            return
        self.held = False
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)
        if self.go_on is not None:
            self.go_on()

    async def free(self) -> None:
        """Waits until nobody holds it."""
        while self._holds:
            self._waiting.append(waiter := asyncio.get_running_loop().create_future())
            await waiter
