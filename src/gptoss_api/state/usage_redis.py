"""Accounts of turns in Redis, shared by every replica: a hash for each hour, one for each day, and a list."""

import contextlib
import json
import time
from collections.abc import Sequence
from typing import Final

import msgspec
from redis.exceptions import RedisError

from ..core.accounting import DAY, HOUR, SUMS, Group, Slot, Sums, TurnAccount, summed_up
from .redis import connect, failures_told
from .usage import HOURLY, LATEST, add_to, first_hour, label

_PREFIX: Final = b"{gptoss-api}:2:usage:"
_LATEST: Final = _PREFIX + b"latest"
# Hashes that one round trip reads.
_READ: Final = 500

_decode: Final = msgspec.json.Decoder(TurnAccount).decode


class RedisUsage:
    """A :class:`~.usage.UsageStore` at a URL as :class:`~.redis.RedisStore` takes it."""

    def __init__(self, url: str, days: int) -> None:
        self._client = connect(url)
        self._days = days

    async def add(self, turns: Sequence[TurnAccount]) -> None:
        with failures_told():
            async with self._client.pipeline(transaction=True) as pipeline:
                for slot, sums in summed_up(turns).items():
                    for span, kept in ((HOUR, HOURLY + DAY), (DAY, self._days * DAY)):
                        name = _hash(span, slot.since)
                        for member in SUMS:
                            if amount := getattr(sums, member):
                                pipeline.hincrbyfloat(name, _field(slot, member), amount)
                        pipeline.expire(name, kept + span)
                pipeline.lpush(_LATEST, *[msgspec.json.encode(turn) for turn in turns])
                pipeline.ltrim(_LATEST, 0, LATEST - 1)
                await pipeline.execute()

    async def sums(self, since: float, until: float, by: Group, key: str | None = None) -> dict[str, Sums]:
        groups: dict[str, Sums] = {}
        for slot, sums in await self._read(since, until):
            if key in (None, slot.key):
                add_to(groups, label(slot, by), sums)
        return dict(sorted(groups.items()))

    async def latest(self, most: int) -> list[TurnAccount]:
        with failures_told():
            found = await self._client.lrange(_LATEST, 0, most - 1)
        return [_decode(turn) for turn in found]

    async def close(self) -> None:
        with contextlib.suppress(RedisError, OSError):
            await self._client.aclose()

    async def _read(self, since: float, until: float) -> list[tuple[Slot, Sums]]:
        """Days where they are wanted as a whole, hours where they are recent, days where those are gone."""
        now = time.time()
        since = max(since, now - self._days * DAY)
        hourly = max(first_hour(since), int((now - HOURLY) // DAY) * DAY)
        spans = [(DAY, at) for at in range(int(since // DAY) * DAY, min(hourly, int(until) + 1), DAY)]
        spans += [(HOUR, at) for at in range(hourly, int(min(until, now)) + 1, HOUR)]
        found: list[tuple[Slot, Sums]] = []
        for first in range(0, len(spans), _READ):
            part = spans[first : first + _READ]
            with failures_told():
                async with self._client.pipeline(transaction=False) as pipeline:
                    for span, at in part:
                        pipeline.hgetall(_hash(span, at))
                    hashes = await pipeline.execute()
            for (_, at), fields in zip(part, hashes, strict=True):
                found += _unpacked(at, fields)
        return found


def _hash(span: int, at: int) -> bytes:
    return b"%b%d:%d" % (_PREFIX, span, at // span * span)


def _field(slot: Slot, member: str) -> str:
    return json.dumps([slot.key, slot.dialect, slot.model, slot.upstream, member], separators=(",", ":"))


def _unpacked(at: int, fields: dict[bytes, bytes]) -> list[tuple[Slot, Sums]]:
    slots: dict[Slot, Sums] = {}
    for field, amount in fields.items():
        *names, member = json.loads(field)
        value = float(amount)
        sums = slots.setdefault(Slot(at, *names), Sums())
        setattr(sums, member, value if member.endswith("_ms") else round(value))
    return list(slots.items())
