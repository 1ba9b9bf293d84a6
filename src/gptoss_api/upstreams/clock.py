"""The time a whole turn may take."""

import asyncio
from collections.abc import Callable

from ..core.errors import ClientTooSlow, UpstreamTimeout


class TurnClock:
    """How much of a turn's time at ``upstream`` is left. ``total`` is in seconds, ``None`` for no bound."""

    def __init__(self, upstream: str, total: float | None) -> None:
        self._upstream = upstream
        # The loop's own function: it is asked for every batch.
        self.now = asyncio.get_running_loop().time
        self._total = total
        self.deadline = None if total is None else self.now() + total
        # Whether the time ended during an exchange, which sees to that, and what is to be done when it does.
        self.over = False
        self.at_end: Callable[[], None] | None = None

    def allows(self, seconds: float) -> bool:
        return self.deadline is None or self.now() + seconds < self.deadline

    def check(self, *, ahead: bool) -> None:
        """Raises what a turn fails with whose time is over before its next read.

        ``ahead`` says that the upstream sent more while the client took what it has: then it was the client
        that took the time.

        Raises:
            ClientTooSlow: where the upstream is ahead.
            UpstreamTimeout: where it is not.
        """
        if self.deadline is not None and self.now() >= self.deadline:
            raise self._too_slow() if ahead else self.timeout()

    def end(self) -> None:
        """The time is over: does what is to be done then, if anything is.

        A turn that waits for its client notices nothing of the time; it must :meth:`check` when it goes on.
        """
        self.over = True
        if self.at_end is not None:
            self.at_end()

    def timeout(self) -> UpstreamTimeout:
        return UpstreamTimeout(
            f"{self._upstream} did not complete its answer within {self._total:g} seconds."
        )

    def _too_slow(self) -> ClientTooSlow:
        return ClientTooSlow(
            f"The answer was not read within {self._total:g} seconds, the longest that one may take "
            "(GPTOSS_TOTAL_TIMEOUT)."
        )
