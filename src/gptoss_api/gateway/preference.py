"""Which upstreams were verified to be good: read now and then from the store, never while a turn waits."""

import asyncio
import time
from collections.abc import Sequence
from typing import Final

from ..config import Settings, UpstreamSettings
from ..core.servers import SERVER_KINDS, SITE
from ..state import StoreUnavailable
from ..verification.card import Subject
from ..verification.history import NO_SCORES, History, Scores, scores_of

# Seconds between two looks at the results, and after one that the store did not answer.
LOOK_EVERY: Final = 30.0
LOOK_AGAIN: Final = 2.0


def subject_of(entry: UpstreamSettings, settings: Settings, model: str = "") -> Subject:
    """What results of the upstream ``entry`` are kept under: another address is another server."""
    url = entry.url or (settings.chatkit_url if entry.kind == SITE else None) or SERVER_KINDS[entry.kind].url
    return Subject(entry.name, entry.kind, url, model)


class Preference:
    """The order of ``subjects`` by their latest results in ``history``."""

    def __init__(self, history: History, subjects: Sequence[Subject]) -> None:
        self._history = history
        self._subjects = subjects
        self._scores: Scores = NO_SCORES
        # When to look again, by the monotonic clock; ``None`` before the first look.
        self._next: float | None = None
        self._look: asyncio.Task[None] | None = None

    async def known(self) -> None:
        """Waits for the first look, and has another made where the last was long ago."""
        if self._next is None:
            await asyncio.shield(self._looking())
        elif time.monotonic() >= self._next:
            self._looking()

    def rank(self, upstream: str, model: str) -> int:
        """See :meth:`Scores.rank`."""
        return self._scores.rank(upstream, model)

    async def close(self) -> None:
        if self._look is not None:
            await asyncio.gather(self._look, return_exceptions=True)

    def _looking(self) -> asyncio.Task[None]:
        if self._look is None or self._look.done():
            self._look = asyncio.get_running_loop().create_task(self._read())
        return self._look

    async def _read(self) -> None:
        try:
            cards = await self._history.cards()
        except StoreUnavailable:
            # The order of the last look is better than none.
            self._next = time.monotonic() + LOOK_AGAIN
            return
        self._scores = scores_of(cards, self._subjects, time.time())
        self._next = time.monotonic() + LOOK_EVERY
