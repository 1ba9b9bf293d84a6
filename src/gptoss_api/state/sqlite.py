"""State in an SQLite file: survives restarts and is shared by the processes of one machine.

One thread of each process owns its connection. The journal is a write-ahead log, so readers and the one
writer do not wait for each other; a committed value survives the death of the process (SQLite
documentation, "Write-Ahead Logging" and "PRAGMA synchronous").
"""

import asyncio
import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from .store import Entry, Lease, Space, StoreUnavailable

T = TypeVar("T")

# Seconds to wait for another process that is writing.
_BUSY: Final = 0.4
# Seconds to try to open the file, and between two tries: SQLite does not wait for everything that making a
# file and its log locks, and several processes that start together all do that.
_OPENING: Final = 5.0
_OPENING_PAUSE: Final = 0.02
# Writes of this process into a space between two sweeps; until then it may hold a few entries too many.
_SWEEP_EVERY: Final = 64
# Bytes the log may keep on disk once its content is in the file.
_LOG_SIZE: Final = 16 * 1024**2

# Each entry leads from the version that is its index to the next one (PRAGMA user_version).
_MIGRATIONS: Final = (
    """
    CREATE TABLE entries (
        id INTEGER PRIMARY KEY, space TEXT NOT NULL, key BLOB NOT NULL,
        value BLOB NOT NULL, expires REAL NOT NULL
    );
    CREATE UNIQUE INDEX entries_by_key ON entries (space, key);
    CREATE INDEX entries_by_expiry ON entries (space, expires);
    CREATE TABLE leases (key BLOB PRIMARY KEY, token INTEGER NOT NULL, expires REAL NOT NULL) WITHOUT ROWID;
    CREATE TABLE tokens (last INTEGER NOT NULL);
    INSERT INTO tokens VALUES (0);
    """,
)


class SqliteStore:
    """A :class:`~.store.Store` in the file ``path``, which is made with mode 0600 where it is missing.

    Not for network file systems: the processes share memory beside the file.
    """

    name = "sqlite"

    def __init__(self, path: Path) -> None:
        self.path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="state")
        self._connection: sqlite3.Connection | None = None
        self._unswept: dict[str, int] = {}

    async def get(self, space: Space, *keys: bytes) -> Sequence[bytes | None]:
        return await self._run(lambda connection: _get(connection, space, keys))

    async def take(self, space: Space, key: bytes) -> bytes | None:
        return await self._run(lambda connection: _take(connection, space, key))

    async def put(self, space: Space, *entries: Entry) -> Sequence[bool]:
        return await self._run(lambda connection: self._put(connection, space, entries))

    async def delete(self, space: Space, *keys: bytes) -> None:
        await self._run(lambda connection: _delete(connection, space, keys))

    async def lease(self, key: bytes, ttl: float) -> Lease | None:
        return await self._run(lambda connection: _lease(connection, key, ttl))

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._disconnect)
        self._thread.shutdown(wait=False)

    # In the thread

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._work, work)

    def _work(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            if self._connection is None:
                self._connection = _connect(self.path)
            return work(self._connection)
        except (sqlite3.Error, OSError) as error:
            if not _is_busy(error):
                self._disconnect()
            raise StoreUnavailable(f"{self.path}: {error}") from None

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    def _put(self, connection: sqlite3.Connection, space: Space, entries: Sequence[Entry]) -> Sequence[bool]:
        now = time.time()
        with _transaction(connection):
            stored = [_put(connection, space, entry, now) for entry in entries]
            unswept = self._unswept.get(space.name, 0) + len(entries)
            if unswept >= _SWEEP_EVERY:
                unswept = 0
                _sweep(connection, space, now)
            self._unswept[space.name] = unswept
        return stored


def _connect(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # SQLite gives its log and its shared memory the mode of the file.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    connection = sqlite3.connect(path, timeout=_BUSY, isolation_level=None, check_same_thread=False)
    deadline = time.monotonic() + _OPENING
    try:
        while True:
            try:
                _prepare(connection)
                return connection
            except sqlite3.OperationalError as error:
                if not _is_busy(error) or time.monotonic() >= deadline:
                    raise
            time.sleep(_OPENING_PAUSE)
    except BaseException:
        connection.close()
        raise


def _prepare(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(f"PRAGMA journal_size_limit = {_LOG_SIZE}")
    _migrate(connection)


def _migrate(connection: sqlite3.Connection) -> None:
    with _transaction(connection):
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > len(_MIGRATIONS):
            raise sqlite3.DatabaseError(
                f"the file has format {version} of a newer gptoss-api; this one knows {len(_MIGRATIONS)}"
            )
        for script in _MIGRATIONS[version:]:
            for statement in script.split(";"):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(_MIGRATIONS)}")


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Everything or nothing; the lock is taken at once, for a reader cannot always become the writer."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _get(connection: sqlite3.Connection, space: Space, keys: Sequence[bytes]) -> list[bytes | None]:
    now = time.time()
    return [_value(connection, space, key, now) for key in keys]


def _take(connection: sqlite3.Connection, space: Space, key: bytes) -> bytes | None:
    now = time.time()
    # Most takes find nothing, and reading waits for nobody.
    if _value(connection, space, key, now) is None:
        return None
    with _transaction(connection):
        value = _value(connection, space, key, now)
        connection.execute("DELETE FROM entries WHERE space = ? AND key = ?", (space.name, key))
    return value


def _value(connection: sqlite3.Connection, space: Space, key: bytes, now: float) -> bytes | None:
    row = connection.execute(
        "SELECT value FROM entries WHERE space = ? AND key = ? AND expires > ?", (space.name, key, now)
    ).fetchone()
    return None if row is None else row[0]


def _put(connection: sqlite3.Connection, space: Space, entry: Entry, now: float) -> bool:
    if (lease := entry.lease) is not None:
        held = connection.execute(
            "DELETE FROM leases WHERE key = ? AND token = ? AND expires > ?", (lease.key, lease.token, now)
        )
        if not held.rowcount:
            return False
    if len(entry.value) > space.value_size:
        return False
    connection.execute(
        "INSERT OR REPLACE INTO entries (space, key, value, expires) VALUES (?, ?, ?, ?)",
        (space.name, entry.key, entry.value, now + space.ttl),
    )
    return True


def _delete(connection: sqlite3.Connection, space: Space, keys: Sequence[bytes]) -> None:
    with _transaction(connection):
        connection.executemany(
            "DELETE FROM entries WHERE space = ? AND key = ?", [(space.name, key) for key in keys]
        )


def _lease(connection: sqlite3.Connection, key: bytes, ttl: float) -> Lease | None:
    now = time.time()
    with _transaction(connection):
        held = connection.execute("SELECT 1 FROM leases WHERE key = ? AND expires > ?", (key, now)).fetchone()
        if held is not None:
            return None
        connection.execute("UPDATE tokens SET last = last + 1")
        (token,) = connection.execute("SELECT last FROM tokens").fetchone()
        connection.execute("INSERT OR REPLACE INTO leases VALUES (?, ?, ?)", (key, token, now + ttl))
        return Lease(key, token)


def _sweep(connection: sqlite3.Connection, space: Space, now: float) -> None:
    """Removes what has expired and, where a space is full, what expires first."""
    connection.execute("DELETE FROM leases WHERE expires <= ?", (now,))
    connection.execute("DELETE FROM entries WHERE space = ? AND expires <= ?", (space.name, now))
    (count,) = connection.execute("SELECT count(*) FROM entries WHERE space = ?", (space.name,)).fetchone()
    if count > space.entries:
        connection.execute(
            "DELETE FROM entries WHERE id IN "
            "(SELECT id FROM entries WHERE space = ? ORDER BY expires LIMIT ?)",
            (space.name, count - space.entries),
        )


def _is_busy(error: Exception) -> bool:
    """Another process holds the lock: the connection itself is sound."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
