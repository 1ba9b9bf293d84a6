"""Deadlines of an event loop, hardly any of which is ever reached: answers come before.

A timer of the loop costs several times as much to set and cancel. So all deadlines share one: they wait in
buckets, one for each tick, and the loop has a timer for the earliest of these.
"""

import asyncio
import sys
from collections.abc import Callable
from contextvars import Context
from typing import Final

# Ticks in a second. A power of two, so that the moment of each is exact.
RATE: Final = 64
# Seconds that the timer is set later than its tick: loops round to milliseconds, and must not be early.
_ROUNDING: Final = 0.0005
_NEVER: Final = sys.maxsize


class Wheel:
    """The deadlines of one event loop.

    ``buckets`` are those that are set, by the tick at whose begin they are due; none is empty.
    """

    __slots__ = ("_armed", "_loop", "_timer", "buckets")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        self._armed = _NEVER
        self.buckets: dict[int, dict[Deadline, None]] = {}

    def open(self, tick: int) -> dict["Deadline", None]:
        """The bucket for a tick that has none."""
        bucket: dict[Deadline, None] = {}
        self.buckets[tick] = bucket
        if tick < self._armed:
            self._arm(tick)
        return bucket

    def _arm(self, tick: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._armed = tick
        # In no request's context: the timer is there for others too.
        self._timer = self._loop.call_at(tick / RATE + _ROUNDING, self._turn, context=Context())

    def _turn(self) -> None:
        """Calls what is due, tick by tick. Where all of it was dropped, the timer just finds that out."""
        self._timer, self._armed = None, _NEVER
        buckets, now = self.buckets, self._loop.time() * RATE
        try:
            for tick in sorted([tick for tick in buckets if tick <= now]):
                # Each call may drop others, or set them anew.
                for deadline in tuple(buckets.get(tick, ())):
                    if deadline.tick == tick:
                        deadline.drop()
                        self._call(deadline.due)
        finally:
            if buckets and (earliest := min(buckets)) < self._armed:
                self._arm(earliest)

    def _call(self, due: Callable[[], None]) -> None:
        try:
            due()
        except Exception as error:
            context = {"message": f"what was due has failed: {due!r}", "exception": error}
            self._loop.call_exception_handler(context)


class Deadline:
    """Has ``due`` called at the moment that was ``set``: never before, and at most 1/50 s after it.

    It can be set again and again, to one moment at a time. Moments are those of the loop's clock.
    """

    __slots__ = ("_wheel", "due", "tick")

    def __init__(self, loop: asyncio.AbstractEventLoop, due: Callable[[], None]) -> None:
        self._wheel = wheel_of(loop)
        self.due = due
        # That of its bucket; 0 while it is not set.
        self.tick = 0

    def set(self, when: float) -> None:
        tick = int(when * RATE) + 1
        if tick != self.tick:
            if self.tick:
                self.drop()
            self.tick = tick
            wheel = self._wheel
            (wheel.buckets.get(tick) or wheel.open(tick))[self] = None

    def drop(self) -> None:
        """No moment is set any more, if one was."""
        if tick := self.tick:
            self.tick = 0
            buckets = self._wheel.buckets
            bucket = buckets[tick]
            del bucket[self]
            if not bucket:
                del buckets[tick]


def wheel_of(loop: asyncio.AbstractEventLoop) -> Wheel:
    """The one that all deadlines of ``loop`` are in."""
    wheel: Wheel
    try:
        wheel = loop._gptoss_wheel  # type: ignore[attr-defined]  # it is set below
    except AttributeError:
        wheel = loop._gptoss_wheel = Wheel(loop)  # type: ignore[attr-defined]  # loops take attributes
    return wheel
