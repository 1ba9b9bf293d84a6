"""Accounts of turns in an SQLite file of their own: counting and serving do not wait for each other."""

import asyncio
import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from ..core.accounting import ALL, DAY, HOUR, SUMS, Group, Place, Sums, TurnAccount, places, summed_up
from .files import close_to_others
from .sqlite import transaction
from .store import StoreUnavailable
from .usage import HOURLY, LATEST, SPANS, Period, label, member_of, span_of

T = TypeVar("T")

# Seconds to wait for another process that is writing.
_BUSY: Final = 5.0
# Seconds between two times at which what is too old goes.
_TIDY_EVERY: Final = float(HOUR)
_FORMAT: Final = 1
_PLACE: Final = Place.__struct_fields__
_TABLES: Final = f"""
    CREATE TABLE IF NOT EXISTS sums (
        span INTEGER NOT NULL, "by" TEXT NOT NULL, key TEXT NOT NULL, since INTEGER NOT NULL,
        label TEXT NOT NULL, {", ".join(f"{name} NUMERIC NOT NULL" for name in SUMS)},
        PRIMARY KEY (span, "by", key, since, label)
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS latest (id INTEGER PRIMARY KEY, count INTEGER NOT NULL, turns BLOB NOT NULL);
"""
# All names in statements are fields of ours.
_VALUES: Final = ", ".join("?" * (1 + len(_PLACE) + len(SUMS)))
_MORE: Final = ", ".join(f"{name} = {name} + excluded.{name}" for name in SUMS)
_ADD: Final = (
    f'INSERT INTO sums (span, "by", key, since, label, {", ".join(SUMS)}) VALUES ({_VALUES}) '  # noqa: S608
    f'ON CONFLICT (span, "by", key, since, label) DO UPDATE SET {_MORE}'
)
_ASK: Final = (
    f"SELECT since, label, {', '.join(f'sum({name})' for name in SUMS)} FROM sums "  # noqa: S608
    'WHERE span = ? AND "by" = ? AND key = ? AND since BETWEEN ? AND ? GROUP BY '
)

# Groups that are older than so many turns.
_FORGET: Final = (
    "DELETE FROM latest WHERE id < (SELECT min(id) FROM "
    "(SELECT id, sum(count) OVER (ORDER BY id DESC) - count AS newer FROM latest) WHERE newer < ?)"
)

_decode: Final = msgspec.json.Decoder(list[TurnAccount]).decode


class SqliteUsage:
    """A :class:`~.usage.UsageStore` in the file ``path``, made with mode 0600 where it is missing."""

    def __init__(self, path: Path, days: int) -> None:
        self.path = path
        self._days = days
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="usage")
        self._connection: sqlite3.Connection | None = None
        self._tidy_at = 0.0

    async def add(self, turns: Sequence[TurnAccount]) -> None:
        await self._run(lambda connection: self._add(connection, turns))

    async def sums(self, since: float, until: float, by: Group, key: str | None = None) -> dict[str, Sums]:
        return await self._run(lambda connection: _sums(connection, since, until, by, key))

    async def series(
        self, since: float, until: float, per: Period, by: Group, key: str | None = None
    ) -> dict[tuple[str, str], Sums]:
        return await self._run(lambda connection: _series(connection, since, until, per, by, key))

    async def latest(self, most: int) -> list[TurnAccount]:
        return await self._run(lambda connection: _latest(connection, most))

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._disconnect)
        self._thread.shutdown()

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._work, work)

    # In the thread

    def _work(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            if self._connection is None:
                self._connection = _connect(self.path)
            return work(self._connection)
        except (sqlite3.Error, OSError) as error:
            self._disconnect()
            raise StoreUnavailable(f"{self.path}: {error}") from None

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    def _add(self, connection: sqlite3.Connection, turns: Sequence[TurnAccount]) -> None:
        slots = summed_up(turns)
        rows = [
            (span, *(getattr(place, name) for name in _PLACE), *(getattr(sums, name) for name in SUMS))
            for span in (HOUR, DAY)
            for place, sums in places(slots, span).items()
        ]
        with transaction(connection):
            connection.executemany(_ADD, rows)
            # A group is one row: that costs a tenth of a row each.
            group = turns[-LATEST:]
            connection.execute(
                "INSERT INTO latest (count, turns) VALUES (?, ?)", (len(group), msgspec.json.encode(group))
            )
            connection.execute(_FORGET, (LATEST,))
            if (now := time.time()) >= self._tidy_at:
                self._tidy_at = now + _TIDY_EVERY
                _tidy(connection, now, self._days)


def _connect(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    for file in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
        close_to_others(file)
    connection = sqlite3.connect(path, timeout=_BUSY, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        with transaction(connection):
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version > _FORMAT:
                raise sqlite3.DatabaseError(
                    f"the file has format {version} of a newer gptoss-api; this one knows {_FORMAT}"
                )
            for statement in _TABLES.split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {_FORMAT}")
        return connection
    except BaseException:
        connection.close()
        raise


def _tidy(connection: sqlite3.Connection, now: float, days: int) -> None:
    """Removes hours that are long past, and days that are older than they may be."""
    for span, kept in ((HOUR, HOURLY + DAY), (DAY, days * DAY)):
        connection.execute("DELETE FROM sums WHERE span = ? AND since < ?", (span, int(now) - kept))


def _sums(
    connection: sqlite3.Connection, since: float, until: float, by: Group, key: str | None
) -> dict[str, Sums]:
    span = span_of(since, time.time())
    asked = (span, member_of(by), ALL if key is None else key, int(since // span) * span, int(until))
    groups: dict[str, Sums] = {}
    for began, name, *amounts in connection.execute(_ASK + ("label" if asked[1] else "since"), asked):
        groups.setdefault(label(by, began, name), Sums()).merge(Sums(*amounts))
    return dict(sorted(groups.items()))


def _series(
    connection: sqlite3.Connection, since: float, until: float, per: Period, by: Group, key: str | None
) -> dict[tuple[str, str], Sums]:
    span = SPANS[per]
    asked = (span, member_of(by), ALL if key is None else key, int(since // span) * span, int(until))
    groups: dict[tuple[str, str], Sums] = {}
    for began, name, *amounts in connection.execute(_ASK + "since, label", asked):
        place = label(per, began, ""), label(by, began, name)
        groups.setdefault(place, Sums()).merge(Sums(*amounts))
    return dict(sorted(groups.items()))


def _latest(connection: sqlite3.Connection, most: int) -> list[TurnAccount]:
    found: list[TurnAccount] = []
    for (turns,) in connection.execute("SELECT turns FROM latest ORDER BY id DESC LIMIT ?", (most,)):
        found += reversed(_decode(turns))
        if len(found) >= most:
            break
    return found[:most]
