"""The time a whole turn may take."""

import asyncio

from ..core.errors import UpstreamTimeout


class TurnClock:
    """How much of a turn's time at ``upstream`` is left. ``total`` is in seconds, ``None`` for no bound."""

    def __init__(self, upstream: str, total: float | None) -> None:
        self._upstream = upstream
        self._now = asyncio.get_running_loop().time
        self._total = total
        self.deadline = None if total is None else self._now() + total

    def now(self) -> float:
        return self._now()

    def allows(self, seconds: float) -> bool:
        return self.deadline is None or self._now() + seconds < self.deadline

    def timeout(self) -> UpstreamTimeout:
        return UpstreamTimeout(
            f"{self._upstream} did not complete its answer within {self._total:g} seconds."
        )
