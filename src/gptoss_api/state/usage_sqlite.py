"""Accounts of turns in an SQLite file of their own: counting and serving do not wait for each other."""

import asyncio
import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from ..core.accounting import DAY, HOUR, SUMS, Group, Slot, Sums, TurnAccount, summed_up
from .files import close_to_others
from .store import StoreUnavailable
from .usage import HOURLY, LATEST, first_hour, label

T = TypeVar("T")

# Seconds to wait for another process that is writing.
_BUSY: Final = 5.0
# Seconds between two times at which hours become days, and what is too old goes.
_TIDY_EVERY: Final = float(HOUR)
_FORMAT: Final = 1
_SLOT: Final = Slot.__struct_fields__
_TABLES: Final = f"""
    CREATE TABLE IF NOT EXISTS sums (
        since INTEGER NOT NULL, key TEXT NOT NULL, dialect TEXT NOT NULL, model TEXT NOT NULL,
        upstream TEXT NOT NULL, {", ".join(f"{name} NUMERIC NOT NULL" for name in SUMS)},
        PRIMARY KEY ({", ".join(_SLOT)})
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS latest (id INTEGER PRIMARY KEY, turn BLOB NOT NULL);
"""
# All names in statements are fields of ours.
_NAMES: Final = (*_SLOT, *SUMS)
_MORE: Final = ", ".join(f"{name} = {name} + excluded.{name}" for name in SUMS)
_ADD: Final = (
    f"INSERT INTO sums ({', '.join(_NAMES)}) VALUES ({', '.join('?' * len(_NAMES))}) "  # noqa: S608
    f"ON CONFLICT ({', '.join(_SLOT)}) DO UPDATE SET {_MORE}"
)
_ALL_SUMS: Final = ", ".join(f"sum({name})" for name in SUMS)
_BY: Final[dict[Group, str]] = {
    "key": "key",
    "model": "model",
    "upstream": "upstream",
    "dialect": "dialect",
    "hour": "since",
    "day": f"since / {DAY}",
}

_decode: Final = msgspec.json.Decoder(TurnAccount).decode


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
        with _transaction(connection):
            connection.executemany(
                _ADD,
                [
                    (*(getattr(slot, n) for n in _SLOT), *(getattr(sums, n) for n in SUMS))
                    for slot, sums in slots.items()
                ],
            )
            connection.executemany(
                "INSERT INTO latest (turn) VALUES (?)",
                [(msgspec.json.encode(turn),) for turn in turns[-LATEST:]],
            )
            connection.execute("DELETE FROM latest WHERE id <= (SELECT max(id) FROM latest) - ?", (LATEST,))
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
        with _transaction(connection):
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


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _tidy(connection: sqlite3.Connection, now: float, days: int) -> None:
    """Makes days of hours that are long past, and removes what is older than ``days``."""
    day = int((now - HOURLY) // DAY) * DAY
    names = ", ".join((*_SLOT[1:], *SUMS))
    grouped = ", ".join((*_SLOT[1:], *(f"sum({name})" for name in SUMS)))
    connection.execute(
        "CREATE TEMP TABLE past AS "  # noqa: S608
        f"SELECT since / {DAY} * {DAY} AS since, {grouped} FROM sums WHERE since < ? "
        f"GROUP BY since / {DAY}, {', '.join(_SLOT[1:])}",
        (day,),
    )
    connection.execute("DELETE FROM sums WHERE since < ?", (day,))
    connection.execute(
        f"INSERT INTO sums (since, {names}) SELECT * FROM past WHERE since >= ?",  # noqa: S608
        (int(now) - days * DAY,),
    )
    connection.execute("DROP TABLE past")


def _sums(
    connection: sqlite3.Connection, since: float, until: float, by: Group, key: str | None
) -> dict[str, Sums]:
    of_key, more = ("", ()) if key is None else (" AND key = ?", (key,))
    rows = connection.execute(
        f"SELECT max(since), max(key), max(dialect), max(model), max(upstream), {_ALL_SUMS} FROM sums "  # noqa: S608
        f"WHERE since BETWEEN ? AND ?{of_key} GROUP BY {_BY[by]} ORDER BY {_BY[by]}",
        (first_hour(since), int(until), *more),
    )
    return {label(Slot(*row[:5]), by): Sums(*row[5:]) for row in rows}


def _latest(connection: sqlite3.Connection, most: int) -> list[TurnAccount]:
    rows = connection.execute("SELECT turn FROM latest ORDER BY id DESC LIMIT ?", (most,))
    return [_decode(turn) for (turn,) in rows]
