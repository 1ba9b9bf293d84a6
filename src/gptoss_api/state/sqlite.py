"""State in an SQLite file: survives restarts and is shared by the processes of one machine.

One thread of each process owns its connection. The journal is a write-ahead log, so readers and the one
writer do not wait for each other; a committed value survives the death of the process (SQLite
documentation, "Write-Ahead Logging" and "PRAGMA synchronous"). What is removed is overwritten in the file
("PRAGMA secure_delete"), and leaves the log when that is emptied.
"""

import asyncio
import contextlib
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from .files import close_to_others
from .holdings import Holdings
from .store import Change, Entry, Lease, Space, StoreUnavailable, new_revision

T = TypeVar("T")

# Seconds to wait for another process that is writing.
_BUSY: Final = 0.4
# The same where the log is emptied, which can wait for a better moment: meanwhile nobody else can write.
_BUSY_EMPTYING: Final = 0.02
# Seconds to try to open the file, and between two tries: SQLite does not wait for everything that making a
# file and its log locks, and several processes that start together all do that.
_OPENING: Final = 5.0
_OPENING_PAUSE: Final = 0.02
# Writes of this process into a space between two sweeps, and the part of an owner's entries or bytes; until
# then it may hold a little too much.
_SWEEP_EVERY: Final = 64
_SWEEP_PART: Final = 1 / 16
# Seconds between two times at which what has expired is removed, and the log emptied of what was removed.
TIDY_EVERY: Final = 60.0
# Bytes the log may keep on disk once its content is in the file.
_LOG_SIZE: Final = 16 * 1024**2

# What ``PRAGMA user_version`` says: in the first format nothing was sealed; a file with the second may still
# have some of that where nothing is stored any more.
_UNSEALED: Final = 1
_UNCLEAN: Final = 2
_WITHOUT_KEYS: Final = 3
_WITHOUT_LEDGERS: Final = 4
_FORMAT: Final = 5
_TABLES: Final = """
    CREATE TABLE entries (
        id INTEGER PRIMARY KEY, space TEXT NOT NULL, key BLOB NOT NULL, owner BLOB NOT NULL,
        size INTEGER NOT NULL, value BLOB NOT NULL, expires REAL NOT NULL
    );
    CREATE UNIQUE INDEX entries_by_key ON entries (space, key);
    CREATE INDEX entries_by_owner ON entries (space, owner, expires, size);
    CREATE INDEX entries_by_expiry ON entries (expires);
    CREATE TABLE leases (key BLOB PRIMARY KEY, token INTEGER NOT NULL, expires REAL NOT NULL) WITHOUT ROWID;
    CREATE TABLE tokens (last INTEGER NOT NULL);
    INSERT INTO tokens VALUES (0);
"""
# The revision is in the only row of its table.
_KEY_TABLES: Final = """
    CREATE TABLE IF NOT EXISTS api_keys (id TEXT PRIMARY KEY, record BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS api_keys_revision (id INTEGER PRIMARY KEY, revision BLOB NOT NULL);
    CREATE TABLE IF NOT EXISTS ledgers (account TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
"""
_NO_TABLES: Final = "DROP TABLE entries; DROP TABLE leases; DROP TABLE tokens;"

_log = logging.getLogger(__name__)


class SqliteStore:
    """A :class:`~.store.Store` in the file ``path``, which is made with mode 0600 where it is missing.

    Not for network file systems: the processes share memory beside the file.
    """

    name = "sqlite"

    def __init__(self, path: Path) -> None:
        self.path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="state")
        self._connection: sqlite3.Connection | None = None
        # Values and bytes that were written into each space since it was swept.
        self._unswept: dict[str, tuple[int, int]] = {}
        # Whether the log may hold what is removed already, as it may after a crash.
        self._untidy = True
        self._tidying: asyncio.Task[None] | None = None

    async def get(self, space: Space, *keys: bytes) -> Sequence[bytes | None]:
        return await self._run(lambda connection: _get(connection, space, keys))

    async def take(self, space: Space, key: bytes) -> bytes | None:
        return await self._run(lambda connection: self._take(connection, space, key))

    async def put(self, space: Space, *entries: Entry) -> Sequence[bool]:
        return await self._run(lambda connection: self._put(connection, space, entries))

    async def delete(self, space: Space, *keys: bytes, erase: bool = False) -> None:
        await self._run(lambda connection: self._delete(connection, space, keys, erase))

    async def lease(self, key: bytes, ttl: float) -> Lease | None:
        return await self._run(lambda connection: _lease(connection, key, ttl))

    async def read_keys(self, seen: bytes | None) -> tuple[bytes, Sequence[bytes]] | None:
        """See :class:`~.store.KeyStore`."""
        return await self._run(lambda connection: _read_keys(connection, seen))

    async def write_key(self, key_id: str, record: bytes | None, revision: bytes) -> bool:
        """See :class:`~.store.KeyStore`."""
        return await self._run(lambda connection: _write_key(connection, key_id, record, revision))

    async def change(self, account: str, change: Change[T]) -> T:
        """See :class:`~.store.LedgerStore`."""
        return await self._run(lambda connection: _change(connection, account, change))

    async def close(self) -> None:
        if self._tidying is not None:
            self._tidying.cancel()
        await asyncio.get_running_loop().run_in_executor(self._thread, self._disconnect)
        # It has nothing left to do, but a process that still has it must not be forked.
        self._thread.shutdown()

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        if self._tidying is None:
            self._tidying = asyncio.create_task(self._keep_tidy())
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._work, work)

    async def _keep_tidy(self) -> None:
        while True:
            with contextlib.suppress(StoreUnavailable):
                await self._run(self._tidy)
            await asyncio.sleep(TIDY_EVERY)

    # In the thread

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

    def _take(self, connection: sqlite3.Connection, space: Space, key: bytes) -> bytes | None:
        # Most takes find nothing, and reading waits for nobody.
        now = time.time()
        if _value(connection, space, key, now) is None:
            return None
        with transaction(connection):
            value = _value(connection, space, key, now)
            self._remove(connection, space, [key])
        return value

    def _put(self, connection: sqlite3.Connection, space: Space, entries: Sequence[Entry]) -> Sequence[bool]:
        now = time.time()
        with transaction(connection):
            stored = [_put(connection, space, entry, now) for entry in entries]
            most = max(_SWEEP_EVERY, int(space.entries * _SWEEP_PART))
            # The first write of a process sweeps: bounds may have changed.
            count, size = self._unswept.get(space.name, (most, 0))
            count, size = count + len(entries), size + sum(len(entry.value) for entry in entries)
            if count >= most or size >= min(space.size, space.total) * _SWEEP_PART:
                count = size = 0
                if _sweep(connection, space):
                    self._untidy = self._untidy or space.secret
                    stored = [
                        was and _value(connection, space, entry.key, now) is not None
                        for was, entry in zip(stored, entries, strict=True)
                    ]
            self._unswept[space.name] = (count, size)
        return stored

    def _delete(
        self, connection: sqlite3.Connection, space: Space, keys: Sequence[bytes], erase: bool
    ) -> None:
        with transaction(connection):
            self._remove(connection, space, keys)
        if erase:
            self._empty_log(connection)

    def _remove(self, connection: sqlite3.Connection, space: Space, keys: Sequence[bytes]) -> None:
        connection.executemany(
            "DELETE FROM entries WHERE space = ? AND key = ?", [(space.name, key) for key in keys]
        )
        self._untidy = self._untidy or space.secret

    def _tidy(self, connection: sqlite3.Connection) -> None:
        """Removes what has expired, and empties the log where it holds what was removed."""
        now = time.time()
        with transaction(connection):
            connection.execute("DELETE FROM leases WHERE expires <= ?", (now,))
            if connection.execute("DELETE FROM entries WHERE expires <= ?", (now,)).rowcount:
                self._untidy = True
        if self._untidy:
            self._empty_log(connection)

    def _empty_log(self, connection: sqlite3.Connection) -> None:
        # Another process that reads or writes prevents it; then it is tried again when it is tidied.
        self._untidy = not _checkpoint(connection)


def _connect(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # SQLite gives its log and its shared memory the mode of the file.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    for file in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
        close_to_others(file)
    connection = sqlite3.connect(path, timeout=_BUSY, isolation_level=None, check_same_thread=False)
    deadline = time.monotonic() + _OPENING
    try:
        while True:
            try:
                _prepare(connection, path)
                return connection
            except sqlite3.OperationalError as error:
                if not _is_busy(error) or time.monotonic() >= deadline:
                    raise
            time.sleep(_OPENING_PAUSE)
    except BaseException:
        connection.close()
        raise


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(f"PRAGMA journal_size_limit = {_LOG_SIZE}")
    _migrate(connection, path)
    connection.execute("PRAGMA secure_delete = ON")


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    with transaction(connection):
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > _FORMAT:
            raise sqlite3.DatabaseError(
                f"the file has format {version} of a newer gptoss-api; this one knows {_FORMAT}"
            )
        if version <= _UNSEALED:
            for statement in (_NO_TABLES * version + _TABLES).split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {_UNCLEAN if version else _FORMAT}")
        elif version in (_WITHOUT_KEYS, _WITHOUT_LEDGERS):
            connection.execute(f"PRAGMA user_version = {_FORMAT}")
        if version < _FORMAT:
            for statement in _KEY_TABLES.split(";"):
                connection.execute(statement)
    if version in (_UNSEALED, _UNCLEAN):
        # Only a new copy of the file has nothing left of what was ever removed from it.
        connection.execute("VACUUM")
        _checkpoint(connection)
        connection.execute(f"PRAGMA user_version = {_FORMAT}")
        _log.warning(
            "%s: removed what an earlier version of gptoss-api kept there, which was not sealed", path
        )


def _checkpoint(connection: sqlite3.Connection) -> bool:
    """Moves the whole log into the file; ``False`` where another process did not let it."""
    _set_patience(connection, _BUSY_EMPTYING)
    try:
        (busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        _set_patience(connection, _BUSY)
    return not busy


def _set_patience(connection: sqlite3.Connection, seconds: float) -> None:
    connection.execute(f"PRAGMA busy_timeout = {seconds * 1000:.0f}")


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
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
    if len(entry.value) > space.largest:
        return False
    connection.execute(
        "INSERT OR REPLACE INTO entries (space, key, owner, size, value, expires) VALUES (?, ?, ?, ?, ?, ?)",
        (space.name, entry.key, entry.owner, len(entry.value), entry.value, now + space.ttl),
    )
    return True


def _lease(connection: sqlite3.Connection, key: bytes, ttl: float) -> Lease | None:
    now = time.time()
    with transaction(connection):
        held = connection.execute("SELECT 1 FROM leases WHERE key = ? AND expires > ?", (key, now)).fetchone()
        if held is not None:
            return None
        connection.execute("UPDATE tokens SET last = last + 1")
        (token,) = connection.execute("SELECT last FROM tokens").fetchone()
        connection.execute("INSERT OR REPLACE INTO leases VALUES (?, ?, ?)", (key, token, now + ttl))
        return Lease(key, token)


def _read_keys(connection: sqlite3.Connection, seen: bytes | None) -> tuple[bytes, Sequence[bytes]] | None:
    revision = _keys_revision(connection)
    if revision == seen:
        return None
    # A write in between makes another revision, which is seen the next time.
    return revision, [record for (record,) in connection.execute("SELECT record FROM api_keys")]


def _write_key(connection: sqlite3.Connection, key_id: str, record: bytes | None, revision: bytes) -> bool:
    with transaction(connection):
        if _keys_revision(connection) != revision:
            return False
        if record is None:
            connection.execute("DELETE FROM api_keys WHERE id = ?", (key_id,))
            connection.execute("DELETE FROM ledgers WHERE account = ?", (key_id,))
        else:
            connection.execute("INSERT OR REPLACE INTO api_keys VALUES (?, ?)", (key_id, record))
        connection.execute("INSERT OR REPLACE INTO api_keys_revision VALUES (0, ?)", (new_revision(),))
        return True


def _change(connection: sqlite3.Connection, account: str, change: Change[T]) -> T:
    with transaction(connection):
        row = connection.execute("SELECT value FROM ledgers WHERE account = ?", (account,)).fetchone()
        before = None if row is None else row[0]
        value, found = change(before, round(time.time() * 1000))
        if value != before:
            connection.execute("INSERT OR REPLACE INTO ledgers VALUES (?, ?)", (account, value))
        return found


def _keys_revision(connection: sqlite3.Connection) -> bytes:
    row = connection.execute("SELECT revision FROM api_keys_revision").fetchone()
    return b"" if row is None else row[0]


def _sweep(connection: sqlite3.Connection, space: Space) -> bool:
    """Removes what is too much, and says whether there was any."""
    holdings = Holdings()
    for owner, count, size in connection.execute(
        "SELECT owner, count(*), sum(size) FROM entries WHERE space = ? GROUP BY owner", (space.name,)
    ):
        holdings.change(owner, count, size)
    oldest: dict[bytes, Iterator[tuple[int, int]]] = {}
    removed: list[tuple[int]] = []
    while (owner := holdings.excess(space, *holdings.owners)) is not None:
        if owner not in oldest:
            oldest[owner] = connection.execute(
                "SELECT id, size FROM entries WHERE space = ? AND owner = ? ORDER BY expires",
                (space.name, owner),
            )
        entry, size = next(oldest[owner])
        holdings.change(owner, -1, -size)
        removed.append((entry,))
    connection.executemany("DELETE FROM entries WHERE id = ?", removed)
    return bool(removed)


def _is_busy(error: Exception) -> bool:
    """Another process holds the lock: the connection itself is sound."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
