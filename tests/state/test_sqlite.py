"""The SQLite store as a file: shared by processes, killed, damaged, old and new."""

import asyncio
import os
import random
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from gptoss_api.state import Entry, Space, StoreUnavailable, sqlite
from gptoss_api.state.sqlite import SqliteStore
from tests.stores import ROOT

from .counting import Count
from .waiting import until

SPACE = Space("things", ttl=600, entries=100_000, value_size=100_000)

# Writes for ever and says which writes were done.
WRITER = """
import asyncio, sys
from pathlib import Path
from gptoss_api.state import Entry, Space
from gptoss_api.state.sqlite import SqliteStore

SPACE = Space("things", ttl=600, entries=100_000, value_size=100_000)

async def main(path, name):
    store = SqliteStore(Path(path))
    number = 0
    while True:
        lease = await store.lease(f"{name}:{number}".encode(), 600)
        await store.put(SPACE, Entry(f"{name}:{number}".encode(), str(number).encode() * 200, lease))
        print(number, flush=True)
        number += 1

asyncio.run(main(*sys.argv[1:]))
"""


def start(script: str, *arguments: object) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": ROOT},
    )


def kill_after(process: "subprocess.Popen[str]", writes: int, delay: float) -> int:
    """Kills the process some time after it has written; the value is its last write for sure."""
    assert process.stdout is not None
    last = -1
    for line in process.stdout:
        last = int(line)
        if last >= writes:
            break
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    rest = process.stdout.read().splitlines()
    process.wait()
    process.stdout.close()
    return max([last, *(int(line) for line in rest if line.isdigit())])


async def test_what_was_written_survives_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    chance = random.Random(7)
    done: dict[str, int] = {}
    for attempt in range(6):
        name = f"writer {attempt}"
        done[name] = kill_after(start(WRITER, path, name), 30, chance.uniform(0, 0.02))
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()
    store = SqliteStore(path)
    for name, last in done.items():
        keys = [f"{name}:{number}".encode() for number in range(last + 1)]
        values = await store.get(SPACE, *keys)
        assert values == [str(number).encode() * 200 for number in range(last + 1)]
    await store.close()


async def test_two_processes_write_into_one_file(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    writers = {name: start(WRITER, path, name) for name in ("one", "two")}
    store = SqliteStore(path)
    for number in range(200):
        assert await store.put(SPACE, Entry(b"three:%d" % number, b"3")) == [True]
    done = {name: await asyncio.to_thread(kill_after, process, 50, 0.0) for name, process in writers.items()}
    for name, last in done.items():
        keys = [f"{name}:{number}".encode() for number in range(last + 1)]
        assert None not in await store.get(SPACE, *keys)
    assert None not in await store.get(SPACE, *(b"three:%d" % number for number in range(200)))
    await store.close()


async def test_of_takers_in_several_processes_one_gets_the_value(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    store = SqliteStore(path)
    for number in range(100):
        await store.put(SPACE, Entry(b"%d" % number, b"1"))
    script = """
import asyncio, sys
from pathlib import Path
from gptoss_api.state import Entry, Space
from gptoss_api.state.sqlite import SqliteStore

SPACE = Space("things", ttl=600, entries=100_000, value_size=100_000)

async def main(path):
    store = SqliteStore(Path(path))
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(100):
        value = await store.take(SPACE, b"%d" % number)
        lease = await store.lease(b"%d" % number, 600)
        if value:
            print("value", number)
        if lease:
            print("lease", number, lease.token)

asyncio.run(main(sys.argv[1]))
"""
    takers = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": ROOT},
        )
        for _ in range(3)
    ]
    for taker in takers:
        assert taker.stdout is not None
        assert taker.stdout.readline() == "ready\n"
    outputs = await asyncio.gather(*(asyncio.to_thread(taker.communicate, "go\n") for taker in takers))
    lines = [line.split() for output, _ in outputs for line in output.splitlines()]
    assert sorted(int(line[1]) for line in lines if line[0] == "value") == list(range(100))
    assert sorted(int(line[1]) for line in lines if line[0] == "lease") == list(range(100))
    tokens = [int(line[2]) for line in lines if line[0] == "lease"]
    assert len(set(tokens)) == 100
    await store.close()


async def test_many_that_open_a_new_file_at_once_all_can(tmp_path: Path) -> None:
    for attempt in range(5):
        path = tmp_path / f"{attempt}.db"
        stores = [SqliteStore(path) for _ in range(8)]
        written = await asyncio.gather(
            *(store.put(SPACE, Entry(b"%d" % number, b"1")) for number, store in enumerate(stores))
        )
        assert written == [[True]] * 8
        for store in stores:
            await store.close()


async def test_nobody_else_may_read_the_files(tmp_path: Path) -> None:
    path = tmp_path / "new" / "state.db"
    store = SqliteStore(path)
    await store.put(SPACE, Entry(b"a", b"1"))
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == dict.fromkeys(("state.db", "state.db-wal", "state.db-shm"), 0o600)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    await store.close()
    assert [file.name for file in path.parent.iterdir()] == ["state.db"]


@pytest.mark.skipif(os.name != "posix", reason="modes are those of POSIX")
async def test_files_that_were_open_to_others_are_closed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "state.db"
    store = SqliteStore(path)
    await store.put(SPACE, Entry(b"a", b"1"))
    files = [path, *(path.with_name(path.name + end) for end in ("-wal", "-shm"))]
    for file in files:
        file.chmod(0o666)
    again = SqliteStore(path)
    assert await again.get(SPACE, b"a") == [b"1"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    said = [record.message for record in caplog.records]
    assert said == [f"{file} was open to other users (mode 0666); now it is not" for file in files]
    await store.close()
    await again.close()


@pytest.mark.skipif(os.name != "posix", reason="modes are those of POSIX")
async def test_a_file_that_cannot_be_closed_to_others_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, mode: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    path = tmp_path / "state.db"
    path.touch(0o600)
    path.chmod(0o640)
    monkeypatch.setattr(Path, "chmod", refuse)
    store = SqliteStore(path)
    with pytest.raises(StoreUnavailable, match=r"open to other users \(mode 0640\) and cannot be closed"):
        await store.put(SPACE, Entry(b"a", b"1"))
    assert path.read_bytes() == b""
    await store.close()


def contents(path: Path) -> bytes:
    """Everything there is of a database, its log included."""
    return b"".join(file.read_bytes() for file in path.parent.glob(f"{path.name}*"))


def traces(values: Iterable[bytes], path: Path) -> int:
    """Of how many values there is a piece left in the files."""
    data = contents(path)
    return sum(any(value[i : i + 16] in data for i in range(0, len(value), 1_500)) for value in values)


async def test_what_is_erased_is_gone_from_the_files(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    chance = random.Random(7)
    store, other = SqliteStore(path), SqliteStore(path)
    alive: dict[bytes, bytes] = {}
    gone: list[bytes] = []
    for number in range(100):
        key = b"%d" % number
        alive[key] = chance.randbytes(chance.choice([30, 500, 3_000, 15_000]))
        await chance.choice([store, other]).put(SPACE, Entry(key, alive[key]))
        if chance.random() < 0.7:
            key = chance.choice(list(alive))
            gone.append(alive.pop(key))
            await chance.choice([store, other]).delete(SPACE, key)
    assert traces(gone, path) > 0
    key = next(iter(alive))
    gone.append(alive.pop(key))
    await other.delete(SPACE, key, erase=True)
    assert traces(gone, path) == 0
    assert traces(alive.values(), path) == len(alive)
    await store.close()
    await other.close()


async def test_what_could_not_be_erased_at_once_is_when_the_file_is_tidied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "TIDY_EVERY", 0.05)
    path = tmp_path / "state.db"
    secret = os.urandom(10_000)
    store = SqliteStore(path)
    await store.put(SPACE, Entry(b"a", secret))
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM entries").fetchall()
    await store.delete(SPACE, b"a", erase=True)
    assert await store.get(SPACE, b"a") == [None]
    assert traces([secret], path) == 1
    reader.execute("COMMIT")
    reader.close()

    async def erased() -> bool:
        return traces([secret], path) == 0

    await until(erased)
    await store.close()


async def test_what_has_expired_leaves_the_files_though_nobody_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "TIDY_EVERY", 0.05)
    path = tmp_path / "state.db"
    brief = Space("brief", ttl=0.05, entries=10, value_size=100)
    secret = os.urandom(100)
    store = SqliteStore(path)
    await store.put(brief, Entry(b"a", secret))
    await store.lease(b"thread", 0.05)

    async def gone() -> bool:
        return traces([secret], path) == 0

    await until(gone)
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM leases").fetchone() == (0,)
    connection.close()
    await store.close()


# As the first version made it, with the question of a stored response in it.
FIRST_FORMAT = """
    CREATE TABLE entries (
        id INTEGER PRIMARY KEY, space TEXT NOT NULL, key BLOB NOT NULL,
        value BLOB NOT NULL, expires REAL NOT NULL
    );
    CREATE UNIQUE INDEX entries_by_key ON entries (space, key);
    CREATE INDEX entries_by_expiry ON entries (space, expires);
    CREATE TABLE leases (key BLOB PRIMARY KEY, token INTEGER NOT NULL, expires REAL NOT NULL) WITHOUT ROWID;
    CREATE TABLE tokens (last INTEGER NOT NULL);
    INSERT INTO tokens VALUES (7);
    PRAGMA journal_mode = WAL;
    PRAGMA user_version = 1;
"""


async def test_what_the_first_version_kept_unsealed_is_removed_from_the_files(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "state.db"
    connection = sqlite3.connect(path)
    connection.executescript(FIRST_FORMAT)
    for number in range(50):
        entry = ("things", b"%d" % number, b"PLAIN QUESTION " * 500, time.time() + 600)
        connection.execute("INSERT INTO entries (space, key, value, expires) VALUES (?, ?, ?, ?)", entry)
    connection.commit()
    connection.execute("PRAGMA secure_delete = OFF")
    connection.execute("DELETE FROM entries WHERE id < 20")
    connection.commit()
    # With the connection left open the log is not moved into the file.
    stores = [SqliteStore(path) for _ in range(4)]
    found = await asyncio.gather(*(store.get(SPACE, b"1", b"30") for store in stores))
    assert found == [[None, None]] * 4
    assert b"PLAIN QUESTION" not in contents(path)
    assert await stores[0].put(SPACE, Entry(b"1", b"new")) == [True]
    assert "removed what an earlier version" in caplog.text
    connection.close()
    for store in stores:
        await store.close()
    assert b"PLAIN QUESTION" not in contents(path)


async def test_values_survive_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    store = SqliteStore(path)
    await store.put(SPACE, Entry(b"a", b"1"))
    lease = await store.lease(b"thread", 600)
    await store.close()
    again = SqliteStore(path)
    assert await again.get(SPACE, b"a") == [b"1"]
    assert await again.lease(b"thread", 600) is None
    other = await again.lease(b"other", 600)
    assert other is not None
    assert lease is not None
    assert other.token > lease.token
    await again.close()


@pytest.mark.parametrize("version", [3, 4])
async def test_a_file_without_keys_gets_a_place_for_them(tmp_path: Path, version: int) -> None:
    path = tmp_path / "state.db"
    store = SqliteStore(path)
    await store.put(SPACE, Entry(b"a", b"1"))
    await store.close()
    with sqlite3.connect(path) as connection:
        for table in ("ledgers",) if version == 4 else ("ledgers", "api_keys", "api_keys_revision"):
            connection.execute(f"DROP TABLE {table}")
        connection.execute(f"PRAGMA user_version = {version}")
    connection.close()
    again = SqliteStore(path)
    assert await again.write_key("key_1", b"record", b"")
    assert (await again.change("key_1", Count()))[0] == 1
    assert await again.get(SPACE, b"a") == [b"1"]
    await again.close()


async def test_a_file_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    store = SqliteStore(path)
    with pytest.raises(StoreUnavailable, match="format 99 of a newer gptoss-api"):
        await store.get(SPACE, b"a")
    await store.close()


@pytest.mark.parametrize("content", [b"This is no database. " * 100, b"SQLite format 3\0" + bytes(4096)])
async def test_a_file_that_is_no_database_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(content)
    store = SqliteStore(path)
    with pytest.raises(StoreUnavailable, match=str(path)):
        await store.put(SPACE, Entry(b"a", b"1"))
    assert path.read_bytes() == content
    path.unlink()
    assert await store.put(SPACE, Entry(b"a", b"1")) == [True]
    await store.close()


async def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = SqliteStore(tmp_path / "file" / "state.db")
    with pytest.raises(StoreUnavailable, match=r"file/state\.db"):
        await store.lease(b"a", 600)
    await store.close()


async def test_a_writer_that_does_not_let_go_is_not_waited_for_long(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    store = SqliteStore(path)
    await store.put(SPACE, Entry(b"a", b"1"))
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="locked"):
        await store.put(SPACE, Entry(b"b", b"1"))
    # Readers do not wait for writers at all.
    assert await store.get(SPACE, b"a", b"b") == [b"1", None]
    assert await store.take(SPACE, b"none") is None
    blocker.execute("ROLLBACK")
    blocker.close()
    assert await store.put(SPACE, Entry(b"b", b"1")) == [True]
    await store.close()


async def test_the_file_does_not_grow_for_ever(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    small = Space("small", ttl=600, entries=50, value_size=10_000)
    store = SqliteStore(path)
    for number in range(1_000):
        await store.put(small, Entry(b"%d" % number, b"x" * 5_000))
    await store.close()
    assert path.stat().st_size < 2_000_000


async def test_a_closed_store_has_no_thread(tmp_path: Path) -> None:
    for number in range(20):
        store = SqliteStore(tmp_path / f"{number}.db")
        await store.put(SPACE, Entry(b"key", b"value"))
        await store.close()
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("state")]
