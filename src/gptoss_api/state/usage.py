"""Where the accounts of turns are kept: summed up by hour and by day, and the latest of them each."""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final, Literal, Protocol

from ..core.accounting import ALL, DAY, HOUR, Group, Place, Sums, TurnAccount, places, summed_up
from ..core.events import NO_UPSTREAM

Period = Literal["hour", "day"]
SPANS: Final[dict[Period, int]] = {"hour": HOUR, "day": DAY}

# Turns that are kept each.
LATEST: Final = 1_000
# Hours are kept for so many seconds.
HOURLY: Final = 31 * DAY


class UsageStore(Protocol):
    """Raises :class:`~.store.StoreUnavailable` where it cannot do its work now."""

    async def add(self, turns: Sequence[TurnAccount]) -> None:
        """Keeps what ended; all of it or nothing."""
        ...

    async def sums(self, since: float, until: float, by: Group, key: str | None = None) -> dict[str, Sums]:
        """What ended between two times in Unix seconds, by label, in its order.

        Of all keys, or of one ``by`` day, hour or model. Hours count as a whole; days do where more is asked
        than there are hours of.
        """
        ...

    async def series(
        self, since: float, until: float, per: Period, by: Group, key: str | None = None
    ) -> dict[tuple[str, str], Sums]:
        """The same for each hour or day: by its label and by that of what is asked ``by``, in their order.

        Of all keys by key, model or upstream; of one by model. Hours are those of the last 31 days.
        """
        ...

    async def latest(self, most: int) -> list[TurnAccount]:
        """The last turns, the newest first."""
        ...

    async def close(self) -> None: ...


def span_of(since: float, now: float) -> int:
    """Whether hours or days answer what ended ``since`` then."""
    return HOUR if since >= now - HOURLY else DAY


def member_of(by: Group) -> str:
    """The ``by`` of the places that answer the question."""
    return "" if by in ("day", "hour") else by


def label(by: Group, since: int, name: str) -> str:
    """What the turns of a place are told under."""
    match by:
        case "day":
            return time.strftime("%Y-%m-%d", time.gmtime(since))
        case "hour":
            return time.strftime("%Y-%m-%dT%H:00Z", time.gmtime(since))
        case "upstream" if name == NO_UPSTREAM:
            # As it was written once where nobody was asked.
            return ""
        case _:
            return name


class MemoryUsage:
    """A :class:`UsageStore` in this process alone: nobody else sees it, and it ends with the process."""

    # Places; the oldest go first.
    MOST: Final = 50_000

    def __init__(self) -> None:
        self._sums: dict[tuple[int, Place], Sums] = {}
        self._latest: deque[TurnAccount] = deque(maxlen=LATEST)

    async def add(self, turns: Sequence[TurnAccount]) -> None:
        self._latest.extend(turns)
        slots = summed_up(turns)
        for span in (HOUR, DAY):
            for place, sums in places(slots, span).items():
                self._sums.setdefault((span, place), Sums()).merge(sums)
        while len(self._sums) > self.MOST:
            del self._sums[next(iter(self._sums))]

    async def sums(self, since: float, until: float, by: Group, key: str | None = None) -> dict[str, Sums]:
        span = span_of(since, time.time())
        asked, of_key = member_of(by), ALL if key is None else key
        groups: dict[str, Sums] = {}
        for place, sums in self._found(span, asked, of_key, since, until):
            groups.setdefault(label(by, place.since, place.label), Sums()).merge(sums)
        return dict(sorted(groups.items()))

    async def series(
        self, since: float, until: float, per: Period, by: Group, key: str | None = None
    ) -> dict[tuple[str, str], Sums]:
        of_key = ALL if key is None else key
        groups: dict[tuple[str, str], Sums] = {}
        for place, sums in self._found(SPANS[per], member_of(by), of_key, since, until):
            at = label(per, place.since, "")
            groups.setdefault((at, label(by, place.since, place.label)), Sums()).merge(sums)
        return dict(sorted(groups.items()))

    def _found(
        self, span: int, by: str, key: str, since: float, until: float
    ) -> Iterator[tuple[Place, Sums]]:
        first, wanted = since // span * span, (span, by, key)
        for (kept, place), sums in self._sums.items():
            if (kept, place.by, place.key) == wanted and first <= place.since <= until:
                yield place, sums

    async def latest(self, most: int) -> list[TurnAccount]:
        return list(reversed(self._latest))[:most]

    async def close(self) -> None:
        pass
