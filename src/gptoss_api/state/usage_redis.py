"""Accounts of turns in Redis, shared by every replica: a hash for each question and time, and a list."""

import contextlib
import json
import time
from collections.abc import AsyncIterator, Sequence
from typing import Final

import msgspec
from redis.exceptions import RedisError

from ..core.accounting import ALL, DAY, HOUR, SUMS, Group, Place, Sums, TurnAccount, places, summed_up
from .redis import connect, failures_told
from .usage import HOURLY, LATEST, SPANS, Period, label, member_of, span_of

_PREFIX: Final = "{gptoss-api}:2:usage:"
_LATEST: Final = _PREFIX + "latest"
# Hashes that one round trip reads.
_READ: Final = 500

_decode: Final = msgspec.json.Decoder(TurnAccount).decode


class RedisUsage:
    """A :class:`~.usage.UsageStore` at a URL as :class:`~.redis.RedisStore` takes it."""

    def __init__(self, url: str, days: int) -> None:
        self._client = connect(url)
        self._days = days

    async def add(self, turns: Sequence[TurnAccount]) -> None:
        slots = summed_up(turns)
        with failures_told():
            async with self._client.pipeline(transaction=True) as pipeline:
                for span, kept in ((HOUR, HOURLY + DAY), (DAY, self._days * DAY)):
                    for place, sums in places(slots, span).items():
                        name = _hash(span, place.by, place.key, place.since)
                        for member in SUMS:
                            if amount := getattr(sums, member):
                                pipeline.hincrbyfloat(name, _field(place, member), amount)
                        pipeline.expire(name, kept + span)
                pipeline.lpush(_LATEST, *[msgspec.json.encode(turn) for turn in turns])
                pipeline.ltrim(_LATEST, 0, LATEST - 1)
                await pipeline.execute()

    async def sums(self, since: float, until: float, by: Group, key: str | None = None) -> dict[str, Sums]:
        groups: dict[str, Sums] = {}
        span = span_of(since, time.time())
        async for moment, told, member, amount in self._read(since, until, span, by, key):
            _add(groups.setdefault(label(by, moment, told), Sums()), member, amount)
        return dict(sorted(groups.items()))

    async def series(
        self, since: float, until: float, per: Period, by: Group, key: str | None = None
    ) -> dict[tuple[str, str], Sums]:
        groups: dict[tuple[str, str], Sums] = {}
        async for moment, told, member, amount in self._read(since, until, SPANS[per], by, key):
            place = label(per, moment, ""), label(by, moment, told)
            _add(groups.setdefault(place, Sums()), member, amount)
        return dict(sorted(groups.items()))

    async def _read(
        self, since: float, until: float, span: int, by: Group, key: str | None
    ) -> AsyncIterator[tuple[int, str, str, float]]:
        """Each amount with its time, its label and which of the sums it is part of."""
        now = time.time()
        first = max(since, now - self._days * DAY)
        moments = range(int(first // span) * span, int(min(until, now)) + 1, span)
        asked, of_key = member_of(by), ALL if key is None else key
        for at in range(0, len(moments), _READ):
            part = moments[at : at + _READ]
            with failures_told():
                async with self._client.pipeline(transaction=False) as pipeline:
                    for moment in part:
                        pipeline.hgetall(_hash(span, asked, of_key, moment))
                    hashes = await pipeline.execute()
            for moment, fields in zip(part, hashes, strict=True):
                for name, amount in fields.items():
                    told, member = json.loads(name)
                    yield moment, told, member, float(amount)

    async def latest(self, most: int) -> list[TurnAccount]:
        with failures_told():
            found = await self._client.lrange(_LATEST, 0, most - 1)
        return [_decode(turn) for turn in found]

    async def close(self) -> None:
        with contextlib.suppress(RedisError, OSError):
            await self._client.aclose()


def _hash(span: int, by: str, key: str, since: int) -> str:
    return f"{_PREFIX}{span}:{by}:{key}:{since}"


def _field(place: Place, member: str) -> str:
    return json.dumps([place.label, member], separators=(",", ":"))


def _add(sums: Sums, member: str, amount: float) -> None:
    more = amount if member.endswith("_ms") else round(amount)
    setattr(sums, member, getattr(sums, member) + more)
