"""Requests in flight, and the orderly end of a process: running answers finish, new ones are refused."""

import asyncio
from types import TracebackType

from ..core.errors import Overloaded


def shutting_down() -> Overloaded:
    return Overloaded("The gateway is shutting down. Retry in a few seconds.", retry_after=5)


class Drain:
    """The requests in flight, for as long as each is entered as a context; each in its own task."""

    def __init__(self) -> None:
        self.draining = False
        self.expired = False
        self._running: set[asyncio.Task[object]] = set()

    @property
    def in_flight(self) -> int:
        return len(self._running)

    def begin(self) -> None:
        """From now on new requests are refused."""
        self.draining = True

    def expire(self) -> None:
        """The grace is over: cancels what still runs; each stream closes with an error event."""
        self.expired = True
        for task in self._running:
            task.cancel()

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._running.discard(task)
