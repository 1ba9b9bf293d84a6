"""How much memory bodies that are still arriving, or being read, may take up together."""

import asyncio
from types import TracebackType
from typing import Final

from ..core.errors import Overloaded

# So many of the largest bodies may be held at a time.
LARGEST_BODIES: Final = 16
# Seconds a body has to arrive before it makes room for another of the same caller.
GRACE: Final = 5.0
_RETRY_AFTER: Final = 5.0


class Intake:
    """Bounds each body to ``largest`` bytes, and all together to sixteen times as many.

    When there is no room for more of a body, the oldest body of the caller who holds the most is given up;
    where that is the same caller, only if it had its ``GRACE``. So slow senders hold nothing for ever, and no
    caller keeps another out.
    """

    def __init__(self, largest: int) -> None:
        self.largest = largest
        self._most = LARGEST_BODIES * largest
        self._held = 0
        # In order of arrival.
        self._bodies: dict[Arriving, None] = {}

    @property
    def held(self) -> int:
        """Bytes held now."""
        return self._held

    def body(self, caller: str) -> "Arriving":
        """A body of ``caller``: enter it until it has been made something of."""
        return Arriving(self, caller)

    def take(self, body: "Arriving", size: int) -> None:
        """Holds ``size`` more bytes of ``body``.

        Raises:
            Overloaded: where there is no room, or ``body`` was given up.
        """
        if body.given_up:
            raise too_much()
        while self._held + size > self._most:
            if not self._give_up_another(body):
                raise too_much()
        if not body.size:
            self._bodies[body] = None
        body.size += size
        self._held += size

    def release(self, body: "Arriving") -> None:
        self._held -= body.size
        body.size = 0
        self._bodies.pop(body, None)

    def _give_up_another(self, body: "Arriving") -> bool:
        shares: dict[str, int] = {body.caller: 0}
        for each in self._bodies:
            shares[each.caller] = shares.get(each.caller, 0) + each.size
        most = max(shares, key=lambda caller: shares[caller])
        for each in self._bodies:
            if each is body or each.caller != most or each.deadline is None:
                continue
            if most == body.caller and asyncio.get_running_loop().time() - each.since < GRACE:
                return False
            self.release(each)
            each.give_up()
            return True
        return False


class Arriving:
    """One body of at most ``largest`` bytes.

    While its reader waits for more, with ``deadline`` set, it can be given up.
    """

    __slots__ = ("_intake", "caller", "deadline", "given_up", "largest", "since", "size")

    def __init__(self, intake: Intake, caller: str) -> None:
        self._intake = intake
        self.largest = intake.largest
        self.caller = caller
        self.deadline: asyncio.Timeout | None = None
        self.given_up = False
        self.since = 0.0
        self.size = 0

    def __enter__(self) -> "Arriving":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.size:
            self._intake.release(self)

    def take(self, size: int) -> None:
        """See :meth:`Intake.take`."""
        self._intake.take(self, size)

    def give_up(self) -> None:
        """Ends the waiting of its reader."""
        self.given_up = True
        if self.deadline is not None:
            self.deadline.reschedule(0.0)


def too_much() -> Overloaded:
    return Overloaded(
        "More request bodies are arriving than this gateway has room for. Retry in a few seconds.",
        retry_after=_RETRY_AFTER,
    )
