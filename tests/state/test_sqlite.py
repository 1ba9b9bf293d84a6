"""The SQLite store as a file: shared by processes, killed, damaged, old and new."""

import asyncio
import os
import random
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gptoss_api.state import Entry, Space, StoreUnavailable
from gptoss_api.state.sqlite import SqliteStore
from tests.stores import ROOT

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
