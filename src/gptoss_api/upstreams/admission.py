"""How many turns run at one upstream at a time, and who is next when they are all taken."""

import asyncio
from functools import partial
from types import TracebackType

from ..core.account import UPSTREAM_TIME, UpstreamTime
from ..core.errors import Overloaded
from ..core.histogram import Histogram
from ..loop import Deadline

_RETRY_AFTER_MIN = 1.0
_RETRY_AFTER_MAX = 60.0
# Weight of the newest turn in the running average of how long a slot is held.
_NEWEST = 0.2


class Admission:
    """Bounded concurrency with a fair queue.

    At most ``limit`` slots are held at once and at most ``max_waiting`` turns wait. A freed slot goes to the
    waiting caller who holds the fewest, round-robin between those who hold as many, and first come, first
    served within one caller. In a full queue the
    newest turn of the caller with the most makes room for one with fewer. Making room, finding none, and
    waiting longer than ``wait_timeout`` seconds (``None``: no bound) raise :class:`Overloaded` with an
    estimate of when a slot will be free. ``name`` is the upstream's. ``waits`` is how long those waited who
    got one.
    """

    def __init__(
        self,
        limit: int,
        max_waiting: int,
        wait_timeout: float | None = None,
        waits: Histogram | None = None,
        name: str = "",
    ) -> None:
        if limit < 1:
            raise ValueError("an upstream needs at least one slot")
        if max_waiting < 0:
            raise ValueError("the number of waiting turns cannot be negative")
        self.name = name
        self.waits = Histogram() if waits is None else waits
        self._limit = limit
        self._max_waiting = max_waiting
        self._wait_timeout = wait_timeout
        self._active = 0
        self._waiting = 0
        # Callers in the order of their turns, each with its waiters in order of arrival; a dict
        # serves as a queue from which a cancelled waiter can leave in constant time.
        self._queues: dict[str, dict[asyncio.Future[None], None]] = {}
        # Slots by caller, of those who hold any.
        self._held: dict[str, int] = {}
        self._average_hold = 0.0

    @property
    def limit(self) -> int:
        """Slots that there are."""
        return self._limit

    @property
    def max_waiting(self) -> int:
        """Turns that may wait at the same time."""
        return self._max_waiting

    @property
    def active(self) -> int:
        """Slots that are held now."""
        return self._active

    @property
    def waiting(self) -> int:
        """Turns that wait for a slot now."""
        return self._waiting

    def take(self, caller: str) -> bool:
        """Takes a slot that is free; says whether one was."""
        # A slot is never free while somebody waits: it is handed over when it is given back.
        if self._active >= self._limit:
            return False
        self._active += 1
        self._held[caller] = self._held.get(caller, 0) + 1
        return True

    async def wait(self, caller: str) -> None:
        """Waits for a slot, and takes it."""
        if self._waiting >= self._max_waiting and not self._make_room(caller):
            raise self._overloaded("Too many requests wait for this upstream already")
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        self._queues.setdefault(caller, {})[waiter] = None
        self._waiting += 1
        deadline = Deadline(loop, partial(self._expire, caller, waiter))
        if self._wait_timeout is not None:
            deadline.set(loop.time() + self._wait_timeout)
        try:
            await waiter
        except BaseException:
            if not waiter.done() or waiter.cancelled():
                self._leave(caller, waiter)
            elif waiter.exception() is None:
                # The slot was handed over in the same moment; it belongs to the next one now.
                self.give_back(caller, None)
            raise
        finally:
            deadline.drop()

    def give_back(self, caller: str, held: float | None) -> None:
        """Passes a slot of ``caller`` on that was held for so many seconds; ``None``: it was never used."""
        if held is not None:
            self._average_hold += (held - self._average_hold) * (_NEWEST if self._average_hold else 1.0)
        if (left := self._held.pop(caller) - 1) > 0:
            self._held[caller] = left
        while self._queues:
            # Of several the first.
            following = min(self._queues, key=self._slots_of)
            queue = self._queues.pop(following)
            waiter = next(iter(queue))
            del queue[waiter]
            if queue:
                self._queues[following] = queue
            self._waiting -= 1
            # A waiter that was cancelled but has not run yet is passed over.
            if not waiter.done():
                self._held[following] = self._held.get(following, 0) + 1
                waiter.set_result(None)
                return
        self._active -= 1

    def _slots_of(self, caller: str) -> int:
        return self._held.get(caller, 0)

    def _make_room(self, caller: str) -> bool:
        """Turns the newest waiter of the longest queue away, unless that is the queue of ``caller``."""
        # Of several the one whose turn comes last.
        longest = max(reversed(self._queues), key=lambda each: len(self._queues[each]), default=caller)
        if len(self._queues.get(longest, ())) <= len(self._queues.get(caller, ())):
            return False
        newest = next(reversed(self._queues[longest]))
        self._leave(longest, newest)
        if not newest.done():
            newest.set_exception(
                self._overloaded("Too many requests wait for this upstream, most of them from this caller")
            )
        return True

    def _expire(self, caller: str, waiter: asyncio.Future[None]) -> None:
        if waiter.done():
            return
        self._leave(caller, waiter)
        waiter.set_exception(
            self._overloaded(f"No free place at this upstream within {self._wait_timeout:g} seconds")
        )

    def _leave(self, caller: str, waiter: asyncio.Future[None]) -> None:
        queue = self._queues.get(caller)
        if queue is None or waiter not in queue:
            return
        del queue[waiter]
        if not queue:
            del self._queues[caller]
        self._waiting -= 1

    def _overloaded(self, what: str) -> Overloaded:
        expected = self._average_hold * (self._waiting + 1) / self._limit
        wait = min(max(expected, _RETRY_AFTER_MIN), _RETRY_AFTER_MAX)
        return Overloaded(
            f"{what} ({self._active} running, {self._waiting} waiting). Try again in about {wait:.0f} s.",
            retry_after=wait,
        )


class Slot:
    """The context manager of one slot for ``caller``; it serves once.

    Entering the block takes a slot that is free. Where none was it is not ``held``, and to be waited for. It
    may be given back before the block ends: once the upstream is done, though its answer is not delivered
    yet.
    """

    __slots__ = ("_admission", "_caller", "_since", "_time", "held")

    def __init__(self, admission: Admission, caller: str) -> None:
        self._admission = admission
        self._caller = caller
        self.held = False
        self._since = 0.0
        self._time: UpstreamTime | None = None

    def __enter__(self) -> "Slot":
        admission = self._admission
        self._since = asyncio.get_running_loop().time()
        if (upstream_time := UPSTREAM_TIME.get()) is not None:
            upstream_time.enter(admission.name)
            self._time = upstream_time
        if admission.take(self._caller):
            self.held = True
            admission.waits.observe(0.0)
        return self

    async def wait(self) -> None:
        """Waits for the slot and takes it."""
        await self._admission.wait(self._caller)
        self.held = True
        asked, self._since = self._since, asyncio.get_running_loop().time()
        self._admission.waits.observe(self._since - asked)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.held:
            self.release()
        elif self._time is not None:
            self._waited()

    def handed_over(self) -> "Slot":
        """The same slot in other hands: leaving the block of this one no longer gives it back.

        Whoever asked for it waits no longer.
        """
        self._waited()
        other = Slot(self._admission, self._caller)
        other.held, other._since, self.held = self.held, self._since, False
        return other

    def release(self) -> None:
        """Gives the slot back, if that was not done yet."""
        if self.held:
            self.held = False
            if self._time is not None:
                self._waited()
            self._admission.give_back(self._caller, asyncio.get_running_loop().time() - self._since)

    def _waited(self) -> None:
        if self._time is not None:
            self._time.leave()
            self._time = None
