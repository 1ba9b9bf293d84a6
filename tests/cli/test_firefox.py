"""The login that Firefox keeps: found in every place and form, and nothing of Firefox's is touched."""

import contextlib
import json
import shutil
import sqlite3
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptoss_api.cli.firefox import FoundLogin, NoLogin, decompressed, find_login, firefox_folders
from tests.cli.conftest import Run

LATER = int(time.time()) + 90_000
USED = time.time_ns() // 1000


class Profile:
    """A profile as Firefox makes it, with a database that is open and has not moved all of its log."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.database = sqlite3.connect(folder / "cookies.sqlite", isolation_level=None)
        self.database.execute("PRAGMA journal_mode=WAL")
        self.database.execute(
            "CREATE TABLE moz_cookies (id INTEGER PRIMARY KEY, originAttributes TEXT NOT NULL DEFAULT '', "
            "name TEXT, value TEXT, host TEXT, path TEXT, expiry INTEGER, lastAccessed INTEGER, "
            "creationTime INTEGER, isSecure INTEGER, isHttpOnly INTEGER, inBrowserElement INTEGER DEFAULT 0, "
            "sameSite INTEGER DEFAULT 0, schemeMap INTEGER DEFAULT 0, isPartitionedAttributeSet INTEGER, "
            "CONSTRAINT moz_uniqueid UNIQUE (name, host, path, originAttributes))"
        )

    def keep(
        self,
        name: str,
        value: str,
        host: str = "api.gpt-oss.com",
        *,
        origin: str = "",
        expiry: int = LATER,
        used: int = USED,
    ) -> None:
        self.database.execute(
            "INSERT INTO moz_cookies (originAttributes, name, value, host, path, expiry, lastAccessed) "
            "VALUES (?, ?, ?, ?, '/', ?, ?)",
            (origin, name, value, host, expiry, used),
        )

    def log_in(self, user: str, session: str, *, origin: str = "", used: int = USED) -> None:
        self.keep("user_id", user, origin=origin, used=used)
        self.keep("session", session, ".gpt-oss.com", origin=origin, used=used)
        self.keep("session", "wrong", "huggingface.co", origin=origin, used=USED + 10**12)
        self.keep("_ga", "1", ".gpt-oss.com", origin=origin)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / ".mozilla/firefox"


def text_of(found: FoundLogin) -> str:
    return "; ".join(sorted(found.text.split("; "), reverse=True))


def files(folder: Path) -> dict[str, bytes]:
    return {entry.name: entry.read_bytes() for entry in folder.iterdir() if entry.is_file()}


def test_the_login_is_found_also_while_firefox_runs(root: Path) -> None:
    profile = Profile(root / "abc.default-release")
    profile.log_in("u-1", "s-1")
    profile.database.execute("BEGIN EXCLUSIVE")
    (root / "profiles.ini").write_text(
        "[Install4F96D1932A9F858E]\nDefault=abc.default-release\nLocked=1\n\n"
        "[Profile0]\nName=default-release\nIsRelative=1\nPath=abc.default-release\n\n[General]\nVersion=2\n"
    )
    assert (profile.folder / "cookies.sqlite-wal").stat().st_size > 0
    before = files(profile.folder)
    found = find_login(roots=[root])
    assert text_of(found) == "user_id=u-1; session=s-1"
    assert (found.where, found.others) == ("profile default-release", ())
    assert files(profile.folder) == before


def test_of_several_the_one_that_was_used_last_counts(root: Path) -> None:
    for number, name in enumerate(("old", "new")):
        Profile(root / f"x.{name}").log_in("u", name, used=USED + number)
    for wanted, session in (("", "new"), ("x.old", "old"), (str(root / "x.old"), "old")):
        found = find_login(wanted, roots=[root])
        assert text_of(found) == f"user_id=u; session={session}"
    assert find_login(roots=[root]).others == ("profile x.old",)
    with pytest.raises(NoLogin, match=r"no profile 'other'; there is: x.new, x.old"):
        find_login("other", roots=[root])


def test_containers_are_told_apart(root: Path) -> None:
    profile = Profile(root / "x.default")
    profile.log_in("u", "plain", used=USED - 5)
    profile.log_in("u", "work", origin="^userContextId=2", used=USED)
    profile.log_in("u", "mine", origin="^userContextId=7&firstPartyDomain=x", used=USED - 9)
    profile.log_in("u", "elsewhere", origin="^partitionKey=%28https%2Cexample.com%29", used=USED + 9)
    identities = [
        {"userContextId": 2, "public": True, "l10nId": "user-context-work"},
        {"userContextId": 7, "public": True, "name": "Mine"},
        {"userContextId": 5, "public": False, "name": "internal"},
    ]
    (profile.folder / "containers.json").write_text(json.dumps({"version": 5, "identities": identities}))
    found = find_login(roots=[root])
    assert (text_of(found), found.where) == (
        "user_id=u; session=work",
        "profile x.default, container Work",
    )
    assert found.others == ("profile x.default", "profile x.default, container Mine")
    assert text_of(find_login(container="Mine", roots=[root])) == "user_id=u; session=mine"
    with pytest.raises(NoLogin, match="in the container 'None'"):
        find_login(container="None", roots=[root])


@pytest.mark.parametrize("unit", [1, 1000])
def test_what_has_expired_does_not_count(root: Path, unit: int) -> None:
    profile = Profile(root / "x.default")
    profile.keep("session", "s", expiry=(int(time.time()) - 9) * unit)
    with pytest.raises(NoLogin, match="has expired"):
        find_login(roots=[root])
    profile.keep("session", "s2", ".gpt-oss.com", expiry=LATER * unit)
    assert text_of(find_login(roots=[root])) == "session=s2"


def test_cookies_that_end_with_the_browser_are_found_in_its_session(root: Path) -> None:
    profile = Profile(root / "x.default")
    profile.keep("session", "s")
    session = {
        "windows": [{"tabs": ["text " * 50]}],
        "cookies": [
            {"host": "example.com", "name": "user_id", "value": "wrong", "path": "/"},
            {
                "host": "api.gpt-oss.com",
                "name": "user_id",
                "value": "u-9",
                "path": "/",
                "originAttributes": {"userContextId": 0, "partitionKey": ""},
            },
        ],
    }
    folder = profile.folder / "sessionstore-backups"
    folder.mkdir()
    (folder / "recovery.jsonlz4").write_bytes(compressed(json.dumps(session).encode()))
    assert text_of(find_login(roots=[root])) == "user_id=u-9; session=s"
    (folder / "recovery.jsonlz4").write_bytes(b"mozLz40\0broken")
    assert text_of(find_login(roots=[root])) == "session=s"


def test_why_there_is_none_is_told(root: Path, tmp_path: Path) -> None:
    with pytest.raises(NoLogin, match="No profile of Firefox was found"):
        find_login(roots=[root, tmp_path / "none"])
    Profile(root / "x.default").keep("session", "s", "example.com")
    with pytest.raises(NoLogin, match=r"no login at gpt-oss.com \(profiles: x.default\)"):
        find_login(roots=[root])
    shutil.rmtree(root)
    folder = root / "x.default"
    folder.mkdir(parents=True)
    (folder / "cookies.sqlite").write_bytes(b"no database at all")
    (root / "profiles.ini").write_bytes(b"\xff no settings")
    with pytest.raises(NoLogin, match="could not be read"):
        find_login(roots=[root])


def test_every_way_to_install_it_is_looked_at(tmp_path: Path) -> None:
    home = tmp_path
    linux = firefox_folders({}, "linux", home)
    assert home / "snap/firefox/common/.mozilla/firefox" in linux
    assert home / ".var/app/org.mozilla.firefox/.mozilla/firefox" in linux
    assert home / ".config/mozilla/firefox" in linux
    assert firefox_folders({}, "darwin", home) == [home / "Library/Application Support/Firefox"]
    assert home / "AppData/Roaming/Mozilla/Firefox" in firefox_folders({}, "win32", home)


@pytest.mark.skipif(sys.platform != "linux", reason="the folders of Linux")
def test_the_command_keeps_it(run_here: Run, tmp_path: Path) -> None:
    none = run_here("login", "--from-firefox", "--no-check")
    assert (none.returncode, "No profile of Firefox" in none.stderr) == (1, True)
    for number, name in enumerate(("a", "b")):
        Profile(tmp_path / f"snap/firefox/common/.mozilla/firefox/{name}").log_in(
            "u", f"s3cret-{name}", used=USED + number
        )
    done = run_here("login", "--from-firefox", "--no-check")
    assert done.returncode == 0
    assert done.stdout.startswith("The login is that of Firefox, profile b.\nThe login is kept in ")
    assert "There are others (--profile, --container): profile a." in done.stderr
    assert "s3cret" not in done.stdout + done.stderr
    kept = tmp_path / "gptoss-api/credentials.json"
    assert json.loads(kept.read_text())["session"] == "s3cret-b"
    assert run_here("login", "--profile", "a").returncode == 2
    chosen = run_here("login", "--from-firefox", "--profile", "a", "--no-check")
    assert json.loads(kept.read_text())["session"] == "s3cret-a"
    assert "There are others" not in chosen.stderr


def compressed(data: bytes) -> bytes:
    """A small compressor of the same form: repeats of four bytes and more are found by a table."""
    out = bytearray(b"mozLz40\0" + len(data).to_bytes(4, "little"))
    seen: dict[bytes, int] = {}
    place = start = 0
    while place < len(data) - 4:
        key = data[place : place + 4]
        earlier = seen.get(key, -1)
        seen[key] = place
        if earlier < 0 or place - earlier > 0xFFFF:
            place += 1
            continue
        length = 4
        while place + length < len(data) and data[earlier + length] == data[place + length]:
            length += 1
        sequence(out, data[start:place], place - earlier, length)
        place += length
        start = place
    sequence(out, data[start:], 0, 0)
    return bytes(out)


def sequence(out: bytearray, literals: bytes, back: int, length: int) -> None:
    more = length - 4 if back else 0
    out.append(min(len(literals), 15) << 4 | min(more, 15))
    out += lengths(len(literals)) + literals
    if back:
        out += back.to_bytes(2, "little") + lengths(more)


def lengths(length: int) -> bytes:
    return b"" if length < 15 else b"\xff" * ((length - 15) // 255) + bytes([(length - 15) % 255])


@given(st.lists(st.tuples(st.binary(max_size=9), st.integers(1, 90)), max_size=12))
def test_what_was_compressed_is_read_again(pieces: list[tuple[bytes, int]]) -> None:
    data = b"".join(piece * count for piece, count in pieces)
    assert decompressed(compressed(data)) == data


@given(st.binary(max_size=60))
def test_nothing_else_is(data: bytes) -> None:
    with pytest.raises(ValueError):
        decompressed(data)
    size = (90).to_bytes(4, "little")
    with contextlib.suppress(ValueError):
        assert len(decompressed(b"mozLz40\0" + size + data)) == 90
