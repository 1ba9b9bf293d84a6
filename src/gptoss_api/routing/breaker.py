"""When an upstream is left alone: a circuit breaker as a machine over a clock, without any I/O."""

import time
from collections.abc import Callable
from enum import Enum
from typing import Final

# Failures in a row that open the breaker, and how long it stays open, in seconds; each further time in a row
# doubles the rest.
THRESHOLD: Final = 3
REST: Final = 5.0
LONGEST_REST: Final = 120.0
# A longer wait that an upstream asks for is its own affair, but nobody waits for ever on a wrong clock.
LONGEST_ASKED: Final = 3600.0


class BreakerState(Enum):
    CLOSED = "closed"
    OPEN = "open"
    # The rest is over: one turn at a time tries whether the upstream answers again.
    HALF_OPEN = "half-open"


class Breaker:
    """Counts how an upstream's turns go. ``clock`` tells seconds that never go back.

    Every turn that :meth:`admits` lets through begins with :meth:`begin` and ends with one of
    :meth:`succeeded`, :meth:`failed` and :meth:`forgotten` (it said nothing about the upstream).
    """

    def __init__(
        self,
        *,
        threshold: int = THRESHOLD,
        rest: float = REST,
        longest_rest: float = LONGEST_REST,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._threshold = threshold
        self._rest = rest
        self._longest_rest = longest_rest
        self._clock = clock
        self._failures = 0
        # How often in a row it opened without an answer in between.
        self._openings = 0
        self._until = 0.0
        self._open = False
        self._probing = False

    @property
    def state(self) -> BreakerState:
        if not self._open:
            return BreakerState.CLOSED
        return BreakerState.OPEN if self.remaining > 0 else BreakerState.HALF_OPEN

    @property
    def remaining(self) -> float:
        """Seconds until a turn is let through again; 0 where one is now, or one is on trial."""
        return max(self._until - self._clock(), 0.0) if self._open else 0.0

    def admits(self) -> bool:
        match self.state:
            case BreakerState.CLOSED:
                return True
            case BreakerState.OPEN:
                return False
            case BreakerState.HALF_OPEN:
                return not self._probing

    def begin(self) -> None:
        if self._open:
            self._probing = True

    def succeeded(self) -> None:
        """The turn was answered; where that was asked before the breaker opened, it is no news."""
        if self._open and not self._probing:
            return
        self._failures = self._openings = 0
        self._open = self._probing = False

    def failed(self, *, asked: float | None = None, at_once: bool = False) -> bool:
        """One more failure; says whether it opened the breaker.

        ``asked`` is the wait that the upstream itself asked for, in seconds; ``at_once`` opens at the first
        failure, for those that do not pass by themselves.
        """
        self._failures += 1
        on_trial, self._probing = self._open, False
        if self._open and self.remaining > 0:
            # A turn from before it opened; only a longer wait is news.
            self._until = max(self._until, self._clock() + min(asked or 0.0, LONGEST_ASKED))
            return False
        if not (on_trial or at_once or asked or self._failures >= self._threshold):
            return False
        rest = min(self._rest * 2**self._openings, self._longest_rest)
        if asked:
            rest = min(asked, LONGEST_ASKED)
        elif at_once:
            rest = max(rest, self._longest_rest / 2)
        self._openings = min(self._openings + 1, 16)
        self._until = self._clock() + rest
        self._open = True
        return True

    def hurry(self) -> None:
        """There is a sign that it answers again: the rest is over, and one turn may try."""
        self._until = min(self._until, self._clock())

    def forgotten(self) -> None:
        self._probing = False
