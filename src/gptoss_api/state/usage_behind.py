"""Keeps accounts of turns beside the answers: in groups, once a second."""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import Final

from ..core.accounting import Group, Sums, TurnAccount
from .store import StoreUnavailable
from .usage import Period, UsageStore

# Seconds: what a process that is killed may take with it.
EVERY: Final = 0.5
# Turns of a group; so many are written at once.
GROUP: Final = 500
# Turns that wait for a store that does not answer. The oldest are given up.
MOST: Final = 20_000

_log = logging.getLogger(__name__)


class UsageBehind:
    """Turns on their way into ``store``. Nothing here raises, and no answer waits for it."""

    def __init__(self, store: UsageStore) -> None:
        self._store = store
        self._waiting: list[TurnAccount] = []
        self._writing: asyncio.Task[None] | None = None
        self._down = False
        self.lost = 0

    def note(self, turn: TurnAccount) -> None:
        self._waiting.append(turn)
        if self._writing is None or self._writing.done():
            self._writing = asyncio.get_running_loop().create_task(self._write_soon())

    async def sums(self, since: float, until: float, by: Group, key: str | None = None) -> dict[str, Sums]:
        """See :class:`~.usage.UsageStore`; what ended a moment ago is in it."""
        await self.flush()
        return await self._store.sums(since, until, by, key)

    async def series(
        self, since: float, until: float, per: Period, by: Group, key: str | None = None
    ) -> dict[tuple[str, str], Sums]:
        """See :class:`~.usage.UsageStore`; what ended a moment ago is in it."""
        await self.flush()
        return await self._store.series(since, until, per, by, key)

    async def latest(self, most: int) -> list[TurnAccount]:
        """See :class:`~.usage.UsageStore`; what ended a moment ago is in it."""
        await self.flush()
        return await self._store.latest(most)

    async def flush(self) -> bool:
        """Writes what waits; ``False`` where the store does not take it."""
        while self._waiting:
            turns, self._waiting = self._waiting[:GROUP], self._waiting[GROUP:]
            try:
                await self._store.add(turns)
            except StoreUnavailable as error:
                self._put_back(turns)
                if not self._down:
                    _log.warning("usage cannot be kept now, and waits: %s", error)
                self._down = True
                return False
        if self._down:
            _log.info("usage is kept again")
        self._down = False
        return True

    async def close(self) -> None:
        if self._writing is not None:
            self._writing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._writing
        await self.flush()
        await self._store.close()

    async def _write_soon(self) -> None:
        while self._waiting:
            await asyncio.sleep(EVERY)
            await self.flush()

    def _put_back(self, turns: Sequence[TurnAccount]) -> None:
        waiting = [*turns, *self._waiting]
        self.lost += max(0, len(waiting) - MOST)
        self._waiting = waiting[-MOST:]
