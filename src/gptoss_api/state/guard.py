"""A store that is down or slow, kept away from the requests."""

import asyncio
import logging
import time
from collections.abc import Coroutine, Sequence
from typing import Any, Final, TypeVar

from .store import Entry, Lease, Space, Store, StoreUnavailable

T = TypeVar("T")

# Seconds. Longer than a busy disk or network takes, shorter than a person notices.
OPERATION_TIME: Final = 0.5
# How long a store that failed is left alone: doubled with every further failure.
FIRST_REST: Final = 0.25
LONGEST_REST: Final = 15.0

_NOTHING: Final = Space("nothing", ttl=1, entries=1, value_size=0)

_log = logging.getLogger(__name__)


class GuardedStore:
    """A :class:`~.store.Store` that never fails: without ``store`` nothing is there and nothing is kept.

    An operation that fails or takes longer than ``operation_time`` seconds puts the store to rest; until
    that is over operations return at once. The first failure is a warning in the log, the recovery a line.
    """

    def __init__(self, store: Store, *, operation_time: float = OPERATION_TIME) -> None:
        self._store = store
        self._operation_time = operation_time
        self._failures = 0
        self._down = False
        self._rest = FIRST_REST
        self._resting_until = 0.0
        self._left: set[asyncio.Task[Any]] = set()

    @property
    def name(self) -> str:
        return self._store.name

    @property
    def available(self) -> bool:
        """Whether the last operation succeeded."""
        return not self._down

    @property
    def failures(self) -> int:
        """Operations that failed or took too long since the start."""
        return self._failures

    async def check(self) -> bool:
        """Whether the store answers now."""
        await self.get(_NOTHING, b"")
        return self.available

    async def get(self, space: Space, *keys: bytes) -> Sequence[bytes | None]:
        nothing = [None] * len(keys)
        return await self._guarded(self._store.get(space, *keys), nothing) if keys else nothing

    async def take(self, space: Space, key: bytes) -> bytes | None:
        return await self._guarded(self._store.take(space, key), None)

    async def put(self, space: Space, *entries: Entry) -> Sequence[bool]:
        return await self._guarded(self._store.put(space, *entries), [False] * len(entries))

    async def fetch(self, space: Space, *keys: bytes) -> Sequence[bytes | None]:
        """As :meth:`get`, for who must know whether a value is missing.

        Raises:
            StoreUnavailable: where the store cannot say.
        """
        return await self.attempted(self._store.get(space, *keys)) if keys else ()

    async def keep(self, space: Space, *entries: Entry) -> Sequence[bool]:
        """As :meth:`put`, for who must know why something was not stored.

        Raises:
            StoreUnavailable: where the store did not answer; it may have stored them all the same.
        """
        return await self.attempted(self._store.put(space, *entries))

    async def delete(self, space: Space, *keys: bytes, erase: bool = False) -> bool:
        """Whether the values are gone."""

        async def done() -> bool:
            await self._store.delete(space, *keys, erase=erase)
            return True

        return await self._guarded(done(), False) if keys else True

    async def lease(self, key: bytes, ttl: float) -> Lease | None:
        return await self._guarded(self._store.lease(key, ttl), None)

    async def close(self) -> None:
        await self._store.close()

    async def _guarded(self, operation: Coroutine[None, None, T], otherwise: T) -> T:
        try:
            return await self.attempted(operation)
        except StoreUnavailable:
            return otherwise

    async def attempted(self, operation: Coroutine[None, None, T]) -> T:
        """The value of another ``operation`` of the store that is guarded.

        Raises:
            StoreUnavailable: where it failed, took too long, or the store rests.
        """
        if time.monotonic() < self._resting_until:
            operation.close()
            raise StoreUnavailable("it rests after a failure")
        # A task of its own can be left behind: libraries do not always end at once when they are cancelled.
        task = asyncio.get_running_loop().create_task(operation)
        try:
            await asyncio.wait((task,), timeout=self._operation_time)
            if not task.done():
                raise StoreUnavailable(f"no answer within {self._operation_time:g} s")
            value = task.result()
        except StoreUnavailable as error:
            self._failed(str(error))
            raise
        finally:
            if not task.done():
                self._leave(task)
        if self._down:
            self._down, self._rest, self._resting_until = False, FIRST_REST, 0.0
            _log.info("the %s state store works again", self.name)
        return value

    def _leave(self, task: asyncio.Task[T]) -> None:
        def over(left: asyncio.Task[T]) -> None:
            self._left.discard(left)
            if not left.cancelled():
                # Looked at, so that nobody reports it as forgotten.
                left.exception()

        self._left.add(task)
        task.add_done_callback(over)
        task.cancel()

    def _failed(self, why: str) -> None:
        self._failures += 1
        now = time.monotonic()
        if now < self._resting_until:
            # Failed together with an operation that has been counted already.
            return
        if self._down:
            self._rest = min(2 * self._rest, LONGEST_REST)
        else:
            self._down = True
            _log.warning("the %s state store is down, conversations are sent whole: %s", self.name, why)
        self._resting_until = now + self._rest
