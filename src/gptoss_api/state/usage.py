"""Where the accounts of turns are kept: summed up by hour and later by day, and the latest of them each."""

import time
from collections import deque
from collections.abc import Sequence
from typing import Final, Protocol

from ..core.accounting import DAY, HOUR, SUMS, Group, Slot, Sums, TurnAccount, summed_up

# Turns that are kept each.
LATEST: Final = 1_000
# Hours become days after so many seconds.
HOURLY: Final = 31 * DAY


class UsageStore(Protocol):
    """Raises :class:`~.store.StoreUnavailable` where it cannot do its work now.

    ``days`` is how long sums are kept.
    """

    async def add(self, turns: Sequence[TurnAccount]) -> None:
        """Keeps what ended; all of it or nothing."""
        ...

    async def sums(self, since: float, until: float, by: Group, key: str | None = None) -> dict[str, Sums]:
        """What ended between two times in Unix seconds, of all keys or of one, by label, in its order.

        Hours count as a whole, and days that are long past.
        """
        ...

    async def latest(self, most: int) -> list[TurnAccount]:
        """The last turns, the newest first."""
        ...

    async def close(self) -> None: ...


def label(slot: Slot, by: Group) -> str:
    """What the turns of ``slot`` are summed up under."""
    match by:
        case "day":
            return time.strftime("%Y-%m-%d", time.gmtime(slot.since))
        case "hour":
            return time.strftime("%Y-%m-%dT%H:00Z", time.gmtime(slot.since))
        case _:
            name: str = getattr(slot, by)
            return name


def add_to(groups: dict[str, Sums], name: str, sums: Sums) -> None:
    into = groups.setdefault(name, Sums())
    for member in SUMS:
        setattr(into, member, getattr(into, member) + getattr(sums, member))


def first_hour(since: float) -> int:
    """The beginning of the hour that ``since`` is in."""
    return int(since // HOUR) * HOUR


class MemoryUsage:
    """A :class:`UsageStore` in this process alone: nobody else sees it, and it ends with the process."""

    # Slots; the oldest go first.
    MOST: Final = 20_000

    def __init__(self) -> None:
        self._sums: dict[Slot, Sums] = {}
        self._latest: deque[TurnAccount] = deque(maxlen=LATEST)

    async def add(self, turns: Sequence[TurnAccount]) -> None:
        self._latest.extend(turns)
        for slot, sums in summed_up(turns).items():
            into = self._sums.setdefault(slot, Sums())
            for member in SUMS:
                setattr(into, member, getattr(into, member) + getattr(sums, member))
        while len(self._sums) > self.MOST:
            del self._sums[next(iter(self._sums))]

    async def sums(self, since: float, until: float, by: Group, key: str | None = None) -> dict[str, Sums]:
        groups: dict[str, Sums] = {}
        for slot, sums in self._sums.items():
            if first_hour(since) <= slot.since <= until and key in (None, slot.key):
                add_to(groups, label(slot, by), sums)
        return dict(sorted(groups.items()))

    async def latest(self, most: int) -> list[TurnAccount]:
        return list(reversed(self._latest))[:most]

    async def close(self) -> None:
        pass
