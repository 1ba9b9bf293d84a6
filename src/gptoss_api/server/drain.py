"""Requests in flight, and the orderly end of a process: running answers finish, new ones are refused."""

import asyncio
import time
from types import TracebackType
from typing import Any

from ..core.errors import Overloaded


def shutting_down() -> Overloaded:
    return Overloaded("The gateway is shutting down. Retry in a few seconds.", retry_after=5)


class Drain:
    """The requests in flight, by the task of each: those ``running``, and whatever enters it as a context.

    Once it drains, new requests are taken for another ``delay`` seconds.
    """

    def __init__(self, delay: float = 0.0) -> None:
        self.delay = delay
        self.draining = False
        self._refuses_from = 0.0
        self.expired = False
        self.running: set[asyncio.Task[Any]] = set()

    @property
    def in_flight(self) -> int:
        return len(self.running)

    def begin(self) -> None:
        """From now on nobody is to come any more; who comes all the same is refused after the delay."""
        if not self.draining:
            self.draining = True
            self._refuses_from = time.monotonic() + self.delay

    @property
    def refuses(self) -> bool:
        """Whether new requests are refused."""
        return self.draining and time.monotonic() >= self._refuses_from

    def expire(self) -> None:
        """The grace is over: cancels what still runs; each stream closes with an error event."""
        self.expired = True
        for task in self.running:
            task.cancel()

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.running.add(task)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.running.discard(task)
